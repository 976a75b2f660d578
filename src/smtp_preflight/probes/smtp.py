"""The SMTP dialogue: one step, one question, one observation.

A ``Dialogue`` is one connection; its steps never interleave, and each has one deadline for everything in it.
What the server says is bounded, made inert and cleared of secrets where it is read; what we say is recorded
with the credentials already replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from typing import TypedDict

from smtp_preflight.model import (
    AuthExchange,
    DataExchange,
    Ehlo,
    Failure,
    Line,
    MailFrom,
    Profile,
    RcptTo,
    SmtpGreeting,
    SmtpReply,
    StartTls,
)
from smtp_preflight.probes.sasl import acknowledgement, bearer_response, decoded_challenge
from smtp_preflight.probes.stream import Stream, error_name, printable
from smtp_preflight.secrets import Secret, Wallet

REPLY_BYTES = 64 * 1024
REPLY_LINES = 200
HEAD_BYTES = 200
CHALLENGES_AT_MOST = 3
COMMAND_BYTES = 512  # RFC 5321 section 4.5.3.1.4, the line's end included
# How long bytes behind the 220 to STARTTLS are waited for; later ones break the handshake visibly.
INJECTION_GRACE_S = 0.02
HANG_UP_S = 2.0

_REPLY_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)
_REPLY_BEGINS = re.compile(rb"(?:[2-5](?:\d(?:\d(?:[ -].*|\r)?)?)?)?", re.DOTALL)
_HOST_NAME = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")  # an alert, a handshake (RFC 8446 section 5.1)
_LOOKS = (
    ("tls", re.compile(rb"[\x15\x16]\x03")),
    ("ssh", re.compile(rb"SSH-")),
    ("http", re.compile(rb"HTTP/|\s*<")),
    ("imap", re.compile(rb"\* OK")),
    ("pop3", re.compile(rb"\+OK")),
)


class Recorded(TypedDict):
    """What every step of the dialogue has to say for itself (``SmtpStep``)."""

    asked_at: dt.datetime
    took_s: float
    peer: str
    reply: SmtpReply | None
    failure: Failure | None
    detail: str
    lines: tuple[Line, ...]


class _Lost(Exception):
    """A step that cannot go on: how it ended, and what was seen of it."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(failure)
        self.failure = failure
        self.detail = detail


# --- the connection ----------------------------------------------------------------------------------------


