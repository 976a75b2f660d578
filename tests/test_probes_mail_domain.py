"""What is asked about a sender's domain, of name servers and a web server of our own; loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import dns.asyncresolver
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import httpx
import pytest

from smtp_preflight.model import (
    DmarcWalk,
    DnsAnswer,
    DnsStatus,
    HttpFailure,
    Limits,
    MtaSts,
    NameServers,
    OAuth,
    PortCheck,
    PortState,
    Profile,
    Provider,
    Smtp,
    SpfRecord,
    SpfTree,
    trouble_in,
)
from smtp_preflight.probes import port as port_module
from smtp_preflight.probes.mail_domain import (
    MOST_HOSTS,
    MOST_POLICY_LINES,
    MOST_SPF_RECORDS,
    probe_dkim,
    probe_dmarc,
    probe_mail_exchangers,
    probe_mta_sts,
    probe_spf,
    probe_tls_reporting,
    spf_record,
    walk_of,
)
from smtp_preflight.probes.name_servers import probe_name_servers
from smtp_preflight.probes.port import probe_port
from smtp_preflight.probes.questions import ROWS, Asking, is_transient
from smtp_preflight.secrets import Secret, Wallet

T = TypeVar("T")
DOMAIN = "contoso.com"
LIMIT_S = 2.0
Zone = Mapping[tuple[str, str], str]  # name and type -> records in presentation form, one a line


def profile(*servers: str, limit_s: float = LIMIT_S, **provider: Any) -> Profile:
    return Profile(
        name="contoso",
        provider=Provider("custom", "Custom", **provider),
        mailbox=f"alerts@{DOMAIN}",
        smtp=Smtp("mail.contoso.com"),
        oauth=OAuth(),
        dns_servers=servers,
        limits=Limits(dns_s=limit_s, tcp_s=limit_s, http_s=limit_s),
    )


class NameServer(asyncio.DatagramProtocol):
    """A name server with one zone; silent about one name, SERVFAIL for another."""

    def __init__(self, zone: Zone, silent: str = "", broken: str = "") -> None:
        self.zone = {(name.lower(), rdtype): data for (name, rdtype), data in zone.items()}
        self.silent = silent
        self.broken = broken
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        rdtype = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append(f"{name} {rdtype}")
        if name == self.silent:
            return
        reply = dns.message.make_response(query)
        if name == self.broken:
            reply.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(reply, name, rdtype)
        self.transport.sendto(reply.to_wire(), addr)  # type: ignore[attr-defined]

    def _fill(self, reply: dns.message.Message, name: str, rdtype: str) -> None:
        while alias := self.zone.get((name, "CNAME")):
            reply.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", "CNAME", alias))
            name = alias.removesuffix(".")
        if found := self.zone.get((name, rdtype)):
            reply.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", rdtype, *found.split("\n")))
        elif not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)


@contextlib.asynccontextmanager
async def serving(server: NameServer) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    try:
        yield "{}:{}".format(*transport.get_extra_info("sockname"))
    finally:
        transport.close()


def asking(server: NameServer, ask: Callable[[Asking], Awaitable[T]], **changes: Any) -> T:
    """Ask with a resolver that knows this server only."""

    async def run() -> T:
        async with serving(server) as address:
            setup = profile(address, **changes)
            return await ask(Asking(setup, Wallet(), lambda: pytest.fail("nothing needs an answer")))

    return asyncio.run(run())


def texts(**records: str) -> Zone:
    """TXT records by a name's first part, which two underscores cut into labels; each line is a record."""
    return {
        (name.replace("__", "."), "TXT"): "\n".join(f'"{line}"' for line in text.split("\n"))
        for name, text in records.items()
    }


# --- who takes mail ----------------------------------------------------------------------------------------


def exchangers(zone: Zone, **changes: Any) -> Any:
    server = NameServer(zone, **changes)
    return asking(server, lambda one: probe_mail_exchangers(one.resolver, DOMAIN, limit_s=LIMIT_S)), server


