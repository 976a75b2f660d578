"""The lab's mail server: a submission service (RFC 6409) with STARTTLS and bearer tokens.

``Session`` is one dialogue as a state machine without sockets, bytes in and bytes out; ``SmtpConnection``
carries it over TCP and TLS. Whatever expects the next line stands in ``Session._expecting``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime as dt
import email.utils
import json
import re
import secrets
import ssl
import uuid
from collections.abc import Callable, Generator, Mapping
from email.parser import BytesHeaderParser
from typing import ClassVar, cast

from smtp_preflight.lab.sockets import Connection
from smtp_preflight.lab.world import World

MOST_LINE_BYTES = 64 * 1024
MOST_AUTH_BYTES = 12_288
"""The longest line of an AUTH exchange (RFC 4954 section 4)."""

HANDSHAKE_S = 10

Exchange = Generator[str, bytes, str]
"""A SASL exchange: yields what it asks, is sent the client's answers, returns the last reply."""

_MAIL = re.compile(r"FROM:\s*<([^<>]*)>(.*)", re.IGNORECASE)
_RCPT = re.compile(r"TO:\s*<([^<>]+)>.*", re.IGNORECASE)
_BDAT = re.compile(r"(\d{1,12})(\s+LAST)?", re.IGNORECASE)
_SIZE = re.compile(r"\sSIZE=(\d{1,20})", re.IGNORECASE)
_MECHANISM_NAME = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 section 3.1
_XOAUTH2 = re.compile(rb"user=([^\x01]*)\x01auth=Bearer ([^\x01]+)\x01\x01")
_OAUTHBEARER = re.compile(rb"n,(?:a=([^,\x01]*))?,\x01(?:[A-Za-z]+=[^\x01]*\x01)*\x01")
_BEARER = re.compile(rb"\x01auth=Bearer ([^\x01]+)\x01", re.IGNORECASE)


