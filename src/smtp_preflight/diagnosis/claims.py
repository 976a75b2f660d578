"""Stage claims: why the token is not the one the mail server wants to read. Predictions: AUTH decides."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from smtp_preflight.diagnosis.claim_signs import LEEWAY, permitted
from smtp_preflight.diagnosis.mailbox_logins import wanted_for_reading
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.model import AccessToken, Finding, Grant, Keys, Seen, SignatureCheck, Stage

AUDIENCE = ("aud",)
PERMISSION = ("aud", "permission", "claims_kind")
SIGNS_OF_CLAIM = {"aud": AUDIENCE, "tid": ("tid",), "appid": ("appid",)}
ENOUGH = frozenset(
    {"SMTP.Send", "SMTP.SendAsApp", "offline_access", "openid", "profile", "email", "User.Read"}
)
MOST_KIDS = 10


def why_undecodable(seen: Seen, token: AccessToken) -> Finding:
    """What looks like a JSON web token cannot be decoded."""
    words = f"{token.length} characters; {token.problem}"
    return finding(seen, Stage.CLAIMS, "token", signs={"token": "damaged"}, facts={"seen": words})


def why_signature_fails(seen: Seen) -> Finding:
    """The published keys do not verify the token's signature."""
    words = "\n".join(_signature_words(seen))
    return finding(seen, Stage.CLAIMS, "signature", signs={"signature": "invalid"}, facts={"seen": words})


def _signature_words(seen: Seen) -> Iterator[str]:
    """What the check came to, which key the token names, and which are published."""
    check, grant, keys = seen.get(SignatureCheck), seen.get(Grant), seen.get(Keys)
    if check:
        yield f"{check.state}: {check.detail}" if check.detail else str(check.state)
    if grant and grant.token:
        header = grant.token.header
        yield f"the token: alg {header.get('alg', 'none')}, kid {header.get('kid', 'none')}"
    if keys and keys.readable:
        kids = [one or "(one without a kid)" for one in keys.kids[:MOST_KIDS]]
        more = [f"{len(keys.kids) - MOST_KIDS} more"] if len(keys.kids) > MOST_KIDS else []
        yield f"published kids: {', '.join([*kids, *more])}"


def why_claim_differs(seen: Seen, claim: str) -> Finding:
    """The token is for another service, of another tenant, or issued to another application.

    An ID token is for the application that asked: whom it is for is then no fault of its own.
    """
    grant = seen.get(Grant)
    if claim == "aud" and grant and grant.token and grant.token.is_id_token:
        return why_not_an_access_token(seen, grant.token)
    facts = signs_of(seen).facts
    words = f"{claim}: {facts.get(claim, '')}"
    return finding(seen, Stage.CLAIMS, *SIGNS_OF_CLAIM[claim], facts={"seen": words})


def why_not_permitted(seen: Seen) -> Finding:
    """The permission to submit mail is not in the token."""
    facts = signs_of(seen).facts
    words = f"permissions: {facts.get('permissions')}\nwanted: {facts.get('wanted_permissions')}"
    return finding(seen, Stage.CLAIMS, *PERMISSION, facts={"seen": words})


def why_not_valid_now(seen: Seen, token: AccessToken) -> Finding:
    """The token has ended, or has not begun by this machine's clock."""
    words = f"nbf: {token.time('nbf')}\nexp: {token.expires_at}\nnow: {token.observed_at:%Y-%m-%d %H:%M:%S}"
    return finding(seen, Stage.CLAIMS, "expired", facts={"seen": words})


def why_not_an_access_token(seen: Seen, token: AccessToken) -> Finding:
    """An ID token was taken for an access token."""
    words = f"claims: {', '.join(sorted(token.claims))}"
    return finding(seen, Stage.CLAIMS, "token_use", facts={"seen": words})


def why_user_differs(seen: Seen) -> Finding:
    """The token's owner is not the SASL user."""
    words = f"token of {signs_of(seen).facts.get('token_user')}, SASL user {seen.profile.mailbox}"
    return finding(seen, Stage.CLAIMS, "user", "claims_kind", facts={"seen": words})


def begins_and_ends_around(token: AccessToken) -> bool:
    """By the clock of this machine, with the leeway that everybody grants, the token is valid."""
    begins, ends = token.time("nbf"), token.expires_at
    now = token.observed_at
    return (begins is None or begins <= now + LEEWAY) and (ends is None or now <= ends)


def remark_on_lifetime(seen: Seen, token: AccessToken) -> Finding | None:
    """Little of the token's life is left for what comes next."""
    least = dt.timedelta(seconds=seen.profile.thresholds.token_life_s)
    if token.expires_at is None:
        return None
    left = max((token.expires_at - token.observed_at).total_seconds(), token.expires_in_s or 0)
    if left >= least.total_seconds():
        return None
    words = f"{left:.0f} s left, {least.total_seconds():.0f} s are wanted"
    return finding(seen, Stage.CLAIMS, "token_life", signs={"token_life": "short"}, facts={"seen": words})


def remark_on_excess(seen: Seen, token: AccessToken) -> Finding | None:
    """The token allows sending, and more than that."""
    if not permitted(seen, token):
        return None
    wanted = {
        one.lower() for one in (*ENOUGH, *seen.profile.expect.permissions, *wanted_for_reading(seen.profile))
    }
    excess = sorted(one for one in token.permissions if one.lower() not in wanted)
    if not excess:
        return None
    words = f"also allowed: {' '.join(excess)}"
    return finding(seen, Stage.CLAIMS, "permissions", signs={"permissions": "excess"}, facts={"seen": words})
