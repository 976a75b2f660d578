"""Stage discovery: why the identity provider's metadata cannot be relied on."""

from __future__ import annotations

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.model import Discovery, Finding, Keys, Seen, Stage

METADATA = ("discovery", "http_failure", "http_status", "is_json", "error", "aadsts")


def why_not_discovered(seen: Seen) -> Finding:
    """The metadata cannot be fetched, or does not say what it should."""
    facts = signs_of(seen).facts
    words = facts.get("discovery_seen", "not asked")
    return finding(
        seen, Stage.DISCOVERY, *METADATA, facts={"seen": f"{words}\nissuer: {facts.get('issuer')}"}
    )


def why_no_keys(seen: Seen) -> Finding:
    """The signing keys cannot be fetched."""
    return finding(
        seen, Stage.DISCOVERY, "keys", facts={"seen": signs_of(seen).facts.get("keys_seen", "not asked")}
    )


def remark_on_discovery_time(seen: Seen, answer: Discovery | Keys) -> Finding | None:
    """The metadata or the keys came, late."""
    limit = seen.profile.limits.http_slow_s
    if answer.took_s <= limit:
        return None
    words = f"{answer.http.url}: {answer.took_s:.1f} s; slow from {limit:g} s"
    return finding(seen, Stage.DISCOVERY, "slow", signs={"slow": "discovery"}, facts={"seen": words})
