"""Stage profile: what can be read off the profile before anything is asked."""

from __future__ import annotations

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.model import Finding, SecretCheck, Seen, Stage


def why_secret_unavailable(seen: Seen, key: str) -> Finding:
    """A secret the profile names is not there."""
    check = seen.get(SecretCheck, key)
    words = f"{check.reference}: {check.problem}" if check else key
    facts = {"seen": words, "secret": key, "reference": check.reference if check else ""}
    return finding(
        seen, Stage.PROFILE, "secret", subject=key, signs={"secret": "unavailable"}, facts=facts
    )


def why_any_secret_unavailable(seen: Seen) -> Finding:
    """The first of the secrets without which no token request can be formed."""
    missing = (one.key for one in seen.every(SecretCheck) if not one.resolved)
    return why_secret_unavailable(seen, next(missing, ""))
