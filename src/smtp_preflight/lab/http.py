"""Just enough HTTP/1.1 (RFC 9112) for an identity provider: one request and one response a connection."""

from __future__ import annotations

import asyncio
import base64
import binascii
import email.utils
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from smtp_preflight.lab.conditions import HANG_UP
from smtp_preflight.lab.sockets import Connection

MOST_HEAD_BYTES = 16 * 1024
MOST_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks."""

    method: str
    path: str  # without the query: it may hold what does not belong into a log
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)  # of what is there twice, the last

    @property
    def form(self) -> Mapping[str, str]:
        """The body's parameters, where it is a form; of those sent twice, the last."""
        if not self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace")))

    @property
    def basic_credentials(self) -> tuple[str, str] | None:
        """Client id and secret as the Authorization header has them (RFC 6749 section 2.3.1)."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return unquote_plus(name), unquote_plus(secret)


@dataclass(frozen=True, slots=True)
class Response:
    """What it gets."""

    status: int
    content: Mapping[str, Any] | bytes  # what is no JSON, as it goes out
    headers: Mapping[str, str] = field(default_factory=dict)
    late_s: float = 0
    fate: str = ""  # HANG_UP or SILENCE: it never goes out

    def to_wire(self) -> bytes:
        """The response as it goes out, its connection closed after it."""
        body = self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()
        headers = {
            "Date": email.utils.formatdate(usegmt=True),
            "Content-Type": "application/json; charset=utf-8",
            "Cache-Control": "no-store, no-cache",
            "Pragma": "no-cache",
            **self.headers,
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return (
            f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, '')}\r\n{head}\r\n".encode("latin-1") + body
        )


_PHRASES = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    428: "Precondition Required",
    429: "Too Many Requests",
    503: "Service Unavailable",
}

BAD_REQUEST = Response(400, {"error": "invalid_request", "error_description": "The request cannot be read."})


class HttpConnection(Connection):
    """Reads one bounded request, hands it on, writes the response, and hangs up."""

    def __init__(self, open_connections: set[Connection], answer: Callable[[Request], Response]) -> None:
        super().__init__(open_connections)
        self._answer = answer
        self._buffer = b""
        self._answered = False

    def data_received(self, data: bytes) -> None:
        """Answer once the request is whole, or cannot become one."""
        if self._answered:
            return
        self._buffer += data
        try:
            request = parse(self._buffer)
        except ValueError:
            self._finish(BAD_REQUEST)
        else:
            if request:
                self._finish(self._answer(request))

    def _finish(self, response: Response) -> None:
        self._answered = True
        if response.fate == HANG_UP:
            self.transport.close()
        elif not response.fate:
            asyncio.get_running_loop().call_later(response.late_s, self._send, response.to_wire())

    def _send(self, wire: bytes) -> None:
        self.transport.write(wire)
        self.transport.close()


def parse(data: bytes) -> Request | None:
    """Return the request, or nothing as long as bytes are missing; raises ValueError for what is none."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if len(head) > MOST_HEAD_BYTES:
        raise ValueError("the head is too long")
    if not blank:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = first.split(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    size = int(headers.get("content-length", "0"))
    if not 0 <= size <= MOST_BODY_BYTES or "transfer-encoding" in headers:
        raise ValueError("the body is too long, or of unknown length")
    if len(body) < size:
        return None
    path, _, query = target.partition("?")
    return Request(method, path, headers, body[:size], dict(parse_qsl(query)))
