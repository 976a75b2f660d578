"""One connection to a server that is spoken to in lines, as IMAP and POP are: bounded, with a transcript.

Why not imaplib and poplib: they block, bound neither time nor bytes, keep no transcript from which
credentials are gone, and read on behind STARTTLS what somebody put there in the clear. What is asked of a
mailbox here takes half a dozen commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping

from smtp_preflight.model import Line, MailboxTrouble
from smtp_preflight.oauth.trust import verifying_context
from smtp_preflight.probes.sasl import acknowledgement, decoded_challenge
from smtp_preflight.probes.stream import Stream, error_name, printable
from smtp_preflight.secrets import Secret, Wallet

ANSWER_BYTES = 256 * 1024  # of everything that answers one command
ANSWER_LINES = 2000
LINES_KEPT = 400  # of the transcript
CHALLENGES_AT_MOST = 3


class Lost(Exception):
    """It cannot go on: how far it came, and the server's words or the system's."""

    def __init__(self, trouble: MailboxTrouble, words: str = "") -> None:
        super().__init__(trouble)
        self.trouble = trouble
        self.words = words


@contextlib.asynccontextmanager
async def within(limit_s: float) -> AsyncIterator[None]:
    """What stands in it has one deadline; however the network ends it, that is raised as ``Lost``."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise Lost(MailboxTrouble.NO_ANSWER, f"nothing more within {limit_s:g} s") from None
    except EOFError:
        raise Lost(MailboxTrouble.HUNG_UP) from None
    except OSError as problem:
        raise Lost(MailboxTrouble.HUNG_UP, error_name(problem)) from None


class Talk:
    """The connection, in the clear until ``secure`` has succeeded; one caller at a time.

    verified: TLS stands, verified for the host; no credential is said before that.
    lines: the transcript, credentials replaced, the contents of a mailbox left out.
    """

    def __init__(self, stream: Stream, wallet: Wallet) -> None:
        self.stream = stream
        self.wallet = wallet
        self.verified = False
        self.lines: list[Line] = []
        self._unread = bytearray()
        self._room = ANSWER_BYTES
        self._lines_left = ANSWER_LINES

    async def say(self, text: str, *, shown: str = "") -> None:
        """Send one line, ``shown`` standing for it in the transcript; its answer has its bounds from here."""
        if re.search(r"[\x00-\x1f\x7f]", text):  # it would make two lines of it
            raise Lost(MailboxTrouble.NOT_SENT, "control character in the command")
        self._room, self._lines_left = ANSWER_BYTES, ANSWER_LINES
        self.note("C", shown or text)
        with contextlib.suppress(ConnectionError):  # a server that left may have said why: reading shows it
            await self.stream.write(text.encode() + b"\r\n")

    async def line(self) -> bytes:
        """The next line, without its end; whoever asks for it enters it into the transcript."""
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            if searched > self._room:
                raise Lost(MailboxTrouble.TOO_LONG, f"more than {ANSWER_BYTES} bytes")
            await self._more()
        found = self._taken(end + 1).removesuffix(b"\n").removesuffix(b"\r")
        self._lines_left -= 1
        if self._lines_left < 0:
            raise Lost(MailboxTrouble.TOO_LONG, f"more than {ANSWER_LINES} lines")
        return found

    async def octets(self, count: int) -> bytes:
        """So many bytes, whatever they are."""
        if count > self._room:
            raise Lost(MailboxTrouble.TOO_LONG, f"{count} bytes at once")
        while len(self._unread) < count:
            await self._more()
        self.note("S", f"<{count} bytes>")
        return self._taken(count)

    async def secure(self, ca_file: str, host: str) -> None:
        """Shake hands, verified for this host; nothing may have come before it.

        Raises Lost with what kept it: no authority to trust, no handshake, a certificate not accepted.
        """
        if self._unread or self.stream.waiting():
            raise Lost(MailboxTrouble.NOT_SPOKEN, "bytes in the clear before the handshake")
        try:
            await self.stream.start_tls(verifying_context(ca_file), host)
        except ssl.SSLCertVerificationError as problem:
            raise Lost(MailboxTrouble.TLS, printable(problem.verify_message)) from None
        except TimeoutError:
            raise
        except (OSError, EOFError) as problem:
            words = error_name(problem) if isinstance(problem, OSError) else str(problem)
            raise Lost(MailboxTrouble.TLS, words) from None
        self.verified = True
        self.note("-", f"TLS established: {self.stream.tls.version() if self.stream.tls else ''}")

    def shown(self, text: str | bytes) -> str:
        """Foreign text as it may be kept: secrets replaced, made inert."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "backslashreplace")
        return printable(self.wallet.redact(text))

    def note(self, who: str, text: str | bytes) -> None:
        """Add a line to the transcript: C, S or -."""
        if len(self.lines) < LINES_KEPT:
            at_s = time.monotonic() - self.stream.opened_s
            self.lines.append(Line(round(at_s, 4), who, self.shown(text)))

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._unread[:count])
        del self._unread[:count]
        self._room -= count
        return taken

    async def _more(self) -> None:
        data = await self.stream.read()
        if not data:
            raise EOFError
        self._unread += data


class BearerExchange:
    """A bearer token handed over: it goes out once, and a refusal that is explained is acknowledged."""

    def __init__(self, mechanism: str, response: Secret, wallet: Wallet, *, two_steps: bool) -> None:
        self.mechanism = mechanism
        self.response = response
        self.shape = "two_steps" if two_steps else "initial_response"
        self.challenge: Mapping[str, str] = {}
        self.challenge_text = ""
        self._wallet = wallet
        self._responded = False
        wallet.put("mailbox_response", response)  # before it leaves: a server may echo it, whole or cut

    @property
    def size(self) -> str:
        """What stands for the response in the transcript."""
        return f"<{len(self.response.reveal())} bytes>"

    def command(self, name: str) -> tuple[str, str]:
        """The command that begins it, and how it is shown."""
        begin = f"{name} {self.mechanism}"
        if self.shape == "two_steps":
            return begin, begin
        return f"{begin} {self.response.reveal()}", f"{begin} {self.size}"

    def answer(self, challenge: bytes) -> tuple[str, str]:
        """What is said to a challenge, and how it is shown."""
        if challenge:
            self.challenge, self.challenge_text = decoded_challenge(challenge, self._wallet.redact)
        if not self._responded and (not challenge or self.shape == "two_steps"):
            self._responded = True
            return self.response.reveal(), self.size
        return acknowledgement(self.mechanism), ""