class Session:
    """One SMTP dialogue."""

    def __init__(self, world: World, *, encrypted: bool, peer: str) -> None:
        self._world = world
        self._wording = world.wording
        self._encrypted = encrypted
        self._peer = peer
        self._front = f"LB{secrets.randbelow(10)}PR01CA{secrets.randbelow(10_000):04}"
        self._id = secrets.token_hex(8).upper()
        self._buffer = bytearray()
        self._expecting: Callable[[bytes], str] = self._command
        self._exchange: Exchange
        self._greeted = False
        self._user = ""
        self._sender: str | None = None
        self._refused_sender = ""
        self._message_id = ""
        self._recipients: list[str] = []
        self._message = bytearray()
        self._chunk_left = 0
        self._chunk_is_last = False
        self.wants_tls = False
        self.closed = False

    # --- bytes in, bytes out --------------------------------------------------------------------------------

    def greet(self) -> bytes:
        """The first thing said."""
        return self._say(self._wording.greeting)

    def feed(self, data: bytes) -> bytes:
        """Take what the client sent and return what is to be answered.

        Stops where ``wants_tls`` or ``closed`` has become true: what follows is no longer for this state.
        """
        self._buffer += data
        replies = b""
        while not (self.wants_tls or self.closed) and (piece := self._next_piece()):
            reply = self._expecting(piece)
            replies += self._say(reply) if reply else b""
        return replies

    def secured(self) -> None:
        """TLS stands: whatever the client said before is forgotten (RFC 3207 section 4.2)."""
        self.wants_tls = False
        self._encrypted = True
        self._greeted = False
        self._buffer.clear()

    def _next_piece(self) -> bytes:
        """The next line with its end, or what there is of a chunk; nothing as long as bytes are missing."""
        end = self._chunk_left or self._buffer.find(b"\n") + 1
        if not end and len(self._buffer) > MOST_LINE_BYTES:
            self._expecting, end = self._hang_up, len(self._buffer)
        piece = bytes(self._buffer[:end])
        del self._buffer[:end]
        return piece

    def _hang_up(self, _line: bytes) -> str:
        self.closed = True
        return self._wording.line_too_long

    def _say(self, template: str) -> bytes:
        now = dt.datetime.now(dt.UTC)
        text = template.format(
            server=self._wording.server.format(front=self._front),
            front=self._front,
            stamp=f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z",
            date=email.utils.format_datetime(now),
            unix=int(now.timestamp()),
            id=self._id,
            peer=self._peer,
            user=self._user,
            sender=self._refused_sender,
            message_id=self._message_id,
        )
        return text.replace("\n", "\r\n").encode("ascii", "backslashreplace") + b"\r\n"

    # --- commands -------------------------------------------------------------------------------------------

    def _command(self, line: bytes) -> str:
        text = line.decode("utf-8", "backslashreplace").strip()
        verb, _, argument = text.partition(" ")
        verb, argument = verb.upper(), argument.strip()
        handler = self._COMMANDS.get(verb)
        self._world.note("smtp", _without_credentials(verb, argument) if handler else f"<{len(text)} bytes>")
        return handler(self, argument) if handler else self._wording.unknown

    def _hello(self, argument: str) -> str:
        if not argument:
            return self._wording.bad_arguments
        self._greeted = True
        self._forget_transaction()
        return f"250 {self._wording.hello}"

    def _extended_hello(self, argument: str) -> str:
        reply = self._hello(argument)
        if not self._greeted:
            return reply
        extensions = (self._security() if one == "STARTTLS" else one for one in self._wording.extensions)
        lines = [self._wording.hello, f"SIZE {self._wording.size_bytes}", *filter(None, extensions)]
        return "\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    def _security(self) -> str:
        """What EHLO offers against eavesdroppers, or, where they are shut out, against strangers."""
        if self._encrypted:
            return f"AUTH {' '.join(self._mechanisms())}"
        return "STARTTLS" if self._world.conditions.connection.starttls_offered else ""

    def _mechanisms(self) -> tuple[str, ...]:
        offered = self._wording.mechanisms
        if self._world.conditions.connection.bearer_offered:
            return offered
        return tuple(one for one in offered if one not in ("XOAUTH2", "OAUTHBEARER"))

    def _starttls(self, argument: str) -> str:
        if argument:
            return self._wording.bad_arguments
        if self._encrypted:
            return self._wording.starttls_again
        if not self._world.conditions.connection.starttls_offered:
            return self._wording.unknown
        if self._buffer:
            self._buffer.clear()
            return self._wording.starttls_pipelined
        self.wants_tls = True
        return self._wording.starttls_ready

    def _mail(self, argument: str) -> str:
        if not self._greeted:
            return self._wording.hello_first
        if not self._user:
            return self._wording.auth_needed
        if self._sender is not None:
            return self._wording.bad_sequence
        if not (found := _MAIL.fullmatch(argument)):
            return self._wording.bad_arguments
        if (size := _SIZE.search(found[2])) and int(size[1]) > self._wording.size_bytes:
            return self._wording.too_big
        self._sender = found[1].lower()
        return self._wording.mail_ok

    def _rcpt(self, argument: str) -> str:
        if self._sender is None:
            return self._wording.bad_sequence
        if not (found := _RCPT.fullmatch(argument)):
            return self._wording.bad_arguments
        self._recipients.append(found[1])
        return self._wording.rcpt_ok

    def _data(self, _argument: str) -> str:
        if not self._recipients:
            return self._wording.bad_sequence
        self._message.clear()
        self._expecting = self._message_line
        return self._wording.data_ok

    def _bdat(self, argument: str) -> str:
        """A chunk of the message follows without dots or lines (RFC 3030 section 2)."""
        found = _BDAT.fullmatch(argument)
        if "CHUNKING" not in self._wording.extensions:
            return self._wording.unknown
        if not found:
            return self._wording.bad_arguments
        self._chunk_left, self._chunk_is_last = int(found[1]), bool(found[2])
        self._expecting = self._chunk
        return "" if self._chunk_left else self._chunk(b"")

    def _chunk(self, data: bytes) -> str:
        self._chunk_left -= len(data)
        self._keep(data)
        if self._chunk_left:
            return ""
        self._expecting = self._command
        if not self._recipients:
            self._forget_transaction()
            return self._wording.bad_sequence
        return self._take_message() if self._chunk_is_last else self._wording.chunk_ok

    def _keep(self, data: bytes) -> None:
        """Add to the message, as long as it is not too big anyway."""
        if len(self._message) <= self._wording.size_bytes:
            self._message += data

    def _message_line(self, line: bytes) -> str:
        """Gather the message; a dot alone ends it, before others it is stuffing (RFC 5321 section 4.5.2)."""
        if line == b".\r\n":
            self._expecting = self._command
            return self._take_message()
        self._keep(line.removeprefix(b"."))
        return ""

    def _take_message(self) -> str:
        message, sender = bytes(self._message), self._sender or ""
        self._forget_transaction()
        if len(message) > self._wording.size_bytes:
            return self._wording.too_big
        headers = BytesHeaderParser().parsebytes(message)
        author = email.utils.parseaddr(str(headers.get("From", "")))[1].lower()
        self._message_id = str(
            headers.get("Message-ID") or f"<{uuid.uuid4()}@{self._front}.lab.example>"
        ).strip()
        self._refused_sender = self._not_allowed(sender, author)
        if self._refused_sender:
            return self._wording.send_as_denied
        self._world.messages.append(message)
        return self._wording.accepted

    def _not_allowed(self, *senders: str) -> str:
        """The first of the addresses that the mailbox may not send as, where the provider minds."""
        if not self._wording.send_as_denied:
            return ""
        allowed = (
            self._world.account.senders if self._world.conditions.mail.send_as_granted else frozenset[str]()
        )
        return next((one for one in senders if one not in allowed), "")

    def _reset(self, _argument: str) -> str:
        self._forget_transaction()
        return self._wording.reset

    def _noop(self, _argument: str) -> str:
        return self._wording.noop

    def _quit(self, _argument: str) -> str:
        self.closed = True
        return self._wording.bye

    def _forget_transaction(self) -> None:
        self._sender = None
        self._recipients = []
        self._message = bytearray()

    # --- AUTH (RFC 4954) ------------------------------------------------------------------------------------

    def _auth(self, argument: str) -> str:
        if not self._greeted:
            return self._wording.hello_first
        if self._user:
            return self._wording.auth_again
        name, _, initial = argument.partition(" ")
        begin = self._MECHANISMS.get(name.upper())
        if begin is None or name.upper() not in self._mechanisms() or not self._encrypted:
            return self._wording.auth_unknown
        self._exchange = begin(self)
        self._expecting = self._auth_answer
        question = next(self._exchange)
        return self._answered(initial) if initial else question

    def _auth_answer(self, line: bytes) -> str:
        if len(line) > MOST_AUTH_BYTES:
            self._expecting = self._command
            return self._wording.auth_too_long
        answer = line.decode("ascii", "backslashreplace").strip()
        self._world.note("smtp", f"(AUTH) <{len(answer)} bytes>")
        return self._answered(answer)

    def _answered(self, answer: str) -> str:
        """Hand an answer, base64 or ``=`` or ``*``, to the exchange; back to commands where that ends it."""
        self._expecting = self._command
        if answer == "*":
            return self._wording.auth_cancelled
        try:
            decoded = b"" if answer == "=" else base64.b64decode(answer, validate=True)
            question = self._exchange.send(decoded)
        except binascii.Error:
            return self._wording.auth_undecodable
        except StopIteration as end:
            return str(end.value)
        self._expecting = self._auth_answer
        return question

    def _xoauth2(self) -> Exchange:
        answer = yield "334 "
        found = _XOAUTH2.fullmatch(answer)
        user, token = (found[1].decode(errors="replace"), found[2]) if found else ("", b"")
        return (yield from self._judge(user, token, "400"))

    def _oauthbearer(self) -> Exchange:
        answer = yield "334 "
        found, bearer = _OAUTHBEARER.fullmatch(answer), _BEARER.search(answer)
        user = (
            (found[1] or b"").decode(errors="replace").replace("=2C", ",").replace("=3D", "=")
            if found
            else ""
        )
        token = bearer[1] if found and bearer else b""
        return (yield from self._judge(user, token, "invalid_token"))

    def _judge(self, user: str, token: bytes, status: str) -> Exchange:
        if not self._world.admits(token.decode("ascii", "replace"), user):
            if self._wording.auth_challenges:
                yield self._challenge(status)
            return self._wording.auth_failed
        if self._world.conditions.mail.auth_refusal:
            return self._world.conditions.mail.auth_refusal
        self._user = user
        return self._wording.auth_ok

    def _challenge(self, status: str) -> str:
        """The refusal as JSON, which the client has to answer (RFC 7628 section 3.2.2)."""
        scope = self._wording.auth_scope or " ".join(self._world.account.scope)
        told = {"status": status, "schemes": "Bearer", "scope": scope}
        return f"334 {base64.b64encode(json.dumps(told, separators=(',', ':')).encode()).decode()}"

    def _login(self) -> Exchange:
        """Ask for both halves, and take none."""
        yield "334 VXNlcm5hbWU6"
        yield "334 UGFzc3dvcmQ6"
        return self._wording.basic_refused

    def _plain(self) -> Exchange:
        yield "334 "
        return self._wording.basic_refused

    _MECHANISMS: ClassVar[Mapping[str, Callable[[Session], Exchange]]] = {
        "XOAUTH2": _xoauth2,
        "OAUTHBEARER": _oauthbearer,
        "LOGIN": _login,
        "PLAIN": _plain,
    }
    _COMMANDS: ClassVar[Mapping[str, Callable[[Session, str], str]]] = {
        "HELO": _hello,
        "EHLO": _extended_hello,
        "STARTTLS": _starttls,
        "AUTH": _auth,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "BDAT": _bdat,
        "RSET": _reset,
        "NOOP": _noop,
        "QUIT": _quit,
    }


