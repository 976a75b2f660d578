"""Connecting: every published address of one family, side by side."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import ipaddress
import socket
import time
from collections.abc import Sequence

from smtp_preflight.model import Limits, TcpAttempt, TcpConnects, TcpOutcome
from smtp_preflight.probes.stream import Stream, error_name

_OUTCOMES = {
    errno.ECONNREFUSED: TcpOutcome.REFUSED,
    errno.ENETUNREACH: TcpOutcome.NO_ROUTE,
    errno.EHOSTUNREACH: TcpOutcome.NO_ROUTE,
    errno.EADDRNOTAVAIL: TcpOutcome.NO_ROUTE,
    errno.EACCES: TcpOutcome.PROHIBITED,
    errno.EPERM: TcpOutcome.PROHIBITED,
    errno.ECONNRESET: TcpOutcome.RESET,
    errno.ETIMEDOUT: TcpOutcome.TIMEOUT,
}
# Far away and of no importance: a route to them is a route to the internet. They are never sent anything.
_FAR = {"ipv4": (socket.AF_INET, "8.8.8.8"), "ipv6": (socket.AF_INET6, "2001:4860:4860::8888")}


async def probe_tcp(
    addresses: Sequence[str], family: str, port: int, limits: Limits
) -> tuple[TcpConnects, tuple[Stream, ...]]:
    """Connect to each address of the family at the same time, each within ``tcp_s``.

    addresses: IP addresses of either family; those of the other one are passed over.
    family: "ipv4" or "ipv6".
    Returns what came of it, and the open connections in the order of the addresses, for the caller to close.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    chosen = [address for address in addresses if family_of(address) == family]
    opened: dict[str, Stream] = {}
    try:
        attempts = await asyncio.gather(
            *(_attempt(address, port, limits.tcp_s, opened) for address in chosen)
        )
    except asyncio.CancelledError:
        for stream in opened.values():
            stream.close()
        raise
    connects = TcpConnects(
        asked_at=asked_at,
        took_s=time.monotonic() - begun_s,
        family=family,
        attempts=tuple(attempts),
        routable=_loopback_among(chosen) or _has_route(family),
    )
    return connects, tuple(opened[address] for address in chosen if address in opened)


async def _attempt(address: str, port: int, limit_s: float, opened: dict[str, Stream]) -> TcpAttempt:
    begun_s = time.monotonic()
    outcome, error = TcpOutcome.CONNECTED, ""
    try:
        async with asyncio.timeout(limit_s):
            opened[address] = await Stream.connect(address, port)
    except OSError as problem:
        outcome, error = outcome_of(problem)
    return TcpAttempt(address, port, outcome, time.monotonic() - begun_s, error)


def outcome_of(problem: OSError) -> tuple[TcpOutcome, str]:
    """What a failed attempt amounts to, and the system's name for it."""
    if isinstance(problem, TimeoutError):
        return TcpOutcome.TIMEOUT, "ETIMEDOUT"
    return _OUTCOMES.get(problem.errno or 0, TcpOutcome.OTHER), error_name(problem)


def family_of(address: str) -> str:
    """The family of an IP address, "ipv4" or "ipv6"; raises ValueError where it is none."""
    return f"ipv{ipaddress.ip_address(address).version}"


def _loopback_among(addresses: Sequence[str]) -> bool:
    return any(ipaddress.ip_address(address).is_loopback for address in addresses)


def _has_route(family: str) -> bool:
    """Whether the system knows a way out; connecting a UDP socket only looks it up and sends nothing."""
    kind, address = _FAR[family]
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 53))
    except OSError:
        return False
    return True
