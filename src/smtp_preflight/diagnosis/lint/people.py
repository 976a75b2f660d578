"""Whose mailbox it is: one that this provider has, and that can sign in in this way."""

from __future__ import annotations

from smtp_preflight.diagnosis.lint.problem import Problem, is_microsoft
from smtp_preflight.model import GrantType, Profile

_SERVICE_ACCOUNT = ".iam.gserviceaccount.com"
_GUEST = "#ext#"  # in the name that a guest has in somebody else's tenant


def problem_with_mailbox(profile: Profile) -> Problem | None:
    """The mailbox is at this provider, and the grant can speak for it."""
    local, _, domain = profile.mailbox.lower().rpartition("@")
    if profile.oauth.grant is GrantType.JWT_BEARER:
        return _problem_with_subject(profile, domain)
    if is_microsoft(profile) and _GUEST in local:
        return _problem("token_wrong_tenant", profile, "the address at home: a guest has no mailbox here")
    elsewhere = profile.provider.domains_elsewhere.get(domain, "")
    if not elsewhere:
        return None
    return _problem("wrong_tenant_endpoint_for_account", profile, f'provider = "{elsewhere}"')


def _problem_with_subject(profile: Profile, domain: str) -> Problem | None:
    """A service account acts for a person of its own organisation."""
    if domain.endswith(_SERVICE_ACCOUNT):
        wanted = "the primary address of a user, not the service account's"
    elif profile.provider.owns(domain):
        wanted = "a mailbox of the organisation; a personal account's user signs in"
    else:
        return None
    return _problem("google_service_account_subject_wrong", profile, wanted)


def _problem(code: str, profile: Profile, wanted: str) -> Problem:
    return Problem(code, "mailbox", profile.mailbox, wanted)
