"""The three ways to sign in, as somebody at a terminal meets them: browser, pasted address, other device."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from smtp_preflight.cli.words import say, tell
from smtp_preflight.diagnosis.discovery import why_not_discovered
from smtp_preflight.diagnosis.profile import why_any_secret_unavailable
from smtp_preflight.evidence import Recorder
from smtp_preflight.model import (
    Discovery,
    Finding,
    GrantType,
    OAuthError,
    Profile,
    Question,
    SecretCheck,
    Seen,
    Stage,
)
from smtp_preflight.oauth.authorize import (
    NAMES_ITS_ISSUER,
    REDIRECT_URI,
    Attempt,
    ForeignAnswer,
    Issuer,
    begin,
    code_of,
    fields_pasted,
)
from smtp_preflight.oauth.device import DeviceCode, ask_for_code, wait_for_sign_in
from smtp_preflight.oauth.line import Line
from smtp_preflight.oauth.loopback import is_loopback, listening
from smtp_preflight.oauth.sign_in import NOT_COMPLETED, SignedIn, check_store, failed, foreign, redeem_code
from smtp_preflight.probes.questions import Asking, discovers, place
from smtp_preflight.reporting.inert import printable
from smtp_preflight.secrets import Wallet, inherited

LIMIT_S = 600.0  # for somebody to sign in by browser; codes last no longer either
TICK_S = 1.0
MOST_PASTED = 64 * 1024
MOST_PASTES = 3  # at a terminal
TERMINAL_LINE = 4095  # characters of one line that a terminal passes on (MAX_CANON of Linux)
TEMPLATE = "{"  # in the issuer that Entra publishes for several tenants


class CannotSignIn(Exception):
    """Why a sign-in cannot begin, in one line for whoever called it so."""


class NotReady(Exception):
    """What a sign-in needs is not there, and this is why."""

    def __init__(self, finding: Finding, seen: Seen) -> None:
        super().__init__(finding.id)
        self.finding = finding
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Desk:
    """What a sign-in of one profile has at hand: secrets read, metadata fetched, the store seen to."""

    line: Line
    seen: Seen
    token_endpoint: str

    @property
    def profile(self) -> Profile:
        """Whose sign-in it is."""
        return self.line.profile

    @property
    def issuer(self) -> Issuer:
        """Who has to answer, as far as the metadata can be trusted to say."""
        found = self.seen.get(Discovery)
        named = found.metadata if found else {}
        name = named.get("issuer", "") or self.profile.oauth.issuer
        announced = named.get(NAMES_ITS_ISSUER) == "true"
        return Issuer("" if TEMPLATE in name else name, announced)

    def begin(self, redirect_uri: str) -> Attempt:
        """Make the address of the sign-in page."""
        endpoint = self._place("authorize_endpoint")
        return begin(self.profile, self.line.wallet, endpoint, redirect_uri, self.issuer)

    @property
    def device_endpoint(self) -> str:
        """Where codes for other devices are given out."""
        return self._place("device_endpoint")

    def _place(self, key: str) -> str:
        found = place(self.seen, key)
        if not found:
            raise CannotSignIn(f"no {key} is known; the profile can name one under [oauth]")
        return found

    async def redeem(self, attempt: Attempt, fields: Mapping[str, str]) -> SignedIn:
        """Redeem what the sign-in page answered."""
        grant_type = GrantType.AUTHORIZATION_CODE
        try:
            answer = code_of(attempt, fields, self.line.wallet)
        except ForeignAnswer as problem:
            return foreign(grant_type, problem)
        if isinstance(answer, OAuthError):
            return failed(grant_type, Stage.AUTHORIZE, error=answer)
        return await redeem_code(self.line, self.token_endpoint, attempt, answer)


async def prepared(profile: Profile) -> Desk:
    """Read the secrets, fetch the metadata, look at the store: before anybody is asked to sign in.

    Raises NotReady, or StoreProblem.
    """
    wallet = Wallet()
    secrets = (Question(SecretCheck, key) for key in profile.oauth.secrets())
    found_out = [Question(Discovery)] if discovers(profile) else []
    seen = (await Recorder(profile, wallet, [*secrets, *found_out]).record()).seen
    if not all(one.resolved for one in seen.every(SecretCheck)):
        raise NotReady(why_any_secret_unavailable(seen), seen)
    endpoint = place(seen, "token_endpoint")
    if not endpoint:
        raise NotReady(why_not_discovered(seen), seen)
    await check_store(profile, endpoint)
    resolve = Asking(profile, wallet, lambda: seen).resolve
    return Desk(Line(profile, wallet, resolve), seen, endpoint)


# --- by browser --------------------------------------------------------------------------------------------


def by_browser(desk: Desk) -> SignedIn:
    """Open the sign-in page here, and wait for the browser to come back to this machine."""
    redirect_uri = desk.profile.oauth.redirect_uri or REDIRECT_URI
    if not is_loopback(redirect_uri):
        raise CannotSignIn(f"{redirect_uri} does not lead to this machine; use --paste or --device")
    return asyncio.run(_by_browser(desk, redirect_uri))


async def _by_browser(desk: Desk, redirect_uri: str) -> SignedIn:
    async with listening(redirect_uri) as loopback:
        attempt = desk.begin(loopback.redirect_uri)
        loopback.expect(attempt.state)
        tell("Sign in in the browser. Where none opens by itself, this is the page:")
        say(printable(attempt.url))
        # Some browsers return when they are closed, so that nobody waits for them.
        opening = functools.partial(open_browser, attempt.url, desk.profile)
        threading.Thread(target=opening, name="browser", daemon=True).start()
        try:
            async with asyncio.timeout(LIMIT_S), progress("Waiting for the sign-in", LIMIT_S):
                fields = await loopback.answer()
        except TimeoutError:
            told = OAuthError("", description=f"no answer within {LIMIT_S:g} s")
            return failed(GrantType.AUTHORIZATION_CODE, Stage.AUTHORIZE, error=told, problem=NOT_COMPLETED)
    return await desk.redeem(attempt, fields)


def open_browser(url: str, profile: Profile) -> None:
    """Have the user's browser open a page, where there is one; the profile's secrets are not handed on to it.

    Without a display the ones that are left would take over the terminal; BROWSER names one all the same.
    """
    has_screen = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & set(os.environ)
    if has_screen:
        with _without_secrets(profile):
            webbrowser.open(url)


@contextlib.contextmanager
def _without_secrets(profile: Profile) -> Iterator[None]:
    """Take the variables that hold them, and have been read, out of what a child process inherits."""
    kept = inherited(profile.oauth.secrets().values())
    taken = {name: os.environ.pop(name) for name in set(os.environ) - set(kept)}
    try:
        yield
    finally:
        os.environ.update(taken)


# --- by a pasted address -----------------------------------------------------------------------------------


def by_paste(desk: Desk) -> SignedIn:
    """Show the address, and read the one that the browser was sent to; it need not have arrived."""
    attempt = desk.begin(desk.profile.oauth.redirect_uri or REDIRECT_URI)
    tell("Open in any browser, and sign in:")
    say(printable(attempt.url))
    tell("The browser ends at an address that may not open. Copy all of it, and paste it here:")
    return asyncio.run(desk.redeem(attempt, pasted()))


def pasted() -> Mapping[str, str]:
    """The parameters of the address on standard input; raises CannotSignIn where it is none.

    Somebody at a terminal who pastes something else is asked again, for the sign-in is still good.
    """
    at_terminal = sys.stdin.isatty()
    for left in reversed(range(MOST_PASTES if at_terminal else 1)):
        text = _line_read()
        if at_terminal and len(text) >= TERMINAL_LINE:
            raise CannotSignIn("the address is longer than a terminal passes on; give it by `--paste < FILE`")
        fields = fields_pasted(text)
        if {"code", "error"} & set(fields):
            return fields
        if not text or not left:  # nothing more will come, or nothing better
            break
        tell("That holds neither a code nor an error. Paste the address that the browser ends at:")
    raise CannotSignIn("what was pasted holds neither a code nor an error")


def _line_read() -> str:
    try:
        return sys.stdin.readline(MOST_PASTED)
    except (UnicodeDecodeError, OSError):
        return ""


# --- on another device -------------------------------------------------------------------------------------


def by_device(desk: Desk) -> SignedIn:
    """Show a code to type on another device, and wait until somebody has."""
    return asyncio.run(_by_device(desk))


async def _by_device(desk: Desk) -> SignedIn:
    code = await ask_for_code(desk.line, desk.device_endpoint, desk.token_endpoint)
    if isinstance(code, SignedIn):
        return code
    say(f"Open {printable(code.uri)} on any device, and type the code {printable(code.user_code)}")
    if code.uri_complete:
        say(f"or open {printable(code.uri_complete)}")
    left_s = code.ends_s - time.monotonic()
    async with progress(f"Waiting for {_shown(code)} to be typed", left_s):
        return await wait_for_sign_in(desk.line, desk.token_endpoint, code)


def _shown(code: DeviceCode) -> str:
    return printable(code.user_code)


# --- while somebody signs in -------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def progress(words: str, limit_s: float) -> AsyncIterator[None]:
    """Say what is waited for: on a terminal in one line that counts down, elsewhere once."""
    if not sys.stderr.isatty():
        tell(f"{words}, at most {limit_s / 60:.0f} minutes")
        yield
        return
    ticking = asyncio.create_task(_count_down(words, time.monotonic() + limit_s))
    try:
        yield
    finally:
        ticking.cancel()
        _overwrite("")


async def _count_down(words: str, ends_s: float) -> None:
    while (left_s := int(ends_s - time.monotonic())) > 0:
        _overwrite(f"{words} … {left_s // 60}:{left_s % 60:02} left, Ctrl-C ends it")
        await asyncio.sleep(TICK_S)


def _overwrite(line: str) -> None:
    sys.stderr.write(f"\r\x1b[K{line}")
    sys.stderr.flush()
