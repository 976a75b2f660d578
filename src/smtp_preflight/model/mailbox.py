"""The mailbox: logging in to read it, and the message or the bounce that is found there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smtp_preflight.model.observation import Line, Observation
from smtp_preflight.model.tokens import Grant


class MailboxProtocol(StrEnum):
    """How a mailbox is read (RFC 9051, RFC 1939)."""

    IMAP = "imap"
    POP = "pop"


class MailboxTrouble(StrEnum):
    """How far opening a mailbox came, where it was not opened or what was asked in it got no answer."""

    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"  # nothing listens there, or no packet comes back
    TLS = "tls"  # no handshake, or a certificate that is not accepted: nothing was said
    NOT_SPOKEN = "not_spoken"  # what answers is no such server, or not in its right mind
    NOT_OFFERED = "not_offered"  # TLS by STARTTLS, or a mechanism that takes a bearer token
    REFUSED = "refused"  # the token
    NOT_OPENED = "not_opened"  # the token was accepted, the mailbox stays closed
    NO_ANSWER = "no_answer"
    HUNG_UP = "hung_up"
    TOO_LONG = "too_long"  # more bytes or lines than an answer may have
    NOT_SENT = "not_sent"  # it cannot be said in the protocol; the server was not asked


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MailboxLogin(Observation):
    """A login to read a mailbox, over IMAP or POP, with a bearer token; what is in it was not looked at."""

    protocol: MailboxProtocol
    host: str
    port: int
    user: str
    mechanism: str = ""  # XOAUTH2 | OAUTHBEARER; empty: it did not come to that
    shape: str = ""  # initial_response | two_steps
    capabilities: tuple[str, ...] = ()  # under TLS, in upper case
    trouble: MailboxTrouble | None = None
    reply: str = ""  # the server's words at the end
    challenge: Mapping[str, str] = field(default_factory=dict)  # the refusal's JSON
    challenge_text: str = ""  # where it is something else
    lines: tuple[Line, ...] = ()

    @property
    def opened(self) -> bool:
        """The mailbox can be read."""
        return self.trouble is None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReaderGrant(Observation):
    """The token request of the profile whose login reads the mailbox, by its own grant and secrets."""

    profile: str
    grant: Grant | None = None  # none where a secret could not be read
    problem: str = ""  # which one, and why

    @property
    def granted(self) -> bool:
        """A token came back."""
        return self.grant is not None and self.grant.granted


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """The message as it lies in the mailbox; of its headers what is judged, and nothing of its body."""

    folder: str
    in_inbox: bool
    author: str  # the address in From
    authentication_results: str = ""  # the topmost, as the last server wrote it (RFC 8601 section 5)

    def result_of(self, method: str) -> str:
        """What it says of spf, dkim or dmarc: pass where one of several passes; empty: nothing."""
        without_comments = re.sub(r"\([^()]*\)", " ", self.authentication_results)
        told = re.findall(rf"(?:^|;|\s){method}\s*=\s*(\w+)", without_comments, re.IGNORECASE)
        words = [one.lower() for one in told]
        return "pass" if "pass" in words else next(iter(words), "")


@dataclass(frozen=True, slots=True)
class Bounce:
    """A report that the message could not be delivered (RFC 3464)."""

    status: str = ""  # 5.1.1
    diagnostic: str = ""  # the refusing server's words
    recipient: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Arrival(Observation):
    """What was found in a mailbox after the message had been accepted, within the time allowed."""

    mailbox: str
    message: FoundMessage | None = None
    bounce: Bounce | None = None
    missing_after_s: float = 0.0  # since it was accepted: when it was last looked for in vain; 0: never
    looks: int = 0
    trouble: MailboxTrouble | None = None  # why looking ended early
    reply: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def found(self) -> bool:
        """The message is there."""
        return self.message is not None
