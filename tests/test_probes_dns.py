"""Name servers that answer, refuse, truncate and keep silent, and the system's resolver; loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from smtp_preflight.lab.sockets import listener_and_datagrams, port_of
from smtp_preflight.model import DnsAnswer, DnsStatus, Limits, OAuth, Profile, Provider, Smtp, SystemAddresses
from smtp_preflight.probes.dns import probe_addresses, probe_dns, resolver_for

Reply = dns.message.Message | bytes | None
Answerer = Callable[[dns.message.Message, bool], Reply]
NAME = "mail.contoso.com"


def profile(*servers: str, limit_s: float = 2.0) -> Profile:
    return Profile(
        name="contoso",
        provider=Provider("custom", "Custom"),
        mailbox="alerts@contoso.com",
        smtp=Smtp(NAME),
        oauth=OAuth(),
        dns_servers=servers,
        limits=Limits(dns_s=limit_s),
    )


class Udp(asyncio.DatagramProtocol):
    """The UDP half of a name server."""

    def __init__(self, answer: Answerer) -> None:
        self.answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self.answer(dns.message.from_wire(data), False)
        if reply is not None:
            wire = reply if isinstance(reply, bytes) else reply.to_wire()
            self.transport.sendto(wire, addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def name_server(answer: Answerer, *, tcp: bool = True) -> AsyncIterator[str]:
    """A name server on UDP and TCP of one port; yields "address:port"."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = answer(dns.message.from_wire(await reader.readexactly(size)), True)
        if isinstance(reply, dns.message.Message):
            wire = reply.to_wire(max_size=65535)
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    listening, datagrams = listener_and_datagrams()
    transport, _ = await loop.create_datagram_endpoint(lambda: Udp(answer), sock=datagrams)
    try:
        address = f"127.0.0.1:{port_of(datagrams)}"
        if tcp:
            async with await asyncio.start_server(serve, sock=listening):
                yield address
        else:
            listening.close()
            yield address
    finally:
        transport.close()


