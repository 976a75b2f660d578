"""Stage auth_offered: why there is no way to sign in with a token."""

from __future__ import annotations

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import AFTER_TLS, PASSWORD_MECHANISMS, signs_of
from smtp_preflight.model import Ehlo, Finding, Seen, Stage


def why_no_bearer_offered(seen: Seen) -> Finding:
    """Under TLS the server offers neither XOAUTH2 nor OAUTHBEARER."""
    ehlo = seen.get(Ehlo, AFTER_TLS)
    words = str(ehlo.reply) if ehlo else ""
    return finding(seen, Stage.AUTH_OFFERED, "auth_offered", facts={"seen": words})


def remark_on_passwords(seen: Seen, ehlo: Ehlo) -> Finding | None:
    """Password mechanisms are offered beside the bearer token, for as long as the provider keeps them."""
    beside = ehlo.bearer_for(seen.profile.smtp.mechanism)
    if not beside or not set(ehlo.mechanisms) & PASSWORD_MECHANISMS:
        return None
    words = f"AUTH {signs_of(seen).facts['mechanisms']}"
    return finding(seen, Stage.AUTH_OFFERED, "password_mechanisms", facts={"seen": words})
