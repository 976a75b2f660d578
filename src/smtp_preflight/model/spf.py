"""Who may send for a domain: its SPF record and those it leads to (RFC 7208)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from smtp_preflight.model.dns import DnsAnswer
from smtp_preflight.model.observation import Observation


@dataclass(frozen=True, slots=True)
class SpfTerm:
    """One word of an SPF record (RFC 7208 section 4.6.1)."""

    word: str  # as it is written
    name: str  # of the mechanism or modifier, in lower case
    value: str = ""
    qualifier: str = "+"

    @property
    def looks_up(self) -> bool:
        """Evaluating it takes a look-up that counts (RFC 7208 section 4.6.4)."""
        return self.name in ("include", "a", "mx", "ptr", "exists", "redirect")

    @property
    def by_macro(self) -> bool:
        """What it looks up is made from the message, so that only a receiver can (RFC 7208 section 7)."""
        return self.looks_up and "%" in self.value

    @property
    def leads_to(self) -> str:
        """The name of another record that takes part, or nothing."""
        if self.name not in ("include", "redirect") or self.by_macro:
            return ""
        return self.value.lower().removesuffix(".")


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """What one name publishes for SPF."""

    answer: DnsAnswer
    terms: tuple[SpfTerm, ...] = ()  # where there is exactly one record
    problem: str = ""  # the first word of it that cannot be read

    @property
    def name(self) -> str:
        """Where it stands."""
        return self.answer.name.lower().removesuffix(".")

    @property
    def texts(self) -> tuple[str, ...]:
        """The TXT records that are meant for SPF (RFC 7208 section 4.5)."""
        return tuple(one for one in self.answer.records if re.match(r"v=spf1( |$)", one, re.IGNORECASE))

    @property
    def evaluated(self) -> tuple[SpfTerm, ...]:
        """The terms that can take part: nothing behind ``all``, and no ``redirect`` beside one.

        Source: RFC 7208 sections 5.1 and 6.1.
        """
        mechanisms = [one for one in self.terms if one.name not in ("redirect", "exp")]
        end = next((place for place, one in enumerate(mechanisms, 1) if one.name == "all"), None)
        redirect = [one for one in self.terms if one.name == "redirect" and end is None]
        return (*mechanisms[:end], *redirect)

    @property
    def passing(self) -> tuple[SpfTerm, ...]:
        """Those of them that let mail pass."""
        return tuple(one for one in self.evaluated if one.qualifier == "+")

    @property
    def trouble(self) -> str:
        """Why a receiver gives the record up, or nothing."""
        if len(self.texts) != 1:
            return "more than one SPF record there" if self.texts else "no SPF record there"
        return self.problem


MOST_SPF_LOOKUPS = 10  # RFC 7208 section 4.6.4
MOST_COUNTED = 50  # a record that leads back to itself would be counted without end


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SpfTree(Observation):
    """A domain's SPF record (RFC 7208), with those it leads to and the provider's own; each name once."""

    domain: str
    own: SpfRecord
    others: tuple[SpfRecord, ...] = ()

    @property
    def answers(self) -> tuple[DnsAnswer, ...]:
        """Everything that DNS was asked."""
        return tuple(one.answer for one in (self.own, *self.others))

    @property
    def lookups(self) -> int:
        """How many look-ups evaluating all of it takes, inclusions within inclusions among them; 50 at most.

        The void ones among them (section 4.6.4) are told by ``problem`` where a record is missing.
        """
        count, waiting = 0, [self.own]
        while waiting and count < MOST_COUNTED:
            terms = waiting.pop().evaluated
            count += sum(one.looks_up for one in terms)
            waiting += self._at(one.leads_to for one in terms)
        return min(count, MOST_COUNTED)

    @property
    def problem(self) -> str:
        """Why a receiver gives up on evaluating it, or nothing."""
        told = ((one, one.trouble) for one in self.reached(self.own.name, passing=False))
        return next((what if one is self.own else f"{one.name}: {what}" for one, what in told if what), "")

    @property
    def by_macro(self) -> bool:
        """Who may send is partly answered for each message anew."""
        return any(term.by_macro for one in self.reached(self.own.name) for term in one.passing)

    def covers(self, include: str) -> bool:
        """Whether mail passes that comes from where the record at ``include`` says.

        By its name; by admitting everybody; or by addresses, where somebody copied them.
        """
        allowed = self.reached(self.own.name)
        if include in {one.name for one in allowed} or any(_for_all(one) for one in allowed):
            return True
        wanted, listed = _networks(self.reached(include)), _networks(allowed)
        return bool(wanted) and all(any(_within(one, other) for other in listed) for one in wanted)

    def reached(self, name: str, *, passing: bool = True) -> tuple[SpfRecord, ...]:
        """The record at a name, and those it leads to; passing: through terms that let mail pass only."""
        found: dict[str, SpfRecord] = {}
        waiting = list(self._at([name]))
        while waiting:
            record = waiting.pop(0)
            if record.name not in found:
                found[record.name] = record
                terms = record.passing if passing else record.evaluated
                waiting += self._at(one.leads_to for one in terms)
        return tuple(found.values())

    def _at(self, names: Iterable[str]) -> list[SpfRecord]:
        known = {one.name: one for one in (*self.others, self.own)}
        return [known[name] for name in names if name in known]


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _for_all(record: SpfRecord) -> bool:
    return any(one.name == "all" for one in record.passing)


def _networks(records: Iterable[SpfRecord]) -> list[Network]:
    terms = (term for one in records for term in one.passing)
    return [ipaddress.ip_network(one.value, strict=False) for one in terms if one.name in ("ip4", "ip6")]


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)
