"""Reading mailboxes with a bearer token: can one be opened, and is the message in it?"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email
import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

import dns.asyncresolver

from smtp_preflight.model import (
    Arrival,
    Bounce,
    DataExchange,
    FoundMessage,
    Limits,
    Line,
    MailboxAccess,
    MailboxLogin,
    MailboxProtocol,
    MailboxTrouble,
    Profile,
    short,
)
from smtp_preflight.probes.dns import probe_addresses
from smtp_preflight.probes.imap import Folder, Imap
from smtp_preflight.probes.pop import Pop
from smtp_preflight.probes.sasl import MECHANISMS, bearer_response
from smtp_preflight.probes.stream import Stream, error_name
from smtp_preflight.probes.talk import BearerExchange, Lost, Talk, within
from smtp_preflight.secrets import Secret, Wallet

MOST_ADDRESSES = 4
GOODBYE_S = 1.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0  # between two looks
LOOKS_BETWEEN = 20  # as many as fit into the time allowed, pauses permitting

SERVERS: Mapping[MailboxProtocol, type[Imap] | type[Pop]] = {
    MailboxProtocol.IMAP: Imap,
    MailboxProtocol.POP: Pop,
}


# --- the login ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Attempt:
    """One login as far as it came."""

    server: Imap | Pop | None = None
    exchange: BearerExchange | None = None
    peer: str = ""
    reply: str = ""
    trouble: MailboxTrouble | None = None

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(self.server.talk.lines) if self.server else ()


async def probe_mailbox_login(
    profile: Profile,
    wallet: Wallet,
    resolver: dns.asyncresolver.Resolver,
    protocol: MailboxProtocol,
    *,
    user: str = "",
    place: MailboxAccess | None = None,
) -> tuple[MailboxLogin, Imap | Pop | None]:
    """Log in to the profile's mailbox and open it, with the wallet's access token.

    user: the mailbox to open, where it is another one than the profile's.
    place: another host and port than the profile's.
    TLS comes first but on the ports of STARTTLS, 143 and 110, and is verified for the host before any
    credential is said. Limits: ``tcp_s``, ``tls_s``, ``greeting_s`` for greeting and capabilities, and
    ``reply_s`` for the login and for opening; an answer at most 256 KiB and 2000 lines.
    Returns what came of it, and the session where it stands, for the caller to leave.
    Never raises for what the network does: see ``MailboxLogin.trouble``.
    """
    user = user or profile.mailbox
    at = place or (profile.imap if protocol is MailboxProtocol.IMAP else profile.pop)
    asked_at, begun_s, attempt = dt.datetime.now(dt.UTC), time.monotonic(), _Attempt()
    try:
        await _log_in(attempt, profile, wallet, resolver, protocol, at, user)
    except Lost as lost:
        attempt.trouble, attempt.reply = lost.trouble, lost.words
    except asyncio.CancelledError:
        close(attempt.server)
        raise
    exchange = attempt.exchange
    login = MailboxLogin(
        asked_at=asked_at,
        took_s=time.monotonic() - begun_s,
        peer=attempt.peer,
        protocol=protocol,
        host=at.host,
        port=at.port,
        user=user,
        mechanism=exchange.mechanism if exchange else "",
        shape=exchange.shape if exchange else "",
        capabilities=attempt.server.capabilities if attempt.server else (),
        trouble=attempt.trouble,
        reply=short(attempt.reply),
        challenge=exchange.challenge if exchange else {},
        challenge_text=exchange.challenge_text if exchange else "",
        lines=attempt.lines,
    )
    if attempt.trouble is not None:
        await leave(attempt.server)
        return login, None
    return login, attempt.server


async def _log_in(
    attempt: _Attempt,
    profile: Profile,
    wallet: Wallet,
    resolver: dns.asyncresolver.Resolver,
    protocol: MailboxProtocol,
    at: MailboxAccess,
    user: str,
) -> None:
    token = wallet.get("access_token")
    assert token is not None, "whoever asks makes sure that one was granted"
    limits = profile.limits
    stream = await _connected(profile, resolver, at)
    attempt.peer = stream.peer
    server = attempt.server = SERVERS[protocol](Talk(stream, wallet))
    await _greeted(server, profile, at)
    exchange = attempt.exchange = _exchange(server, profile.smtp.mechanism.upper(), user, token, at)
    async with within(limits.reply_s):
        attempt.reply = await server.authenticate(exchange)
    async with within(limits.reply_s):
        await server.open()


async def _connected(profile: Profile, resolver: dns.asyncresolver.Resolver, at: MailboxAccess) -> Stream:
    """The first of the host's addresses that answers, each given its part of ``tcp_s``."""
    found = await probe_addresses(profile, resolver, at.host, at.port)
    if not found.addresses:
        raise Lost(MailboxTrouble.UNRESOLVED, found.error)
    addresses, words = found.addresses[:MOST_ADDRESSES], ""
    for address in addresses:
        try:
            async with asyncio.timeout(profile.limits.tcp_s / len(addresses)):
                return await Stream.connect(address, at.port)
        except TimeoutError:
            words = "ETIMEDOUT"
        except OSError as problem:
            words = error_name(problem)
    raise Lost(MailboxTrouble.UNREACHABLE, words)


