"""Asking the identity provider: its metadata, its keys, and the one token of a run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from smtp_preflight.model import (
    Discovery,
    Grant,
    GrantType,
    HttpExchange,
    Keys,
    Profile,
    SignatureCheck,
    SignatureState,
    StoredToken,
    TokenInfo,
)
from smtp_preflight.oauth.answers import Granted, codes_in, error_of, granted_by
from smtp_preflight.oauth.authorize import NAMES_ITS_ISSUER
from smtp_preflight.oauth.clients import CannotAsk, held
from smtp_preflight.oauth.grants import REDEEMS_A_REFRESH_TOKEN, TO_REDEEM, token_request
from smtp_preflight.oauth.http import Request, Resolve, inert
from smtp_preflight.oauth.line import Answer, Line
from smtp_preflight.oauth.rotation import LIMIT_S as ROTATION_S
from smtp_preflight.oauth.rotation import RotationProblem, hand_on, passing_machine
from smtp_preflight.oauth.store import KEYRING, Kept, Store, StoreProblem, opened, sha256
from smtp_preflight.oauth.tokens import fingerprint, header_of, read_token
from smtp_preflight.secrets import Secret, Wallet, inherited

MOST_METADATA = 30
MOST_KEYS = 100
MOST_TEXT = 500
ALGORITHMS = frozenset(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512))
TOKEN_INFO = ("aud", "azp", "scope", "exp", "expires_in", "email", "email_verified", "access_type")


# --- the token ---------------------------------------------------------------------------------------------


async def probe_grant(
    profile: Profile,
    wallet: Wallet,
    *,
    resolve: Resolve | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    discovery: Discovery | None = None,
) -> Grant:
    """Get this run's access token, asking the token endpoint once and never again.

    wallet: holds what the profile names by its keys; the token is put into it as ``access_token``.
    resolve, transport: as for `exchange`.
    discovery: where the profile names no token endpoint, the one that may be taken from there.
    A refresh token is redeemed with its place in the store locked, and a new one is on disk, and with the
    profile's ``on_rotation`` command, before anything else happens.
    Never raises for what the network does, nor for a secret or store that is not as it should be: see
    ``Grant.http`` and ``Grant.problem``, which is a code where there is one.
    Source: RFC 6749 sections 5 and 6.
    """
    line = Line(profile, wallet, resolve, transport)
    asked_at, redeemed = dt.datetime.now(dt.UTC), _grant_type(profile)
    try:
        if profile.oauth.grant is GrantType.ACCESS_TOKEN:
            return _given(line, asked_at)
        endpoint = profile.oauth.token_endpoint or discovered(discovery, "token_endpoint", profile)
        if not endpoint:
            raise CannotAsk("no token endpoint is known")
        if redeemed is GrantType.REFRESH_TOKEN:
            return await _redeem(line, endpoint)
        answer = await line.ask(token_request(profile, wallet, endpoint))
        return _grant(line, answer, _granted(line, answer))
    except (CannotAsk, StoreProblem) as problem:
        return Grant(asked_at=asked_at, grant=redeemed, problem=str(problem))


def _grant_type(profile: Profile) -> GrantType:
    """What is redeemed: of a sign-in, whichever way it went, its refresh token."""
    grant = profile.oauth.grant
    return GrantType.REFRESH_TOKEN if grant in REDEEMS_A_REFRESH_TOKEN else grant


def discovered(discovery: Discovery | None, name: str, profile: Profile) -> str:
    """An endpoint the metadata names, if tokens may go there; else nothing.

    That is an https URL on the host of the profile's issuer, or on one the preset lists.
    """
    url = discovery.metadata.get(name, "") if discovery else ""
    trusted = {*profile.provider.issuer_hosts, _host(profile.oauth.issuer or profile.oauth.discovery_uri)}
    return url if url.startswith("https://") and _host(url) in trusted - {""} else ""


def _given(line: Line, asked_at: dt.datetime) -> Grant:
    """An access token that somebody else has got; nothing is asked."""
    token = read_token(held(line.wallet, "access_token"), observed_at=asked_at, clean=line.wallet.redact)
    return Grant(asked_at=asked_at, grant=GrantType.ACCESS_TOKEN, token=token)


def _granted(line: Line, answer: Answer) -> Granted | None:
    """What the answer grants; a token in an answer that is no success is none."""
    return granted_by(answer.content, line.wallet) if answer.http.status == 200 else None


def _grant(line: Line, answer: Answer, granted: Granted | None) -> Grant:
    profile, clean = line.profile, line.wallet.redact
    grant = Grant(
        **answer.when, grant=_grant_type(profile), http=answer.http, scope_asked=profile.oauth.scope
    )
    if granted is None:
        return replace(grant, error=error_of(answer.content, clean))
    return replace(
        grant,
        token=read_token(
            granted.access_token,
            observed_at=answer.observed_at,
            clean=clean,
            expires_in_s=granted.expires_in_s,
        ),
        token_type=granted.token_type,
        scope_granted=granted.scope,
    )


# --- refresh tokens ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Redeemed:
    """A refresh token and where it came from; ``kept`` is what the store knows of this very login so far."""

    token: Secret
    source: str  # seed | store
    kept: Kept

    @property
    def shown(self) -> StoredToken:
        """What may be known of it."""
        kept = self.kept
        return StoredToken(
            self.source, kept.obtained_at, kept.last_used_at, fingerprint(self.token), kept.ends_at
        )


async def _redeem(line: Line, endpoint: str) -> Grant:
    """Redeem the refresh token whose turn it is, and keep its successor.

    Another run may have it open for as long as its own exchange and its command take.
    """
    limit_s = line.profile.limits.http_s + 2 * ROTATION_S
    async with opened(line.profile, endpoint, limit_s=limit_s) as store:
        redeemed = _to_redeem(line, await store.read())
        line.wallet.put(TO_REDEEM, redeemed.token)
        answer = await line.ask(token_request(line.profile, line.wallet, endpoint))
        granted = _granted(line, answer)
        keeping = await _keep(line.profile, store, redeemed, granted, answer.observed_at)
    grant = _grant(line, answer, granted)
    return replace(grant, **keeping, stored=redeemed.shown, answer_lost=_answer_lost(answer.http))


def _to_redeem(line: Line, kept: Kept | None) -> _Redeemed:
    """The seed's stored successor, or the seed where it is new; without a seed what a sign-in has stored."""
    seeded = line.profile.oauth.refresh_token is not None
    seed = held(line.wallet, "refresh_token") if seeded else None
    if kept is None or (seed and kept.seed_sha256 != sha256(seed.reveal())):
        kept = Kept(None, sha256(seed.reveal()) if seed else "")
    if kept.token:
        return _Redeemed(kept.token, "store", kept)
    if seed:
        return _Redeemed(seed, "seed", kept)
    raise CannotAsk("sign_in_needed")