class Dialogue:
    """One SMTP connection, in the clear or protected.

    verified: TLS stands, verified for the configured name; no credential is sent before that.
    ehlo: the last answer to EHLO, forgotten when TLS begins (RFC 3207 section 4.2).
    over: how the dialogue ended; from then on nothing is said, for no reply could be told from a late one.
    """

    def __init__(self, stream: Stream, profile: Profile, wallet: Wallet) -> None:
        self.stream = stream
        self.profile = profile
        self.wallet = wallet
        self.verified = False
        self.greeted = False
        self.in_transaction = False
        self.ehlo: Ehlo | None = None
        self.over: Failure | None = None
        self._unread = bytearray()
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def step(self, limit_s: float) -> AsyncIterator[Step]:
        """One step of the dialogue, within one deadline; how it failed is recorded in it and not raised."""
        async with self._turn:
            step = Step(self, self._unread)
            try:
                async with asyncio.timeout(limit_s):
                    yield step
            except (OSError, EOFError, _Lost) as problem:
                step.end(_as_lost(problem))
            except asyncio.CancelledError:
                self.over = Failure.CLOSED
                raise
            finally:
                step.took_s = time.monotonic() - step.begun_s

    def shown(self, text: str | bytes) -> str:
        """Foreign text as it may be kept: secrets replaced, made inert."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "backslashreplace")
        return printable(self.wallet.redact(text))

    def begin_protected(self) -> None:
        """TLS stands: what was learned in the clear is forgotten (RFC 3207 section 4.2)."""
        self.over = None
        self.ehlo = None
        self._unread.clear()

    async def take_injected(self) -> bytes:
        """Everything that came in the clear and was not asked for, now or within a moment."""
        found = bytes(self._unread) + self.stream.waiting()
        self._unread.clear()
        if not found:
            await asyncio.sleep(INJECTION_GRACE_S)
            found = self.stream.waiting()
        return found


class Step:
    """One step while it goes on: says, hears, and keeps the transcript."""

    def __init__(self, dialogue: Dialogue, unread: bytearray) -> None:
        self.asked_at = dt.datetime.now(dt.UTC)
        self.begun_s = time.monotonic()
        self.took_s = 0.0
        self.reply: SmtpReply | None = None
        self.failure: Failure | None = None
        self.detail = ""
        self.head = b""  # the first bytes heard, up to 200
        self.heard = b""  # the text of the last reply as it came, for decoding; never kept
        self._dialogue = dialogue
        self._unread = unread
        self._lines: list[Line] = []

    async def ask(self, command: str, *, shown: str = "") -> SmtpReply:
        """Send one command line and hear the reply; ``shown`` stands for it in the transcript."""
        await self.say(command, shown=shown)
        return await self.hear()

    async def say(self, command: str, *, shown: str = "") -> None:
        """Send one line; a control character in it would make it two, so it is not sent at all."""
        if re.search(r"[\x00-\x1f\x7f]", command):
            raise _Lost(Failure.NOT_SENT, "control character in the command")
        await self.send(command.encode() + b"\r\n", shown or command)

    async def send(self, data: bytes, shown: str) -> None:
        """Send bytes as they are; a server that left may have said why, so that shows when reading."""
        self._stay()
        self.note("C", shown)
        with contextlib.suppress(ConnectionError):
            await self._dialogue.stream.write(data)

    async def hear(self) -> SmtpReply:
        """One whole reply (RFC 5321 section 4.2.1), at most 64 KiB and 200 lines of it.

        Where it is longer, what was heard stays behind as ``self.reply``, marked as cut.
        """
        code, texts, room = 0, list[str](), REPLY_BYTES
        self.heard = b""
        while len(texts) < REPLY_LINES and room > 0:
            line, whole = await self._line(room)
            found = _REPLY_LINE.fullmatch(line)
            if found is None or (texts and int(found[1]) != code):
                raise _Lost(Failure.NOT_SMTP, self._dialogue.shown(line[:HEAD_BYTES]))
            code = int(found[1])
            texts.append(self._dialogue.shown(found[3] or b""))
            self.heard += found[3] or b""
            if not whole:
                break
            if found[2] != b"-":
                return SmtpReply(code, tuple(texts))
            room -= len(line) + len(b"\r\n")
        self.reply = SmtpReply(code, tuple(texts), cut=True)
        raise _Lost(Failure.TOO_LONG, f"more than {REPLY_BYTES} bytes or {REPLY_LINES} lines")

    def note(self, who: str, text: str | bytes) -> None:
        """Add a line to the transcript: C, S or -."""
        at_s = time.monotonic() - self._dialogue.stream.opened_s
        self._lines.append(Line(round(at_s, 4), who, self._dialogue.shown(text)))

    def end(self, lost: _Lost) -> None:
        """Record how the step failed, and what of a reply had come by then."""
        rest = bytes(self._unread[:HEAD_BYTES])
        self.failure = lost.failure
        self.detail = lost.detail or self._dialogue.shown(rest)
        if lost.failure is not Failure.NOT_SENT:
            if rest and not _REPLY_BEGINS.fullmatch(rest) and lost.failure is not Failure.TOO_LONG:
                self.failure = Failure.NOT_SMTP
            self._dialogue.over = self.failure
        self.note("-", f"{self.failure}: {self.detail}" if self.detail else self.failure)

    def recorded(self) -> Recorded:
        """The step as every observation of the dialogue holds it."""
        return Recorded(
            asked_at=self.asked_at,
            took_s=self.took_s,
            peer=self._dialogue.stream.peer,
            reply=self.reply,
            failure=self.failure,
            detail=self.detail,
            lines=tuple(self._lines),
        )

    def _stay(self) -> None:
        if self._dialogue.over is not None:
            raise _Lost(self._dialogue.over, "the dialogue had ended before")

    async def _line(self, room: int) -> tuple[bytes, bool]:
        """The next line without its end and whether it is whole; of a longer one the first ``room`` bytes."""
        searched = 0
        while (end := self._unread.find(b"\n", searched, room)) < 0 and len(self._unread) < room:
            searched = len(self._unread)
            await self._more()
        whole = end >= 0
        line = bytes(self._unread[: end if whole else room])
        del self._unread[: len(line) + whole]
        line = line.removesuffix(b"\r")
        self.note("S", line)
        return line, whole

    async def _more(self) -> None:
        self._stay()
        data = await self._dialogue.stream.read()
        if not data:
            raise EOFError
        self.head = (self.head + data)[:HEAD_BYTES]
        self._unread += data
        if self._unread.startswith(_TLS_RECORDS):  # such a record has no line's end to wait for
            raise _Lost(Failure.NOT_SMTP)


def _as_lost(problem: OSError | EOFError | _Lost) -> _Lost:
    """What an exception of socket or TLS means for the dialogue."""
    if isinstance(problem, _Lost):
        return problem
    if isinstance(problem, EOFError):
        return _Lost(Failure.CLOSED)
    if isinstance(problem, TimeoutError):
        return _Lost(Failure.TIMEOUT)
    return _Lost(Failure.TLS if isinstance(problem, ssl.SSLError) else Failure.RESET, error_name(problem))


# --- up to TLS, and again after it -------------------------------------------------------------------------


async def probe_greeting(dialogue: Dialogue) -> SmtpGreeting:
    """Read the server's greeting, within ``greeting_s``.

    Records what the first bytes are where they are no SMTP reply. A server that waits for the client to speak
    first, as one does that expects TLS, shows as a timeout.
    Source: RFC 5321 section 4.3.1.
    """
    async with dialogue.step(dialogue.profile.limits.greeting_s) as step:
        step.reply = await step.hear()
        dialogue.greeted = True
    strange = step.head if step.failure is Failure.NOT_SMTP else b""
    return SmtpGreeting(
        **step.recorded(), first_bytes=dialogue.shown(strange)[:HEAD_BYTES], looks_like=_look_of(strange)
    )


async def probe_ehlo(dialogue: Dialogue, *, encrypted: bool) -> Ehlo:
    """Say EHLO and hear the capabilities, within ``reply_s``; a refusal is recorded, HELO is no way out.

    Source: RFC 5321 section 4.1.1.1.
    """
    name = _own_name(dialogue)
    async with dialogue.step(dialogue.profile.limits.reply_s) as step:
        step.reply = await step.ask(f"EHLO {name}")
    dialogue.ehlo = Ehlo(**step.recorded(), name_sent=name, encrypted=encrypted)
    return dialogue.ehlo


async def probe_starttls(dialogue: Dialogue) -> StartTls:
    """Ask to begin TLS, and see whether anything follows the 220 in the clear.

    After a 220 nothing more is said before the handshake.
    Source: RFC 3207 section 4; injection: CVE-2011-0411 and the NO STARTTLS family.
    """
    injected = b""
    async with dialogue.step(dialogue.profile.limits.reply_s) as step:
        step.reply = await step.ask("STARTTLS")
        if step.reply.code == 220:
            dialogue.over = Failure.TLS
            injected = await dialogue.take_injected()
            if injected:
                step.note("S", injected[:HEAD_BYTES])
    return StartTls(**step.recorded(), injected=dialogue.shown(injected[:HEAD_BYTES]))


def _look_of(head: bytes) -> str:
    return next((look for look, pattern in _LOOKS if pattern.match(head)), "")


def _own_name(dialogue: Dialogue) -> str:
    """How we introduce ourselves: as the profile says, by full host name, or by address (RFC 5321 4.1.3)."""
    if dialogue.profile.smtp.ehlo_name:
        return dialogue.profile.smtp.ehlo_name
    host = socket.gethostname()
    if _HOST_NAME.fullmatch(host):
        return host
    address = ipaddress.ip_address(dialogue.stream.local_address.partition("%")[0])
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


# --- AUTH --------------------------------------------------------------------------------------------------


async def probe_auth(dialogue: Dialogue, *, user: str, token: Secret, mechanism: str) -> AuthExchange:
    """Authenticate with a bearer token, within ``reply_s`` for the whole exchange.

    mechanism: XOAUTH2, or OAUTHBEARER (RFC 7628). The response goes with the command where the line stays
    within 512 octets, else it waits for the server's 334 (RFC 4954 section 4).
    A 334 that says why is decoded, and answered so that the final reply comes.
    Nothing is sent without verified TLS, or where a character would break the message's form: NOT_SENT.
    """
    mechanism = mechanism.upper()
    smtp = dialogue.profile.smtp
    response = bearer_response(mechanism, user, token, host=smtp.host, port=smtp.port)
    fits = len(f"AUTH {mechanism} {response.reveal()}\r\n") <= COMMAND_BYTES
    talk = _Auth(dialogue, mechanism, response, "initial_response" if fits else "two_steps")
    async with dialogue.step(dialogue.profile.limits.reply_s) as step:
        _refuse_unsafe(dialogue, user, token)
        # Before they leave: a server may echo them, whole or cut.
        dialogue.wallet.put("access_token", token)
        dialogue.wallet.put("sasl_response", response)
        step.reply = await talk.through(step)
    return AuthExchange(
        **step.recorded(),
        mechanism=mechanism,
        user=user,
        shape=talk.shape,
        response_bytes=len(response.reveal()),
        challenge=talk.challenge,
        challenge_text=talk.challenge_text,
    )


class _Auth:
    """One exchange: the response goes out once, or once more where the server did not take it with AUTH."""

    def __init__(self, dialogue: Dialogue, mechanism: str, response: Secret, shape: str) -> None:
        self.shape = shape
        self.challenge: Mapping[str, str] = {}
        self.challenge_text = ""
        self._dialogue = dialogue
        self._mechanism = mechanism
        self._response = response
        self._responded = False

    async def through(self, step: Step) -> SmtpReply:
        """AUTH, and an answer to every challenge until the final reply."""
        reply = await self._begin(step)
        for _ in range(CHALLENGES_AT_MOST):
            if reply.code != 334:
                return reply
            reply = await self._answer(step, step.heard.strip())
        # Cancelled by "*" (RFC 4954 section 4): a server that goes on asking gets nowhere.
        return await step.ask("*") if reply.code == 334 else reply

    async def _begin(self, step: Step) -> SmtpReply:
        command = f"AUTH {self._mechanism}"
        if self.shape == "two_steps":
            return await step.ask(command)
        return await step.ask(f"{command} {self._response.reveal()}", shown=f"{command} {self._size}")

    async def _answer(self, step: Step, challenge: bytes) -> SmtpReply:
        if challenge:
            clean = self._dialogue.wallet.redact
            self.challenge, self.challenge_text = decoded_challenge(challenge, clean)
        if not self._responded and (not challenge or self.shape == "two_steps"):
            self._responded = True
            return await step.ask(self._response.reveal(), shown=self._size)
        return await step.ask(acknowledgement(self._mechanism))

    @property
    def _size(self) -> str:
        return f"<{len(self._response.reveal())} bytes>"


def _refuse_unsafe(dialogue: Dialogue, user: str, token: Secret) -> None:
    if not dialogue.verified:
        raise _Lost(Failure.NOT_SENT, "TLS is not verified")
    for what, value in (("user", user), ("token", token.reveal())):
        if re.search(r"[\x00-\x1f\x7f]", value):
            raise _Lost(Failure.NOT_SENT, f"control character in the {what}")


# --- the envelope and the message --------------------------------------------------------------------------


async def probe_mail_from(dialogue: Dialogue, sender: str) -> MailFrom:
    """Name the sender, within ``reply_s``.

    With SMTPUTF8 where it is offered and an address of the envelope needs it (RFC 6531 section 3.4).
    """
    international = not all(address.isascii() for address in (sender, *dialogue.profile.recipients))
    parameter = " SMTPUTF8" if international and _takes_utf8(dialogue) else ""
    async with dialogue.step(dialogue.profile.limits.reply_s) as step:
        _refuse_address(dialogue, sender)
        step.reply = await step.ask(f"MAIL FROM:<{sender}>{parameter}")
        dialogue.in_transaction = step.reply.positive
    return MailFrom(**step.recorded(), sender=sender)


async def probe_rcpt_to(dialogue: Dialogue, recipient: str) -> RcptTo:
    """Name one recipient, within ``reply_s``."""
    async with dialogue.step(dialogue.profile.limits.reply_s) as step:
        _refuse_address(dialogue, recipient)
        step.reply = await step.ask(f"RCPT TO:<{recipient}>")
    return RcptTo(**step.recorded(), recipient=recipient)


async def probe_data(dialogue: Dialogue, message: bytes, *, message_id: str, marker: str) -> DataExchange:
    """Send the message, within ``data_s`` for everything from DATA to the final reply.

    message: with CRLF line ends; dots are stuffed here (RFC 5321 section 4.5.2).
    Records whether any of it left: after that, no reply means that nobody knows whether it was accepted.
    """
    go_ahead: SmtpReply | None = None
    body_sent = False
    async with dialogue.step(dialogue.profile.limits.data_s) as step:
        answer = await step.ask("DATA")
        if answer.code == 354:
            go_ahead, body_sent = answer, True
            await step.send(_stuffed(message), f"<{len(message)} bytes>")
            step.note("C", ".")
            answer = await step.hear()
            dialogue.in_transaction = False
        elif answer.positive:  # a success that was not asked for must not look like a message accepted
            raise _Lost(Failure.NOT_SMTP, str(answer))
        step.reply = answer
    return DataExchange(
        **step.recorded(),
        message_id=message_id,
        marker=marker,
        size_bytes=len(message),
        go_ahead=go_ahead,
        body_sent=body_sent,
    )


def build_message(profile: Profile, *, sent_at: dt.datetime, token: str) -> tuple[bytes, str, str]:
    """The one test message (RFC 5322): its bytes, its Message-ID, and the marker that finds it again.

    token: unique to the run, letters and digits; it is the marker.
    """
    ascii_only = all(address.isascii() for address in (profile.sender, *profile.recipients))
    # 7bit: MAIL FROM promises no 8BITMIME (RFC 6152), and a profile's name may hold anything.
    message = EmailMessage(policy=(SMTP if ascii_only else SMTPUTF8).clone(cte_type="7bit"))
    message_id = f"<{token}.smtp-preflight@{profile.sender.rpartition('@')[2]}>"
    message["From"] = profile.sender
    message["To"] = ", ".join(profile.recipients)
    message["Subject"] = f"smtp-preflight test message {token}"
    message["Date"] = sent_at
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: nothing automatic answers it
    message["X-SMTP-Preflight"] = token
    message.set_content(_BODY.format(profile=printable(profile.name), sent_at=sent_at, token=token))
    return message.as_bytes(), message_id, token


_BODY = """\
This is a test message. smtp-preflight sent it to see whether mail leaves
through SMTP with OAuth2. Nobody needs to answer it; it can be deleted.