def records(*rrsets: tuple[str, str, str], rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> Answerer:
    """Always these records: (name, type, data)."""

    def answer(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        for name, rdtype, data in rrsets:
            response.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", rdtype, *data.split("|")))
        return response

    return answer


def silent(query: dns.message.Message, tcp: bool) -> None:
    """Says nothing at all."""


def ask(
    answer: Answerer, rdtype: str = "A", *, name: str = NAME, limit_s: float = 2.0, tcp: bool = True
) -> DnsAnswer:
    async def run() -> DnsAnswer:
        async with name_server(answer, tcp=tcp) as server:
            resolver = resolver_for(profile(server, limit_s=limit_s))
            found = await probe_dns(resolver, name, rdtype, limit_s=limit_s)
            assert found.peer in ("", server)
            return found

    return asyncio.run(run())


# --- one query ---------------------------------------------------------------------------------------------


def test_addresses_are_recorded() -> None:
    found = ask(records((NAME, "A", "192.0.2.7|192.0.2.1")))
    assert found.status is DnsStatus.ANSWER
    assert sorted(found.records) == ["192.0.2.1", "192.0.2.7"]
    assert (found.ttl_s, found.aliases, found.bogus) == (300, (), False)
    assert found.peer
    assert found.found


@pytest.mark.parametrize(
    ("rdtype", "data", "shown"),
    [
        ("AAAA", "2001:db8::1", "2001:db8::1"),
        ("MX", "10 mx1.contoso.com.", "10 mx1.contoso.com"),
        ("MX", "0 .", "0 ."),
        (
            "TXT",
            '"v=spf1 include:spf.protec" "tion.outlook.com -all"',
            "v=spf1 include:spf.protection.outlook.com -all",
        ),
        ("TXT", r'"a\027[31m\255"', r"a\x1b[31m\xff"),
        ("CNAME", "other.contoso.com.", "other.contoso.com"),
        ("SRV", "0 1 587 mail.contoso.com.", "0 1 587 mail.contoso.com"),
        ("TLSA", f"3 1 1 {'ab' * 32}", f"3 1 1 {'ab' * 32}"),
        ("TLSA", f"2 0 0 {'cd' * 300}", f"2 0 0 {'cd' * 300}"),
    ],
)
def test_records_are_shown_as_documented(rdtype: str, data: str, shown: str) -> None:
    assert ask(records((NAME, rdtype, data)), rdtype).records == (shown,)


def test_cname_chain_is_recorded_in_order() -> None:
    found = ask(
        records(
            (NAME, "CNAME", "a.contoso.com."),
            ("a.contoso.com", "CNAME", "b.contoso.com."),
            ("b.contoso.com", "A", "192.0.2.1"),
        )
    )
    assert found.aliases == ("a.contoso.com", "b.contoso.com")
    assert found.records == ("192.0.2.1",)


def test_name_without_records_of_the_type_is_nodata() -> None:
    assert ask(records()).status is DnsStatus.NODATA


def test_alias_without_records_of_the_type_is_nodata_and_shown() -> None:
    found = ask(records((NAME, "CNAME", "a.contoso.com.")))
    assert (found.status, found.aliases, found.records) == (DnsStatus.NODATA, ("a.contoso.com",), ())


def test_name_that_does_not_exist_is_nxdomain() -> None:
    found = ask(records(rcode=dns.rcode.NXDOMAIN))
    assert (found.status, found.found, found.settled) == (DnsStatus.NXDOMAIN, False, True)


def test_alias_to_nowhere_shows_its_target() -> None:
    found = ask(records((NAME, "CNAME", "gone.contoso.com."), rcode=dns.rcode.NXDOMAIN))
    assert (found.status, found.aliases) == (DnsStatus.NXDOMAIN, ("gone.contoso.com",))


def test_name_is_asked_as_it_stands() -> None:
    """No search list is tried, and it does not matter whether the last dot is written."""
    asked: list[str] = []

    def answer(query: dns.message.Message, tcp: bool) -> Reply:
        asked.append(query.question[0].name.to_text())
        return records(rcode=dns.rcode.NXDOMAIN)(query, tcp)

    ask(answer, name="mail")
    ask(answer, name="mail.")
    assert asked == ["mail.", "mail."]


@pytest.mark.parametrize(
    ("rcode", "status"),
    [
        (dns.rcode.SERVFAIL, DnsStatus.SERVFAIL),
        (dns.rcode.REFUSED, DnsStatus.REFUSED),
        (dns.rcode.FORMERR, DnsStatus.SERVFAIL),
        (dns.rcode.YXDOMAIN, DnsStatus.SERVFAIL),
    ],
)
def test_reply_codes_are_kept_apart(rcode: dns.rcode.Rcode, status: DnsStatus) -> None:
    found = ask(records(rcode=rcode))
    assert found.status is status
    assert dns.rcode.to_text(rcode) in found.detail
    assert not found.bogus
    assert not found.settled


def test_servfail_that_becomes_an_answer_without_checking_is_bogus() -> None:
    def answer(query: dns.message.Message, tcp: bool) -> Reply:
        if query.flags & dns.flags.CD:
            return records((NAME, "A", "192.0.2.1"))(query, tcp)
        response = dns.message.make_response(query)
        response.set_rcode(dns.rcode.SERVFAIL)
        response.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.SIGNATURE_EXPIRED, "old\x1b")])
        return response

    found = ask(answer)
    assert (found.status, found.bogus, found.records) == (DnsStatus.SERVFAIL, True, ())
    assert "EDE 7" in found.detail
    assert found.detail.isprintable()


def test_silence_is_a_timeout_and_asked_more_than_once() -> None:
    """One lost datagram must not look like an outage."""
    asked: list[bool] = []

    def answer(query: dns.message.Message, tcp: bool) -> None:
        asked.append(tcp)

    found = ask(answer, limit_s=0.5)
    assert found.status is DnsStatus.TIMEOUT
    assert "timeout" in found.detail
    assert len(asked) > 1


def test_timeout_inside_a_pause_between_tries_is_a_timeout_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """dnspython looks at its own limit only after it has slept."""
    monkeypatch.setattr("smtp_preflight.probes.dns.LIFETIME_SHARE", 10)
    found = ask(silent, limit_s=0.2)
    assert found.status is DnsStatus.TIMEOUT
    assert found.detail.endswith(": timeout")


