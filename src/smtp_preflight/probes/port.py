"""Trying another port after a failure, to tell what is blocked from what is down."""

from __future__ import annotations

import asyncio
import datetime as dt
import time

import dns.asyncresolver

from smtp_preflight.model import PortCheck, PortState, Profile, TcpOutcome
from smtp_preflight.probes.dns import probe_addresses
from smtp_preflight.probes.stream import Stream, endpoint_name
from smtp_preflight.probes.tcp import outcome_of

MOST_ADDRESSES = 4


async def probe_port(
    profile: Profile, resolver: dns.asyncresolver.Resolver, host: str, port: int
) -> PortCheck:
    """Connect to the first addresses of a host, four at most, within ``tcp_s``, and hang up without a word.

    Open where one of them takes the connection; otherwise what became of the first.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    found = await probe_addresses(profile, resolver, host, port)
    limit_s = profile.limits.tcp_s
    tried = await asyncio.gather(*(_attempt(one, port, limit_s) for one in found.addresses[:MOST_ADDRESSES]))
    nowhere = (PortState.UNRESOLVED, found.error, "")
    state, error, peer = next((one for one in tried if one[0] is PortState.OPEN), (*tried, nowhere)[0])
    return PortCheck(
        asked_at=asked_at,
        took_s=time.monotonic() - begun_s,
        peer=peer,
        host=host,
        port=port,
        state=state,
        error=error,
    )


async def _attempt(address: str, port: int, limit_s: float) -> tuple[PortState, str, str]:
    """State, the system's name for an error, and peer."""
    peer = endpoint_name(address, port)
    try:
        async with asyncio.timeout(limit_s):
            stream = await Stream.connect(address, port)
    except OSError as problem:
        outcome, error = outcome_of(problem)
        return PortState.TIMEOUT if outcome is TcpOutcome.TIMEOUT else PortState.CLOSED, error, peer
    stream.close()
    return PortState.OPEN, "", peer
