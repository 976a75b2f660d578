"""The table of what can be asked: kind, subjects, needs, coroutine.

A row says once what a question is about and what has to be answered before it; the recorder asks, checks and
reports only ever name the kind. Adding an observation is one row here, and its probe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import dns.asyncresolver

from smtp_preflight.model import (
    DnsAnswer,
    Ehlo,
    Observation,
    Profile,
    Question,
    Seen,
    SmtpGreeting,
    StartTls,
    SystemAddresses,
    TcpConnects,
    TlsHandshake,
)
from smtp_preflight.probes.dns import probe_addresses, probe_dns, resolver_for
from smtp_preflight.probes.smtp import Dialogue, hang_up, probe_ehlo, probe_greeting, probe_starttls
from smtp_preflight.probes.stream import Stream
from smtp_preflight.probes.tcp import probe_tcp
from smtp_preflight.probes.tls import probe_tls
from smtp_preflight.secrets import Wallet

IPV4, IPV6 = "ipv4", "ipv6"
BEFORE_TLS, AFTER_TLS = "before TLS", "after TLS"


class Asking:
    """What the questions of one profile share while they are asked: connection, resolver, secrets.

    One SMTP connection serves every step of the dialogue: the first TCP connection that comes about becomes
    it, the others are closed.
    """

    def __init__(self, profile: Profile, wallet: Wallet, answers: Mapping[Question, Observation]) -> None:
        self.profile = profile
        self.wallet = wallet
        self._answers = answers
        self._spare: list[Stream] = []
        self._dialogue: Dialogue | None = None

    @cached_property
    def resolver(self) -> dns.asyncresolver.Resolver:
        """The name servers of the profile, or this machine's."""
        return resolver_for(self.profile)

    @property
    def dialogue(self) -> Dialogue:
        """The one SMTP connection, made from the first TCP connection that came about."""
        if self._dialogue is None:
            self._dialogue = Dialogue(self._spare.pop(0), self.profile, self.wallet)
            self._close_spare()
        return self._dialogue

    def answer(self, kind: type[Observation], subject: str = "") -> Observation:
        """What an earlier question brought; a row's needs make sure that it is there."""
        return self._answers[Question(kind, subject)]

    def offer(self, streams: tuple[Stream, ...]) -> None:
        """Connections that came about; no more than one is needed."""
        self._spare.extend(streams)
        if self._dialogue is not None:
            self._close_spare()

    async def close(self) -> None:
        """Say goodbye where a dialogue was held, and close every socket."""
        if self._dialogue is not None:
            await hang_up(self._dialogue)
        self._close_spare()

    def abort(self) -> None:
        """Close every socket without another word."""
        if self._dialogue is not None:
            self._dialogue.stream.close()
        self._close_spare()

    def _close_spare(self) -> None:
        while self._spare:
            self._spare.pop().close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of question.

    subjects: whom or what it can be about, by the profile alone.
    needs: what has to be answered before it.
    may_ask: whether those answers leave it to be asked.
    any_need: one sufficient need is enough; the others need not be waited for.
    on_the_way: the message has to pass it, so whatever prevents it is red (product.md section 3).
    """

    kind: type[Observation]
    ask: Callable[[Asking, str], Awaitable[Observation]]
    subjects: Callable[[Profile], tuple[str, ...]] = lambda profile: ("",)
    needs: Callable[[Profile, str], tuple[Question, ...]] = lambda profile, subject: ()
    may_ask: Callable[[Seen, str], bool] = lambda seen, subject: True
    any_need: bool = False
    on_the_way: bool = False


# --- names and connections ---------------------------------------------------------------------------------


def _host(profile: Profile) -> tuple[str, ...]:
    return (profile.smtp.host,)


def _host_records(profile: Profile) -> tuple[str, ...]:
    return tuple(f"{profile.smtp.host} {rdtype}" for rdtype in ("A", "AAAA"))


async def _ask_dns(asking: Asking, subject: str) -> DnsAnswer:
    name, _, rdtype = subject.rpartition(" ")
    return await probe_dns(asking.resolver, name, rdtype, limit_s=asking.profile.limits.dns_s)


async def _ask_addresses(asking: Asking, subject: str) -> SystemAddresses:
    return await probe_addresses(asking.profile, asking.resolver, subject, asking.profile.smtp.port)


def _needs_addresses(profile: Profile, subject: str) -> tuple[Question, ...]:
    return (Question(SystemAddresses, profile.smtp.host),)


def _has_addresses(seen: Seen, subject: str) -> bool:
    found = seen.get(SystemAddresses, seen.profile.smtp.host)
    return found is not None and bool(found.addresses)


async def _ask_tcp(asking: Asking, subject: str) -> TcpConnects:
    found = asking.answer(SystemAddresses, asking.profile.smtp.host)
    assert isinstance(found, SystemAddresses)  # for the type checker; the row needs it
    connects, streams = await probe_tcp(
        found.addresses, subject, asking.profile.smtp.port, asking.profile.limits
    )
    asking.offer(streams)
    return connects


# --- the dialogue up to the second EHLO --------------------------------------------------------------------


def _connections(profile: Profile, subject: str = "") -> tuple[Question, ...]:
    return (Question(TcpConnects, IPV4), Question(TcpConnects, IPV6))


def _connected(seen: Seen, subject: str = "") -> bool:
    return any(one.connected for one in seen.every(TcpConnects))


def _implicit(profile: Profile) -> bool:
    return profile.smtp.tls == "implicit"


def _verified(seen: Seen) -> bool:
    tls = seen.get(TlsHandshake)
    return tls is not None and tls.verified


def _needs_of_greeting(profile: Profile, subject: str) -> tuple[Question, ...]:
    return (Question(TlsHandshake),) if _implicit(profile) else _connections(profile)


def _may_greet(seen: Seen, subject: str) -> bool:
    return _verified(seen) if _implicit(seen.profile) else _connected(seen)


def first_ehlo(profile: Profile) -> str:
    """The subject of the first EHLO: in the clear, or under implicit TLS."""
    return AFTER_TLS if _implicit(profile) else BEFORE_TLS


def _ehlo_subjects(profile: Profile) -> tuple[str, ...]:
    return (AFTER_TLS,) if _implicit(profile) else (BEFORE_TLS, AFTER_TLS)


def _needs_of_ehlo(profile: Profile, subject: str) -> tuple[Question, ...]:
    if subject == BEFORE_TLS or _implicit(profile):
        return (Question(SmtpGreeting),)
    return (Question(TlsHandshake),)


def _may_ehlo(seen: Seen, subject: str) -> bool:
    greeting = seen.get(SmtpGreeting)
    greeted = greeting is not None and greeting.accepted
    return greeted if subject == BEFORE_TLS else greeted and _verified(seen)


def _may_starttls(seen: Seen, subject: str) -> bool:
    ehlo = seen.get(Ehlo, BEFORE_TLS)
    return ehlo is not None and ehlo.offers("STARTTLS")


def _needs_of_tls(profile: Profile, subject: str) -> tuple[Question, ...]:
    return _connections(profile) if _implicit(profile) else (Question(StartTls),)


def _may_tls(seen: Seen, subject: str) -> bool:
    if _implicit(seen.profile):
        return _connected(seen)
    answer = seen.get(StartTls)
    return answer is not None and answer.may_begin


ROWS: Mapping[type[Observation], Row] = {
    row.kind: row
    for row in (
        Row(kind=DnsAnswer, ask=_ask_dns, subjects=_host_records),
        Row(kind=SystemAddresses, ask=_ask_addresses, subjects=_host, on_the_way=True),
        Row(
            kind=TcpConnects,
            ask=_ask_tcp,
            subjects=lambda profile: (IPV4, IPV6),
            needs=_needs_addresses,
            may_ask=_has_addresses,
            on_the_way=True,
        ),
        Row(
            kind=SmtpGreeting,
            ask=lambda asking, subject: probe_greeting(asking.dialogue),
            needs=_needs_of_greeting,
            may_ask=_may_greet,
            any_need=True,
            on_the_way=True,
        ),
        Row(
            kind=Ehlo,
            ask=lambda asking, subject: probe_ehlo(asking.dialogue, encrypted=subject == AFTER_TLS),
            subjects=_ehlo_subjects,
            needs=_needs_of_ehlo,
            may_ask=_may_ehlo,
            on_the_way=True,
        ),
        Row(
            kind=StartTls,
            ask=lambda asking, subject: probe_starttls(asking.dialogue),
            subjects=lambda profile: () if _implicit(profile) else ("",),
            needs=lambda profile, subject: (Question(Ehlo, BEFORE_TLS),),
            may_ask=_may_starttls,
            on_the_way=True,
        ),
        Row(
            kind=TlsHandshake,
            ask=lambda asking, subject: probe_tls(asking.dialogue),
            needs=_needs_of_tls,
            may_ask=_may_tls,
            any_need=True,
            on_the_way=True,
        ),
    )
}


def needs_of(question: Question, profile: Profile) -> tuple[Question, ...]:
    """What has to be answered before a question."""
    return ROWS[question.kind].needs(profile, question.subject)


def closure(questions: tuple[Question, ...], profile: Profile) -> tuple[Question, ...]:
    """The questions and, before each, everything it needs; each once."""
    ordered: dict[Question, None] = {}

    def add(question: Question) -> None:
        if question not in ordered:
            for need in needs_of(question, profile):
                add(need)
            ordered[question] = None

    for question in questions:
        add(question)
    return tuple(ordered)