def test_tries_are_accounted_for_where_dnspython_gives_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtp_preflight.probes.dns.LIFETIME_SHARE", 0.3)
    found = ask(silent, limit_s=0.6)
    assert found.status is DnsStatus.TIMEOUT
    assert found.detail.endswith(": timeout")


def test_server_nobody_listens_at_is_unreachable() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    resolver = resolver_for(profile(f"127.0.0.1:{port}"))
    found = asyncio.run(probe_dns(resolver, NAME, "A", limit_s=2))
    assert found.status is DnsStatus.UNREACHABLE
    assert found.detail == f"127.0.0.1:{port}: ECONNREFUSED"


def test_second_server_is_asked_where_the_first_is_not_there() -> None:
    async def run() -> DnsAnswer:
        async with name_server(records((NAME, "A", "192.0.2.1"))) as server:
            resolver = resolver_for(profile("127.0.0.1:1", server))
            return await probe_dns(resolver, NAME, "A", limit_s=2)

    assert asyncio.run(run()).records == ("192.0.2.1",)


def truncated_over_udp(query: dns.message.Message, tcp: bool) -> Reply:
    response = records((NAME, "TXT", "|".join(f'"{number:0200}"' for number in range(20))))(query, tcp)
    if not tcp:
        assert isinstance(response, dns.message.Message)
        response.answer.clear()
        response.flags |= dns.flags.TC
    return response


def test_truncated_answer_is_fetched_over_tcp() -> None:
    assert len(ask(truncated_over_udp, "TXT").records) == 20


def test_truncated_answer_without_tcp_is_no_answer() -> None:
    found = ask(truncated_over_udp, "TXT", tcp=False)
    assert found.status is DnsStatus.SERVFAIL
    assert "ECONNREFUSED" in found.detail
    assert not found.bogus


def test_garbage_is_passed_over() -> None:
    def answer(query: dns.message.Message, tcp: bool) -> bytes:
        return b"garbage"

    assert ask(answer, limit_s=0.3).status is DnsStatus.TIMEOUT


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "x" * 64 + ".com", ".".join(["x" * 60] * 5), "a b.com", "a\x00b", "a\\.b", "a\n.b"],
)
def test_what_is_no_name_is_not_asked(name: str) -> None:
    def answer(query: dns.message.Message, tcp: bool) -> None:
        raise AssertionError("asked")

    found = ask(answer, name=name)
    assert found.status is DnsStatus.INVALID_NAME
    assert found.detail
    assert found.name.isprintable()


def test_unknown_record_type_is_our_mistake() -> None:
    with pytest.raises(dns.rdatatype.UnknownRdatatype):
        ask(silent, "NONSENSE")


# --- whom to ask -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "address", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("2001:db8::1", "2001:db8::1", 53),
        ("[2001:db8::1]", "2001:db8::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
    ],
)
def test_name_servers_are_written_with_or_without_a_port(written: str, address: str, port: int) -> None:
    (server,) = resolver_for(profile(written)).nameservers
    assert isinstance(server, dns.nameserver.Do53Nameserver)
    assert (server.address, server.port) == (address, port)


def test_name_server_over_ipv6_is_asked() -> None:
    async def run() -> DnsAnswer:
        loop = asyncio.get_running_loop()
        answer = records((NAME, "A", "192.0.2.1"))
        transport, _ = await loop.create_datagram_endpoint(lambda: Udp(answer), local_addr=("::1", 0))
        port = transport.get_extra_info("sockname")[1]
        try:
            return await probe_dns(resolver_for(profile(f"[::1]:{port}")), NAME, "A", limit_s=2)
        finally:
            transport.close()

    assert asyncio.run(run()).found


def test_without_servers_of_its_own_a_profile_uses_the_systems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = tmp_path / "resolv.conf"
    settings.write_text("nameserver 127.0.0.53\nsearch contoso.com\n")
    read = dns.resolver.BaseResolver.read_resolv_conf
    monkeypatch.setattr(
        dns.resolver.BaseResolver, "read_resolv_conf", lambda self, _: read(self, str(settings))
    )
    assert [str(server) for server in resolver_for(profile()).nameservers] == ["127.0.0.53:53"]


