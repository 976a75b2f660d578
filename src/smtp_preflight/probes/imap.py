"""IMAP (RFC 9051, RFC 3501), as far as finding one message takes it; nothing in a mailbox is ever changed.

Folders are opened by EXAMINE and read by PEEK, so that no message is marked as read.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from smtp_preflight.model import MailboxTrouble
from smtp_preflight.probes.talk import CHALLENGES_AT_MOST, BearerExchange, Lost, Talk

MESSAGE_BYTES = 48 * 1024  # of each that is fetched
MOST_MESSAGES = 5
JUNK = re.compile(
    rb'"?(?:INBOX[./])?(?:\[Gmail\]/)?(?:Junk(?: E-?mail)?|Spam|Bulk(?: Mail)?)"?', re.IGNORECASE
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}$")
_LISTED = re.compile(rb'\* LIST \(([^)]*)\) (?:"(?:\\.|[^"\\])*"|NIL) (.+)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Untagged:
    """One piece of an answer: its text, and the literals that stood in it (RFC 9051 section 4.3)."""

    text: bytes
    literals: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """How a command ended: OK, NO, BAD, or ``+`` where the server wants more."""

    status: str
    words: bytes
    untagged: tuple[Untagged, ...] = ()


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder by its name as the server writes it, quotes and all."""

    name: str
    in_inbox: bool


INBOX = Folder("INBOX", in_inbox=True)


