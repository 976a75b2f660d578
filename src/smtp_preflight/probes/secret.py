"""Reading the secrets a profile names, and looking at their shape."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import time
from dataclasses import replace
from functools import partial

import httpx

from smtp_preflight.model import Profile, SecretCheck, SecretRef
from smtp_preflight.oauth.certificates import Unusable, opened, service_account
from smtp_preflight.oauth.daemon import in_daemon_thread
from smtp_preflight.oauth.federation import token_of_job
from smtp_preflight.oauth.http import Resolve
from smtp_preflight.oauth.line import Line
from smtp_preflight.secrets import Secret, SecretProblem, Wallet, inherited
from smtp_preflight.secrets import resolve as read_secret

LIMIT_S = 10.0

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)


async def probe_secret(
    profile: Profile,
    wallet: Wallet,
    key: str,
    *,
    resolve: Resolve | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> SecretCheck:
    """Read one of the secrets the profile names into the wallet, within 10 s.

    key: one of ``profile.oauth.secrets()``; a certificate after its passphrase. What the wallet already
        holds, a lab's say, is not read again.
    resolve, transport: as for `exchange`, for a secret that has to be asked for.
    Records: why it cannot be read or used, its length and what it looks like, a certificate's last moment;
    nothing else of its content.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    reference = profile.oauth.secrets()[key]
    secret, problem, value = wallet.get(key), "", ""
    if secret is None:
        secret, problem = await _got(Line(profile, wallet, resolve, transport), key, reference)
    if secret:
        wallet.put(key, secret)
        value = secret.reveal()
    check = SecretCheck(
        asked_at=asked_at,
        took_s=time.monotonic() - begun_s,
        key=key,
        reference=_named(reference),
        problem=problem,
        length=len(value),
        looks_like_guid=bool(_GUID.fullmatch(value.strip())),
        quoted=bool(_QUOTED.fullmatch(value.strip())),
        blank_edges=value != value.strip(),
        looks_like_json=value.strip()[:1] in ("{", "["),
    )
    return _with_use(check, profile, wallet) if secret else check


async def _got(line: Line, key: str, reference: SecretRef) -> tuple[Secret | None, str]:
    """The secret, or why it cannot be had."""
    try:
        async with asyncio.timeout(LIMIT_S + 1):  # whoever reads gives up first, and says why
            if reference.kind == "github":
                return await token_of_job(line, reference.place[0]), ""
            read = partial(read_secret, reference, limit_s=LIMIT_S, binary=key == "certificate")
            environment = inherited(line.profile.oauth.secrets().values())
            return await in_daemon_thread(partial(read, environment=environment), raises=(SecretProblem,)), ""
    except (SecretProblem, TimeoutError) as problem:
        return None, str(problem) or f"no answer within {LIMIT_S:g} s"


def _with_use(check: SecretCheck, profile: Profile, wallet: Wallet) -> SecretCheck:
    """Whether a key file can be used at all, and until when.

    A certificate whose passphrase could not be read is left alone: that has its own check.
    """
    secret, passphrase = wallet.get(check.key), wallet.get("certificate_passphrase")
    assert secret is not None  # whoever calls us has just put it there
    try:
        if check.key == "service_account":
            service_account(secret)
        elif check.key == "certificate" and (passphrase or not profile.oauth.certificate_passphrase):
            return replace(check, ends=opened(secret, passphrase).ends)
    except Unusable as problem:
        return replace(check, unusable=str(problem))
    return check


def _named(reference: SecretRef) -> str:
    """The reference, of a command its first word only, for the others may be private."""
    place = reference.place[:1] if reference.kind == "command" else reference.place
    return str(SecretRef(reference.kind, place))