def test_each_host_that_takes_mail_is_looked_up() -> None:
    """In the order of preference, for both families, and its aliases with it."""
    found, server = exchangers(
        {
            (DOMAIN, "MX"): "20 Backup.contoso.com.\n10 mx.contoso.com.",
            ("mx.contoso.com", "A"): "192.0.2.25",
            ("mx.contoso.com", "AAAA"): "2001:db8::25",
            ("backup.contoso.com", "CNAME"): "mx.contoso.com.",
        }
    )
    assert found.names == ("mx.contoso.com", "backup.contoso.com")
    assert [one.published.addresses for one in found.hosts] == [("192.0.2.25", "2001:db8::25")] * 2
    assert (found.aliases, found.without_address) == (("backup.contoso.com",), ())
    both = [f"{host}.contoso.com {kind}" for host in ("backup", "mx") for kind in ("A", "AAAA")]
    assert sorted(server.asked) == sorted([*both, "contoso.com MX"])
    assert found.peer
    assert len(found.answers) == 5


def test_host_without_address_is_recorded() -> None:
    found, _ = exchangers({(DOMAIN, "MX"): "10 gone.contoso.com."})
    assert found.without_address == ("gone.contoso.com",)
    assert found.hosts[0].published.status is DnsStatus.NXDOMAIN


def test_domain_that_takes_no_mail_has_nobody_to_look_up() -> None:
    found, server = exchangers({(DOMAIN, "MX"): "0 ."})
    assert (found.refuses_mail, found.hosts, server.asked) == (True, (), ["contoso.com MX"])


def test_domain_without_mx_is_recorded() -> None:
    found, _ = exchangers({(DOMAIN, "A"): "192.0.2.1"})
    assert (found.names, found.mx.status, found.refuses_mail) == ((), DnsStatus.NODATA, False)


def test_no_more_than_ten_hosts_are_looked_up() -> None:
    found, server = exchangers({(DOMAIN, "MX"): "\n".join(f"{n} mx{n}.contoso.com." for n in range(1, 40))})
    assert [one.name for one in found.hosts] == [f"mx{n}.contoso.com" for n in range(1, MOST_HOSTS + 1)]
    assert len(server.asked) == 1 + 2 * MOST_HOSTS


def test_name_server_in_trouble_is_told_as_such() -> None:
    found, _ = exchangers({(DOMAIN, "MX"): "10 mx.contoso.com."}, broken="mx.contoso.com")
    assert trouble_in([found.mx]) == ""
    assert trouble_in(found.answers) == "mx.contoso.com A (servfail)"
    assert is_transient(found)


# --- reading an SPF record ---------------------------------------------------------------------------------


def read(*records: str) -> SpfRecord:
    return spf_record(
        DnsAnswer(
            asked_at=dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
            name="Contoso.com.",
            rdtype="TXT",
            status=DnsStatus.ANSWER,
            records=records,
        )
    )


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1",
        "v=spf1 -all",
        "V=SPF1 MX ~ALL",
        "v=spf1 a mx ptr ip4:192.0.2.0/24 ip6:2001:db8::/32 include:_spf.google.com ?all",
        "v=spf1 a:mail.contoso.com/24 a/24//64 mx:contoso.com//128 mx/0 -all",
        "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 +include:spf.protection.outlook.com. -all",
        "v=spf1  exists:%{ir}.%{v}._spf.%{d2}  -all ",
        "v=spf1 exists:%{l1r-}.example.com include:%{d} redirect=%{d}.spf.example.com",
        "v=spf1 redirect=_spf.contoso.com exp=explain.contoso.com",
        "v=spf1 op=auth include=anything moo.cow-far_out=man:dog/cat%{x} -all",
        "v=spf1 a:1-2.3-4.example.c1 -all",
    ],
)
def test_spf_that_receivers_can_read(record: str) -> None:
    assert read(record).problem == ""
    assert read(record).trouble == ""


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("v=spf1 ip4:192.0.2.256 -all", "ip4:192.0.2.256"),
        ("v=spf1 ip4:192.0.2.0/33", "ip4:192.0.2.0/33"),
        ("v=spf1 ip4:192.0.2.0/255.255.255.0", "ip4:192.0.2.0/255.255.255.0"),
        ("v=spf1 ip4:2001:db8::1", "ip4:2001:db8::1"),
        ("v=spf1 ip6:192.0.2.1", "ip6:192.0.2.1"),
        ("v=spf1 ip6:fe80::1%eth0", "ip6:fe80::1%eth0"),
        ("v=spf1 ip4 -all", "ip4"),
        ("v=spf1 192.0.2.1 -all", "192.0.2.1"),
        ("v=spf1 include -all", "include"),
        ("v=spf1 include: -all", "include:"),
        ("v=spf1 include:localhost -all", "include:localhost"),
        ("v=spf1 include:spf.contoso.com; -all", "include:spf.contoso.com;"),
        ("v=spf1 include:spf.contoso.com, -all", "include:spf.contoso.com,"),
        ("v=spf1 a:mail.contoso.123 -all", "a:mail.contoso.123"),
        ("v=spf1 a:mail.contoso.com/33 -all", "a:mail.contoso.com/33"),
        ("v=spf1 a//129 -all", "a//129"),
        ("v=spf1 exists:%{z}.contoso.com -all", "exists:%{z}.contoso.com"),
        ("v=spf1 exists:%.contoso.com -all", "exists:%.contoso.com"),
        ("v=spf1 all:contoso.com", "all:contoso.com"),
        ("v=spf1 ipv4:192.0.2.1 spf2:x -all", "ipv4:192.0.2.1"),
        ("v=spf1 redirect:spf.contoso.com", "redirect:spf.contoso.com"),
        ("v=spf1 redirect=", "redirect="),
        ("v=spf1 -redirect=spf.contoso.com", "-redirect=spf.contoso.com"),
        ("v=spf1 -op=auth", "-op=auth"),
        ("v=spf1 redirect=a.contoso.com redirect=b.contoso.com", "redirect=b.contoso.com"),
        (r"v=spf1\tmx", ""),  # no record at all: no blank behind the version
        ("v=spf1 m\u00fcller", "m\u00fcller"),
    ],
)
def test_spf_that_nobody_can_read_names_the_word(record: str, problem: str) -> None:
    assert read(record).problem == problem