async def _keep(
    profile: Profile, store: Store, redeemed: _Redeemed, granted: Granted | None, now: dt.datetime
) -> dict[str, Any]:
    """Write down that the token was used, and what follows it; what became of that, as fields of a Grant."""
    if granted is None:
        return {}
    kept, rotated = _after_use(redeemed, granted, now)
    problems = []
    try:
        await store.write(kept)
    except StoreProblem as problem:
        problems.append(str(problem))
    lasts = not problems and _store_lasts(profile)
    if rotated and granted.refresh_token and profile.oauth.on_rotation:
        try:
            environment = inherited(profile.oauth.secrets().values())
            await hand_on(profile.oauth.on_rotation, granted.refresh_token, environment)
            lasts = True
        except RotationProblem as problem:
            problems.append(str(problem))
    return {
        "refresh_token_issued": granted.refresh_token is not None,
        "refresh_token_rotated": rotated,
        "refresh_token_kept": lasts or not rotated,
        "refresh_token_ends": kept.ends_at,
        "keep_problem": "; ".join(problems),
    }


def _after_use(redeemed: _Redeemed, granted: Granted, now: dt.datetime) -> tuple[Kept, bool]:
    """What is to be kept once the token was used, and whether another has taken its place."""
    successor, life_s = granted.refresh_token, granted.refresh_expires_in_s
    kept = replace(redeemed.kept, last_used_at=now)
    rotated = successor is not None and successor.reveal() != redeemed.token.reveal()
    if rotated:
        kept = replace(kept, token=successor, rotated_at=now, ends_at=None)
    if life_s:
        kept = replace(kept, ends_at=now + dt.timedelta(seconds=life_s))
    return kept, rotated


def _store_lasts(profile: Profile) -> bool:
    """Whether what is stored is there for the next run: in CI only where somebody has made a place for it."""
    return not passing_machine() or profile.oauth.store not in ("", KEYRING)


def _answer_lost(http: HttpExchange) -> bool:
    """The request left, and it may have been granted, but we cannot know the token that followed."""
    return http.sent and http.failure is not None and (http.status is None or http.status < 300)


# --- the provider's own words ------------------------------------------------------------------------------


