"""Servers on loopback that answer, and fail, as the providers do.

``Lab.start`` brings up a name server, an identity provider over HTTPS and a mail server, with a private CA,
on free ports; ``overlay`` points a profile at them; ``stop`` leaves nothing behind. A lab serves one profile.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial, reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from smtp_preflight.lab.authority import Authority
from smtp_preflight.lab.conditions import (
    LOGIN_HOST,
    MAILBOX_HOST,
    SMTP_HOST,
    CertificateTerms,
    Conditions,
    NameConditions,
    Port,
    combined,
)
from smtp_preflight.lab.entra import EXCHANGE_AUDIENCES, EXCHANGE_PERMISSIONS, Entra, PersonalEntra
from smtp_preflight.lab.faults import FAULTS, faults_at
from smtp_preflight.lab.faults.fault import Fault
from smtp_preflight.lab.google import MAIL_AUDIENCE, MAIL_SCOPE, Google, Plain
from smtp_preflight.lab.http import HttpConnection
from smtp_preflight.lab.identity import IdentityProvider
from smtp_preflight.lab.imap import ImapSession
from smtp_preflight.lab.mailbox import READING, MailboxConnection
from smtp_preflight.lab.mistakes import with_settings
from smtp_preflight.lab.names import Datagrams, DnsConnection, NameServer
from smtp_preflight.lab.pop import PopSession
from smtp_preflight.lab.smtp import SmtpConnection
from smtp_preflight.lab.sockets import (
    LOOPBACK,
    Connection,
    closed_port,
    full_port,
    listener,
    listener_and_datagrams,
    port_of,
)
from smtp_preflight.lab.tokens import Mint, TokenFacts
from smtp_preflight.lab.wording import EXCHANGE, GMAIL, PLAIN, Wording
from smtp_preflight.lab.world import Account, LabEvent, World
from smtp_preflight.model import GrantType, Limits, OAuth, Profile, SecretRef
from smtp_preflight.secrets import Secret

__all__ = ["FAULTS", "Fault", "Lab", "LabEvent", "missing_extra", "mistaken"]

SHORTEST_LIMIT_S = 0.5
SHORTEST_DELIVERY_S = 1.0  # to wait for a message

_STOP_S = 5
_READER_LIFE_S = 3600


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
    "google_workspace": _Manner(Google, GMAIL, frozenset({MAIL_AUDIENCE}), frozenset({MAIL_SCOPE})),
    "custom": _Manner(Plain, PLAIN),
}


def missing_extra() -> str:
    """What has to be installed before a lab can be started, in words; empty where nothing."""
    if importlib.util.find_spec("trustme") is not None:
        return ""
    return "trustme is not installed: pip install 'smtp-preflight[lab]'"


class Lab:
    """The running servers of one provider; healthy, or with something broken."""

    def __init__(self, provider: str, faults: Iterable[str], under: Conditions) -> None:
        self._faults = faults_at(provider, faults)
        conditions = reduce(combined, (one.conditions_at(provider) for one in self._faults), under)
        self._manner = _MANNERS[provider]
        self._folder = tempfile.TemporaryDirectory(prefix="smtp-preflight-lab-")
        authority = Authority(Path(self._folder.name))
        self._world = World(
            conditions=conditions,
            wording=replace(self._manner.wording, **conditions.manner.wording),
            mint=Mint(),
            client_secret=self._manner.identity.new_secret(),
            audiences=self._manner.audiences,
            permissions=self._manner.permissions,
        )
        self._ca_file = authority.ca_file
        self._sockets = _Sockets.bound(
            conditions.connection.port, conditions.mailbox.imap_port, conditions.manner.mail_address
        )
        self._identity = self._manner.identity(
            self._world, f"https://{LOGIN_HOST}:{port_of(self._sockets.http)}"
        )
        self._secrets = {
            "client_secret": Secret(self._world.client_secret, "lab:client_secret"),
            "refresh_token": Secret(self._identity.new_refresh_token(), "lab:refresh_token"),
        }
        for fault in self._faults:
            self._secrets |= {key: Secret(value, f"lab:{key}") for key, value in fault.secrets.items()}
        second = NameConditions(host=conditions.names.second_server)
        self._names = (NameServer(self._world, conditions.names), NameServer(self._world, second))
        self._servers = _Servers(
            self._sockets,
            self._world,
            self._names,
            self._identity,
            smtp_context=authority.mail_context(conditions.connection),
            http_context=authority.context(conditions.identity.certificate),
            imap_context=authority.context(conditions.mailbox.imap_certificate),
            pop_context=authority.context(CertificateTerms(name=MAILBOX_HOST)),
        )

    @classmethod
    def start(cls, provider: str = "microsoft365", *faults: str, under: Conditions | None = None) -> Lab:
        """Start the servers; raises ValueError for an unknown provider or fault, naming the known.

        under: further conditions, for what is no fault: that refresh tokens can be used once only, say.
        Faults that contradict each other are no fault: ValueError, too.
        """
        lab = cls(provider, faults, under or Conditions())
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
        """Sign the profile up here, and return it pointed at this lab; any profile before it is forgotten.

        What a fault has somebody write into the profile is left as it is, in place of the lab's own. Only the
        port is always one of the lab's.
        """
        mistakes = _mistakes(profile, self._faults)
        written = with_settings(profile.as_written, mistakes, "profile")
        self._world.account = Account.of(profile).asked_at(written.oauth.tenant)
        self._make_credentials(profile.oauth)
        own = {key: value for key, value in self._settings(written).items() if key not in mistakes}
        pointed = with_settings(written, {**own, "smtp.port": self._smtp_port(written)}, "lab")
        for server in self._names:
            server.serve(pointed, self._world.mint.public_key(), dkim_by_alias=self._manner.dkim_by_alias)
        kept_elsewhere = {key for key, ref in pointed.oauth.secrets().items() if ref.kind != "lab"}
        self._secrets = {key: one for key, one in self._secrets.items() if key not in kept_elsewhere}
        reader = self._reader(profile, pointed)
        return replace(pointed, limits=self._limits(written.limits), written=written, reader=reader)

    def _settings(self, profile: Profile) -> Mapping[str, Any]:
        """What stands in a profile that is pointed at this lab."""
        oauth = profile.oauth
        ports = [port_of(one) for one in (self._sockets.datagrams, self._sockets.second_datagrams)]
        several = self._world.conditions.names.second_server is not None
        return {
            "smtp.host": SMTP_HOST,
            **self._reading(profile),
            "dns.servers": tuple(f"{LOOPBACK}:{port}" for port in ports[: 1 + several]),
            "tls.ca_file": str(self._ca_file),
            "oauth.store": str(Path(self._folder.name) / "store"),
            **{f"oauth.{key}": value for key, value in self._identity.endpoints(oauth.tenant).items()},
            **{f"oauth.{key}": SecretRef("lab", (key,)) for key in self._secrets if key in oauth.secrets()},
            **{f"limits.{one.name}": getattr(profile.limits, one.name) for one in fields(Limits)},
        }

    def _reading(self, profile: Profile) -> Mapping[str, Any]:
        """Where mailboxes are read, and how long a message may take to arrive there."""
        settings: dict[str, Any] = {"imap.host": MAILBOX_HOST, "pop.host": MAILBOX_HOST}
        settings |= {"imap.port": port_of(self._sockets.imap), "pop.port": port_of(self._sockets.pop)}
        if profile.delivery:
            settings["delivery.within_s"] = max(SHORTEST_DELIVERY_S, profile.delivery.within_s / 10)
        return settings

    def _reader(self, profile: Profile, pointed: Profile) -> Profile | None:
        """The profile that reads the recipient's mailbox, with a token that allows nothing else."""
        if profile.reader is None or profile.delivery is None:
            return None
        account = self._world.account
        facts = TokenFacts(
            audience=next(iter(sorted(self._manner.audiences or account.audiences)), ""),
            permissions=READING["imap"],
            user=profile.delivery.mailbox,
            client_id=profile.reader.oauth.client_id,
            expires_at=time.time() + _READER_LIFE_S,
        )
        token = self._world.mint.opaque("lab-reader-", 60, facts)
        self._secrets["reader.access_token"] = Secret(token, "lab:reader.access_token")
        given = OAuth(grant=GrantType.ACCESS_TOKEN, access_token=SecretRef("lab", ("reader.access_token",)))
        taken_over = {name: getattr(pointed, name) for name in ("imap", "pop", "dns_servers", "ca_file")}
        return replace(profile.reader, oauth=given, limits=self._limits(profile.limits), **taken_over)

    def _make_credentials(self, oauth: OAuth) -> None:
        """Make what the profile names beside secret and refresh token: keys, for whoever needs them."""
        for key, make in self._identity.credentials.secrets().items():
            if key in oauth.secrets() and key not in self._secrets:
                self._secrets[key] = Secret(make(), f"lab:{key}")

    def _smtp_port(self, profile: Profile) -> int:
        """Where this profile finds the mail server: by its port, if that says it, else by its TLS mode."""
        usual = {465: "implicit", 587: "starttls"}.get(profile.smtp.port, profile.smtp.tls)
        return port_of(self._sockets.smtps if usual == "implicit" else self._sockets.smtp)

    def _limits(self, limits: Limits) -> Limits:
        """The limits in a lab; those that a fault keeps us waiting for are as short as the fault says."""
        waited = {name: limit_s for one in self._faults for name, limit_s in one.limits.items()}
        return replace(_shortened(limits), **waited)


