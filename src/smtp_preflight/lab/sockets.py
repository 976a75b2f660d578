"""Listening on loopback, and closing everything again."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

LOOPBACK = "127.0.0.1"

_TRIES = 20


class Connection(asyncio.Protocol):
    """One client's connection; known to its lab for as long as it is open."""

    def __init__(self, open_connections: set[Connection]) -> None:
        self._open_connections = open_connections
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over."""
        self.transport = cast(asyncio.Transport, transport)
        self._open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._open_connections.discard(self)

    @property
    def peer(self) -> str:
        """The client's address."""
        return str(self.transport.get_extra_info("peername")[0])


def listener(address: str = LOOPBACK) -> socket.socket:
    """A TCP socket that listens on a free port; whoever connects early waits in its queue."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, 0), family=family)


def closed_port() -> socket.socket:
    """A TCP socket that keeps a port for itself and does not listen: whoever connects is refused."""
    bound = socket.socket()
    bound.bind((LOOPBACK, 0))
    return bound


def full_port() -> tuple[socket.socket, socket.socket]:
    """A TCP socket whose queue is full, and the connection that fills it.

    Whoever connects is neither taken nor refused, as if a firewall dropped the packets.
    """
    listening = socket.create_server((LOOPBACK, 0), backlog=0)
    return listening, socket.create_connection(listening.getsockname())


def listener_and_datagrams() -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket on the same free port, as name servers have them."""
    for _ in range(_TRIES):
        tcp, udp = listener(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
        else:
            return tcp, udp
    raise OSError(f"no port is free for both TCP and UDP on {LOOPBACK}")


def port_of(bound: socket.socket) -> int:
    """The port a socket is bound to."""
    return int(bound.getsockname()[1])