async def _greeted(server: Imap | Pop, profile: Profile, at: MailboxAccess) -> None:
    """TLS stands, and the server has said what it can do."""
    limits, talk = profile.limits, server.talk
    starttls = at.port == server.starttls_port
    if not starttls:
        await _secured(talk, profile, at)
    async with within(limits.greeting_s):
        await server.greet()
    if starttls:
        async with within(limits.reply_s):
            await server.ask_for_tls()
        await _secured(talk, profile, at)
        async with within(limits.reply_s):
            await server.ask_capabilities()


async def _secured(talk: Talk, profile: Profile, at: MailboxAccess) -> None:
    try:
        async with asyncio.timeout(profile.limits.tls_s):
            await talk.secure(profile.ca_file, at.host)
    except TimeoutError:
        raise Lost(MailboxTrouble.TLS, f"no handshake within {profile.limits.tls_s:g} s") from None


def _exchange(server: Imap | Pop, wanted: str, user: str, token: Secret, at: MailboxAccess) -> BearerExchange:
    """The exchange that is to be had here, made ready; raises Lost where there is none, or not safely."""
    assert server.talk.verified, "no credential is said before TLS is verified"
    usable = (one for one in MECHANISMS if one in server.mechanisms and wanted in ("", one))
    if not (mechanism := next(usable, "")):
        raise Lost(MailboxTrouble.NOT_OFFERED, " ".join(server.mechanisms) or "no mechanism")
    for what, value in (("user", user), ("token", token.reveal())):
        if any(ord(char) < 32 or ord(char) == 127 for char in value):
            raise Lost(MailboxTrouble.NOT_SENT, f"control character in the {what}")
    response = bearer_response(mechanism, user, token, host=at.host, port=at.port)
    at_once = server.takes_initial_response(mechanism, len(response.reveal()))
    return BearerExchange(mechanism, response, server.talk.wallet, two_steps=not at_once)


async def leave(server: Imap | Pop | None) -> None:
    """Say goodbye, within a second, and close; never raises for the network."""
    if server is None:
        return
    try:
        with contextlib.suppress(Lost):
            async with within(GOODBYE_S):
                if server.talk.verified:
                    await server.leave()
    finally:
        close(server)


def close(server: Imap | Pop | None) -> None:
    """Close the connection without another word."""
    if server is not None:
        server.talk.stream.close()


# --- the message -------------------------------------------------------------------------------------------


class Fate:
    """What several watches of one message share: the one that learns of it lets the others go home."""

    def __init__(self, sent: DataExchange, within_s: float) -> None:
        self.sent = sent
        self.within_s = within_s
        self.known = asyncio.Event()

    def since_accepted_s(self) -> float:
        """Seconds since the server accepted the message."""
        return (dt.datetime.now(dt.UTC) - self.sent.observed_at).total_seconds()


