"""What name servers and this machine's own resolver say of a name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from smtp_preflight.model.observation import Observation


class DnsStatus(StrEnum):
    """What a name server's answer amounts to; kept apart because the remedies differ."""

    ANSWER = "answer"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # no name server could be asked at all
    INVALID_NAME = "invalid_name"  # what was to be asked is not a domain name


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DnsAnswer(Observation):
    """The answer to one DNS query (RFC 1035; NODATA as in RFC 2308 section 2.2)."""

    name: str
    rdtype: str
    status: DnsStatus
    records: tuple[str, ...] = ()  # presentation form; TXT strings joined (RFC 7208 section 3.3)
    aliases: tuple[str, ...] = ()  # the CNAME chain, in order, without the name asked
    ttl_s: int | None = None
    detail: str = ""
    bogus: bool = False  # SERVFAIL that became an answer with checking disabled

    @property
    def found(self) -> bool:
        """There are records of the type asked for."""
        return self.status is DnsStatus.ANSWER and bool(self.records)

    @property
    def settled(self) -> bool:
        """The name server said yes or no, rather than nothing or that it is in trouble."""
        return self.status in (DnsStatus.ANSWER, DnsStatus.NODATA, DnsStatus.NXDOMAIN)


def trouble_in(answers: Iterable[DnsAnswer]) -> str:
    """The first question of several that got neither yes nor no, and how it ended; empty where all did."""
    known = (DnsStatus.ANSWER, DnsStatus.NODATA, DnsStatus.NXDOMAIN, DnsStatus.INVALID_NAME)
    told = (f"{one.name} {one.rdtype} ({one.status})" for one in answers if one.status not in known)
    return next(told, "")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SystemAddresses(Observation):
    """What this machine's own resolver (``getaddrinfo``) makes of a name; this is what gets connected to.

    Where the profile names its own DNS servers, those are asked instead and ``by_system`` is false.
    """

    host: str
    addresses: tuple[str, ...] = ()
    error: str = ""  # the resolver's word for it, EAI_NONAME say
    by_system: bool = True


def _is_public(address: str) -> bool:
    """An address that anybody on the internet may have been given (RFC 6890)."""
    return ipaddress.ip_address(address).is_global


@dataclass(frozen=True, slots=True)
class Published:
    """What DNS publishes for the submission host: its A and its AAAA answer."""

    a: DnsAnswer
    aaaa: DnsAnswer

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses of both families."""
        return (*self.a.records, *self.aaaa.records)

    @property
    def status(self) -> DnsStatus:
        """An answer where either has one; else what was said of the name, trouble before a plain no."""
        told = (self.a.status, self.aaaa.status)
        if DnsStatus.ANSWER in told:
            return DnsStatus.ANSWER
        return next((one for one in told if one not in (DnsStatus.NODATA, DnsStatus.NXDOMAIN)), self.a.status)

    def agrees_with(self, addresses: tuple[str, ...]) -> bool:
        """Whether another resolver may have had the same source.

        Large providers answer every query with another part of their addresses. So different public ones are
        no contradiction; a private address beside public ones is.
        """
        if not addresses or not self.addresses:
            return False
        shared = bool(set(addresses) & set(self.addresses))
        return shared or all(map(_is_public, (*addresses, *self.addresses)))

    @property
    def took_s(self) -> float:
        """The longer of the two."""
        return max(self.a.took_s, self.aaaa.took_s)