def mistaken(profile: Profile, faults: Iterable[str]) -> Profile:
    """The profile as it is written where these faults are the profile's own."""
    return with_settings(profile, _mistakes(profile, [FAULTS[name] for name in faults]), "profile")


def _mistakes(profile: Profile, faults: Iterable[Fault]) -> Mapping[str, Any]:
    return {key: value for one in faults for key, value in one.settings(profile).items()}


def _shortened(limits: Limits) -> Limits:
    """A tenth of each: on loopback, whatever takes longer will not come.

    When an answer is called slow stays as it is: a busy machine must not make a healthy lab warn.
    """
    given_up = [one.name for one in fields(limits) if not one.name.endswith("_slow_s")]
    return replace(limits, **{name: max(SHORTEST_LIMIT_S, getattr(limits, name) / 10) for name in given_up})


@dataclass(frozen=True, slots=True)
class _Sockets:
    """Where a lab listens: bound before its thread runs, so that all ports are known at once."""

    dns: socket.socket
    datagrams: socket.socket
    second_dns: socket.socket
    second_datagrams: socket.socket
    http: socket.socket
    smtp: socket.socket
    smtps: socket.socket
    imap: socket.socket
    pop: socket.socket
    unattended: tuple[socket.socket, ...] = ()  # kept open, and nobody is there

    @classmethod
    def bound(cls, port: Port, imap_port: Port, mail_address: str) -> _Sockets:
        names = *listener_and_datagrams(), *listener_and_datagrams()
        imap = listener() if imap_port is Port.SERVED else closed_port()
        closed = () if imap_port is Port.SERVED else (imap,)
        if port is Port.FULL:
            (smtp, filling), (smtps, other) = full_port(), full_port()
            unattended = (smtp, smtps, filling, other, *closed)
            return cls(*names, listener(), smtp, smtps, imap, listener(), unattended)
        listens = port in (Port.SERVED, Port.UNATTENDED)
        submission = partial(listener, mail_address) if listens else closed_port
        smtp, smtps = submission(), submission()
        unserved = closed if port is Port.SERVED else (smtp, smtps, *closed)
        return cls(*names, listener(), smtp, smtps, imap, listener(), unserved)


