"""The lab's name server: a table of records, served over UDP and TCP (RFC 1035).

The wire format is dnspython's. It answers like a resolver that knows its own names and nothing else, so that
no question leaves the machine.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator, Mapping
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from smtp_preflight.lab.conditions import LOGIN_HOST, MAILBOX_HOST, SMTP_HOST, NameConditions
from smtp_preflight.lab.sockets import LOOPBACK, Connection
from smtp_preflight.lab.world import World
from smtp_preflight.model import Profile

Records = Mapping[tuple[str, str], tuple[str, ...]]
"""(name without the last dot, type) -> records in presentation form."""

TTL_S = 300

MX_ADDRESS = "192.0.2.25"
"""An address of RFC 5737: nobody ever connects to it."""

_MOST_UDP_BYTES = 512
"""For a client that names no size of its own (RFC 1035 section 4.2.1, RFC 6891 section 6.2.3)."""

_MOST_ALIASES = 8


OTHER_KEY = "3 1 1 " + "0" * 64
"""A TLSA record of a key that nobody has (RFC 6698 section 2.1)."""


def own_records(host: str = SMTP_HOST) -> dict[tuple[str, str], tuple[str, ...]]:
    """The lab's own hosts; ``host`` is the mail server's name."""
    return {(host, "A"): (LOOPBACK,), (LOGIN_HOST, "A"): (LOOPBACK,), (MAILBOX_HOST, "A"): (LOOPBACK,)}


def records_for(
    profile: Profile, dkim_key: str, conditions: NameConditions, *, dkim_by_alias: bool
) -> Records:
    """The lab's hosts, and what the owner of the profile's sender domains has published.

    profile: already pointed at the lab.
    """
    host = profile.smtp.host.lower()
    table = own_records(host)
    for include in profile.provider.spf_include:
        table[include, "TXT"] = (_text("v=spf1 ip4:192.0.2.0/24 -all"),)
    for domain in profile.sender_domains:
        table |= _mail_domain(domain, profile)
        for selector in profile.provider.dkim_selectors:
            table |= _dkim(selector, domain, dkim_key, by_alias=dkim_by_alias)
        table |= _published_instead(domain, conditions)
    if conditions.announces_other_key:
        table[f"_{profile.smtp.port}._tcp.{host}", "TLSA"] = (OTHER_KEY,)
    if conditions.host is not None:
        table[host, "A"] = ()
        table |= {(host, rdtype): records for rdtype, records in conditions.host.items()}
    return table


def _published_instead(domain: str, conditions: NameConditions) -> Records:
    return {
        (f"{prefix}.{domain}" if prefix else domain, rdtype): tuple(
            one.format(domain=domain) for one in records
        )
        for (prefix, rdtype), records in conditions.domain.items()
    }


def _mail_domain(domain: str, profile: Profile) -> Records:
    """A domain that receives mail and whose senders can be told."""
    senders = [f"include:{one}" for one in profile.provider.spf_include] or ["mx"]
    return {
        (domain, "MX"): (f"10 mx.{domain}.",),
        (f"mx.{domain}", "A"): (MX_ADDRESS,),
        (domain, "TXT"): (_text(f"v=spf1 {' '.join(senders)} -all"),),
        (f"_dmarc.{domain}", "TXT"): (_text(f"v=DMARC1; p=reject; rua=mailto:dmarc@{domain}"),),
    }


def _dkim(selector: str, domain: str, key: str, *, by_alias: bool) -> Records:
    """A DKIM key (RFC 6376 section 3.6.1), at Microsoft behind an alias into the tenant's own domain."""
    name, text = f"{selector}._domainkey.{domain}", (_text(f"v=DKIM1; k=rsa; p={key}"),)
    if not by_alias:
        return {(name, "TXT"): text}
    target = f"{selector}-{domain.replace('.', '-')}._domainkey.tenant.lab.example"
    return {(name, "CNAME"): (f"{target}.",), (target, "TXT"): text}


def _text(value: str) -> str:
    """A TXT record in presentation form, in strings of at most 255 bytes (RFC 1035 section 3.3)."""
    return " ".join(f'"{value[start : start + 255]}"' for start in range(0, len(value), 255))