def test_what_can_be_read_beside_a_mistake_is_kept() -> None:
    terms = read("v=spf1 inclde:x.com ~ip4:192.0.2.0/24 -include:_SPF.contoso.com. redirect=a.b").terms
    assert [(one.name, one.qualifier, one.value) for one in terms] == [
        ("ip4", "~", "192.0.2.0/24"),
        ("include", "-", "_SPF.contoso.com."),
        ("redirect", "+", "a.b"),
    ]
    assert [one.leads_to for one in terms] == ["", "_spf.contoso.com", "a.b"]


@pytest.mark.parametrize(
    ("records", "texts", "trouble"),
    [
        ((), 0, "no SPF record there"),
        (("MS=ms1", "v=spf10 -all", "v=spf1;", "spf2.0/pra"), 0, "no SPF record there"),
        (("google-site-verification=x", "v=spf1 -all"), 1, ""),
        (("v=spf1 -all", "v=spf1 mx -all"), 2, "more than one SPF record there"),
    ],
)
def test_one_record_among_others_is_spf(records: tuple[str, ...], texts: int, trouble: str) -> None:
    found = read(*records)
    assert (len(found.texts), found.trouble) == (texts, trouble)
    assert (found.name, found.terms) == ("contoso.com", found.terms[: texts % 2])


# --- following an SPF record -------------------------------------------------------------------------------


def tree(zone: Zone, *provider: str, limit_s: float = LIMIT_S, **changes: Any) -> tuple[SpfTree, NameServer]:
    server = NameServer(zone, **changes)

    def ask(one: Asking) -> Awaitable[SpfTree]:
        return probe_spf(one.resolver, DOMAIN, provider, limit_s=limit_s)

    return asking(server, ask, limit_s=limit_s), server


def test_spf_is_followed_through_includes_and_redirects() -> None:
    """Each name once, whatever its case and however often it is named."""
    found, server = tree(
        texts(
            contoso__com="v=spf1 include:A.contoso.com include:b.contoso.com redirect=c.contoso.com",
            a__contoso__com="v=spf1 include:b.contoso.com. ip4:192.0.2.1 -all",
            b__contoso__com="v=spf1 ip4:192.0.2.2 -all",
            c__contoso__com="v=spf1 include:a.contoso.com mx -all",
        )
    )
    assert [one.name for one in (found.own, *found.others)] == [
        *(DOMAIN, "a.contoso.com", "b.contoso.com", "c.contoso.com")
    ]
    assert len(server.asked) == 4
    assert found.lookups == 7
    assert found.problem == ""