async def probe_arrival(imap: Imap, fate: Fate, limits: Limits, mailbox: str) -> Arrival:
    """Look for the message, or for a bounce of it, in INBOX and in the folder for junk.

    imap: a session whose mailbox is open. mailbox: its address.
    One look at least, and more with pauses of five seconds at most, until ``within_s`` have gone by since the
    message was accepted; each look has its own ``reply_s``.
    Records of the message what is judged and nothing else; of a bounce its status and the words in it.
    Never raises for what the network does: see ``Arrival.trouble``.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    watch = _Watch(imap, fate, limits)
    await watch.keep()
    return Arrival(
        asked_at=asked_at,
        took_s=time.monotonic() - begun_s,
        peer=imap.talk.stream.peer,
        mailbox=mailbox,
        message=watch.message,
        bounce=watch.bounce,
        missing_after_s=round(watch.missing_after_s, 3),
        looks=watch.looks,
        trouble=watch.trouble,
        reply=short(watch.reply),
        lines=tuple(imap.talk.lines),
    )


class _Watch:
    """Looking into one mailbox until there is something to tell, or the time is over."""

    def __init__(self, imap: Imap, fate: Fate, limits: Limits) -> None:
        self.message: FoundMessage | None = None
        self.bounce: Bounce | None = None
        self.missing_after_s = 0.0
        self.looks = 0
        self.trouble: MailboxTrouble | None = None
        self.reply = ""
        self._imap = imap
        self._fate = fate
        self._first = 0  # the lines of the transcript up to the end of the first look
        self._limits = limits
        self._pause_s = min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, fate.within_s / LOOKS_BETWEEN))

    async def keep(self) -> None:
        """Look, pause, look again."""
        self._imap.talk.lines.clear()  # the login has its own transcript
        try:
            async with within(self._limits.reply_s):
                folders = await self._imap.folders()
            while not await self._look(folders) and await self._worth_waiting():
                pass
        except Lost as lost:
            self.trouble, self.reply = lost.trouble, lost.words

    async def _look(self, folders: tuple[Folder, ...]) -> bool:
        """Whether there is something to tell; of the transcript only the first look and the last are kept."""
        looked_s = self._fate.since_accepted_s()
        if self.looks == 1:
            self._first = len(self._imap.talk.lines)
        elif self.looks > 1:
            del self._imap.talk.lines[self._first :]
        self.looks += 1
        async with within(self._limits.reply_s):
            for folder in folders:
                await self._look_into(folder)
        if self.message or self.bounce:
            self._fate.known.set()
            return True
        self.missing_after_s = looked_s
        return False

    async def _look_into(self, folder: Folder) -> None:
        since = (self._fate.sent.asked_at - dt.timedelta(days=1)).date()  # servers have days of their own
        for number in await self._imap.search(folder, self._fate.sent.marker, since):
            read = email.message_from_bytes(await self._imap.fetch(number))
            if str(read.get("X-SMTP-Preflight", "")).strip() == self._fate.sent.marker:
                self.message = self.message or self._found(read, folder)
            elif _is_bounce(read):
                self.bounce = self.bounce or self._bounced(read)

    async def _worth_waiting(self) -> bool:
        """Wait for the next look; whether there is to be one."""
        left_s = self._fate.within_s - self._fate.since_accepted_s()
        if left_s <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._pause_s, left_s)):
                await self._fate.known.wait()
        return not self._fate.known.is_set()

    def _found(self, read: Message, folder: Folder) -> FoundMessage:
        results = str(read.get("Authentication-Results", ""))
        return FoundMessage(
            folder=short(self._imap.talk.shown(folder.name.strip('"'))),
            in_inbox=folder.in_inbox,
            author=short(self._imap.talk.shown(email.utils.parseaddr(str(read.get("From", "")))[1])),
            authentication_results=short(self._imap.talk.shown(" ".join(results.split())), 1000),
        )

    def _bounced(self, read: Message) -> Bounce:
        about = _failed_recipient(read)
        return Bounce(
            status=self._told(about, "Status"),
            diagnostic=self._told(about, "Diagnostic-Code"),
            recipient=self._told(about, "Final-Recipient") or self._told(read, "X-Failed-Recipients"),
        )

    def _told(self, about: Message, name: str) -> str:
        """A field without the type before it: ``smtp; 550 5.1.1 …`` (RFC 3464 section 2.1.2)."""
        text = " ".join(str(about.get(name, "")).split())
        kind, semicolon, value = text.partition(";")
        typed = semicolon and kind.strip().isalnum()
        return short(self._imap.talk.shown(value.strip() if typed else text), 1000)


def _is_bounce(read: Message) -> bool:
    """A report of failed delivery (RFC 3464), or what Gmail marks as one."""
    return "X-Failed-Recipients" in read or bool(_failed_recipient(read))


def _failed_recipient(read: Message) -> Message:
    """What the report says of the first recipient that failed; an empty message where it says nothing."""
    reports = (one for one in read.walk() if one.get_content_type() == "message/delivery-status")
    blocks = (block for one in reports if one.is_multipart() for block in one.get_payload())
    failed = (one for one in blocks if isinstance(one, Message) and _has_failed(one))
    return next(failed, Message())


def _has_failed(block: Message) -> bool:
    return str(block.get("Action", "")).strip().lower() == "failed"
