"""Asking name servers, and beside them the system's own resolver, whose answer is what gets connected to."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import datetime as dt
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.ANY.TXT
import dns.resolver
import dns.rrset

from smtp_preflight.model import DnsAnswer, DnsStatus, Profile, SystemAddresses, short
from smtp_preflight.probes.stream import endpoint_name, error_name, printable

# What passes nearly every path unfragmented (RFC 9715). EDNS also lets a resolver say why it fails.
UDP_PAYLOAD_BYTES = 1232
# A lost datagram must leave time for another: three tries fit into any limit.
TRY_AT_MOST_S = 2.0
TRIES = 3
# dnspython gives up a little before our own timeout does, so that its account of the tries is seldom lost.
LIFETIME_SHARE = 0.9

T = TypeVar("T")


# --- one query ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one resolution came to."""

    status: DnsStatus
    rrset: dns.rrset.RRset | None = None
    response: dns.message.QueryMessage | None = None
    peer: str = ""
    detail: str = ""
    ttl_s: int | None = None


def resolver_for(profile: Profile) -> dns.asyncresolver.Resolver:
    """A resolver over the profile's own name servers, or the system's; it caches nothing.

    With neither there is nobody to ask, and every answer is UNREACHABLE.
    """
    if profile.dns_servers:
        resolver = dns.asyncresolver.Resolver(configure=False)
        servers = [_server_at(server) for server in profile.dns_servers]
    else:
        resolver, servers = _system_servers()
    resolver.nameservers = [_ConnectedNameserver(address, port) for address, port in servers]
    resolver.cache = None
    resolver.timeout = min(TRY_AT_MOST_S, profile.limits.dns_s / TRIES)
    resolver.use_edns(0, 0, UDP_PAYLOAD_BYTES)
    return resolver


def _system_servers() -> tuple[dns.asyncresolver.Resolver, list[tuple[str, int]]]:
    try:
        resolver = dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.asyncresolver.Resolver(configure=False), []
    return resolver, [(str(address), resolver.port) for address in resolver.nameservers]


def _server_at(server: str) -> tuple[str, int]:
    """``address``, ``address:port`` or ``[address]:port``, the port 53 where none is named."""
    if bracketed := re.fullmatch(r"\[([^]]+)\](?::(\d+))?", server):
        address, port = bracketed.groups()
    elif server.count(":") == 1:
        address, _, port = server.partition(":")
    else:
        address, port = server, None
    return address, int(port or 53)