class _Servers:
    """The servers on an event loop of their own, in a thread of their own."""

    def __init__(
        self,
        sockets: _Sockets,
        world: World,
        names: tuple[NameServer, NameServer],
        identity: IdentityProvider,
        *,
        smtp_context: ssl.SSLContext,
        http_context: ssl.SSLContext,
        imap_context: ssl.SSLContext,
        pop_context: ssl.SSLContext,
    ) -> None:
        self._sockets = sockets
        self._open: set[Connection] = set()
        self._datagrams = (
            (sockets.datagrams, partial(Datagrams, names[0])),
            (sockets.second_datagrams, partial(Datagrams, names[1])),
        )
        smtp = partial(SmtpConnection, self._open, world, smtp_context)
        self._listening = (
            (sockets.dns, partial(DnsConnection, self._open, names[0]), None),
            (sockets.second_dns, partial(DnsConnection, self._open, names[1]), None),
            (sockets.http, partial(HttpConnection, self._open, identity.answer), http_context),
            (sockets.smtp, partial(smtp, implicit=False), None),
            (sockets.smtps, partial(smtp, implicit=True), None),
            (sockets.imap, partial(MailboxConnection, self._open, ImapSession, world), imap_context),
            (sockets.pop, partial(MailboxConnection, self._open, PopSession, world), pop_context),
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
        datagrams = [
            (await self._loop.create_datagram_endpoint(factory, sock=bound))[0]
            for bound, factory in self._datagrams
        ]
        servers = [
            await self._loop.create_server(factory, sock=listening, ssl=context)
            for listening, factory, context in self._listening
            if listening not in self._sockets.unattended
        ]
        await self._asked_to_stop.wait()
        for server in servers:
            server.close()
        for connection in tuple(self._open):
            connection.transport.abort()
        for transport in datagrams:
            transport.close()
        for unattended in self._sockets.unattended:
            unattended.close()
        # The transports close their sockets in the loop's next round.
        await asyncio.sleep(0)