def test_record_that_leads_back_to_itself_ends() -> None:
    found, server = tree(
        texts(
            contoso__com="v=spf1 redirect=a.contoso.com",
            a__contoso__com="v=spf1 include:contoso.com redirect=contoso.com",
        )
    )
    assert len(server.asked) == 2
    assert found.lookups == 50


def test_no_more_than_twenty_records_are_asked_for() -> None:
    """Not even for the provider's own."""
    many = {f"s{n}__x__com": f"v=spf1 include:s{n + 1}.x.com -all" for n in range(60)}
    own = " ".join(f"include:s{n * 2}.x.com" for n in range(13))
    found, server = tree(texts(contoso__com=f"v=spf1 {own} -all", **many), "spf.example.com")
    assert len(server.asked) == len(found.answers) == MOST_SPF_RECORDS
    assert found.lookups > 10


def test_what_only_a_receiver_can_fill_in_is_not_followed() -> None:
    found, server = tree(
        texts(contoso__com="v=spf1 include:%{ir}.spf.contoso.com exists:%{i}.contoso.com -all")
    )
    assert server.asked == ["contoso.com TXT"]
    assert (found.by_macro, found.lookups, found.problem) == (True, 2, "")


def test_included_name_without_a_record_is_a_void_lookup_and_a_mistake() -> None:
    found, _ = tree(texts(contoso__com="v=spf1 include:gone.contoso.com -all"))
    assert found.others[0].answer.status is DnsStatus.NXDOMAIN
    assert found.problem == "gone.contoso.com: no SPF record there"


def test_providers_addresses_are_asked_for_where_its_name_is_not_met() -> None:
    """Somebody may have copied them."""
    zone = texts(
        contoso__com="v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all",
        spf__example__com="v=spf1 include:v4.example.com ip6:2001:db8:1::/48 -all",
        v4__example__com="v=spf1 ip4:192.0.2.128/25 -all",
    )
    found, server = tree(zone, "spf.example.com")
    assert [one.name for one in found.others] == ["spf.example.com", "v4.example.com"]
    assert found.covers("spf.example.com")
    assert len(server.asked) == 3


def test_providers_addresses_are_not_asked_for_in_vain() -> None:
    """Neither where its name is met, nor where the domain has no single record."""
    included = texts(
        contoso__com="v=spf1 include:spf.example.com -all", spf__example__com="v=spf1 ip4:192.0.2.1 -all"
    )
    assert len(tree(included, "spf.example.com")[1].asked) == 2
    assert len(tree(texts(contoso__com="hello"), "spf.example.com")[1].asked) == 1


def test_silent_name_server_is_told_as_such() -> None:
    """What it does answer is kept."""
    zone = texts(
        contoso__com="v=spf1 include:s1.contoso.com include:s2.contoso.com", s2__contoso__com="v=spf1"
    )
    found, _ = tree(zone, limit_s=0.2, silent="s1.contoso.com")
    assert trouble_in(found.answers) == "s1.contoso.com TXT (timeout)"
    assert found.others[1].texts == ("v=spf1",)
    assert is_transient(found)


def test_query_without_time_left_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtp_preflight.probes.mail_domain.QUERIES_IN_A_ROW", 0)
    found, _ = tree(texts(contoso__com="v=spf1 -all"))
    assert found.own.answer.status is DnsStatus.TIMEOUT


# --- how mail can be told ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [
        ("v=DKIM1; k=rsa; p=MIIB", "", True),
        ("k=rsa;p=MIIB", "", True),
        ("", "v=DKIM1; p=MIIB", True),
        ("v=DKIM1; p=", "", False),
        ("v=DKIM1; p=", "v=DKIM1; p=MIIB", True),
        ("v=spf1 -all", "v=DKIM1; k=rsa", False),
        ("", "", False),
    ],
)
def test_one_key_is_enough(first: str, second: str, published: bool) -> None:
    """An empty one is revoked, and other text is none."""
    zone = {
        **({("s1._domainkey.contoso.com", "TXT"): f'"{first}"'} if first else {}),
        ("s2._domainkey.contoso.com", "CNAME"): "s2.key.example.com.",
        **({("s2.key.example.com", "TXT"): f'"{second}"'} if second else {}),
    }
    found = asking(
        NameServer(zone), lambda one: probe_dkim(one.resolver, DOMAIN, ("s1", "s2"), limit_s=LIMIT_S)
    )
    assert found.published is published
    assert [one.name for one in found.answers] == [f"s{n}._domainkey.contoso.com" for n in (1, 2)]
    assert found.answers[1].aliases == ("s2.key.example.com",)