async def probe_dns(
    resolver: dns.asyncresolver.Resolver, name: str, rdtype: str, *, limit_s: float
) -> DnsAnswer:
    """Ask for the records of one type at a name, exactly as it is written.

    limit_s: for all tries together. A truncated answer is asked for again over TCP (RFC 1035 section 4.2.1).
    Records: MX as "10 host", names without their last dot, a TXT record's strings joined.
    SERVFAIL is asked again with checking disabled (RFC 4035 section 3.2.2), which shows whether validation
    was the trouble.
    Never raises for what the network does: see ``DnsAnswer.status``.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    kind = dns.rdatatype.from_text(rdtype)
    bogus = False
    try:
        qname = _absolute(name)
    except ValueError as problem:
        asked = _Asked(DnsStatus.INVALID_NAME, detail=str(problem))
    else:
        asked = await _ask(resolver, qname, kind, limit_s)
        if asked.status is DnsStatus.SERVFAIL:
            left_s = limit_s - (time.monotonic() - begun_s)
            bogus = await _answers_unchecked(resolver, qname, kind, left_s)
    return DnsAnswer(
        asked_at=asked_at,
        took_s=time.monotonic() - begun_s,
        peer=asked.peer,
        name=printable(name),
        rdtype=rdtype,
        status=asked.status,
        records=tuple(_presented(rdata) for rdata in asked.rrset or ()),
        aliases=_aliases(asked.response),
        ttl_s=asked.ttl_s,
        detail=asked.detail,
        bogus=bogus,
    )


def _absolute(name: str) -> dns.name.Name:
    """The name as DNS has it; raises ValueError where it cannot be one (RFC 1035 section 2.3.4)."""
    if not name.strip(".") or not name.isprintable() or re.search(r"[\s\\]", name):
        raise ValueError("empty, or with characters no name has")
    try:
        return dns.name.from_text(name)
    except dns.exception.DNSException as problem:
        raise ValueError(short(printable(str(problem)))) from problem


async def _ask(
    resolver: dns.asyncresolver.Resolver, qname: dns.name.Name, kind: dns.rdatatype.RdataType, limit_s: float
) -> _Asked:
    try:
        async with asyncio.timeout(limit_s):
            answer = await resolver.resolve(
                qname, kind, search=False, lifetime=limit_s * LIFETIME_SHARE, raise_on_no_answer=False
            )
    except dns.resolver.NXDOMAIN as problem:
        return _Asked(DnsStatus.NXDOMAIN, response=problem.kwargs["responses"][qname])
    except (dns.resolver.NoNameservers, dns.resolver.LifetimeTimeout) as problem:
        late = isinstance(problem, dns.resolver.LifetimeTimeout)
        return _trouble(problem.kwargs["errors"], DnsStatus.TIMEOUT if late else DnsStatus.UNREACHABLE)
    except dns.resolver.YXDOMAIN:  # a DNAME made the name too long (RFC 6672 section 2.2)
        return _Asked(DnsStatus.SERVFAIL, detail="YXDOMAIN")
    except TimeoutError:  # in a pause between two tries, where dnspython does not look at its limit
        return _Asked(
            DnsStatus.TIMEOUT, detail="; ".join(f"{server}: timeout" for server in resolver.nameservers)
        )
    response = answer.response
    return _Asked(
        status=DnsStatus.NODATA if answer.rrset is None else DnsStatus.ANSWER,
        rrset=answer.rrset,
        response=response if isinstance(response, dns.message.QueryMessage) else None,
        peer=endpoint_name(answer.nameserver or "", answer.port or 0),
        ttl_s=None if answer.rrset is None else answer.chaining_result.minimum_ttl,
    )


async def _answers_unchecked(
    resolver: dns.asyncresolver.Resolver, qname: dns.name.Name, kind: dns.rdatatype.RdataType, limit_s: float
) -> bool:
    """Whether the same question is settled once the resolver is told not to validate."""
    trusting = copy.copy(resolver)
    trusting.set_flags(dns.flags.RD | dns.flags.CD)
    asked = await _ask(trusting, qname, kind, limit_s)
    return asked.status in (DnsStatus.ANSWER, DnsStatus.NODATA, DnsStatus.NXDOMAIN)


def _trouble(errors: Sequence[tuple[Any, ...]], otherwise: DnsStatus) -> _Asked:
    """What dnspython's account of its tries amounts to.

    errors: (server, over TCP, port, exception or name of the reply code, reply) for each try.
    """
    causes = [cause for _, _, _, cause, _ in errors]
    if "SERVFAIL" in causes:
        status = DnsStatus.SERVFAIL
    elif "REFUSED" in causes:
        status = DnsStatus.REFUSED
    elif any(isinstance(cause, dns.exception.Timeout) for cause in causes):
        status = DnsStatus.TIMEOUT
    elif all(isinstance(cause, OSError) for cause in causes):
        status = otherwise
    else:
        status = DnsStatus.SERVFAIL  # answers that are none: another reply code, a form error
    tries = dict.fromkeys(f"{server}: {_in_words(cause, reply)}" for server, _, _, cause, reply in errors)
    return _Asked(status, detail=short(printable("; ".join(tries))))


def _in_words(cause: object, reply: dns.message.Message | None) -> str:
    if isinstance(cause, dns.exception.Timeout):
        return "timeout"
    words = error_name(cause) if isinstance(cause, OSError) else str(cause)
    extended = [option.to_text() for option in reply.extended_errors()] if reply else []
    return ", ".join([words, *extended])


def _presented(rdata: dns.rdata.Rdata) -> str:
    """A record's data in presentation form, its TXT strings joined and without last dots but the root's."""
    if isinstance(rdata, dns.rdtypes.ANY.TXT.TXT):
        return printable(b"".join(rdata.strings))
    if isinstance(rdata, dns.rdtypes.ANY.TLSA.TLSA):
        return f"{int(rdata.usage)} {int(rdata.selector)} {int(rdata.mtype)} {rdata.cert.hex()}"
    words = rdata.to_text().split()
    return printable(" ".join(word if word == "." else word.removesuffix(".") for word in words))


def _aliases(response: dns.message.QueryMessage | None) -> tuple[str, ...]:
    """The CNAME chain of a response that dnspython has already followed without complaint."""
    chain = response.resolve_chaining().cnames if response else []
    return tuple(printable(rrset[0].target.to_text(omit_final_dot=True)) for rrset in chain)


class _ConnectedNameserver(dns.nameserver.Do53Nameserver):
    """A name server asked from a connected UDP socket.

    dnspython's own sockets are not connected: that nobody listens there never reaches them and looks like
    silence.
    """

    def __str__(self) -> str:
        return endpoint_name(self.address, self.port)

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,
        source: str | None,
        source_port: int,
        max_size: bool,
        backend: Any,  # dns.asyncbackend.Backend, a name that dnspython does not export to type checkers
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        """As dnspython's: over TCP where ``max_size``, else over UDP; raises OSError and DNSException."""
        if max_size:
            return await super().async_query(
                request, timeout, source, source_port, max_size, backend, one_rr_per_rrset, ignore_trailing
            )
        family = dns.inet.af_for_address(self.address)
        server = dns.inet.low_level_address_tuple((self.address, self.port), family)
        async with await backend.make_socket(family, socket.SOCK_DGRAM, 0, None, server[:2]) as sock:
            return await dns.asyncquery.udp(
                request,
                self.address,
                timeout=timeout,
                port=self.port,
                sock=sock,
                ignore_unexpected=True,
                ignore_errors=True,
                raise_on_truncation=True,
                one_rr_per_rrset=one_rr_per_rrset,
                ignore_trailing=ignore_trailing,
            )


