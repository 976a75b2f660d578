"""The lab's mailboxes: what becomes of an accepted message, and what whoever logs in to read finds.

``imap`` and ``pop`` are the servers in front of them; what both have in common stands here, too.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import email.utils
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

from smtp_preflight.lab.conditions import DRIP, HANG_UP, SILENCE, MailboxConditions
from smtp_preflight.lab.sockets import Connection

if TYPE_CHECKING:
    from smtp_preflight.lab.world import World

MOST_LINE_BYTES = 64 * 1024
DRIP_S = 0.05  # between two bytes of a server that never comes to an end

READING: Mapping[str, frozenset[str]] = {
    "imap": frozenset({"IMAP.AccessAsUser.All", "IMAP.AccessAsApp", "https://mail.google.com/"}),
    "pop": frozenset({"POP.AccessAsUser.All", "POP.AccessAsApp", "https://mail.google.com/"}),
}
"""The permissions that open a mailbox."""

FOLDERS: Mapping[str, str] = {"INBOX": "", "Junk Email": "\\Junk", "Sent Items": "\\Sent"}
"""The folders of every mailbox, and what marks them (RFC 6154)."""

Exchange = Generator[str, bytes, bool]
"""A SASL exchange: yields what it asks in base64, is sent the client's answers, returns whether it admits."""

_XOAUTH2 = re.compile(rb"user=([^\x01]*)\x01auth=Bearer ([^\x01]+)\x01\x01")
_OAUTHBEARER = re.compile(rb"n,a=([^,\x01]*),\x01.*\x01?auth=Bearer ([^\x01]+)\x01\x01", re.DOTALL)


# --- what lies there ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in a folder."""

    number: int
    folder: str
    content: bytes
    there_from_s: float  # on the clock of ``time.monotonic``


class Mailboxes:
    """Every mailbox of a lab, by its address."""

    def __init__(self, conditions: MailboxConditions) -> None:
        self._conditions = conditions
        self._letters: dict[str, list[Letter]] = {}

    def deliver(self, message: bytes, sender: str, recipients: Iterable[str]) -> None:
        """Put an accepted message where it belongs, or a report that it could not be delivered."""
        if self._conditions.bounce:
            for recipient in recipients:
                self._put(sender, "INBOX", _bounce(message, recipient, self._conditions.bounce))
        elif self._conditions.delivers:
            folder = "Junk Email" if self._conditions.to_junk else "INBOX"
            for recipient in recipients:
                self._put(recipient, folder, self._as_received(message, sender))

    def letters(self, mailbox: str, folder: str) -> tuple[Letter, ...]:
        """What lies in a folder by now."""
        now_s = time.monotonic()
        every = self._letters.get(mailbox.lower(), ())
        return tuple(one for one in every if one.folder == folder and one.there_from_s <= now_s)

    def _put(self, mailbox: str, folder: str, content: bytes) -> None:
        letters = self._letters.setdefault(mailbox.lower(), [])
        there_from_s = time.monotonic() + self._conditions.late_s
        letters.append(Letter(len(letters) + 1, folder, content, there_from_s))

    def _as_received(self, message: bytes, sender: str) -> bytes:
        """With the lines of the last server before it (RFC 5321 section 4.4, RFC 8601)."""
        domain = sender.rpartition("@")[2]
        results = {"spf": "pass", "dkim": "pass", "dmarc": "pass", **self._conditions.results}
        received = (
            f"Received: from smtp.lab.example (127.0.0.1) by mx.lab.example; {email.utils.formatdate()}\r\n"
            f"Authentication-Results: mx.lab.example; spf={results['spf']} (sender IP is 127.0.0.1)\r\n"
            f" smtp.mailfrom={domain}; dkim={results['dkim']} header.d={domain};\r\n"
            f" dmarc={results['dmarc']} action=none header.from={domain}\r\n"
        )
        if self._conditions.author:
            author = f"From: {self._conditions.author}".encode()
            message = re.sub(rb"(?im)^From:[^\r]*", lambda _: author, message, count=1)
        return received.encode() + message


def _bounce(message: bytes, recipient: str, words: str) -> bytes:
    """A report of failed delivery (RFC 3464), the headers of the message with it."""
    headers = BytesHeaderParser().parsebytes(message)
    status = re.search(r"\b[45]\.\d{1,3}\.\d{1,3}\b", words)
    report = (
        "From: postmaster@lab.example\r\n"
        f"Subject: Undeliverable: {headers.get('Subject', '')}\r\n"
        f"In-Reply-To: {headers.get('Message-ID', '')}\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="bounce"\r\n\r\n'
        "--bounce\r\nContent-Type: text/plain\r\n\r\n"
        f"Your message could not be delivered to {recipient}.\r\n"
        "--bounce\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.lab.example\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\n"
        f"Status: {status[0] if status else '5.0.0'}\r\nDiagnostic-Code: smtp; {words}\r\n\r\n"
        "--bounce\r\nContent-Type: text/rfc822-headers\r\n\r\n"
    )
    return report.encode() + message.partition(b"\r\n\r\n")[0] + b"\r\n\r\n--bounce--\r\n"


# --- who may read ------------------------------------------------------------------------------------------


