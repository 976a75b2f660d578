"""Servers on loopback that answer, and fail, as the providers do.

``Lab.start`` brings up a name server, an identity provider over HTTPS and a mail server, with a private CA,
on free ports; ``overlay`` points a profile at them; ``stop`` leaves nothing behind. A lab serves one profile.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from smtp_preflight.lab.authority import Authority
from smtp_preflight.lab.conditions import LOGIN_HOST, SMTP_HOST, CertificateTerms
from smtp_preflight.lab.entra import EXCHANGE_AUDIENCES, EXCHANGE_PERMISSIONS, Entra, PersonalEntra
from smtp_preflight.lab.faults import FAULTS, conditions_for
from smtp_preflight.lab.faults.fault import Fault
from smtp_preflight.lab.google import MAIL_AUDIENCE, MAIL_SCOPE, Google, Plain
from smtp_preflight.lab.http import HttpConnection
from smtp_preflight.lab.identity import IdentityProvider
from smtp_preflight.lab.names import Datagrams, DnsConnection, NameServer, records_for
from smtp_preflight.lab.smtp import SmtpConnection
from smtp_preflight.lab.sockets import LOOPBACK, Connection, listener, listener_and_datagrams, port_of
from smtp_preflight.lab.tokens import Mint
from smtp_preflight.lab.wording import EXCHANGE, GMAIL, PLAIN, Wording
from smtp_preflight.lab.world import Account, LabEvent, World
from smtp_preflight.model import Limits, OAuth, Profile, SecretRef
from smtp_preflight.secrets import Secret

__all__ = ["FAULTS", "Fault", "Lab", "LabEvent"]

SHORTEST_LIMIT_S = 0.5

_STOP_S = 5


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a provider behaves in the lab."""

    identity: type[IdentityProvider]
    wording: Wording
    audiences: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    dkim_by_alias: bool = False


_MANNERS: Mapping[str, _Manner] = {
    "microsoft365": _Manner(Entra, EXCHANGE, EXCHANGE_AUDIENCES, EXCHANGE_PERMISSIONS, dkim_by_alias=True),
    "outlook_personal": _Manner(
        PersonalEntra, EXCHANGE, EXCHANGE_AUDIENCES, EXCHANGE_PERMISSIONS, dkim_by_alias=True
    ),
    "google": _Manner(Google, GMAIL, frozenset({MAIL_AUDIENCE}), frozenset({MAIL_SCOPE})),
    "custom": _Manner(Plain, PLAIN),
}


class Lab:
    """The running servers of one provider, with at most one thing broken."""

    def __init__(self, provider: str, fault: str | None) -> None:
        conditions = conditions_for(provider, fault)
        self._manner = _MANNERS[provider]
        self._folder = tempfile.TemporaryDirectory(prefix="smtp-preflight-lab-")
        authority = Authority(Path(self._folder.name))
        self._world = World(
            conditions=conditions,
            wording=self._manner.wording,
            mint=Mint(),
            client_secret=self._manner.identity.new_secret(),
            audiences=self._manner.audiences,
            permissions=self._manner.permissions,
        )
        self._ca_file = authority.ca_file
        self._sockets = _Sockets.bound()
        self._identity = self._manner.identity(
            self._world, f"https://{LOGIN_HOST}:{port_of(self._sockets.http)}"
        )
        self._secrets = {
            "client_secret": Secret(self._world.client_secret, "lab:client_secret"),
            "refresh_token": Secret(self._identity.new_refresh_token(), "lab:refresh_token"),
        }
        self._names = NameServer(self._world)
        self._servers = _Servers(
            self._sockets,
            self._world,
            self._names,
            self._identity,
            smtp_context=authority.context(conditions.connection.certificate),
            http_context=authority.context(CertificateTerms(name=LOGIN_HOST)),
        )

    @classmethod
    def start(cls, provider: str = "microsoft365", fault: str | None = None) -> Lab:
        """Start the servers; raises ValueError for an unknown provider or fault, naming the known."""
        lab = cls(provider, fault)
        lab._servers.start()
        return lab

    def stop(self) -> None:
        """Hang up, stop listening, remove the folder; a second time does nothing."""
        self._servers.stop()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def log(self) -> list[LabEvent]:
        """Every query, request and command, in the order in which they came; credentials never."""
        return self._world.log

    @property
    def messages(self) -> list[bytes]:
        """The messages that were accepted."""
        return self._world.messages

    def secrets(self) -> Mapping[str, Secret]:
        """What the overlay's references stand for, by their keys."""
        return MappingProxyType(self._secrets)

    def overlay(self, profile: Profile) -> Profile:
        """Sign the profile up here, and return it pointed at this lab; any profile before it is forgotten."""
        self._world.account = Account.of(profile)
        self._names.records = records_for(
            profile, self._world.mint.public_key(), dkim_by_alias=self._manner.dkim_by_alias
        )
        oauth = self._oauth(profile.oauth)
        smtp = replace(profile.smtp, host=SMTP_HOST, port=self._smtp_port(profile.smtp.tls))
        return replace(
            profile,
            smtp=smtp,
            oauth=oauth,
            dns_servers=(f"{LOOPBACK}:{port_of(self._sockets.datagrams)}",),
            ca_file=str(self._ca_file),
            limits=_shortened(profile.limits),
            origins={**profile.origins, **_origins(profile.oauth, oauth)},
            written=profile.as_written,
        )

    def _smtp_port(self, tls: str) -> int:
        return port_of(self._sockets.smtps if tls == "implicit" else self._sockets.smtp)

    def _oauth(self, oauth: OAuth) -> OAuth:
        changes: dict[str, Any] = {
            **self._identity.endpoints(oauth.tenant),
            **{key: SecretRef("lab", (key,)) for key in self._secrets if key in oauth.secrets()},
            "store": str(Path(self._folder.name) / "store"),
        }
        return replace(oauth, **changes)


