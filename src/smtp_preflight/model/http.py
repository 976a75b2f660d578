"""One request over HTTP, as far as it came."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class HttpFailure(StrEnum):
    """How an HTTP exchange ended, where no whole response came."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    PROXY = "proxy"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True)
class HttpExchange:
    """One request and its response, bounded; the body itself is read by the probe and not kept."""

    method: str
    url: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # those that matter, in lower case
    size_bytes: int = 0
    cut: bool = False
    is_json: bool = False
    excerpt: str = ""  # the first characters of a body that is not JSON, inert
    date: dt.datetime | None = None  # the Date header
    proxy: str = ""  # through which proxy, without credentials
    failure: HttpFailure | None = None
    detail: str = ""
    sent: bool = False  # the request left, wholly or in part; whatever it asks for may have happened
