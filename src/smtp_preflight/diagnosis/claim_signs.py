"""What a token says, held against what the profile needs."""

from __future__ import annotations

import datetime as dt

from smtp_preflight.model import AccessToken, Grant, Profile, Seen, TokenInfo

GRAPH = frozenset({"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"})
LEEWAY = dt.timedelta(seconds=300)  # what issuers and servers forgive each other (protocols: clock skew)
FAULTS = ("token_use", "aud", "permission", "expired", "tid", "user")
RIGHT = frozenset({"access_token", "expected", "unknown", "present", "rbac", "no", "match"})


def claim_signs(seen: Seen, token: AccessToken) -> dict[str, str]:
    """Each claim that matters, as a sign; of an opaque token only what the answer or token info says."""
    found = _opaque_signs(seen, token) if token.opaque else _readable_signs(seen, token)
    wrong = (name for name in FAULTS if name in found and found[name] not in RIGHT)
    return {**found, "token_fault": next(wrong, "opaque" if token.opaque else "none")}


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


def _bare(scope: str, profile: Profile) -> str:
    """A scope without the mail resource before it: as the claim ``scp`` would name it."""
    for resource in profile.expect.aud:
        if scope.lower().startswith(resource.lower().rstrip("/") + "/"):
            return scope[len(resource.rstrip("/")) + 1 :]
    return scope


def _opaque_signs(seen: Seen, token: AccessToken) -> dict[str, str]:
    found = {"aud": "unknown"}
    allowed = permitted(seen, token)
    if allowed is not None:
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
        found["aud"] = (
            "expected"
            if for_this_resource(profile, token)
            else "graph"
            if token.values("aud") & GRAPH
            else "other"
        )
    if profile.expect.permissions:
        found["permission"] = _permission(seen, token)
    if profile.expect.tid and token.claim("tid"):
        found["tid"] = _match(token.values("tid"), profile.expect.tid)
    if token.claim("appid"):
        found["appid"] = _match(token.values("appid"), (profile.oauth.client_id,))
    if not token.for_application and token.user:
        found["user"] = _match(frozenset({token.user.lower()}), (profile.mailbox,))
    return found


def _permission(seen: Seen, token: AccessToken) -> str:
    if permitted(seen, token):
        return "present"
    by_rbac = token.for_application and seen.profile.oauth.app_permission == "rbac"
    return "rbac" if by_rbac and not token.claims.get("roles") else "missing"


def _expired(token: AccessToken) -> str:
    """By the local clock, with the leeway that everybody grants."""
    begins, ends = token.time("nbf"), token.expires_at
    if ends is not None and token.observed_at > ends:
        return "yes"
    return "not_yet" if begins is not None and token.observed_at + LEEWAY < begins else "no"


def _match(values: frozenset[str], wanted: tuple[str, ...]) -> str:
    return "match" if values & {one.lower() for one in wanted} else "mismatch"