def may_read(world: World, protocol: str, token: str, user: str) -> bool:
    """Whether the bearer of this token may read the mailbox of this user, by the rules of the mail server."""
    facts, account = world.mint.read(token), world.account
    if facts is None:
        return False
    audiences = {one.rstrip("/") for one in world.audiences or account.audiences}
    # Where the provider is nobody in particular, one permission is as good as another.
    permissions = READING[protocol] if world.permissions else {*READING[protocol], *account.permissions}
    return (
        facts.audience.rstrip("/") in audiences
        and bool(facts.permissions & permissions)
        and user.lower() in (account.mailbox, account.reader)
        and facts.user.lower() in ("", user.lower())
    )


# --- what both servers do ----------------------------------------------------------------------------------


class Session(ABC):
    """One dialogue as a state machine without sockets: bytes in, bytes out.

    fate: SILENCE, HANG_UP or DRIP, once the conditions have the server do that instead of answering.
    """

    protocol: str

    def __init__(self, world: World) -> None:
        self.world = world
        self.conditions = world.conditions.mailbox
        self.user = ""
        self.closed = False
        self.fate = ""
        self._buffer = bytearray()
        self._exchange: Exchange | None = None

    @abstractmethod
    def greeting(self) -> str:
        """The first thing said."""

    @abstractmethod
    def command(self, line: str) -> str:
        """What is answered to a command; lines separated by a line break."""

    @abstractmethod
    def question(self, text: str) -> str:
        """How the server asks on in a SASL exchange."""

    @abstractmethod
    def authenticated(self, admitted: bool) -> str:
        """The last reply of a SASL exchange; ``user`` is who has asked."""

    def greet(self) -> bytes:
        """The first thing said, as bytes."""
        return self._said(self._instead("GREETING") or self.greeting())

    def feed(self, data: bytes) -> bytes:
        """Take what the client sent, and return what is to be answered."""
        self._buffer += data
        replies = b""
        while not self.closed and not self.fate and (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).decode("utf-8", "backslashreplace").strip()
            del self._buffer[: end + 1]
            replies += self._said(self._answered(line) if self._exchange else self._commanded(line))
        self.closed = self.closed or len(self._buffer) > MOST_LINE_BYTES
        return replies

    def begin(self, mechanism: str, initial: str) -> str:
        """Begin a SASL exchange, with the client's response where it came at once."""
        self._exchange = self._judge(mechanism.upper())
        question = next(self._exchange)
        return self._answered(initial) if initial else self.question(question)

    def _commanded(self, line: str) -> str:
        self.world.note(self.protocol, _without_credentials(line))
        words = {word.upper() for word in line.split()[:3]}
        instead = next((self._instead(one) for one in self.conditions.instead if one in words), "")
        return instead or self.command(line)

    def _instead(self, step: str) -> str:
        """What the conditions have the server do at this step."""
        told = self.conditions.instead.get(step, "")
        if told in (SILENCE, HANG_UP, DRIP):
            self.fate, self.closed = told, told == HANG_UP
        return told

    def _answered(self, answer: str) -> str:
        assert self._exchange is not None
        try:
            return self.question(self._exchange.send(base64.b64decode(answer, validate=True)))
        except binascii.Error:
            self._exchange = None
            return self.authenticated(admitted=False)
        except StopIteration as end:
            self._exchange = None
            return self.authenticated(admitted=bool(end.value))

    def _judge(self, mechanism: str) -> Exchange:
        pattern = _XOAUTH2 if mechanism == "XOAUTH2" else _OAUTHBEARER
        found = pattern.fullmatch((yield ""))
        user, token = (found[1].decode(), found[2].decode()) if found else ("", "")
        refused = self.conditions.imap_token_refused and self.protocol == "imap"
        if refused or not may_read(self.world, self.protocol, token, user):
            if self.world.wording.auth_challenges:
                wording = self.world.wording
                told = {
                    "status": wording.auth_status or "400",
                    "schemes": "Bearer",
                    "scope": wording.auth_scope,
                }
                yield base64.b64encode(json.dumps(told).encode()).decode()
            return False
        self.user = user
        return True

    def _said(self, reply: str) -> bytes:
        return b"" if self.fate or not reply else reply.replace("\n", "\r\n").encode() + b"\r\n"


def _without_credentials(line: str) -> str:
    """The command as the log may hold it: what comes with a mechanism is left out."""
    return re.sub(r"(?i)(AUTH(?:ENTICATE)? [A-Z0-9_-]{1,20}) \S+", r"\1 <credentials>", line)


class MailboxConnection(Connection):
    """A session over TLS."""

    def __init__(self, open_connections: set[Connection], session: type[Session], world: World) -> None:
        super().__init__(open_connections)
        self._session = session(world)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        super().connection_made(transport)
        self._say(self._session.greet())

    def data_received(self, data: bytes) -> None:
        """Pass on what came and what is answered."""
        self._say(self._session.feed(data))

    def _say(self, reply: bytes) -> None:
        self.transport.write(reply)
        if self._session.closed:
            self.transport.close()
        elif self._session.fate == DRIP:
            self._drip()

    def _drip(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"*")
            asyncio.get_running_loop().call_later(DRIP_S, self._drip)