def _shortened(limits: Limits) -> Limits:
    """A tenth of each: on loopback, whatever takes longer will not come.

    When an answer is called slow stays as it is: a busy machine must not make a healthy lab warn.
    """
    given_up = [one.name for one in fields(limits) if not one.name.endswith("_slow_s")]
    return replace(limits, **{name: max(SHORTEST_LIMIT_S, getattr(limits, name) / 10) for name in given_up})


def _origins(before: OAuth, after: OAuth) -> Mapping[str, str]:
    """The settings that are the lab's, as reports name them."""
    changed = [one.name for one in fields(OAuth) if getattr(before, one.name) != getattr(after, one.name)]
    keys = [
        "smtp.host",
        "smtp.port",
        "dns.servers",
        "tls.ca_file",
        *(f"oauth.{name}" for name in changed),
        *(f"limits.{one.name}" for one in fields(Limits)),
    ]
    return dict.fromkeys(keys, "lab")


@dataclass(frozen=True, slots=True)
class _Sockets:
    """Where a lab listens: bound before its thread runs, so that all ports are known at once."""

    dns: socket.socket
    datagrams: socket.socket
    http: socket.socket
    smtp: socket.socket
    smtps: socket.socket

    @classmethod
    def bound(cls) -> _Sockets:
        return cls(*listener_and_datagrams(), listener(), listener(), listener())


class _Servers:
    """The servers on an event loop of their own, in a thread of their own."""

    def __init__(
        self,
        sockets: _Sockets,
        world: World,
        names: NameServer,
        identity: IdentityProvider,
        *,
        smtp_context: ssl.SSLContext,
        http_context: ssl.SSLContext,
    ) -> None:
        self._sockets = sockets
        self._open: set[Connection] = set()
        self._datagrams = partial(Datagrams, names)
        smtp = partial(SmtpConnection, self._open, world, smtp_context)
        self._listening = (
            (sockets.dns, partial(DnsConnection, self._open, names), None),
            (sockets.http, partial(HttpConnection, self._open, identity.answer), http_context),
            (sockets.smtp, partial(smtp, implicit=False), None),
            (sockets.smtps, partial(smtp, implicit=True), smtp_context),
        )
        self._loop = asyncio.new_event_loop()
        self._asked_to_stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="smtp-preflight-lab", daemon=True)

    def start(self) -> None:
        """Begin to serve; whoever connects before is answered then."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, and wait until everything is closed."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._asked_to_stop.set)
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        datagrams, _ = await self._loop.create_datagram_endpoint(
            self._datagrams, sock=self._sockets.datagrams
        )
        servers = [
            await self._loop.create_server(factory, sock=listening, ssl=context)
            for listening, factory, context in self._listening
        ]
        await self._asked_to_stop.wait()
        for server in servers:
            server.close()
        for connection in tuple(self._open):
            connection.transport.abort()
        datagrams.close()
        # The transports close their sockets in the loop's next round.
        await asyncio.sleep(0)