def test_provider_without_selectors_needs_no_question() -> None:
    server = NameServer({})
    assert not asking(server, lambda one: probe_dkim(one.resolver, DOMAIN, (), limit_s=LIMIT_S)).published
    assert server.asked == []


def walk(zone: Zone, domain: str = DOMAIN, **changes: Any) -> tuple[DmarcWalk, NameServer]:
    server = NameServer(zone, **changes)
    return asking(server, lambda one: probe_dmarc(one.resolver, domain, limit_s=LIMIT_S)), server


def test_own_dmarc_record_ends_the_walk() -> None:
    found, server = walk(texts(_dmarc__contoso__com="v=DMARC1; p=reject"))
    assert server.asked == ["_dmarc.contoso.com TXT"]
    assert (found.applies, found.published, found.invalid) == (found.own, True, None)


def test_record_above_applies_below() -> None:
    found, server = walk(texts(_dmarc__contoso__com="v=DMARC1; p=none; sp=reject"), "mail.eu.contoso.com")
    assert server.asked == [
        f"_dmarc.{name} TXT" for name in ("mail.eu.contoso.com", "eu.contoso.com", DOMAIN)
    ]
    assert found.applies is found.above[-1]


def test_walk_goes_up_to_the_last_label() -> None:
    found, server = walk({})
    assert server.asked == ["_dmarc.contoso.com TXT", "_dmarc.com TXT"]
    assert (found.applies, found.published) == (None, False)


def test_several_records_are_none_and_the_walk_goes_on() -> None:
    zone = texts(
        _dmarc__mail__contoso__com="v=DMARC1; p=none\nv=DMARC1; p=reject", _dmarc__contoso__com="v=DMARC1"
    )
    found, _ = walk(zone, "mail.contoso.com")
    assert found.applies is found.above[0]
    assert found.invalid is found.own


def test_name_server_in_trouble_ends_the_walk() -> None:
    """What stands above says nothing of what stands here."""
    found, server = walk(texts(_dmarc__com="v=DMARC1; p=none"), broken="_dmarc.contoso.com")
    assert found.above == ()
    assert trouble_in(found.answers) == "_dmarc.contoso.com TXT (servfail)"
    assert "_dmarc.com TXT" not in server.asked


SEVEN = ["b.c.d.e.f.g.h", "c.d.e.f.g.h", "d.e.f.g.h", "e.f.g.h", "f.g.h", "g.h", "h"]


@pytest.mark.parametrize(
    ("domain", "names"),
    [
        ("com", ["com"]),
        ("contoso.com.", ["contoso.com.", "com"]),
        ("a.b.c.d.e.f.g.h", ["a.b.c.d.e.f.g.h", *SEVEN]),
        ("1.2.3.a.b.c.d.e.f.g.h", ["1.2.3.a.b.c.d.e.f.g.h", *SEVEN]),
    ],
)
def test_walk_takes_eight_queries_at_most(domain: str, names: list[str]) -> None:
    """From long names all but seven labels are dropped after the first query (RFC 9989)."""
    assert list(walk_of(domain)) == names


# --- how mail travels --------------------------------------------------------------------------------------

LINES = ("version: STSv1", "mode: enforce", "mx: mx.contoso.com", "mx: *.mail.example.com", "max_age: 86400")
POLICY = "\r\n".join([*LINES, ""])
ANNOUNCED = {("_mta-sts.contoso.com", "TXT"): '"v=STSv1; id=20261120;"'}


def mta_sts(
    zone: Zone, answer: Callable[[httpx.Request], httpx.Response] | None = None, wallet: Wallet | None = None
) -> tuple[MtaSts, list[str]]:
    requested: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requested.append(f"{request.method} {request.url}")
        if answer is None:
            return httpx.Response(200, text=POLICY)
        return answer(request)

    async def ask(one: Asking) -> MtaSts:
        transport = httpx.MockTransport(respond)
        return await probe_mta_sts(one.profile, wallet or Wallet(), one.resolver, DOMAIN, transport=transport)

    return asking(NameServer(zone), ask), requested