Profile: {profile}
Sent:    {sent_at:%Y-%m-%d %H:%M:%S %Z}
Marker:  {token}
"""


def _stuffed(message: bytes) -> bytes:
    """The message as DATA carries it: leading dots doubled, and the lone dot behind it."""
    whole = message if message.endswith(b"\r\n") else message + b"\r\n"
    return re.sub(rb"^\.", b"..", whole, flags=re.MULTILINE) + b".\r\n"


def _takes_utf8(dialogue: Dialogue) -> bool:
    return dialogue.ehlo is not None and dialogue.ehlo.offers("SMTPUTF8")


def _refuse_address(dialogue: Dialogue, address: str) -> None:
    if re.search(r"[\x00-\x1f\x7f<>]", address):
        raise _Lost(Failure.NOT_SENT, "character in the address that no path has")
    if not address.isascii() and not _takes_utf8(dialogue):
        raise _Lost(Failure.NOT_SENT, "SMTPUTF8 is not offered")


# --- the end -----------------------------------------------------------------------------------------------


async def hang_up(dialogue: Dialogue) -> None:
    """Say QUIT where a dialogue is going on, within two seconds, and close; never raises for the network."""
    try:
        async with asyncio.timeout(HANG_UP_S):
            if dialogue.greeted and dialogue.over is None:
                await _say_goodbye(dialogue)
    except TimeoutError:
        pass  # another step holds the dialogue: there is nothing polite left to do
    finally:
        dialogue.stream.close()


async def _say_goodbye(dialogue: Dialogue) -> None:
    async with dialogue.step(HANG_UP_S) as step:
        for command in ("RSET", "QUIT") if dialogue.in_transaction else ("QUIT",):
            await step.ask(command)
