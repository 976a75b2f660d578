"""Stage starttls: why TLS is not begun."""

from __future__ import annotations

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.model import Finding, Seen, Stage


def why_starttls_not_offered(seen: Seen) -> Finding:
    """EHLO lists no STARTTLS, or something on the way hides it."""
    return finding(
        seen, Stage.STARTTLS, "starttls", facts={"seen": signs_of(seen).facts.get("ehlo_lines", "")}
    )


def why_starttls_not_accepted(seen: Seen) -> Finding:
    """STARTTLS was sent, and the answer does not let TLS begin."""
    facts = {"seen": signs_of(seen).facts.get("starttls_seen", "")}
    return finding(
        seen, Stage.STARTTLS, "starttls", "smtp_code", "enhanced", "text", "failure", "injected", facts=facts
    )


def why_auth_before_tls(seen: Seen) -> Finding:
    """AUTH is advertised before TLS, where a client may send a password in the clear."""
    facts = {"seen": signs_of(seen).facts.get("ehlo_lines", "")}
    return finding(seen, Stage.STARTTLS, "auth_in_clear", facts=facts)


def why_no_tls_begun(seen: Seen) -> Finding:
    """What kept STARTTLS from being asked, or from being accepted."""
    if signs_of(seen).at(Stage.STARTTLS).get("starttls") != "offered":
        return why_starttls_not_offered(seen)
    return why_starttls_not_accepted(seen)
