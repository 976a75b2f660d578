"""TCP and TLS byte by byte: what came before a handshake stays visible, nothing is read ahead unseen.

asyncio's own ``start_tls`` keeps plaintext that arrived behind the server's 220 and hands it out as if it had
come protected. Here the socket is read by us alone, and only after ``start_tls`` are bytes given to TLS.
Nothing in here has a deadline: every await can be cancelled, and callers stand in ``asyncio.timeout``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

CHUNK_BYTES = 16 * 1024
WAITING_BYTES = 64 * 1024
HEAD_BYTES = 200

T = TypeVar("T")


class Stream:
    """One connection to one address, in the clear until ``start_tls`` has succeeded; one caller at a time.

    peer: "192.0.2.1:587" or "[2001:db8::1]:587".
    local_address: this machine's end, without the port.
    opened_s: when it was connected, by ``time.monotonic``.
    tls: the TLS engine after a completed handshake.
    handshake_head: the first bytes, up to 200, that came in answer to our ClientHello.
    """

    def __init__(self, sock: socket.socket, address: str, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.address = address
        self.port = port
        self.peer = endpoint_name(address, port)
        self.local_address: str = sock.getsockname()[0]
        self.opened_s = time.monotonic()
        self.tls: ssl.SSLObject | None = None
        self.handshake_head = b""

    @classmethod
    async def connect(cls, address: str, port: int) -> Stream:
        """Connect to an IP address; raises OSError, and closes the socket on any way out but success."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            # A command right behind our last handshake message would otherwise wait for its acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
            return cls(sock, address, port)
        except BaseException:
            sock.close()
            raise

    async def read(self) -> bytes:
        """At most 16 KiB of plaintext, decrypted where TLS is on; empty at the end of the connection.

        Raises OSError, and ssl.SSLError where the protected connection breaks (an alert, a damaged record).
        """
        if self.tls is None:
            return await self._receive()
        engine = self.tls
        try:
            return await self._drive(lambda: engine.read(CHUNK_BYTES))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""  # SMTP marks its own ends: a missing close_notify (RFC 8446 section 6.1) cuts nothing

    async def write(self, data: bytes) -> None:
        """Send all of it; raises OSError or ssl.SSLError."""
        if self.tls is None:
            await self._loop.sock_sendall(self._socket, data)
        elif data:
            engine = self.tls
            await self._drive(lambda: engine.write(data))

    def waiting(self) -> bytes:
        """What has arrived in the clear and nobody has read, at most 64 KiB; never waits, never raises."""
        found = bytearray()
        with contextlib.suppress(OSError):  # BlockingIOError above all: nothing is there
            while self.tls is None and len(found) < WAITING_BYTES:
                data = self._socket.recv(CHUNK_BYTES)
                if not data:
                    break
                found += data
        return bytes(found)

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Shake hands as a client, for this host name or IP address; only success makes the stream a TLS one.

        Raises ssl.SSLCertVerificationError, ssl.SSLError, OSError, and EOFError where the server just closes.
        """
        engine = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        try:
            await self._drive(engine.do_handshake)
        except ssl.SSLEOFError as problem:
            raise EOFError("closed during the handshake") from problem
        self.tls = engine

    def close(self) -> None:
        """Close the socket; never raises, may be called again."""
        if self._socket.fileno() < 0:
            return
        # A read that is still pending must not leave the closed descriptor behind in the loop's selector.
        with contextlib.suppress(OSError, NotImplementedError, RuntimeError):
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        with contextlib.suppress(OSError):
            self._socket.close()

    async def _receive(self) -> bytes:
        return await self._loop.sock_recv(self._socket, CHUNK_BYTES)

    async def _drive(self, operation: Callable[[], T]) -> T:
        """One operation of the TLS engine, records carried between it and the socket until it is done."""
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
            except ssl.SSLError:
                with contextlib.suppress(OSError):  # our alert tells the server why; it may be gone already
                    await self._flush()
                raise
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._loop.sock_sendall(self._socket, self._outgoing.read())

    async def _feed(self) -> None:
        data = await self._receive()
        if self.tls is None:
            self.handshake_head = (self.handshake_head + data)[:HEAD_BYTES]
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


def endpoint_name(address: str, port: int) -> str:
    """Address and port as one word, an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def error_name(problem: OSError) -> str:
    """The system's name for what happened, ECONNREFUSED say; of a TLS error OpenSSL's words."""
    if isinstance(problem, ssl.SSLError):  # its errno counts something else
        return (problem.reason or str(problem)).replace("_", " ").lower()
    return errno.errorcode.get(problem.errno or 0) or str(problem)


def printable(text: str | bytes) -> str:
    """Foreign text made inert: undecodable bytes and control characters become visible escapes."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
