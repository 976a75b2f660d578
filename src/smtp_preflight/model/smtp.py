"""The SMTP dialogue, step by step: greeting, EHLO, STARTTLS, AUTH, envelope, data (RFC 5321)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smtp_preflight.model.observation import Line, Observation


class Failure(StrEnum):
    """How a dialogue came to an end without the reply that was due."""

    TIMEOUT = "timeout"
    CLOSED = "closed"
    RESET = "reset"
    TOO_LONG = "too_long"  # more bytes or lines than a reply may have
    NOT_SMTP = "not_smtp"  # something else than a reply of RFC 5321 section 4.2
    TLS = "tls"  # the TLS layer broke
    NOT_SENT = "not_sent"  # it cannot be said in SMTP, or not safely; the server was not asked


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """One reply: its code, and the text of each line without the code (RFC 5321 section 4.2)."""

    code: int
    lines: tuple[str, ...] = ()
    cut: bool = False  # more came than is kept

    @property
    def text(self) -> str:
        """The lines as one."""
        return " ".join(self.lines)

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), or nothing."""
        found = re.match(r"([245]\.\d{1,3}\.\d{1,3})(?=\s|$)", self.lines[0] if self.lines else "")
        return found[1] if found else ""

    @property
    def positive(self) -> bool:
        """The server did what was asked, or asks to go on."""
        return 200 <= self.code < 400

    def __str__(self) -> str:
        *before, last = self.lines or ("",)
        return "\n".join([*(f"{self.code}-{line}" for line in before), f"{self.code} {last}"])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SmtpStep(Observation):
    """One step of the SMTP dialogue: what was said, and how it ended."""

    reply: SmtpReply | None = None
    failure: Failure | None = None
    detail: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def accepted(self) -> bool:
        """A positive reply came, whole."""
        return self.failure is None and self.reply is not None and 200 <= self.reply.code < 300


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SmtpGreeting(SmtpStep):
    """The server's first words (RFC 5321 section 4.3.1)."""

    first_bytes: str = ""  # escaped, where they are no reply
    looks_like: str = ""  # tls | ssh | http | imap | pop3, where that can be told

    @property
    def is_smtp(self) -> bool:
        """What answers is an SMTP server."""
        return self.reply is not None and self.failure is None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ehlo(SmtpStep):
    """The server's capabilities (RFC 5321 section 4.1.1.1); asked before and after TLS, for they differ."""

    name_sent: str = ""
    encrypted: bool = False

    @property
    def keywords(self) -> Mapping[str, tuple[str, ...]]:
        """Capability to its parameters, in upper case; ``AUTH=`` is read as ``AUTH`` where no ``AUTH`` is."""
        found: dict[str, tuple[str, ...]] = {}
        old: tuple[str, ...] = ()
        for line in self.reply.lines[1:] if self.accepted and self.reply else ():
            words = line.upper().split()
            if words and words[0].startswith("AUTH="):
                old = (words[0].removeprefix("AUTH="), *words[1:])
            elif words:
                found[words[0]] = (*found.get(words[0], ()), *words[1:])
        if old and "AUTH" not in found:
            found["AUTH"] = old
        return found

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered (RFC 4954 section 3)."""
        return self.keywords.get("AUTH", ())

    @property
    def bearer_mechanisms(self) -> tuple[str, ...]:
        """Those that take a bearer token, the one to prefer first."""
        return tuple(one for one in ("XOAUTH2", "OAUTHBEARER") if one in self.mechanisms)

    def bearer_for(self, wanted: str) -> str:
        """The one to use: the first offered, or the one the profile asks for; empty where it is not there."""
        return next((one for one in self.bearer_mechanisms if wanted.upper() in ("", one)), "")

    def offers(self, keyword: str) -> bool:
        """Whether the capability is listed."""
        return keyword.upper() in self.keywords


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StartTls(SmtpStep):
    """The answer to STARTTLS (RFC 3207), and whatever was sent in the clear behind it."""

    injected: str = ""  # escaped

    @property
    def may_begin(self) -> bool:
        """The server said 220 and nothing else."""
        return self.accepted and self.reply is not None and self.reply.code == 220 and not self.injected


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthExchange(SmtpStep):
    """AUTH with a bearer token: both shapes of RFC 4954 section 4, the challenge decoded and answered."""

    mechanism: str = "XOAUTH2"
    user: str = ""
    shape: str = ""  # initial_response | two_steps
    response_bytes: int = 0
    challenge: Mapping[str, str] = field(default_factory=dict)  # the 334's JSON
    challenge_text: str = ""  # where it is something else

    @property
    def accepted(self) -> bool:
        """235; a 334 is a question, and 503 is no success either."""
        return self.failure is None and self.reply is not None and self.reply.code == 235


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MailFrom(SmtpStep):
    """The answer to MAIL FROM."""

    sender: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RcptTo(SmtpStep):
    """The answer to one RCPT TO."""

    recipient: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DataExchange(SmtpStep):
    """The message and what the server said to it."""

    message_id: str = ""
    marker: str = ""
    size_bytes: int = 0
    go_ahead: SmtpReply | None = None  # the 354
    body_sent: bool = False  # whether any byte of the message left

    @property
    def queue_id(self) -> str:
        """The server's own name for the message, where its reply shows one."""
        if not self.accepted or self.reply is None:
            return ""
        found = re.search(r"(?:queued as\s+|id=|OK\s+)<?([\w.@-]{5,})", self.reply.text)
        return found[1] if found else ""