def test_policy_is_fetched_from_the_place_the_standard_names() -> None:
    found, requested = mta_sts(ANNOUNCED)
    assert requested == ["GET https://mta-sts.contoso.com/.well-known/mta-sts.txt"]
    assert (found.valid, found.fetched) == (True, True)
    assert found.policy == LINES
    assert found.unnamed(["mx.contoso.com", "a.mail.example.com"]) == ()
    assert found.unnamed(["b.a.mail.example.com", "mail.example.com"]) == (
        *("b.a.mail.example.com", "mail.example.com"),
    )


UNREADABLE = ["hello", "v=STSv1; id=", "v=STSv1;", "v=STSv1; id=a-b;", "v=STSv1; id=a\nv=STSv1; id=b"]


@pytest.mark.parametrize("text", ["", *UNREADABLE])
def test_without_a_readable_announcement_no_policy_is_fetched(text: str) -> None:
    record = "\n".join(f'"{line}"' for line in text.split("\n"))
    found, requested = mta_sts({("_mta-sts.contoso.com", "TXT"): record} if text else {})
    assert (found.http, found.valid, found.fetched, requested) == (None, False, False, [])


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(404, text=POLICY),
        httpx.Response(301, headers={"location": "https://elsewhere.example.com/"}, text=POLICY),
        httpx.Response(200, html="<html>version: STSv1</html>"),
        httpx.Response(200, text="mode: enforce\nmx: mx.contoso.com"),
        httpx.Response(200, text="version: STSv1\nmode: sometimes"),
        httpx.Response(200, text=""),
    ],
)
def test_what_is_no_policy_is_not_taken_for_one(response: httpx.Response) -> None:
    """And no redirect is followed."""
    found, requested = mta_sts(ANNOUNCED, lambda _: response)
    assert not found.fetched
    assert len(requested) == 1


def test_web_server_that_is_not_there_is_recorded() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    found, _ = mta_sts(ANNOUNCED, refuse)
    assert found.http is not None
    assert found.http.failure is HttpFailure.CONNECT
    assert (found.fetched, found.policy) == (False, ())
    assert is_transient(found)


def test_policy_is_bounded_inert_and_without_secrets() -> None:
    wallet = Wallet()
    wallet.put("client_secret", Secret("hunter2-hunter2", "env:SECRET"))
    text = "a: \x1b[31m\nb: hunter2-hunter2\n\n" + "mx: x\n" * 1000
    found, _ = mta_sts(ANNOUNCED, lambda _: httpx.Response(200, text=text), wallet)
    assert found.policy[:2] == (r"a: \x1b[31m", "b: <redacted>")
    assert len(found.policy) < MOST_POLICY_LINES


def test_mode_none_admits_every_host() -> None:
    found, _ = mta_sts(
        ANNOUNCED, lambda _: httpx.Response(200, text="version: STSv1\nmode: none\nmax_age: 1")
    )
    assert found.fetched
    assert found.unnamed(["mx.contoso.com"]) == ()
    assert not is_transient(found)


@pytest.mark.parametrize(
    ("record", "meant", "valid"),
    [
        ("v=TLSRPTv1; rua=mailto:reports@contoso.com", True, True),
        ("v=TLSRPTv1;rua=https://reports.contoso.com/v1,mailto:r@contoso.com", True, True),
        ("v=TLSRPTv1; rua=reports@contoso.com", True, False),
        ("v=TLSRPTv1; rua=mailto:", True, False),
        ("v=TLSRPTv1;", True, False),
        ("v=tlsrptv1; rua=mailto:reports@contoso.com", True, False),
        ("v=spf1 -all", False, False),
    ],
)
def test_reports_have_somewhere_to_go(record: str, meant: bool, valid: bool) -> None:
    zone = {("_smtp._tls.contoso.com", "TXT"): f'"{record}"'}
    found = asking(NameServer(zone), lambda one: probe_tls_reporting(one.resolver, DOMAIN, limit_s=LIMIT_S))
    assert (found.announced.meant, found.valid) == (meant, valid)
    assert len(found.answers) == 1