def test_machine_without_name_servers_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_configured(self: dns.resolver.BaseResolver, _: str) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", none_configured)
    found = asyncio.run(probe_dns(resolver_for(profile()), NAME, "A", limit_s=2))
    assert found.status is DnsStatus.UNREACHABLE


# --- what gets connected to --------------------------------------------------------------------------------


def addresses(setup: Profile, host: str) -> SystemAddresses:
    return asyncio.run(probe_addresses(setup, resolver_for(setup), host, 587))


def resolving_to(monkeypatch: pytest.MonkeyPatch, found: list[str] | Exception) -> None:
    def getaddrinfo(host: str, port: int, family: int, kind: int) -> list[object]:
        assert (family, kind) == (socket.AF_UNSPEC, socket.SOCK_STREAM)
        if isinstance(found, Exception):
            raise found
        return [(socket.AF_INET, kind, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("servers", [(), ("127.0.0.1:1",)])
def test_address_needs_no_resolving(servers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    setup = profile(*servers)
    resolver = resolver_for(setup)
    resolving_to(monkeypatch, AssertionError("asked"))
    found = asyncio.run(probe_addresses(setup, resolver, "2001:db8::1", 587))
    assert (found.addresses, found.error, found.by_system) == (("2001:db8::1",), "", not servers)


def test_system_addresses_come_once_each_in_the_systems_order(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, ["2001:db8::1", "192.0.2.1", "2001:db8::1"])
    found = addresses(profile("127.0.0.1:1"), "192.0.2.9")
    assert found.addresses == ("192.0.2.9",)
    found = asyncio.run(probe_addresses(profile(), resolver_for(profile("127.0.0.1:1")), NAME, 587))
    assert (found.addresses, found.error) == (("2001:db8::1", "192.0.2.1"), "")
    assert (found.host, found.by_system) == (NAME, True)


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no"), "EAI_NONAME"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "EAI_AGAIN"),
        (socket.gaierror(4711, "strange"), "4711"),
        (ConnectionRefusedError(111, "refused"), "ECONNREFUSED"),
        (UnicodeError("label too long"), "INVALID_NAME"),
    ],
)
def test_system_errors_are_recorded_by_name(
    problem: Exception, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = resolver_for(profile("127.0.0.1:1"))
    resolving_to(monkeypatch, problem)
    found = asyncio.run(probe_addresses(profile(), resolver, NAME, 587))
    assert (found.addresses, found.error) == ((), error)


def test_system_resolver_that_hangs_meets_the_limit_and_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """getaddrinfo cannot be cancelled; neither the loop's end nor the process waits for it."""
    release = threading.Event()

    def hang(*_: object) -> list[object]:
        release.wait(30)
        return []

    resolver = resolver_for(profile("127.0.0.1:1"))
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    found = asyncio.run(probe_addresses(profile(limit_s=0.1), resolver, NAME, 587))
    hanging = [thread for thread in threading.enumerate() if thread.daemon and "carry_out" in thread.name]
    release.set()
    for thread in hanging:
        thread.join()
    assert (found.addresses, found.error) == ((), "TIMEOUT")


def test_own_servers_are_asked_for_both_families() -> None:
    def answer(query: dns.message.Message, tcp: bool) -> Reply:
        data = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}
        rdtype = dns.rdatatype.to_text(query.question[0].rdtype)
        return records((NAME, rdtype, data[rdtype]))(query, tcp)

    async def run() -> SystemAddresses:
        async with name_server(answer) as server:
            setup = profile(server)
            return await probe_addresses(setup, resolver_for(setup), NAME, 587)

    found = asyncio.run(run())
    assert (found.addresses, found.error, found.by_system) == (("192.0.2.1", "2001:db8::1"), "", False)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (records(rcode=dns.rcode.NXDOMAIN), "NXDOMAIN"),
        (records(rcode=dns.rcode.REFUSED), "REFUSED"),
        (records(), "NODATA"),
    ],
)
def test_own_servers_without_an_address_say_why(answer: Answerer, error: str) -> None:
    async def run() -> SystemAddresses:
        async with name_server(answer) as server:
            setup = profile(server)
            return await probe_addresses(setup, resolver_for(setup), NAME, 587)

    found = asyncio.run(run())
    assert (found.addresses, found.error) == ((), error)