class Imap:
    """One IMAP session. Every method raises ``Lost`` where the server does not answer as it should."""

    starttls_port = 143

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.capabilities: tuple[str, ...] = ()
        self._number = 0
        self._leaving = False

    async def greet(self) -> None:
        """Hear the greeting (RFC 9051 section 7.1.1) and what the server can do."""
        line = await self.talk.line()
        self.talk.note("S", line)
        if line[:5].upper() == b"* BYE":
            raise Lost(MailboxTrouble.HUNG_UP, self.talk.shown(line[2:]))
        if line[:4].upper() != b"* OK":
            raise Lost(MailboxTrouble.NOT_SPOKEN, self.talk.shown(line[:200]))
        await self.ask_capabilities()

    async def ask_capabilities(self) -> None:
        """What the server can do; asked again under TLS (RFC 9051 section 6.2.1)."""
        done = await self._command("CAPABILITY")
        told = (
            one.text.split()[2:] for one in done.untagged if one.text.upper().startswith(b"* CAPABILITY ")
        )
        self.capabilities = tuple(word.decode("ascii", "replace").upper() for words in told for word in words)

    async def ask_for_tls(self) -> None:
        """Ask to begin TLS; then nothing is said before the handshake."""
        if "STARTTLS" not in self.capabilities:
            raise Lost(MailboxTrouble.NOT_OFFERED, "STARTTLS")
        self._must_be_ok(await self._command("STARTTLS"), MailboxTrouble.NOT_OFFERED)

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered."""
        return tuple(one.removeprefix("AUTH=") for one in self.capabilities if one.startswith("AUTH="))

    def takes_initial_response(self, mechanism: str, size: int) -> bool:
        """Whether the response may go with the command (RFC 4959)."""
        return "SASL-IR" in self.capabilities

    async def authenticate(self, exchange: BearerExchange) -> str:
        """Hand the token over, and return the server's last words; raises Lost where it is refused."""
        command, shown = exchange.command("AUTHENTICATE")
        done = await self._command(command, shown=shown)
        for _ in range(CHALLENGES_AT_MOST):
            if done.status == "+":
                text, shown = exchange.answer(done.words.strip())
                await self.talk.say(text, shown=shown)
                done = await self._completion()
        if done.status == "+":  # cancelled (RFC 9051 section 6.2.2): who goes on asking gets nothing more
            await self.talk.say("*")
            done = await self._completion()
        return self._must_be_ok(done, MailboxTrouble.REFUSED)

    async def open(self) -> str:
        """Open INBOX, and return the server's words; raises Lost where it stays closed."""
        return self._must_be_ok(await self._examined(INBOX), MailboxTrouble.NOT_OPENED)

    async def folders(self) -> tuple[Folder, ...]:
        """INBOX, and where junk goes: by its mark (RFC 6154), else by the names it usually has."""
        done = await self._command('LIST "" "*"')
        listed = [found for one in done.untagged if (found := _LISTED.fullmatch(one.text))]
        marked = [one[2] for one in listed if b"\\junk" in one[1].lower()]
        named = [one[2] for one in listed if JUNK.fullmatch(one[2])]
        names = (name.decode("utf-8", "replace") for name in (marked or named)[:1])
        return (INBOX, *(Folder(name, in_inbox=False) for name in names))

    async def search(self, folder: Folder, marker: str, since: dt.date) -> tuple[int, ...]:
        """The messages of a folder since that day that hold the marker: the newest first, five at most."""
        if (await self._examined(folder)).status != "OK":
            return ()
        day = f"{since.day}-{MONTHS[since.month - 1]}-{since.year}"
        where = f'OR OR HEADER X-SMTP-Preflight "{marker}" SUBJECT "{marker}" TEXT "{marker}"'
        done = await self._command(f"UID SEARCH SINCE {day} {where}")
        self._must_be_ok(done, MailboxTrouble.NOT_SPOKEN)
        told = (one.text.split()[2:] for one in done.untagged if one.text.upper().startswith(b"* SEARCH"))
        numbers = sorted((int(word) for words in told for word in words if word.isdigit()), reverse=True)
        return tuple(numbers[:MOST_MESSAGES])

    async def fetch(self, number: int) -> bytes:
        """The beginning of a message of the folder that is open: header and body, 48 KiB at most."""
        done = await self._command(f"UID FETCH {number} (BODY.PEEK[]<0.{MESSAGE_BYTES}>)")
        return next((literal for one in done.untagged for literal in one.literals), b"")

    async def leave(self) -> None:
        """Say goodbye (RFC 9051 section 6.1.3)."""
        self._leaving = True
        await self._command("LOGOUT")

    async def _examined(self, folder: Folder) -> Completion:
        return await self._command(f"EXAMINE {folder.name}")

    def _must_be_ok(self, done: Completion, trouble: MailboxTrouble) -> str:
        words = f"{done.status} {self.talk.shown(done.words)}".strip()
        if done.status != "OK":
            raise Lost(trouble, words)
        return words

    async def _command(self, text: str, *, shown: str = "") -> Completion:
        self._number += 1
        await self.talk.say(f"{self._tag} {text}", shown=f"{self._tag} {shown or text}")
        return await self._completion()

    @property
    def _tag(self) -> str:
        return f"a{self._number}"

    async def _completion(self) -> Completion:
        """Everything up to the tagged answer, or to a question of the server's."""
        untagged: list[Untagged] = []
        while True:
            piece = await self._piece()
            first, _, rest = piece.text.partition(b" ")
            if first == b"*":
                if rest[:3].upper() == b"BYE" and not self._leaving:
                    raise Lost(MailboxTrouble.HUNG_UP, self.talk.shown(rest))
                untagged.append(piece)
            elif first == b"+":
                return Completion("+", rest, tuple(untagged))
            elif first == self._tag.encode():
                status, _, words = rest.partition(b" ")
                return Completion(self.talk.shown(status).upper(), words, tuple(untagged))
            else:
                raise Lost(MailboxTrouble.NOT_SPOKEN, self.talk.shown(piece.text[:200]))

    async def _piece(self) -> Untagged:
        """One line with the literals in it; the names of folders do not enter the transcript."""
        text, literals = b"", list[bytes]()
        while True:
            line = await self.talk.line()
            text += line
            if not text.upper().startswith(b"* LIST "):
                self.talk.note("S", line)
            found = _LITERAL.search(line)
            if found is None:
                return Untagged(text, tuple(literals))
            literals.append(await self.talk.octets(int(found[1])))