def _without_credentials(verb: str, argument: str) -> str:
    """The command as the log may hold it."""
    if verb != "AUTH":
        return f"{verb} {argument}".rstrip()
    mechanism, _, initial = argument.partition(" ")
    if not _MECHANISM_NAME.fullmatch(mechanism):
        return f"AUTH <{len(argument)} bytes>"
    return f"AUTH {mechanism} <{len(initial)} bytes>" if initial else f"AUTH {mechanism}"


class SmtpConnection(Connection):
    """A session over TCP: STARTTLS where the session says so, TLS from the start on the other port."""

    def __init__(
        self, open_connections: set[Connection], world: World, context: ssl.SSLContext, *, implicit: bool
    ) -> None:
        super().__init__(open_connections)
        self._world = world
        self._context = context
        self._implicit = implicit
        self._session: Session
        self._early = bytearray()
        self._upgrade: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        super().connection_made(transport)
        self._world.note("smtp", "(connected)")
        self._session = Session(self._world, encrypted=self._implicit, peer=self.peer)
        self.transport.write(self._session.greet())

    def data_received(self, data: bytes) -> None:
        """Pass on what came and what is answered."""
        if self._session.wants_tls:
            # The client's first protected words may come with the end of its handshake, before we know of it.
            self._early += data
            return
        self.transport.write(self._session.feed(data))
        if self._session.closed:
            self.transport.close()
        elif self._session.wants_tls:
            # Whatever is read between here and the handshake would end up in the session.
            self.transport.pause_reading()
            self._upgrade = asyncio.get_running_loop().create_task(self._start_tls())

    async def _start_tls(self) -> None:
        plain = self.transport
        try:
            secured = await asyncio.get_running_loop().start_tls(
                plain, self, self._context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError:  # ssl.SSLError is one: the client does not like the certificate, or has gone
            plain.abort()
            self.connection_lost(None)
            return
        self.transport = cast(asyncio.Transport, secured)
        self._session.secured()
        if self._early:
            self.data_received(bytes(self._early))
