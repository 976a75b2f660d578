"""POP3 (RFC 1939, RFC 5034), as far as seeing that a mailbox opens takes it; no message is touched."""

from __future__ import annotations

from smtp_preflight.model import MailboxTrouble
from smtp_preflight.probes.talk import CHALLENGES_AT_MOST, BearerExchange, Lost, Talk

COMMAND_BYTES = 255  # RFC 2449 section 4, the line's end included


class Pop:
    """One POP3 session. Every method raises ``Lost`` where the server does not answer as it should."""

    starttls_port = 110

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.capabilities: tuple[str, ...] = ()

    async def greet(self) -> None:
        """Hear the greeting and what the server can do."""
        status, words = await self._reply()
        if status == "+":
            raise Lost(MailboxTrouble.NOT_SPOKEN, words)
        if status != "+OK":
            raise Lost(MailboxTrouble.HUNG_UP, f"{status} {words}")
        await self.ask_capabilities()

    async def ask_capabilities(self) -> None:
        """What the server can do (RFC 2449 section 5); one that does not know the question names nothing."""
        await self.talk.say("CAPA")
        status, _ = await self._reply()
        found: list[str] = []
        while status == "+OK" and (line := await self._line()) != b".":
            found.append(line.decode("ascii", "replace").upper())
        self.capabilities = tuple(found)

    async def ask_for_tls(self) -> None:
        """Ask to begin TLS (RFC 2595 section 4); then nothing is said before the handshake."""
        if "STLS" not in self.capabilities:
            raise Lost(MailboxTrouble.NOT_OFFERED, "STLS")
        await self.talk.say("STLS")
        await self._ok(MailboxTrouble.NOT_OFFERED)

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered."""
        return tuple(word for one in self.capabilities if one.startswith("SASL ") for word in one.split()[1:])

    def takes_initial_response(self, mechanism: str, size: int) -> bool:
        """Whether the response fits into the command's line (RFC 5034 section 4), as no real token does.

        So Exchange, which takes two steps and nothing else, is served by the rule.
        """
        return len(f"AUTH {mechanism} \r\n") + size <= COMMAND_BYTES

    async def authenticate(self, exchange: BearerExchange) -> str:
        """Hand the token over, and return the server's last words; raises Lost where it is refused."""
        command, shown = exchange.command("AUTH")
        await self.talk.say(command, shown=shown)
        status, words = await self._reply()
        for _ in range(CHALLENGES_AT_MOST):
            if status == "+":
                text, shown = exchange.answer(words.encode())
                await self.talk.say(text, shown=shown)
                status, words = await self._reply()
        if status == "+":  # cancelled (RFC 5034 section 4): who goes on asking gets nothing more
            await self.talk.say("*")
            status, words = await self._reply()
        return self._accepted(status, words, MailboxTrouble.REFUSED)

    async def open(self) -> str:
        """See that the mailbox is there (RFC 1939 section 5), and return the server's words."""
        await self.talk.say("STAT")
        return await self._ok(MailboxTrouble.NOT_OPENED)

    async def leave(self) -> None:
        """Say goodbye; nothing was marked to be deleted (RFC 1939 section 6)."""
        await self.talk.say("QUIT")
        await self._reply()

    async def _ok(self, trouble: MailboxTrouble) -> str:
        return self._accepted(*await self._reply(), trouble)

    @staticmethod
    def _accepted(status: str, words: str, trouble: MailboxTrouble) -> str:
        told = f"{status} {words}".strip()
        if status != "+OK":
            raise Lost(trouble, told)
        return told

    async def _reply(self) -> tuple[str, str]:
        """The status of one reply, ``+OK``, ``-ERR`` or ``+``, and its words."""
        line = await self._line()
        status, _, words = line.partition(b" ")
        if status.upper() not in (b"+OK", b"-ERR", b"+"):
            raise Lost(MailboxTrouble.NOT_SPOKEN, self.talk.shown(line[:200]))
        return status.decode("ascii").upper(), self.talk.shown(words.strip())

    async def _line(self) -> bytes:
        line = await self.talk.line()
        self.talk.note("S", line)
        return line
