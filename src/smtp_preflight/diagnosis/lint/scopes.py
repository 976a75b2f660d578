"""What is asked for: one resource, the mail permission, spelled as it is issued."""

from __future__ import annotations

from urllib.parse import urlsplit

from smtp_preflight.diagnosis.lint.clouds import cloud_of
from smtp_preflight.diagnosis.lint.problem import Problem, is_google, is_microsoft
from smtp_preflight.model import GrantType, Profile

OPENID = frozenset({"offline_access", "openid", "profile", "email"})
GOOGLE_MAIL = "https://mail.google.com/"
_GRAPH = frozenset({"", "https://graph.microsoft.com"})  # a permission without a resource is Graph's
_OF_USERS = frozenset({"smtp.send", ".default"})  # with which a user's token permits to send
_NEVER_ISSUED = frozenset(  # to users: what guides misspell, and the permissions of applications
    {
        *("smtp.send.all", "smtp.sendasuser", "smtp.sendasapp", "smtp.accessasuser.all"),
        *("imap.accessasuser", "imap.accessasapp", "pop.accessasuser", "pop.accessasapp"),
        "full_access_as_app",
    }
)


def problem_with_scope(profile: Profile) -> Problem | None:
    """The scope fits provider and grant: one resource, the mail permission, spelled as it is issued."""
    if not profile.oauth.scope or profile.oauth.grant is GrantType.ACCESS_TOKEN:
        return None
    if is_google(profile):
        return _google_scope(profile)
    code = _microsoft_code(profile) if is_microsoft(profile) else ""
    wanted = " ".join(profile.provider.scope.get(profile.oauth.grant, profile.oauth.scope))
    return _scope_problem(code, profile, wanted) if code else None


def _scope_problem(code: str, profile: Profile, wanted: str) -> Problem:
    return Problem(code, "oauth.scope", " ".join(profile.oauth.scope), wanted)


# --- Google ------------------------------------------------------------------------------------------------


def _google_scope(profile: Profile) -> Problem | None:
    if GOOGLE_MAIL in profile.oauth.scope:
        return _google_offline(profile)
    if any(scope.rstrip("/") == GOOGLE_MAIL.rstrip("/") for scope in profile.oauth.scope):
        return _scope_problem("scope_invalid_or_malformed", profile, GOOGLE_MAIL)
    return _scope_problem("google_scope_not_full_mail", profile, GOOGLE_MAIL)


def _google_offline(profile: Profile) -> Problem | None:
    """At Google it is not the scope that asks for a refresh token; without consent there is one only once."""
    params = profile.oauth.authorize_params
    asked = params.get("access_type") == "offline" and "consent" in params.get("prompt", "").split()
    if asked or profile.oauth.grant is not GrantType.AUTHORIZATION_CODE:
        return None
    found = ", ".join(f"{key}={value}" for key, value in params.items()) or "nothing"
    wanted = "access_type=offline, prompt=consent"
    return Problem("offline_access_not_requested", "oauth.authorize_params", found, wanted)


# --- Microsoft ---------------------------------------------------------------------------------------------


def _microsoft_code(profile: Profile) -> str:
    """The code of what is wrong with the scope; empty: nothing."""
    scopes = [scope for scope in profile.oauth.scope if scope not in OPENID]
    if any("," in scope or scope.endswith("/") for scope in scopes):
        return "scope_invalid_or_malformed"
    if profile.oauth.grant is GrantType.CLIENT_CREDENTIALS:
        return _application_code(profile, scopes)
    return _user_code(profile, scopes)


def _application_code(profile: Profile, scopes: list[str]) -> str:
    """An application asks for all that it was permitted of one resource, in one word."""
    if len(profile.oauth.scope) != 1 or not scopes or not scopes[0].endswith("/.default"):
        return "scope_default_required"
    resource = _resource(scopes[0])
    documented = {_resource(one) for one in profile.provider.scope.get(GrantType.CLIENT_CREDENTIALS, ())}
    foreign = "://" in resource and documented and resource not in documented
    return "token_wrong_audience" if resource in _GRAPH or (foreign and _is_judged(profile, resource)) else ""


def _user_code(profile: Profile, scopes: list[str]) -> str:
    """For a user, permissions of the mail service are asked for by name, and the word for a refresh token."""
    resources = {_resource(scope) for scope in scopes}
    if len(resources) > 1:
        return "scope_mixes_resources"
    if resources & _GRAPH or any(_is_foreign(profile, one) for one in resources):
        return "token_wrong_audience"
    permissions = {scope.rpartition("/")[2].lower() for scope in scopes}
    if permissions & _NEVER_ISSUED:
        return "scope_invalid_or_malformed"
    if not permissions & _OF_USERS:
        return "token_missing_smtp_scope"
    lacks_offline = profile.provider.renews_refresh_tokens and "offline_access" not in profile.oauth.scope
    return "offline_access_not_requested" if lacks_offline else ""


def _resource(scope: str) -> str:
    """What stands before the permission; nothing before a bare one."""
    return scope.rpartition("/")[0].rstrip("/").lower()


def _is_foreign(profile: Profile, resource: str) -> bool:
    """A resource by a URL that is not the mail service's."""
    known = {one.lower().rstrip("/") for one in profile.provider.aud}
    return "://" in resource and resource not in known and _is_judged(profile, resource)


def _is_judged(profile: Profile, resource: str) -> bool:
    """Where the preset is sure of its own resource; and another cloud's is another problem."""
    cloud = cloud_of(urlsplit(resource).hostname or "")
    return "scope" not in profile.provider.unverified and cloud in ("", _cloud(profile))


def _cloud(profile: Profile) -> str:
    return cloud_of(profile.provider.endpoints[0].host) if profile.provider.endpoints else ""
