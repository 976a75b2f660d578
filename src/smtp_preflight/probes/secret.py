"""Reading the secrets a profile names, and looking at their shape."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import time

from smtp_preflight.model import Profile, SecretCheck, SecretRef
from smtp_preflight.oauth.daemon import in_daemon_thread
from smtp_preflight.secrets import Secret, SecretProblem, Wallet, resolve

LIMIT_S = 10.0

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)


async def probe_secret(profile: Profile, wallet: Wallet, key: str) -> SecretCheck:
    """Read one of the secrets the profile names into the wallet, within 10 s.

    key: one of ``profile.oauth.secrets()``. What the wallet already holds, a lab's say, is not read again.
    Records: why it cannot be read, or its length and what it looks like; nothing of its content.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    reference = profile.oauth.secrets()[key]
    secret, problem, value = wallet.get(key), "", ""
    if secret is None:
        secret, problem = await _read(reference)
    if secret:
        wallet.put(key, secret)
        value = secret.reveal()
    return SecretCheck(
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


async def _read(reference: SecretRef) -> tuple[Secret | None, str]:
    """The secret, or why it cannot be read."""
    try:
        async with asyncio.timeout(LIMIT_S + 1):  # `resolve` gives up first, and says why
            return await in_daemon_thread(
                lambda: resolve(reference, limit_s=LIMIT_S), raises=(SecretProblem,)
            ), ""
    except (SecretProblem, TimeoutError) as problem:
        return None, str(problem) or f"no answer within {LIMIT_S:g} s"


def _named(reference: SecretRef) -> str:
    """The reference, of a command its first word only, for the others may be private."""
    place = reference.place[:1] if reference.kind == "command" else reference.place
    return str(SecretRef(reference.kind, place))
