"""Stage mailbox_access: why a mailbox cannot be read over IMAP or POP with the token."""

from __future__ import annotations

from smtp_preflight.diagnosis.claim_signs import claim_signs
from smtp_preflight.diagnosis.mailbox_logins import READING, login_signs, login_words, reading_permission
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.submission import why_not_authenticated
from smtp_preflight.diagnosis.token import (
    scope_is_granted,
    scopes_to_be_granted,
    why_scope_not_granted,
)
from smtp_preflight.model import (
    AuthExchange,
    Finding,
    Grant,
    MailboxLogin,
    MailboxProtocol,
    MailboxTrouble,
    Seen,
    Stage,
)

# What of a token no server of the provider takes, and refusals that name nothing of one service alone. A lack
# of permission is such a fault, too, but at the providers that have permissions of their own for reading.
FAULTS_ANYWHERE = frozenset({"token_use", "aud", "expired", "tid", "user"})
REFUSED_ANYWHERE = frozenset({"token_rejected_by_server", "clock_skew", "unexplained"})


def why_mailbox_not_opened(seen: Seen, place: str) -> Finding:
    """The server was not reached, or not trusted, or refused the token, or keeps the mailbox closed.

    place: the subject of the login, "imap outlook.office365.com:993" say.
    """
    login = seen.get(MailboxLogin, place)
    if login is None:
        return finding(seen, Stage.MAILBOX_ACCESS, subject=place, facts={"seen": "not asked"})
    if fault := fault_of_token(seen, login):
        return fault
    facts = {"seen": login_words(seen, login)}
    return finding(seen, Stage.MAILBOX_ACCESS, subject=place, signs=login_signs(seen, login), facts=facts)


def fault_of_token(seen: Seen, login: MailboxLogin) -> Finding | None:
    """What is wrong with the token at every server alike, where that explains why this one refused it."""
    grant, auth = seen.get(Grant), seen.get(AuthExchange)
    if login.trouble is not MailboxTrouble.REFUSED or (auth and auth.accepted):
        return None
    if grant is None or grant.token is None or login.user.lower() != seen.profile.mailbox.lower():
        return None
    if scope := _asked_in_vain(seen, grant, login.protocol):
        return why_scope_not_granted(seen, scope)
    fault = claim_signs(seen, grant.token)["token_fault"]
    one_permission_for_all = fault == "permission" and not seen.profile.provider.permissions
    if fault in FAULTS_ANYWHERE or one_permission_for_all:
        return why_not_authenticated(seen)
    if auth is None or reading_permission(seen, login.protocol) == "missing":
        return None
    refused = why_not_authenticated(seen)
    return refused if refused.code in REFUSED_ANYWHERE else None


def _asked_in_vain(seen: Seen, grant: Grant, protocol: MailboxProtocol) -> str:
    """A scope for reading that was asked for and not granted, which stage token has shown."""
    asked = (one for one in scopes_to_be_granted(seen.profile) if one.rpartition("/")[2] in READING[protocol])
    return next((one for one in asked if not scope_is_granted(grant, one)), "")
