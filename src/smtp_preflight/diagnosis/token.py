"""Stages token and refresh: why no token is granted, or not the one asked for, or not for long."""

from __future__ import annotations

from smtp_preflight.diagnosis.claim_signs import for_this_resource
from smtp_preflight.diagnosis.claims import why_claim_differs
from smtp_preflight.diagnosis.clock import clock_offset_s
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.model import Finding, Grant, Profile, Seen, Stage


def why_not_granted(seen: Seen) -> Finding:
    """The token endpoint cannot be reached, does not answer in JSON, or refuses."""
    return finding(seen, Stage.TOKEN, facts={"seen": signs_of(seen).facts.get("token_seen", "not asked")})


def why_token_type_differs(seen: Seen) -> Finding:
    """The token is of another type than Bearer (RFC 6749 section 7.1)."""
    grant = seen.get(Grant)
    words = f"token_type: {grant.token_type if grant else '?'}"
    return finding(seen, Stage.TOKEN, "token_type", signs={"token_type": "other"}, facts={"seen": words})


def why_scope_not_granted(seen: Seen, scope: str) -> Finding:
    """Less was granted than was asked for; of a token for another resource that is all there is to say."""
    grant = seen.get(Grant)
    token = grant.token if grant else None
    if token and not token.opaque and seen.profile.expect.aud and not for_this_resource(seen.profile, token):
        return why_claim_differs(seen, "aud")
    granted = " ".join(grant.scope_granted or ()) if grant else ""
    return finding(
        seen,
        Stage.TOKEN,
        "scope_granted",
        subject=scope,
        signs={"scope_granted": "less"},
        facts={"seen": f"asked for: {scope}\ngranted: {granted or 'not said'}"},
    )


def why_not_renewed(seen: Seen) -> Finding:
    """A provider that issues a new refresh token each time did not."""
    scope = " ".join(seen.profile.oauth.scope)
    return finding(
        seen,
        Stage.TOKEN,
        "refresh_token_issued",
        signs={"refresh_token_issued": "no"},
        facts={"seen": f"no refresh_token in the answer; scope asked for: {scope}"},
    )


def scopes_to_be_granted(profile: Profile) -> tuple[str, ...]:
    """What is asked for beside the mail permission, and is to be seen in the answer's ``scope``.

    ``offline_access`` shows as a refresh token, ``.default`` as whatever was consented; OpenID's own scopes
    show as an ID token. The mail permission and its resource are judged at claims.
    """
    wanted = {one.lower() for one in profile.expect.permissions}
    return tuple(
        scope
        for scope in profile.oauth.scope
        if scope not in ("offline_access", "openid", "profile", "email")
        and not scope.endswith("/.default")
        and scope.lower() not in wanted
        and scope.rpartition("/")[2].lower() not in wanted
    )


def scope_is_granted(grant: Grant, scope: str) -> bool:
    """The answer lists the scope, or lists none: then all were granted (RFC 6749 section 5.1)."""
    return grant.scope_granted is None or scope.lower() in {one.lower() for one in grant.scope_granted}


def why_clock_wrong(seen: Seen) -> Finding:
    """This machine's clock is not the identity provider's."""
    grant = seen.get(Grant)
    offset = clock_offset_s(grant) if grant else None
    words = f"this clock is {offset or 0:+.0f} s from the Date header of the token endpoint"
    return finding(seen, Stage.TOKEN, "clock", signs={"clock": "off"}, facts={"seen": words})


def remark_on_token_time(seen: Seen, grant: Grant) -> Finding | None:
    """The token came, late."""
    limit = seen.profile.limits.http_slow_s
    if grant.took_s <= limit:
        return None
    words = f"{grant.took_s:.1f} s; slow from {limit:g} s"
    return finding(seen, Stage.TOKEN, "slow", signs={"slow": "token"}, facts={"seen": words})
