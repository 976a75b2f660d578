"""Connecting to every address of a family, and the names of what can go wrong; loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest

from smtp_preflight.model import Limits, TcpConnects, TcpOutcome
from smtp_preflight.probes import tcp
from smtp_preflight.probes.stream import Stream
from smtp_preflight.probes.tcp import outcome_of, probe_tcp

LIMITS = Limits(tcp_s=2)


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue is full: whoever connects hears nothing."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting_one = waiting.enter_context(socket.socket())
            waiting_one.setblocking(False)
            waiting_one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def connect(addresses: tuple[str, ...], family: str, port: int, limits: Limits = LIMITS) -> TcpConnects:
    async def run() -> TcpConnects:
        connects, streams = await probe_tcp(addresses, family, port, limits)
        assert [stream.address for stream in streams] == [one.address for one in connects.connected]
        for stream in streams:
            stream.close()
        return connects

    return asyncio.run(run())


def test_every_address_of_the_family_is_tried_and_no_other(port: int) -> None:
    connects = connect(("127.0.0.1", "::1", "127.0.0.2"), "ipv4", port)
    assert [(one.address, one.outcome) for one in connects.attempts] == [
        ("127.0.0.1", TcpOutcome.CONNECTED),
        ("127.0.0.2", TcpOutcome.REFUSED),
    ]
    assert connects.attempts[1].error == "ECONNREFUSED"
    assert connects.attempts[0].port == port
    assert connects.routable


def test_ipv6_loopback_connects() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        connects = connect(("127.0.0.1", "::1"), "ipv6", listener.getsockname()[1])
    assert [one.address for one in connects.connected] == ["::1"]
    assert connects.routable


def test_silence_is_a_timeout() -> None:
    with deaf_port() as port:
        connects = connect(("127.0.0.1",), "ipv4", port, Limits(tcp_s=0.2))
    assert [(one.outcome, one.error) for one in connects.failed] == [(TcpOutcome.TIMEOUT, "ETIMEDOUT")]


def test_family_without_addresses_has_no_attempts(port: int) -> None:
    assert connect(("127.0.0.1",), "ipv6", port).attempts == ()


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_route_of_a_family_is_looked_up_without_a_packet(
    family: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A family whose far address has no route is not routable; loopback always has one."""
    kind, near = {"ipv4": (socket.AF_INET, "127.0.0.1"), "ipv6": (socket.AF_INET6, "::1")}[family]
    monkeypatch.setitem(tcp._FAR, family, (kind, near))
    assert connect((), family, port).routable
    other = {"127.0.0.1": "::1", "::1": "127.0.0.1"}[near]
    monkeypatch.setitem(tcp._FAR, family, (kind, other))
    assert not connect((), family, port).routable


@pytest.mark.parametrize(
    ("problem", "outcome", "name"),
    [
        (OSError(errno.ECONNREFUSED, ""), TcpOutcome.REFUSED, "ECONNREFUSED"),
        (OSError(errno.ENETUNREACH, ""), TcpOutcome.NO_ROUTE, "ENETUNREACH"),
        (OSError(errno.EHOSTUNREACH, ""), TcpOutcome.NO_ROUTE, "EHOSTUNREACH"),
        (OSError(errno.EADDRNOTAVAIL, ""), TcpOutcome.NO_ROUTE, "EADDRNOTAVAIL"),
        (OSError(errno.EACCES, ""), TcpOutcome.PROHIBITED, "EACCES"),
        (OSError(errno.EPERM, ""), TcpOutcome.PROHIBITED, "EPERM"),
        (OSError(errno.ECONNRESET, ""), TcpOutcome.RESET, "ECONNRESET"),
        (OSError(errno.ETIMEDOUT, ""), TcpOutcome.TIMEOUT, "ETIMEDOUT"),
        (OSError(errno.EMFILE, ""), TcpOutcome.OTHER, "EMFILE"),
        (TimeoutError(), TcpOutcome.TIMEOUT, "ETIMEDOUT"),
    ],
)
def test_each_error_has_its_outcome(problem: OSError, outcome: TcpOutcome, name: str) -> None:
    assert outcome_of(problem) == (outcome, name)


def test_cancelling_closes_what_had_connected(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Stream] = []
    connect_really = Stream.connect

    async def connect_or_wait(address: str, port: int) -> Stream:
        if address == "127.0.0.2":
            await asyncio.sleep(60)
        opened.append(await connect_really(address, port))
        return opened[-1]

    monkeypatch.setattr(Stream, "connect", connect_or_wait)

    async def run() -> None:
        task = asyncio.create_task(probe_tcp(("127.0.0.1", "127.0.0.2"), "ipv4", port, LIMITS))
        while not opened:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert opened[0]._socket.fileno() == -1

    asyncio.run(run())
