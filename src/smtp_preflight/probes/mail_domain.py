"""What a domain publishes about its mail: who takes it, who may send it, and how both can be told.

Everything here is asked of name servers, and the policy of MTA-STS of a web server. No mail server is ever
connected to.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import dns.asyncresolver
import httpx

from smtp_preflight.model import (
    Announced,
    DkimKeys,
    DmarcWalk,
    DnsAnswer,
    MailExchangers,
    MailHost,
    MtaSts,
    Profile,
    Published,
    SpfRecord,
    SpfTerm,
    SpfTree,
    TlsReporting,
    short,
)
from smtp_preflight.oauth.http import Request, Resolve, exchange
from smtp_preflight.probes.dns import probe_dns
from smtp_preflight.probes.stream import printable
from smtp_preflight.secrets import Wallet

MOST_HOSTS = 10
MOST_SPF_RECORDS = 20
MOST_DMARC_QUERIES = 8  # RFC 9989, the tree walk
MOST_POLICY_LINES = 200
# A question of several queries in a row gets the time of three; each of them no more than its own.
QUERIES_IN_A_ROW = 3


class _Queries:
    """The DNS queries behind one observation, with one end to all of them."""

    def __init__(self, resolver: dns.asyncresolver.Resolver, limit_s: float) -> None:
        self.asked_at = dt.datetime.now(dt.UTC)
        self._begun_s = time.monotonic()
        self._resolver = resolver
        self._limit_s = limit_s

    @property
    def took_s(self) -> float:
        """Since the first could be asked."""
        return time.monotonic() - self._begun_s

    async def ask(self, name: str, rdtype: str) -> DnsAnswer:
        """One query; with no time left it is a timeout."""
        left_s = max(0.0, QUERIES_IN_A_ROW * self._limit_s - self.took_s)
        return await probe_dns(self._resolver, name, rdtype, limit_s=min(self._limit_s, left_s))

    async def ask_all(self, names: Iterable[str], rdtype: str) -> list[DnsAnswer]:
        """The same query about several names at the same time."""
        return await asyncio.gather(*(self.ask(name, rdtype) for name in names))

    async def published(self, name: str) -> Published:
        """The addresses of a host."""
        a, aaaa = await asyncio.gather(self.ask(name, "A"), self.ask(name, "AAAA"))
        return Published(a, aaaa)


# --- who takes mail ----------------------------------------------------------------------------------------


async def probe_mail_exchangers(
    resolver: dns.asyncresolver.Resolver, domain: str, *, limit_s: float
) -> MailExchangers:
    """Ask for the domain's MX, and for the addresses of the ten most preferred hosts it names.

    limit_s: for one query; all of them together get three times as long. So in the other probes here.
    """
    queries = _Queries(resolver, limit_s)
    mx = await queries.ask(domain, "MX")
    found = MailExchangers(asked_at=queries.asked_at, peer=mx.peer, domain=domain, mx=mx)
    names = [one for one in found.names if one != "."][:MOST_HOSTS]
    published = await asyncio.gather(*(queries.published(name) for name in names))
    return replace(found, hosts=tuple(map(MailHost, names, published)), took_s=queries.took_s)


# --- who may send: SPF -------------------------------------------------------------------------------------


async def probe_spf(
    resolver: dns.asyncresolver.Resolver, domain: str, provider: Sequence[str], *, limit_s: float
) -> SpfTree:
    """Ask for the domain's SPF record and all that it leads to, each name once, at most 20 of them.

    provider: where the provider publishes its servers. What stands there is asked for too if nothing leads
        to it, for its addresses may have been copied.
    What only the receiver of a message can fill in (macros) is recorded and not followed.
    """
    queries = _Queries(resolver, limit_s)
    found = await _spf_records(queries, [domain], {})
    own, *others = found.values()
    tree = SpfTree(asked_at=queries.asked_at, peer=own.answer.peer, domain=domain, own=own, others=(*others,))
    if len(own.texts) == 1 and not any(tree.covers(one) for one in provider):
        own, *others = (await _spf_records(queries, provider, found)).values()
    return replace(tree, others=(*others,), took_s=queries.took_s)


async def _spf_records(
    queries: _Queries, names: Sequence[str], known: dict[str, SpfRecord]
) -> dict[str, SpfRecord]:
    """The records known, those at these names, and those they lead to, one generation after the other."""
    found = dict(known)
    while names := [name for name in dict.fromkeys(names) if name not in found]:
        room = MOST_SPF_RECORDS - len(found)
        answers = await queries.ask_all(names[:room], "TXT")
        records = {name: spf_record(one) for name, one in zip(names, answers, strict=False)}
        found |= records
        if len(found) == MOST_SPF_RECORDS:
            break
        names = [term.leads_to for one in records.values() for term in one.evaluated if term.leads_to]
    return found


def spf_record(answer: DnsAnswer) -> SpfRecord:
    """Read what stands at one name; the terms that cannot be read are left out, the first of them told."""
    record = SpfRecord(answer)
    if len(record.texts) != 1:
        return record
    words = [word for word in record.texts[0].split(" ")[1:] if word and not _is_unknown_modifier(word)]
    terms = [(word, _spf_term(word)) for word in words]
    unread = [word for word, term in terms if term is None]
    read = [term for _, term in terms if term is not None]
    twice = [one.word for one in read if one.name in _ONCE and _named_before(one, read)]
    problem = short((*unread, *twice, "")[0])
    return replace(record, terms=tuple(read), problem=problem)


def _is_unknown_modifier(word: str) -> bool:
    """Such say nothing, whatever their name (RFC 7208 section 6)."""
    found = re.match(r"([a-z][a-z0-9_.-]*)=", word, re.IGNORECASE)
    return found is not None and found[1].lower() not in _ONCE


def _named_before(term: SpfTerm, terms: Sequence[SpfTerm]) -> bool:
    return next(one for one in terms if one.name == term.name) is not term


# The grammar of RFC 7208 sections 7.1 and 12, in lower case.
_MACRO = r"%(?:\{[slodiphcrtv]\d*r?[.\-+,/_=]*\}|[%_-])"
_LABEL = r"(?![0-9]+\.?(?:/|$))[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DOMAIN = rf"(?:{_MACRO}|[!-$&-~])*(?:\.{_LABEL}\.?|%\{{[slodiphcrtv]\d*r?[.\-+,/_=]*\}})"
_LENGTHS = r"(?:/(?:3[0-2]|[12]?\d))?(?://(?:12[0-8]|1[01]\d|[1-9]?\d))?"
_SHAPES = {
    "all": re.compile(""),
    "include": re.compile(f":{_DOMAIN}"),
    "a": re.compile(f"(?::{_DOMAIN})?{_LENGTHS}"),
    "mx": re.compile(f"(?::{_DOMAIN})?{_LENGTHS}"),
    "ptr": re.compile(f"(?::{_DOMAIN})?"),
    "exists": re.compile(f":{_DOMAIN}"),
    "redirect": re.compile(f"={_DOMAIN}"),
    "exp": re.compile(f"={_DOMAIN}"),
}
_ONCE = frozenset({"redirect", "exp"})  # RFC 7208 section 6
_TERM = re.compile(r"([+\-?~]?)([a-z][a-z0-9_.-]*)(.*)", re.IGNORECASE | re.DOTALL)


def _spf_term(word: str) -> SpfTerm | None:
    """One word of a record, or nothing where receivers cannot read it either."""
    found = _TERM.fullmatch(word)
    if found is None:
        return None
    qualifier, name, rest = found[1], found[2].lower(), found[3]
    term = SpfTerm(word, name, rest[1:] if rest.startswith((":", "=")) else "", qualifier or "+")
    if name in ("ip4", "ip6"):
        return term if rest.startswith(":") and _is_network(term.value, version=int(name[-1])) else None
    if name in _ONCE and qualifier:
        return None  # only mechanisms have one
    shape = _SHAPES.get(name)
    return term if shape and shape.fullmatch(rest.lower()) else None


def _is_network(text: str, *, version: int) -> bool:
    """An address, or one with the length of its prefix; never with a mask or a zone."""
    if not re.fullmatch(r"[^/%]+(/\d{1,3})?", text, re.ASCII):
        return False
    try:
        return ipaddress.ip_network(text, strict=False).version == version
    except ValueError:
        return False


# --- how it can be told: DKIM, DMARC -----------------------------------------------------------------------


async def probe_dkim(
    resolver: dns.asyncresolver.Resolver, domain: str, selectors: Sequence[str], *, limit_s: float
) -> DkimKeys:
    """Ask for the key at each selector."""
    queries = _Queries(resolver, limit_s)
    answers = await queries.ask_all((f"{one}._domainkey.{domain}" for one in selectors), "TXT")
    return DkimKeys(
        asked_at=queries.asked_at,
        took_s=queries.took_s,
        peer=next((one.peer for one in answers), ""),
        domain=domain,
        answers=tuple(answers),
    )


async def probe_dmarc(resolver: dns.asyncresolver.Resolver, domain: str, *, limit_s: float) -> DmarcWalk:
    """Ask for the domain's DMARC record, then for those above it, until there is one; eight queries at most.

    Source: RFC 9989, the tree walk. Where the domain has more than eight labels, those on the left are
    skipped after the first query. An answer that says neither yes nor no ends the walk.
    """
    queries = _Queries(resolver, limit_s)
    own, *above = walk_of(domain)
    asked = [await _dmarc_at(queries, own)]
    for name in above:
        if asked[-1].record or not asked[-1].answer.settled:
            break
        asked.append(await _dmarc_at(queries, name))
    return DmarcWalk(
        asked_at=queries.asked_at,
        took_s=queries.took_s,
        peer=asked[0].answer.peer,
        domain=domain,
        own=asked[0],
        above=tuple(asked[1:]),
    )


def walk_of(domain: str) -> tuple[str, ...]:
    """The domain, and those above it that are asked about, down to the last label."""
    labels = domain.removesuffix(".").split(".")
    above = labels[1:][-(MOST_DMARC_QUERIES - 1) :]
    return (domain, *(".".join(above[place:]) for place in range(len(above))))


async def _dmarc_at(queries: _Queries, name: str) -> Announced:
    return Announced(await queries.ask(f"_dmarc.{name}", "TXT"), "DMARC1")


# --- how it travels: MTA-STS, TLS reporting ----------------------------------------------------------------


async def probe_mta_sts(
    profile: Profile,
    wallet: Wallet,
    resolver: dns.asyncresolver.Resolver,
    domain: str,
    *,
    resolve: Resolve | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> MtaSts:
    """Ask for the announcement, and fetch the policy where there is a readable one (RFC 8461 section 3).

    resolve, transport: as for `exchange`; no redirect is followed, as section 3.3 wants it.
    Records: at most 200 lines of the policy.
    """
    queries = _Queries(resolver, profile.limits.dns_s)
    announced = Announced(await queries.ask(f"_mta-sts.{domain}", "TXT"), "STSv1")
    found = MtaSts(asked_at=queries.asked_at, peer=announced.answer.peer, domain=domain, announced=announced)
    if found.valid:
        request = Request("GET", f"https://mta-sts.{domain}/.well-known/mta-sts.txt")
        http, body = await exchange(request, profile, wallet, resolve=resolve, transport=transport)
        found = replace(found, http=http, policy=_lines(body, wallet))
    return replace(found, took_s=queries.took_s)


def _lines(body: bytes, wallet: Wallet) -> tuple[str, ...]:
    """The first lines of a body, ended by CRLF or LF, made inert."""
    text = wallet.redact(body.decode("utf-8", "backslashreplace"))
    lines = text.replace("\r\n", "\n").split("\n")
    return tuple(short(printable(one)) for one in lines[:MOST_POLICY_LINES] if one.strip())


async def probe_tls_reporting(
    resolver: dns.asyncresolver.Resolver, domain: str, *, limit_s: float
) -> TlsReporting:
    """Ask where failed TLS is to be reported (RFC 8460 section 3)."""
    queries = _Queries(resolver, limit_s)
    answer = await queries.ask(f"_smtp._tls.{domain}", "TXT")
    return TlsReporting(
        asked_at=queries.asked_at,
        took_s=queries.took_s,
        peer=answer.peer,
        domain=domain,
        announced=Announced(answer, "TLSRPTv1"),
    )
