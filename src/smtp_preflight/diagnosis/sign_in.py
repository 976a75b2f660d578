"""Stages authorize and device: why a person's sign-in brought no token, or not the one that is needed."""

from __future__ import annotations

from smtp_preflight.diagnosis.claim_signs import permitted
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.knowledge import entry
from smtp_preflight.model import Finding, Grant, OAuthError, Profile, Seen, Stage, TokenInfo

GMAIL = ("gmail.com", "googlemail.com")

SHARED = "shared_mailbox_as_sasl_user"
"""The cause whose entry says at which providers a member signs in for a mailbox."""


def why_not_signed_in(seen: Seen, stage: Stage) -> Finding:
    """The sign-in page, the device endpoint or the token endpoint refused, or could not be reached."""
    told, grant = signs_of(seen), seen.get(Grant)
    facts = {"seen": told.facts.get("token_seen", "not asked")}
    if grant and grant.error and grant.http is None:
        facts = {"seen": _words_of(grant.error, grant.problem)}
    return finding(seen, stage, signs=told.stages.get(Stage.TOKEN, {}), facts=facts)


def _words_of(error: OAuthError, problem: str) -> str:
    return "\n".join(filter(None, (error.error or problem, error.description)))


def who_signed_in(seen: Seen, user: str) -> str:
    """Whose token it is: by the token, or by what the provider says of it; empty where nobody does."""
    info = seen.get(TokenInfo)
    return user or (info.claims.get("email", "") if info else "")


def why_another_signed_in(seen: Seen, user: str) -> Finding:
    """The token belongs to another account than the mailbox's."""
    words = f"signed in: {user}, mailbox: {seen.profile.mailbox}"
    return finding(
        seen,
        Stage.CLAIMS,
        "user",
        signs={"user": "mismatch", "claims_kind": "user"},
        facts={"seen": words, "token_user": user},
    )


def may_be_a_member(seen: Seen) -> bool:
    """Whether another account may be the right one here: that of a member of a shared mailbox."""
    return entry(SHARED).applies_to(seen.profile.provider.name)


def is_the_mailbox(user: str, profile: Profile) -> bool:
    """Whether this account is the mailbox; Gmail sees no dots before the @, and has two names for itself."""
    return _account(user) == _account(profile.mailbox)


def _account(address: str) -> str:
    local, _, domain = address.lower().rpartition("@")
    return f"{local.replace('.', '')}@gmail.com" if domain in GMAIL else f"{local}@{domain}"


def lacks_permission(seen: Seen) -> bool:
    """Whether the token is known not to allow sending; what cannot be known is not held against it."""
    grant = seen.get(Grant)
    return grant is not None and grant.token is not None and permitted(seen, grant.token) is False
