"""What a token says, held against what the profile needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from smtp_preflight.model import AccessToken, Grant, Profile, Provider, Seen, TokenInfo

GRAPH = frozenset({"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"})
LEEWAY = dt.timedelta(seconds=300)  # what issuers and servers forgive each other (protocols: clock skew)
FAULTS = ("token_use", "aud", "permission", "expired", "tid", "user")
RIGHT = frozenset({"access_token", "expected", "unknown", "present", "rbac", "no", "match"})
OPENID = frozenset({"offline_access", "openid", "profile", "email"})  # scopes of no resource


def claim_signs(seen: Seen, token: AccessToken) -> dict[str, str]:
    """Each claim that matters, as a sign; of an opaque token only what the answer or token info says."""
    if not token.opaque and not token.claims:
        return {"token": "damaged", "token_fault": "damaged"}
    found = _opaque_signs(seen, token) if token.opaque else _readable_signs(seen, token)
    return {**found, "token_fault": fault_of(found, "opaque" if token.opaque else "none")}


def fault_of(found: Mapping[str, str], otherwise: str) -> str:
    """The first thing that is wrong with a token, in the order in which servers mind it."""
    return next((name for name in FAULTS if name in found and found[name] not in RIGHT), otherwise)


def permissions_of(seen: Seen, token: AccessToken) -> frozenset[str]:
    """What the token allows: by its claims, or where it is opaque by the answer it came in, or token info."""
    if not token.opaque:
        return token.permissions
    grant, info = seen.get(Grant), seen.get(TokenInfo)
    if info and "scope" in info.claims:
        return frozenset(info.claims["scope"].split())
    granted = grant.scope_granted if grant else None
    return frozenset(_bare(scope, seen.profile) for scope in granted or ())


def permitted(seen: Seen, token: AccessToken) -> bool | None:
    """Whether one of the mail permissions is there; nothing where that cannot be known."""
    wanted = {one.lower() for one in seen.profile.expect.permissions}
    held = {one.lower() for one in permissions_of(seen, token)}
    if not wanted or (token.opaque and not held):
        return None
    return bool(held & wanted)


def for_this_resource(profile: Profile, token: AccessToken) -> bool:
    """The token's audience is the mail service."""
    return bool(token.values("aud") & {one.lower().rstrip("/") for one in profile.expect.aud})


def audience(profile: Profile, token: AccessToken) -> str:
    """Whose token it is: the mail service's (expected), Microsoft Graph's, or another's."""
    if for_this_resource(profile, token):
        return "expected"
    return "graph" if token.values("aud") & GRAPH else "other"


def scope_signs(scopes: Iterable[str], provider: Provider) -> dict[str, str]:
    """What a token can be good for by the scope that was asked for, where the token itself does not say.

    A scope without a resource is Microsoft Graph's; of one for another resource the permission says nothing.
    """
    named = [scope for scope in scopes if scope.lower() not in OPENID]
    wanted = {one.lower() for one in provider.permissions}
    if not named or not wanted:
        return {}
    if not provider.aud:
        return {"scope_permission": "present" if wanted & {one.lower() for one in named} else "missing"}
    resources = {scope.rpartition("/")[0].rstrip("/").lower() for scope in named}
    if not resources <= {one.lower().rstrip("/") for one in provider.aud}:
        return {"scope_resource": "graph" if resources & {"", *GRAPH} else "other"}
    held = {scope.rpartition("/")[2].lower() for scope in named}
    return {
        "scope_resource": "expected",
        "scope_permission": "present" if held & {*wanted, ".default"} else "missing",
    }


def _bare(scope: str, profile: Profile) -> str:
    """A scope without the mail resource before it: as the claim ``scp`` would name it."""
    for resource in profile.expect.aud:
        if scope.lower().startswith(resource.lower().rstrip("/") + "/"):
            return scope[len(resource.rstrip("/")) + 1 :]
    return scope


def _opaque_signs(seen: Seen, token: AccessToken) -> dict[str, str]:
    found = {"aud": "unknown"}
    allowed = permitted(seen, token)
    if allowed is None:
        found |= scope_signs(seen.profile.oauth.scope, seen.profile.provider)
    else:
        found["permission"] = "present" if allowed else "missing"
    info = seen.get(TokenInfo)
    if info and (email := info.claims.get("email")):
        found["user"] = "match" if email.lower() == seen.profile.mailbox.lower() else "mismatch"
    found["expired"] = _expired(token)
    return found


def _readable_signs(seen: Seen, token: AccessToken) -> dict[str, str]:
    profile = seen.profile
    found = {
        "claims_kind": "app" if token.for_application else "user",
        "token_use": "id_token" if token.is_id_token else "access_token",
        "expired": _expired(token),
    }
    if profile.expect.aud:
        found["aud"] = audience(profile, token)
    if profile.expect.permissions:
        found["permission"] = _permission(seen, token)
    if profile.expect.tid and token.claim("tid"):
        found["tid"] = _match(token.values("tid"), profile.expect.tid)
    if token.claim("appid") and profile.oauth.client_id:
        found["appid"] = _match(token.values("appid"), (profile.oauth.client_id,))
    if not token.for_application and token.user and profile.mailbox:
        found["user"] = _owner(token, profile.mailbox.lower())
    return found


def _owner(token: AccessToken, mailbox: str) -> str:
    """Whose token it is: the mailbox's (match), somebody's who only has its address (alias), another's."""
    if token.user.lower() == mailbox:
        return "match"
    names = (token.claim(name).lower() for name in ("preferred_username", "unique_name", "email"))
    return "alias" if mailbox in names else "mismatch"


def _permission(seen: Seen, token: AccessToken) -> str:
    if permitted(seen, token):
        return "present"
    by_rbac = token.for_application and seen.profile.oauth.app_permission == "rbac"
    return "rbac" if by_rbac else "missing"


def _expired(token: AccessToken) -> str:
    """By the local clock, with the leeway that everybody grants."""
    begins, ends = token.time("nbf"), token.expires_at
    if ends is not None and token.observed_at > ends:
        return "yes"
    return "not_yet" if begins is not None and token.observed_at + LEEWAY < begins else "no"


def _match(values: frozenset[str], wanted: tuple[str, ...]) -> str:
    return "match" if values & {one.lower() for one in wanted} else "mismatch"
