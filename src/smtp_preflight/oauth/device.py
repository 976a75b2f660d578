"""Signing in on another device (RFC 8628): a code to type there, and asking until somebody has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from smtp_preflight.model import Grant, GrantType, OAuthError, Stage
from smtp_preflight.oauth.answers import error_of
from smtp_preflight.oauth.clients import CannotAsk
from smtp_preflight.oauth.http import inert
from smtp_preflight.oauth.line import Answer, Line
from smtp_preflight.oauth.rotation import LIMIT_S as ROTATION_S
from smtp_preflight.oauth.sign_in import SignedIn, failed, signed_in, signed_request
from smtp_preflight.oauth.store import opened
from smtp_preflight.secrets import Secret

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_S = 5.0  # where the answer names none (section 3.2)
SLOWER_BY_S = 5.0  # after each slow_down (section 3.5)
LONGEST_INTERVAL_S = 60.0
SHORTEST_INTERVAL_S = 1.0
LIFE_S = 900.0
LONGEST_LIFE_S = 1800.0
MOST_LOST = 5
"""Polls in a row that may get no answer; each doubles the pause (section 3.5)."""

MOST_CODE = 40
MOST_URI = 500

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What somebody has to type where, and until when; the device's own code is a secret."""

    secret: Secret
    user_code: str
    uri: str
    uri_complete: str  # with the code in it; empty where the provider gives none
    interval_s: float
    ends_s: float  # of time.monotonic()


async def ask_for_code(line: Line, endpoint: str, token_endpoint: str) -> DeviceCode | SignedIn:
    """Ask for a code to type (section 3.1); what came instead where there is none."""
    scope = {"scope": " ".join(line.profile.sign_in_scope)} if line.profile.sign_in_scope else {}
    try:
        request = signed_request(line, endpoint, token_endpoint, scope)
    except CannotAsk as problem:
        return failed(GrantType.DEVICE_CODE, Stage.TOKEN, problem=str(problem))
    answer = await line.ask(request)
    found = _code_in(answer, line) if answer.http.status == 200 else None
    return found or SignedIn(_refused(line, answer), Stage.DEVICE)


def _code_in(answer: Answer, line: Line) -> DeviceCode | None:
    """The code and its limits; Google has another name for the place (``verification_url``)."""
    told = answer.content
    code, user_code = _text(told, "device_code"), inert(_text(told, "user_code"))[:MOST_CODE]
    uri = _page(told, "verification_uri") or _page(told, "verification_url")
    if not (code and user_code and uri):
        return None
    secret = Secret(code, "granted:device_code")
    line.wallet.put("device_code", secret)
    return DeviceCode(
        secret=secret,
        user_code=user_code,
        uri=uri,
        uri_complete=_page(told, "verification_uri_complete"),
        interval_s=_within(told.get("interval"), INTERVAL_S, SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S),
        ends_s=time.monotonic() + _within(told.get("expires_in"), LIFE_S, 1.0, LONGEST_LIFE_S),
    )


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""


def _page(told: Mapping[str, Any], name: str) -> str:
    """An address that somebody may be sent to; none that is not https."""
    value = inert(_text(told, name))
    try:
        parts = urlsplit(value)
        fits = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return ""
    return value if fits and len(value) <= MOST_URI and " " not in value else ""


def _within(value: object, otherwise: float, least: float, most: float) -> float:
    """A number of seconds as an answer gives it, within bounds."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(max(float(value), least), most) if number else otherwise  # type: ignore[arg-type]  # is a number


async def wait_for_sign_in(
    line: Line, token_endpoint: str, code: DeviceCode, *, sleep: Sleep = asyncio.sleep
) -> SignedIn:
    """Ask the token endpoint until somebody has signed in, refused, or the code has ended.

    sleep: how the pauses are spent.
    Raises StoreProblem where the refresh token could not be kept; then nothing was redeemed.
    """
    form: Mapping[str, Secret | str] = {"grant_type": GRANT_TYPE, "device_code": code.secret}
    pause_s, lost = code.interval_s, 0
    while time.monotonic() + pause_s < code.ends_s:
        await sleep(pause_s)
        found = await _poll(line, token_endpoint, form)
        grant = found.grant
        error = grant.error.error if grant.error else ""
        lost = lost + 1 if grant.http and grant.http.failure else 0
        if error == "slow_down":
            pause_s = min(pause_s + SLOWER_BY_S, LONGEST_INTERVAL_S)
        elif 0 < lost < MOST_LOST:
            pause_s = min(pause_s * 2, LONGEST_INTERVAL_S)
        elif error != "authorization_pending":
            return found if grant.granted else replace(found, stage=Stage.DEVICE)
    return failed(GrantType.DEVICE_CODE, Stage.DEVICE, error=OAuthError("expired_token"))


async def _poll(line: Line, endpoint: str, form: Mapping[str, Secret | str]) -> SignedIn:
    """Ask once, with the store open for what the answer may bring."""
    try:
        request = signed_request(line, endpoint, endpoint, form)
    except CannotAsk as problem:
        return failed(GrantType.DEVICE_CODE, Stage.TOKEN, problem=str(problem))
    limit_s = line.profile.limits.http_s + 2 * ROTATION_S
    async with opened(line.profile, endpoint, limit_s=limit_s) as store:
        return await signed_in(line, store, GrantType.DEVICE_CODE, await line.ask(request))


def _refused(line: Line, answer: Answer) -> Grant:
    grant = Grant(**answer.when, grant=GrantType.DEVICE_CODE, http=answer.http)
    return replace(grant, error=error_of(answer.content, line.wallet.redact))
