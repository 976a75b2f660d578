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
from collections.abc import Callable, Generator, Iterator, Mapping
from email.parser import BytesHeaderParser
from itertools import chain
from typing import ClassVar

from smtp_preflight.lab.conditions import (
    EHLO,
    GREETING,
    HANDSHAKE,
    HANG_UP,
    SECURE_EHLO,
    SILENCE,
    STARTTLS,
)
from smtp_preflight.lab.sockets import Connection
from smtp_preflight.lab.tls import ServerTls
from smtp_preflight.lab.world import World

MOST_LINE_BYTES = 64 * 1024
MOST_AUTH_BYTES = 12_288
"""The longest line of an AUTH exchange (RFC 4954 section 4)."""

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
        self._recipient = ""  # the last one named
        self._recipients: list[str] = []
        self._message = bytearray()
        self._chunk_left = 0
        self._chunk_is_last = False
        self.wants_tls = False
        self.closed = False
        self.pause_s = 0.0  # before what was last answered

    # --- bytes in, bytes out --------------------------------------------------------------------------------

    def greet(self) -> bytes:
        """The first thing said."""
        connection = self._world.conditions.connection
        self.pause_s = connection.late_s.get(GREETING, 0.0)
        if connection.first_bytes:
            return self._spoken(SILENCE) or connection.first_bytes
        return self._spoken(connection.instead.get(GREETING, self._wording.greeting))

    def feed(self, data: bytes) -> bytes:
        """Take what the client sent and return what is to be answered.

        Stops where ``wants_tls`` or ``closed`` has become true: what follows is no longer for this state.
        """
        self._buffer += data
        replies = b""
        while not (self.wants_tls or self.closed) and (piece := self._next_piece()):
            replies += self._spoken(self._expecting(piece))
        return replies

    def _spoken(self, reply: str) -> bytes:
        """A reply as it goes out; nothing where there is none, or where conditions stand in its place."""
        if reply == HANG_UP:
            self.closed = True
        elif reply == SILENCE:
            self._expecting = lambda _piece: ""
        elif reply:
            return self._say(reply)
        return b""

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
            recipient=self._recipient,
            message_id=self._message_id,
        )
        return text.replace("\n", "\r\n").encode("ascii", "backslashreplace") + b"\r\n"

    # --- commands -------------------------------------------------------------------------------------------

    def _command(self, line: bytes) -> str:
        heard = line[: self._world.conditions.manner.command_bytes]
        text = heard.decode("utf-8", "backslashreplace").strip()
        verb, _, argument = text.partition(" ")
        verb, argument = verb.upper(), argument.strip()
        handler = self._COMMANDS.get(verb)
        self._world.note("smtp", _without_credentials(verb, argument) if handler else f"<{len(text)} bytes>")
        step = SECURE_EHLO if verb == EHLO and self._encrypted else verb
        connection = self._world.conditions.connection
        self.pause_s = connection.late_s.get(step, 0.0)
        if step in connection.instead:
            return connection.instead[step]
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
        extensions = [self._security() if one == STARTTLS else (one,) for one in self._wording.extensions]
        lines = [self._wording.hello, f"SIZE {self._wording.size_bytes}", *chain(*extensions)]
        if self._world.conditions.manner.lower_case:
            lines = [self._wording.hello, *(line.lower() for line in lines[1:])]
        return "\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    def _security(self) -> Iterator[str]:
        """What EHLO offers against eavesdroppers and, where they are shut out, against strangers."""
        connection = self._world.conditions.connection
        if not self._encrypted and connection.starttls_offered:
            yield connection.starttls_keyword
        if connection.auth_offered and (self._encrypted or connection.auth_in_clear):
            yield f"AUTH {' '.join(self._mechanisms())}"
            if self._world.conditions.manner.legacy_auth:
                yield f"AUTH={' '.join(self._mechanisms())}"

    def _mechanisms(self) -> tuple[str, ...]:
        offered, connection = self._wording.mechanisms, self._world.conditions.connection
        if not connection.auth_offered:
            return ()
        if connection.bearer_offered:
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
        conditions = self._world.conditions.mail
        if conditions.sender_refusal:
            self._refused_sender = found[1]
        if conditions.sender_refusal and not conditions.sender_refused_late:
            return conditions.sender_refusal
        self._sender = found[1].lower()
        return self._wording.mail_ok

    def _rcpt(self, argument: str) -> str:
        if self._sender is None:
            return self._wording.bad_sequence
        if not (found := _RCPT.fullmatch(argument)):
            return self._wording.bad_arguments
        self._recipient = found[1]
        conditions = self._world.conditions.mail
        if refusal := conditions.sender_refusal or conditions.recipient_refusal:
            return refusal
        self._recipients.append(found[1])
        return self._wording.rcpt_ok

    def _data(self, _argument: str) -> str:
        if not self._recipients:
            return self._wording.bad_sequence
        if self._world.conditions.mail.data_refusal:
            return self._world.conditions.mail.data_refusal
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
        message, sender, recipients = bytes(self._message), self._sender or "", tuple(self._recipients)
        self._forget_transaction()
        self.pause_s = self._world.conditions.mail.message_late_s
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
        if self._world.conditions.mail.message_refusal:
            return self._world.conditions.mail.message_refusal
        self._world.messages.append(message)
        self._world.mailboxes.deliver(message, sender, recipients)
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
        conditions = self._world.conditions.mail
        admitted = self._world.admits(token.decode("ascii", "replace"), user)
        if conditions.token_refused or not admitted:
            if self._wording.auth_challenges:
                yield self._challenge(status)
            return self._wording.auth_failed
        if conditions.auth_refusal:
            return conditions.auth_refusal
        self._user = user
        return self._wording.auth_ok

    def _challenge(self, status: str) -> str:
        """The refusal as JSON, which the client has to answer (RFC 7628 section 3.2.2)."""
        scope = self._wording.auth_scope or " ".join(self._world.account.scope)
        told = {"status": self._wording.auth_status or status, "schemes": "Bearer", "scope": scope}
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
        self._tls: ServerTls | None = None
        self._hands_free = True  # to go on with the handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, once the connection is protected where it has to be."""
        super().connection_made(transport)
        self._world.note("smtp", "(connected)")
        self._session = Session(self._world, encrypted=self._implicit, peer=self.peer)
        if self._implicit:
            self._tls = self._new_tls()
        else:
            self._answer(self._session.greet())

    def data_received(self, data: bytes) -> None:
        """Pass on what came and what is answered."""
        if self._tls is None:
            self._answer(self._session.feed(data))
            return
        self._tls.receive(data)
        if self._hands_free:
            self._go_on(self._tls)

    def _go_on(self, tls: ServerTls) -> None:
        """With the handshake, and then with what was said under its protection."""
        was_established = tls.established
        try:
            words = tls.read()
        except ssl.SSLError:  # the client does not like the certificate, or has none itself, or says goodbye
            self._hang_up()
            return
        self.transport.write(tls.outgoing())
        if tls.established and not was_established:
            self._secured()
        if words:
            self._answer(self._session.feed(words))

    def _secured(self) -> None:
        if self._implicit:
            self._answer(self._session.greet())
        else:
            self._session.secured()

    def _answer(self, reply: bytes) -> None:
        """Say it, now or when it is time, and do what comes with it."""
        if self._session.pause_s:
            asyncio.get_running_loop().call_later(self._session.pause_s, self._answer_now, reply)
        else:
            self._answer_now(reply)

    def _answer_now(self, reply: bytes) -> None:
        if self.transport.is_closing():
            return
        # In one piece, as whoever slips something in would see to it.
        self._say(reply + (self._world.conditions.connection.injected if self._session.wants_tls else b""))
        if self._session.closed:
            self._hang_up()
        elif self._session.wants_tls:
            self._begin_tls()

    def _say(self, reply: bytes) -> None:
        if self._tls is not None and reply:
            self._tls.write(reply)
            reply = self._tls.outgoing()
        self.transport.write(reply)

    def _begin_tls(self) -> None:
        connection = self._world.conditions.connection
        self._tls = self._new_tls()
        instead, late_s = connection.instead.get(HANDSHAKE), connection.late_s.get(HANDSHAKE, 0.0)
        self._hands_free = not instead and not late_s
        if instead == HANG_UP:
            self.transport.close()
        elif late_s:
            asyncio.get_running_loop().call_later(late_s, self._shake_hands_now, self._tls)

    def _new_tls(self) -> ServerTls:
        return ServerTls(self._context, vague=self._world.conditions.connection.alerts_vague)

    def _shake_hands_now(self, tls: ServerTls) -> None:
        self._hands_free = True
        if not self.transport.is_closing():
            self._go_on(tls)

    def _hang_up(self) -> None:
        if self._tls is not None:
            self._tls.close()
            self.transport.write(self._tls.outgoing())
        self.transport.close()
