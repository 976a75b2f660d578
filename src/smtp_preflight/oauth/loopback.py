"""Waiting on this machine for the browser to come back from the sign-in page (RFC 8252 section 7.3).

Whoever else connects, another program or a page in the browser, gets 404 and changes nothing: only a request
for the redirect's host, port and path that knows the state is the answer, and only one is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from collections.abc import AsyncIterator, Mapping
from importlib import resources
from urllib.parse import urlsplit, urlunsplit

from smtp_preflight.oauth.authorize import fields_in, is_state_of

MOST_REQUEST_BYTES = 64 * 1024
"""A code is a few KiB at most; the cookies that other programs have left at ``localhost`` come with it."""

REQUEST_S = 10.0
MOST_CONNECTIONS = 20
MOST_TRIES = 10

ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "127.0.0.1": ("127.0.0.1",),
    "localhost": ("127.0.0.1", "::1"),
    "::1": ("::1",),
}
"""Where to listen for each host that a redirect may name; a browser takes either address of ``localhost``."""

_HEADERS = (
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: no-store",
    "Referrer-Policy: no-referrer",
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options: nosniff",
    "Connection: close",
)
_GET = re.compile(r"GET (/\S*) HTTP/1\.[01]")


class CannotListen(Exception):
    """Why nobody can come back to this machine."""


def is_loopback(uri: str) -> bool:
    """Whether a redirect URI leads to this machine, in a form that can be listened at."""
    try:
        parts = urlsplit(uri)
        return parts.scheme == "http" and parts.hostname in ADDRESSES and parts.port != 0
    except ValueError:  # a port that is none
        return False


@contextlib.asynccontextmanager
async def listening(redirect_uri: str) -> AsyncIterator[Loopback]:
    """Listen where a redirect URI leads; where it names no port, at a free one.

    redirect_uri: one for which `is_loopback` holds.
    Raises CannotListen where the port is taken.
    """
    parts = urlsplit(redirect_uri)
    sockets = _bound(ADDRESSES[parts.hostname or ""], parts.port or 0)
    waiting = Loopback(redirect_uri, sockets[0].getsockname()[1])
    servers: list[asyncio.Server] = []
    try:
        for one in sockets:
            servers.append(
                await asyncio.start_server(waiting.serve, sock=one, limit=MOST_REQUEST_BYTES, backlog=5)
            )
        yield waiting
    finally:
        for server in servers:
            server.close()
        for one in sockets:
            one.close()


class Loopback:
    """Listens for one answer."""

    def __init__(self, redirect_uri: str, port: int) -> None:
        parts = urlsplit(redirect_uri)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self._hosts = {f"{host}:{port}", *([host] if port == 80 else [])}
        self._path = parts.path or "/"
        self._state = ""
        self._open = 0
        self._taken = False
        self._answer: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()
        self.redirect_uri = urlunsplit(parts._replace(netloc=f"{host}:{port}"))
        """As it is sent: with the port."""

    def expect(self, state: str) -> None:
        """From now on, the request that knows this state is the answer."""
        self._state = state

    async def answer(self) -> Mapping[str, str]:
        """The parameters of that request; how long to wait for it is the caller's to say."""
        return await self._answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's one request, within its limits."""
        self._open += 1
        fields: Mapping[str, str] = {}
        try:
            # A browser that leaves before it has read the page has still brought the answer.
            with contextlib.suppress(
                asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError
            ):
                if self._open <= MOST_CONNECTIONS:
                    async with asyncio.timeout(REQUEST_S):
                        fields = self._accepted(await reader.readuntil(b"\r\n\r\n"))
                        writer.write(_response(fields))
                        await writer.drain()
        finally:
            self._open -= 1
            writer.close()
            if fields and not self._answer.done():
                self._answer.set_result(fields)

    def _accepted(self, head: bytes) -> Mapping[str, str]:
        """The request's parameters where it is the one waited for; none otherwise."""
        line, *headers = head.decode("latin-1").split("\r\n")
        found = _GET.fullmatch(line)
        hosts = [value.strip().lower() for name, _, value in map(_parted, headers) if name.lower() == "host"]
        # A name that an attacker's DNS lets point here is no reason to answer.
        if found is None or len(hosts) != 1 or hosts[0] not in self._hosts:
            return {}
        path, _, query = found[1].partition("?")
        fields = fields_in(query)
        known = bool(self._state) and is_state_of(self._state, fields.get("state", ""))
        if self._taken or path != self._path or not known:
            return {}
        self._taken = True
        return fields


def _parted(header: str) -> tuple[str, str, str]:
    return header.partition(":")


def _response(fields: Mapping[str, str]) -> bytes:
    """A closing page, which repeats nothing of the request; or 404."""
    status, page = "404 Not Found", b""
    if fields:
        name = "signed_in.html" if "code" in fields and "error" not in fields else "not_signed_in.html"
        status, page = "200 OK", (resources.files("smtp_preflight.oauth") / name).read_bytes()
    head = "\r\n".join((f"HTTP/1.1 {status}", *_HEADERS, f"Content-Length: {len(page)}"))
    return f"{head}\r\n\r\n".encode("ascii") + page


# --- sockets -----------------------------------------------------------------------------------------------


def _bound(addresses: tuple[str, ...], port: int) -> list[socket.socket]:
    """One socket for each address, all of one port; an address that this machine has not is left out.

    Where somebody else has the port at one of the addresses, a browser might take the answer there.
    """
    for _ in range(1 if port else MOST_TRIES):
        first, problem = _socket(addresses[0], port)
        if first is None:
            raise CannotListen(f"{addresses[0]} port {port or 'any'}: {_name(problem)}")
        others = [_socket(one, first.getsockname()[1]) for one in addresses[1:]]
        if not any(_name(why) == "EADDRINUSE" for _, why in others):
            return [first, *(one for one, _ in others if one)]
        for one in (first, *(one for one, _ in others if one)):
            one.close()
    raise CannotListen(f"{' and '.join(addresses)} port {port or 'any'}: EADDRINUSE")


def _socket(address: str, port: int) -> tuple[socket.socket | None, OSError | None]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family), None
    except OSError as problem:
        return None, problem


def _name(problem: OSError | None) -> str:
    return errno.errorcode.get(problem.errno or 0, str(problem)) if problem else ""
