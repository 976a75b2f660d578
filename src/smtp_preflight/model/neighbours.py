"""What tells neighbouring causes apart: the answers to follow-up questions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from smtp_preflight.model.dns import DnsAnswer, Published
from smtp_preflight.model.observation import Line, Observation
from smtp_preflight.model.text import short


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What one name server says of the submission host."""

    server: str  # as the profile has it
    published: Published


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NameServers(Observation):
    """The profile's name servers, each asked for the addresses of the submission host."""

    host: str
    each: tuple[ServerAnswer, ...] = ()

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return tuple(one for server in self.each for one in (server.published.a, server.published.aaaa))

    @property
    def settled(self) -> tuple[ServerAnswer, ...]:
        """Those that said yes or no."""
        return tuple(one for one in self.each if one.published.a.settled and one.published.aaaa.settled)


class PortState(StrEnum):
    """What becomes of whoever connects."""

    OPEN = "open"
    CLOSED = "closed"
    TIMEOUT = "timeout"
    UNRESOLVED = "unresolved"  # the host has no address here


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PortCheck(Observation):
    """Whether a port takes connections; nothing is said there."""

    host: str
    port: int
    state: PortState
    error: str = ""  # the system's name for it, ECONNREFUSED say

    def __str__(self) -> str:
        return f"{self.host} port {self.port}: {self.state} {self.error}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ServiceCheck(Observation):
    """What a service shows to whoever does not log in; asked after a failure, to compare with."""

    host: str
    port: int
    tls: str  # starttls | implicit | https: how TLS is begun there
    greeting: str = ""  # the server's first line
    begun: bool = False  # TLS was begun as asked, be it with a certificate that is not accepted
    trusted: bool = False  # and its certificate is good for the host
    issuer: str = ""  # of that certificate
    mechanisms: tuple[str, ...] = ()  # what AUTH lists under TLS
    problem: str = ""  # how it ended before all was said
    lines: tuple[Line, ...] = ()

    @property
    def takes_tokens(self) -> bool:
        """Under TLS that is verified it offers a way to sign in with a token."""
        return bool({"XOAUTH2", "OAUTHBEARER"} & set(self.mechanisms))

    def __str__(self) -> str:
        shown = (self.greeting, f"AUTH {' '.join(self.mechanisms)}" if self.mechanisms else "", self.issuer)
        told = "; ".join(filter(None, (*shown, self.problem)))
        return short(f"{self.host} port {self.port} ({self.tls}): {told or 'nothing'}")