# --- what gets connected to --------------------------------------------------------------------------------


async def probe_addresses(
    profile: Profile, resolver: dns.asyncresolver.Resolver, host: str, port: int
) -> SystemAddresses:
    """The addresses of a host as this machine sees them, in the order in which it would use them.

    Where the profile names its own DNS servers those are asked, for A and AAAA. Limit: ``dns_s``.
    Never raises for what the network does: see ``SystemAddresses.error``.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    limit_s, by_system = profile.limits.dns_s, not profile.dns_servers
    addresses: tuple[str, ...]
    if _is_address(host):
        addresses, error = (host,), ""
    elif by_system:
        addresses, error = await _by_system(host, port, limit_s)
    else:
        addresses, error = await _by_servers(resolver, host, limit_s)
    return SystemAddresses(
        asked_at=asked_at,
        took_s=time.monotonic() - begun_s,
        host=printable(host),
        addresses=addresses,
        error=error,
        by_system=by_system,
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _by_servers(
    resolver: dns.asyncresolver.Resolver, host: str, limit_s: float
) -> tuple[tuple[str, ...], str]:
    answers = await asyncio.gather(
        *(probe_dns(resolver, host, rdtype, limit_s=limit_s) for rdtype in ("A", "AAAA"))
    )
    addresses = tuple(dict.fromkeys(record for answer in answers for record in answer.records))
    telling = next((one for one in answers if one.status is not DnsStatus.NODATA), answers[0])
    return addresses, "" if addresses else telling.status.name


async def _by_system(host: str, port: int, limit_s: float) -> tuple[tuple[str, ...], str]:
    def ask() -> list[Any]:
        return socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)

    try:
        async with asyncio.timeout(limit_s):
            found = await _in_daemon_thread(ask)
    except TimeoutError:
        return (), "TIMEOUT"
    except socket.gaierror as problem:
        return (), _gai_name(problem)
    except OSError as problem:
        return (), error_name(problem)
    except ValueError:  # no host name: IDNA refuses it, or it holds a NUL
        return (), DnsStatus.INVALID_NAME.name
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found)), ""


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """Work that cannot be cancelled, in a thread that neither a pool nor the interpreter's end waits for.

    Raises what the work raises of OSError and ValueError; gives up when the caller does.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()  # from here on only the thread decides what it becomes

    def carry_out() -> None:
        try:
            outcome.set_result(work())
        except (OSError, ValueError) as problem:
            outcome.set_exception(problem)

    threading.Thread(target=carry_out, daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _gai_name(problem: socket.gaierror) -> str:
    """The resolver's name for its error (POSIX getaddrinfo), EAI_NONAME say."""
    names = (name for name in dir(socket) if name.startswith("EAI_"))
    return next((name for name in names if getattr(socket, name) == problem.errno), str(problem.errno))