async def probe_discovery(
    profile: Profile,
    wallet: Wallet,
    *,
    resolve: Resolve | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Discovery:
    """Fetch the identity provider's metadata from where the profile or its issuer says it is.

    Records: the issuer, the key set's and every endpoint's URL as they are; `discovered` says which to trust.
    Never raises for what the network does: see ``Discovery.http``.
    Source: OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3.2.
    """
    oauth = profile.oauth
    url = oauth.discovery_uri or f"{oauth.issuer.rstrip('/')}/.well-known/openid-configuration"
    answer = await Line(profile, wallet, resolve, transport).ask(Request("GET", url))
    error = error_of(answer.content, wallet.redact)
    return Discovery(
        **answer.when,
        http=answer.http,
        metadata=_metadata(answer.content, wallet) if answer.http.status == 200 else {},
        error=error.error if error else "",
        error_codes=error.codes if error else codes_in(answer.content, ""),
    )


def _metadata(content: Mapping[str, Any], wallet: Wallet) -> Mapping[str, str]:
    named = {
        name: value
        for name, value in content.items()
        if isinstance(value, str) and (name in ("issuer", "jwks_uri") or name.endswith("_endpoint"))
    }
    named |= {NAMES_ITS_ISSUER: "true"} if content.get(NAMES_ITS_ISSUER) is True else {}
    return {
        _shown(name, wallet): _shown(value, wallet) for name, value in list(named.items())[:MOST_METADATA]
    }


async def probe_keys(
    profile: Profile,
    wallet: Wallet,
    uri: str,
    *,
    resolve: Resolve | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> tuple[Keys, Mapping[str, Any]]:
    """Fetch the published signing keys (RFC 7517 section 5); also return them, for `probe_signature`.

    Never raises for what the network does: see ``Keys.http``.
    """
    answer = await Line(profile, wallet, resolve, transport).ask(Request("GET", uri))
    content = answer.content if answer.http.status == 200 else {}
    kids = tuple(_shown(key.get("kid", ""), wallet) for key in _keys_in(content))
    return Keys(**answer.when, http=answer.http, kids=kids), content


def _keys_in(jwks: Mapping[str, Any]) -> list[dict[str, Any]]:
    keys = jwks.get("keys")
    return [one for one in keys[:MOST_KEYS] if isinstance(one, dict)] if isinstance(keys, list) else []


def probe_signature(token: Secret, jwks: Mapping[str, Any]) -> SignatureCheck:
    """Whether one of the published keys verifies the token's signature; its times are not looked at here.

    Only asymmetric algorithms, whatever the token asks for (RFC 8725 section 3.1). A nonce in the header is
    Microsoft's mark on tokens that only their own service can verify.
    """
    asked_at = dt.datetime.now(dt.UTC)
    header = header_of(token)
    state, detail = SignatureState.NOT_CHECKED, "opaque"
    if header is not None and "nonce" in header:
        detail = "a nonce in the header"
    elif header is not None and str(header.get("alg")) not in ALGORITHMS:
        detail = f"algorithm {inert(str(header.get('alg')))[:MOST_TEXT]}"
    elif header is not None:
        state, detail = _verified(token, header, jwks)
    return SignatureCheck(asked_at=asked_at, state=state, detail=detail)


def _verified(
    token: Secret, header: Mapping[str, Any], jwks: Mapping[str, Any]
) -> tuple[SignatureState, str]:
    """By the key the header names; where it names none, by any."""
    kid = header.get("kid")
    keys = [key for key in _keys_in(jwks) if kid in (None, key.get("kid"))]
    if not keys:
        return SignatureState.NO_KEY, inert(str(kid))[:MOST_TEXT]
    told = [_told_by(key, token, str(header["alg"])) for key in keys]
    return min(told, key=lambda one: _FIRST.index(one[0]))


_FIRST = (SignatureState.VALID, SignatureState.INVALID, SignatureState.NOT_CHECKED)


def _told_by(key: dict[str, Any], token: Secret, algorithm: str) -> tuple[SignatureState, str]:
    try:
        jwt.PyJWS().decode_complete(
            token.reveal(),
            jwt.PyJWK(key, algorithm),
            algorithms=[algorithm],
            options={"verify_signature": True, "enforce_minimum_key_length": True},
        )
    except jwt.InvalidSignatureError:
        return SignatureState.INVALID, ""
    except (jwt.PyJWTError, ValueError, TypeError) as problem:  # of another kind, too short, or no key at all
        return SignatureState.NOT_CHECKED, type(problem).__name__
    return SignatureState.VALID, ""


async def probe_token_info(
    profile: Profile,
    wallet: Wallet,
    *,
    resolve: Resolve | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> TokenInfo:
    """Ask the provider what the wallet's access token is; it travels in the body, never in a URL.

    Records: the members of `TOKEN_INFO`, as text. Never raises for what the network does: see ``http``.
    """
    form = {"access_token": held(wallet, "access_token")}
    line = Line(profile, wallet, resolve, transport)
    answer = await line.ask(Request("POST", profile.oauth.token_info_uri, form))
    content = answer.content if answer.http.status == 200 else {}
    claims = {name: _shown(content[name], wallet) for name in TOKEN_INFO if _is_scalar(content.get(name))}
    return TokenInfo(**answer.when, http=answer.http, claims=claims)


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float))


def _shown(value: object, wallet: Wallet) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return inert(wallet.redact(text))[:MOST_TEXT]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
