"""What the domains that mail is sent from publish besides SPF: MX, DKIM, DMARC, MTA-STS, TLS-RPT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from smtp_preflight.model.dns import DnsAnswer, Published
from smtp_preflight.model.http import HttpExchange
from smtp_preflight.model.observation import Observation


def tags_of(record: str) -> Mapping[str, str]:
    """The tags of a record in DKIM's manner (RFC 6376 section 3.2): name in lower case, and value."""
    found: dict[str, str] = {}
    for one in record.split(";"):
        name, sign, value = one.partition("=")
        if sign:
            found.setdefault(name.strip().lower(), value.strip())
    return found


@dataclass(frozen=True, slots=True)
class MailHost:
    """A host that takes a domain's mail, and what DNS says of its name."""

    name: str
    published: Published

    @property
    def is_alias(self) -> bool:
        """The name stands for another one, which an MX must not name (RFC 2181 section 10.3)."""
        return bool(self.published.a.aliases or self.published.aaaa.aliases)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MailExchangers(Observation):
    """Who takes a domain's mail (RFC 5321 section 5.1); nobody there is ever connected to."""

    domain: str
    mx: DnsAnswer
    hosts: tuple[MailHost, ...] = ()  # those that were looked up, the preferred ones first

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return (self.mx, *(one for host in self.hosts for one in (host.published.a, host.published.aaaa)))

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts that are named, in the order of preference."""
        pairs = sorted((record.partition(" ") for record in self.mx.records), key=_preference)
        return tuple(dict.fromkeys(name.lower() for _, _, name in pairs))

    @property
    def refuses_mail(self) -> bool:
        """The domain says that it takes no mail (RFC 7505 section 3)."""
        return "." in self.names

    @property
    def aliases(self) -> tuple[str, ...]:
        """The hosts whose names are only aliases."""
        return tuple(one.name for one in self.hosts if one.is_alias)

    @property
    def without_address(self) -> tuple[str, ...]:
        """The hosts that nobody could connect to."""
        return tuple(one.name for one in self.hosts if not one.published.addresses)


def _preference(record: tuple[str, str, str]) -> int:
    return int(record[0]) if record[0].isdecimal() else 0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DkimKeys(Observation):
    """What stands at the names where the provider's signatures have their keys (RFC 6376 section 3.6.1)."""

    domain: str
    answers: tuple[DnsAnswer, ...] = ()  # one for each selector

    @property
    def published(self) -> bool:
        """At least one has a key; an empty one is revoked, and of two selectors only one is in use."""
        return any(tags_of(record).get("p") for one in self.answers for record in one.records)


@dataclass(frozen=True, slots=True)
class Announced:
    """The TXT records at a name that a protocol takes for its own, by the version they begin with."""

    answer: DnsAnswer
    version: str  # DMARC1 | STSv1 | TLSRPTv1

    @property
    def record(self) -> str:
        """The one there is; where there are several, none of them counts."""
        begins = re.compile(rf"v\s*=\s*{re.escape(self.version)}\s*(;|$)")
        found = [one for one in self.answer.records if begins.match(one)]
        return found[0] if len(found) == 1 else ""

    @property
    def meant(self) -> bool:
        """Somebody wanted one to be there, well made or not."""
        kind = re.escape(re.sub(r"v?\d+$", "", self.version))
        return any(re.search(rf"v\s*=\s*{kind}", one, re.IGNORECASE) for one in self.answer.records)

    @property
    def tags(self) -> Mapping[str, str]:
        """What the record says."""
        return tags_of(self.record)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DmarcWalk(Observation):
    """The DMARC record that applies to a domain: its own, or the next one above (RFC 9989, tree walk)."""

    domain: str
    own: Announced
    above: tuple[Announced, ...] = ()  # asked until one was found

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return tuple(one.answer for one in (self.own, *self.above))

    @property
    def applies(self) -> Announced | None:
        """The one that receivers use, where there is one."""
        return next((one for one in (self.own, *self.above) if one.record), None)

    @property
    def published(self) -> bool:
        """There is one, be it a broken one."""
        return self.own.meant or self.applies is not None

    @property
    def invalid(self) -> Announced | None:
        """What is published and cannot be used: the domain's own, or what it asks for does not exist.

        A policy that is not named is ``none``; tags that RFC 9989 dropped, or does not know, say nothing.
        """
        if self.own.meant and not self.own.record:
            return self.own
        asked = self.applies.tags if self.applies else {}
        known = ("none", "quarantine", "reject")
        wrong = any(asked[one].lower() not in known for one in ("p", "sp", "np") if one in asked)
        return self.applies if wrong else None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MtaSts(Observation):
    """A domain's demand for verified TLS (RFC 8461): its announcement, and the policy behind it."""

    domain: str
    announced: Announced
    http: HttpExchange | None = None  # not asked where nothing is announced
    policy: tuple[str, ...] = ()  # the lines of the policy

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return (self.announced.answer,)

    @property
    def valid(self) -> bool:
        """The announcement can be read (RFC 8461 section 3.1)."""
        return re.fullmatch(r"[A-Za-z0-9]{1,32}", self.announced.tags.get("id", "")) is not None

    @property
    def fetched(self) -> bool:
        """A policy came, as plain text, from the very place (RFC 8461 sections 3.2 and 3.3)."""
        if self.http is None or self.http.status != 200:
            return False
        kind = self.http.headers.get("content-type", "").partition(";")[0].strip().lower()
        mode = next(iter(self._values("mode")), "")
        return (
            kind == "text/plain"
            and "STSv1" in self._values("version")
            and mode in ("enforce", "testing", "none")
        )

    def unnamed(self, hosts: Iterable[str]) -> tuple[str, ...]:
        """Those of the hosts that the policy does not admit (RFC 8461 section 4.1)."""
        if "none" in self._values("mode"):
            return ()
        patterns = {one.lower().removesuffix(".") for one in self._values("mx")}
        return tuple(one for one in hosts if not {one, f"*.{one.partition('.')[2]}"} & patterns)

    def _values(self, key: str) -> tuple[str, ...]:
        pairs = (line.partition(":") for line in self.policy)
        return tuple(value.strip() for name, _, value in pairs if name.strip() == key)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TlsReporting(Observation):
    """Where a domain wants to be told of failed TLS (RFC 8460 section 3)."""

    domain: str
    announced: Announced

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return (self.announced.answer,)

    @property
    def valid(self) -> bool:
        """It names at least one place, and each of them is one."""
        places = self.announced.tags.get("rua", "").split(",")
        return all(re.match(r"(mailto:[^@]+@|https://)[^/]", one.strip()) for one in places)
