"""Stage auth_offered: why there is no way to sign in with a token."""

from __future__ import annotations

from smtp_preflight.diagnosis.comparisons import looked_at
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import AFTER_TLS, PASSWORD_MECHANISMS, signs_of
from smtp_preflight.model import Ehlo, Finding, Seen, Stage

# What the expectation of the stage is about.
OFFERED = ("auth_offered", "encrypted", "preset_offers")


def why_no_bearer_offered(seen: Seen) -> Finding:
    """Under TLS the server offers neither XOAUTH2 nor OAUTHBEARER."""
    ehlo = seen.get(Ehlo, AFTER_TLS)
    words = "\n".join((str(ehlo.reply) if ehlo else "", *looked_at(seen)))
    return finding(seen, Stage.AUTH_OFFERED, *OFFERED, facts={"seen": words})


def remark_on_passwords(seen: Seen, ehlo: Ehlo) -> Finding | None:
    """Password mechanisms are offered beside the bearer token, for as long as the provider keeps them."""
    beside = ehlo.bearer_for(seen.profile.smtp.mechanism)
    if not beside or not set(ehlo.mechanisms) & PASSWORD_MECHANISMS:
        return None
    words = f"AUTH {signs_of(seen).facts['mechanisms']}"
    return finding(seen, Stage.AUTH_OFFERED, "password_mechanisms", facts={"seen": words})
