"""A sign-in by a person: its token is asked for, kept, and it is read who signed in.

The store is locked, and known to be writable, before the request that brings the token; what was issued is on
disk before anything else is done with it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jwt

from smtp_preflight.model import Grant, GrantType, OAuthError, Profile, Stage, StoredToken
from smtp_preflight.oauth.answers import Granted, error_of, granted_by
from smtp_preflight.oauth.authorize import Attempt, ForeignAnswer
from smtp_preflight.oauth.clients import CannotAsk, proof_of_client
from smtp_preflight.oauth.http import Request
from smtp_preflight.oauth.line import Answer, Line
from smtp_preflight.oauth.rotation import LIMIT_S as ROTATION_S
from smtp_preflight.oauth.store import Kept, Store, StoreProblem, opened
from smtp_preflight.oauth.tokens import fingerprint, read_token
from smtp_preflight.secrets import Secret

FOREIGN_ANSWER = "sign_in_answer_foreign"
NOT_COMPLETED = "sign_in_not_completed"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What came of a sign-in: its last answer, where that was given, and whose token it brought."""

    grant: Grant
    stage: Stage = Stage.TOKEN  # authorize | device | token
    user: str = ""  # as the ID token or the access token says; empty where neither does


async def check_store(profile: Profile, endpoint: str) -> None:
    """Raise StoreProblem now, rather than after somebody has signed in."""
    async with opened(profile, endpoint, limit_s=_wait_s(profile)) as store:
        await store.read()


async def redeem_code(line: Line, endpoint: str, attempt: Attempt, code: Secret) -> SignedIn:
    """Redeem an authorization code (RFC 6749 section 4.1.3) and keep the refresh token it brings.

    Raises StoreProblem where the store cannot be opened; then nothing was redeemed.
    """
    form: Mapping[str, Secret | str] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": attempt.redirect_uri,
        "code_verifier": attempt.verifier,
    }
    try:
        request = signed_request(line, endpoint, endpoint, form)
    except CannotAsk as problem:
        return failed(GrantType.AUTHORIZATION_CODE, Stage.TOKEN, problem=str(problem))
    async with opened(line.profile, endpoint, limit_s=_wait_s(line.profile)) as store:
        answer = await line.ask(request)
        return await signed_in(line, store, GrantType.AUTHORIZATION_CODE, answer, attempt.nonce)


def signed_request(line: Line, url: str, audience: str, form: Mapping[str, Secret | str]) -> Request:
    """A request in the client's name: with its proof where it has one, with its id alone where not.

    audience: the token endpoint, to which an assertion of the client is made out.
    Raises CannotAsk where the proof cannot be made.
    """
    proof = proof_of_client(line.profile, line.wallet, audience)
    return Request("POST", url, {**form, **proof.form}, proof.basic)


async def signed_in(line: Line, store: Store, grant_type: str, answer: Answer, nonce: str = "") -> SignedIn:
    """Keep what the token endpoint issued, and read whose it is.

    nonce: what an ID token has to repeat, where one was asked for.
    """
    granted = granted_by(answer.content, line.wallet) if answer.http.status == 200 else None
    grant = _grant(line, grant_type, answer, granted)
    if granted is None:
        return SignedIn(grant)
    try:
        identity = _identity(line, answer, nonce)
    except ForeignAnswer as problem:
        return foreign(grant_type, problem)
    if granted.refresh_token:
        grant = await _kept(store, grant, granted, granted.refresh_token)
    return SignedIn(grant, user=identity or (grant.token.user if grant.token else ""))


def failed(grant_type: str, stage: Stage, *, error: OAuthError | None = None, problem: str = "") -> SignedIn:
    """A sign-in that brought no token; problem: a code, or words that hold no secret."""
    asked_at = dt.datetime.now(dt.UTC)
    return SignedIn(Grant(asked_at=asked_at, grant=grant_type, error=error, problem=problem), stage)


def foreign(grant_type: str, problem: ForeignAnswer) -> SignedIn:
    """A sign-in that was answered by somebody else, or with somebody else's answer."""
    told = OAuthError("", description=str(problem))
    return failed(grant_type, Stage.AUTHORIZE, error=told, problem=FOREIGN_ANSWER)


def _wait_s(profile: Profile) -> float:
    """How long another run may have the store open: its own exchange and its command."""
    return profile.limits.http_s + 2 * ROTATION_S


def _grant(line: Line, grant_type: str, answer: Answer, granted: Granted | None) -> Grant:
    """The answer as evidence."""
    clean = line.wallet.redact
    grant = Grant(**answer.when, grant=grant_type, http=answer.http, scope_asked=line.profile.oauth.scope)
    if granted is None:
        return replace(grant, error=error_of(answer.content, clean))
    token = read_token(
        granted.access_token,
        observed_at=answer.observed_at,
        clean=clean,
        expires_in_s=granted.expires_in_s,
    )
    return replace(grant, token=token, token_type=granted.token_type, scope_granted=granted.scope)


async def _kept(store: Store, grant: Grant, granted: Granted, token: Secret) -> Grant:
    """Put the token into the store; a sign-in begins all its times anew."""
    now, life_s = grant.observed_at, granted.refresh_expires_in_s
    ends_at = now + dt.timedelta(seconds=life_s) if life_s else None
    issued = replace(grant, refresh_token_issued=True, refresh_token_ends=ends_at)
    try:
        await store.write(Kept(token, obtained_at=now, last_used_at=now, ends_at=ends_at))
    except StoreProblem as problem:
        return replace(issued, refresh_token_kept=False, keep_problem=str(problem))
    return replace(issued, stored=StoredToken("store", now, now, fingerprint(token), ends_at))


def _identity(line: Line, answer: Answer, nonce: str) -> str:
    """Who signed in, by the ID token; nobody where there is none.

    It came from the token endpoint itself over verified TLS, which stands for its signature (OpenID Connect
    Core section 3.1.3.7). Raises ForeignAnswer where it is for another client or another sign-in.
    """
    value = answer.content.get("id_token")
    if not isinstance(value, str) or not value.isascii():
        return ""
    secret = Secret(value, "granted:id_token")
    line.wallet.put("id_token", secret)
    token = read_token(secret, observed_at=answer.observed_at, clean=line.wallet.redact)
    if token.opaque or token.problem:
        return ""
    if line.profile.oauth.client_id.lower() not in token.values("aud"):
        raise ForeignAnswer("the ID token is for another application")
    if nonce and jwt.decode(value, options={"verify_signature": False}).get("nonce") != nonce:
        raise ForeignAnswer("the ID token is of another sign-in")
    return token.user