# --- name servers side by side, and other ports ------------------------------------------------------------


def test_each_name_server_is_asked_by_itself() -> None:
    async def run() -> NameServers:
        here = NameServer({("mail.contoso.com", "A"): "192.0.2.1"})
        there = NameServer({("mail.contoso.com", "AAAA"): "2001:db8::1"})
        async with serving(here) as first, serving(there) as second:
            return await probe_name_servers(profile(first, second), "mail.contoso.com")

    found = asyncio.run(run())
    assert [one.published.addresses for one in found.each] == [("192.0.2.1",), ("2001:db8::1",)]
    assert found.settled == found.each
    assert len(found.answers) == 4


def test_name_server_that_is_not_there_is_not_counted() -> None:
    async def run() -> NameServers:
        async with serving(NameServer({("mail.contoso.com", "A"): "192.0.2.1"})) as first:
            return await probe_name_servers(profile(first, "127.0.0.1:1"), "mail.contoso.com")

    found = asyncio.run(run())
    assert len(found.each) == 2
    assert [one.server for one in found.settled] == [found.each[0].server]
    assert is_transient(found)


def checked(port: int, zone: Zone | None = None, limit_s: float = LIMIT_S) -> PortCheck:
    server = NameServer({("login.contoso.com", "A"): "127.0.0.1"} if zone is None else zone)
    return asking(
        server,
        lambda one: probe_port(one.profile, one.resolver, "login.contoso.com", port),
        limit_s=limit_s,
    )


def test_port_that_takes_a_connection_is_open() -> None:
    """And hears nothing from us."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = checked(port := listening.getsockname()[1])
        client, _ = listening.accept()
        with client:
            assert client.recv(1) == b""
    assert (found.state, found.error, found.peer) == (PortState.OPEN, "", f"127.0.0.1:{port}")
    assert str(found) == f"login.contoso.com port {port}: open"


def test_port_that_refuses_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert (checked(port).state, checked(port).error) == (PortState.CLOSED, "ECONNREFUSED")


def test_port_that_keeps_silent_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        @staticmethod
        async def connect(address: str, port: int) -> None:
            await asyncio.sleep(30)

    monkeypatch.setattr(port_module, "Stream", Silent)
    assert checked(443, limit_s=0.1).state is PortState.TIMEOUT


def test_one_address_that_is_open_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        zone = {("login.contoso.com", "A"): "127.0.0.2\n127.0.0.1"}
        assert checked(listening.getsockname()[1], zone).state is PortState.OPEN


def test_host_without_address_is_unresolved() -> None:
    found = checked(443, {})
    assert (found.state, found.error) == (PortState.UNRESOLVED, "NXDOMAIN")


# --- the rows of the table ---------------------------------------------------------------------------------


def test_rows_ask_about_the_users_own_domains_only() -> None:
    own, others = profile(), profile(own_domains=(DOMAIN,))
    for kind, row in ROWS.items():
        if row.subjects(own) == (DOMAIN,):
            assert row.subjects(others) == (), kind


def test_rows_bring_what_they_are_about() -> None:
    """Each question about a domain, and those about hosts, from the table."""
    server = NameServer({("login.contoso.com", "A"): "127.0.0.1"})

    async def ask_all(one: Asking) -> list[Any]:
        rows = [row for row in ROWS.values() if DOMAIN in row.subjects(one.profile)]
        answers = [await row.ask(one, DOMAIN) for row in rows]
        with socket.create_server(("127.0.0.1", 0)) as listening:
            place = f"login.contoso.com:{listening.getsockname()[1]}"
            port = await ROWS[PortCheck].ask(one, place)
        return [*answers, port, await ROWS[NameServers].ask(one, "login.contoso.com")]

    answers = asking(server, ask_all, spf_include=("spf.example.com",), dkim_selectors=("s1",))
    assert [type(one).__name__ for one in answers] == [
        *("MailExchangers", "SpfTree", "DkimKeys", "DmarcWalk", "MtaSts", "TlsReporting"),
        *("PortCheck", "NameServers"),
    ]
    assert not any(map(is_transient, answers))
    assert replace(answers[0], hosts=()) == answers[0]
