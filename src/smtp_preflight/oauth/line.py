"""How an identity provider is asked on behalf of one profile."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from smtp_preflight.model import HttpExchange, Profile
from smtp_preflight.oauth.http import Request, Resolve, exchange, json_object
from smtp_preflight.secrets import Wallet


@dataclass(frozen=True, slots=True)
class Answer:
    """One exchange with its time; its body lives no longer than whoever asked for it."""

    asked_at: dt.datetime
    took_s: float
    http: HttpExchange
    body: bytes

    @property
    def observed_at(self) -> dt.datetime:
        """When it was complete."""
        return self.asked_at + dt.timedelta(seconds=self.took_s)

    @property
    def content(self) -> Mapping[str, Any]:
        """The body's members, none where it is no JSON object."""
        return (json_object(self.body) or {}) if self.http.is_json else {}

    @property
    def when(self) -> dict[str, Any]:
        """What every observation says of itself."""
        return {"asked_at": self.asked_at, "took_s": self.took_s, "peer": _netloc(self.http.url)}

    def __repr__(self) -> str:
        return f"<Answer {self.http.status}>"  # the body may hold a token


@dataclass(frozen=True, slots=True)
class Line:
    """Profile and wallet, and the way names are resolved.

    resolve, transport: as for `exchange`.
    """

    profile: Profile
    wallet: Wallet
    resolve: Resolve | None = None
    transport: httpx.AsyncBaseTransport | None = None

    async def ask(self, request: Request) -> Answer:
        """Ask once; never raises for what the network does."""
        asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
        http, body = await exchange(
            request, self.profile, self.wallet, resolve=self.resolve, transport=self.transport
        )
        return Answer(asked_at, time.monotonic() - begun_s, http, body)


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""