class NameServer:
    """Answers queries from a table, as far as its conditions let it."""

    def __init__(self, world: World, conditions: NameConditions) -> None:
        self._world = world
        self._conditions = conditions
        self._host = SMTP_HOST
        self.records: Records = own_records()
        self.pause_s = 0.0  # before the reply that was last made

    def serve(self, profile: Profile, dkim_key: str, *, dkim_by_alias: bool) -> None:
        """Publish what belongs to this profile, in the place of whatever was published before."""
        self._host = profile.smtp.host.lower()
        self.records = records_for(profile, dkim_key, self._conditions, dkim_by_alias=dkim_by_alias)

    def answer(self, wire: bytes, *, most_bytes: int = 0) -> bytes:
        """Return the reply to one query; nothing at all for what is none, or where the server is silent.

        most_bytes: longer replies are cut and say so (TC); 0: as the client wants it.
        """
        try:
            query = dns.message.from_wire(wire)
            reply = dns.message.make_response(query, recursion_available=True)
        except dns.exception.DNSException:
            return b""
        self.pause_s = self._conditions.host_late_s if self._about_host(reply) else 0.0
        self._fill(reply, checking=not query.flags & dns.flags.CD)
        if self._conditions.silent:
            return b""
        size = most_bytes or (query.payload if query.edns >= 0 else _MOST_UDP_BYTES)
        return reply.to_wire(max_size=max(size, _MOST_UDP_BYTES), prefer_truncation=True)

    def _about_host(self, reply: dns.message.Message) -> bool:
        return any(_key(asked.name) == self._host for asked in reply.question)

    def _fill(self, reply: dns.message.Message, *, checking: bool) -> None:
        if len(reply.question) != 1:
            reply.set_rcode(dns.rcode.FORMERR)
            return
        asked = reply.question[0]
        if trouble := self._trouble(checking) if self._about_host(reply) else "":
            reply.set_rcode(dns.rcode.from_text(trouble))
        else:
            self._look_up(asked, reply)
        told = dns.rcode.to_text(reply.rcode())
        rdtype = dns.rdatatype.to_text(asked.rdtype)
        self._world.note("dns", f"{asked.name.to_text(omit_final_dot=True)} {rdtype} {told}")

    def _trouble(self, checking: bool) -> str:
        """The error that is all this server has to say of the mail server, or nothing."""
        bogus = self._conditions.host_bogus and checking
        return "SERVFAIL" if bogus else self._conditions.host_rcode

    def _look_up(self, asked: dns.rrset.RRset, reply: dns.message.Message) -> None:
        rdtype = dns.rdatatype.to_text(asked.rdtype)
        name = self._follow(asked.name, rdtype, reply)
        if known := self._records_at(name, rdtype):
            reply.answer.append(known)
        else:
            reply.set_rcode(dns.rcode.NOERROR if self._exists(name) else dns.rcode.NXDOMAIN)
            reply.authority.append(_start_of_authority(name))

    def _follow(self, name: dns.name.Name, rdtype: str, reply: dns.message.Message) -> dns.name.Name:
        """Add the aliases on the way to the reply, and return where they lead."""
        for _ in range(_MOST_ALIASES):
            alias = None if rdtype == "CNAME" else self._records_at(name, "CNAME")
            if alias is None:
                break
            reply.answer.append(alias)
            name = alias[0].target
        return name

    def _records_at(self, name: dns.name.Name, rdtype: str) -> dns.rrset.RRset | None:
        records = self.records.get((_key(name), rdtype))
        return dns.rrset.from_text(name, TTL_S, "IN", rdtype, *records) if records else None

    def _exists(self, name: dns.name.Name) -> bool:
        """Whether the name or one below it has records; NXDOMAIN is for neither (RFC 8020 section 2)."""
        key = _key(name)
        there = (one for (one, _), records in self.records.items() if records)
        return any(one == key or one.endswith(f".{key}") for one in there)


def _key(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _start_of_authority(name: dns.name.Name) -> dns.rrset.RRset:
    """What comes with an answer that says no (RFC 2308 section 2)."""
    zone = name.split(min(2, len(name)))[1]
    return dns.rrset.from_text(
        zone, TTL_S, "IN", "SOA", "ns.lab.example. hostmaster.lab.example. 1 3600 600 86400 300"
    )


class Datagrams(asyncio.DatagramProtocol):
    """The name server over UDP."""

    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket over."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one query."""
        if reply := self._server.answer(data):
            asyncio.get_running_loop().call_later(self._server.pause_s, self._transport.sendto, reply, addr)


class DnsConnection(Connection):
    """The name server over TCP: each message behind its length (RFC 1035 section 4.2.2)."""

    def __init__(self, open_connections: set[Connection], server: NameServer) -> None:
        super().__init__(open_connections)
        self._server = server
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each query that is complete; hang up on what is none."""
        self._buffer += data
        for query in self._queries():
            reply = self._server.answer(query, most_bytes=0xFFFF)
            if not reply:
                self.transport.close()
                return
            self.transport.write(struct.pack("!H", len(reply)) + reply)

    def _queries(self) -> Iterator[bytes]:
        while len(self._buffer) >= 2:
            (size,) = struct.unpack("!H", self._buffer[:2])
            if len(self._buffer) < 2 + size:
                return
            query, self._buffer = self._buffer[2 : 2 + size], self._buffer[2 + size :]
            yield query
