"""Asking each of the profile's name servers by itself, to see whether they agree."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from dataclasses import replace

from smtp_preflight.model import NameServers, Profile, Published, ServerAnswer
from smtp_preflight.probes.dns import probe_dns, resolver_for


async def probe_name_servers(profile: Profile, host: str) -> NameServers:
    """Ask every name server that the profile lists for the addresses of a host, all at the same time."""
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    each = await asyncio.gather(*(_ask_one(profile, server, host) for server in profile.dns_servers))
    return NameServers(asked_at=asked_at, took_s=time.monotonic() - begun_s, host=host, each=tuple(each))


async def _ask_one(profile: Profile, server: str, host: str) -> ServerAnswer:
    resolver = resolver_for(replace(profile, dns_servers=(server,)))
    a, aaaa = await asyncio.gather(
        *(probe_dns(resolver, host, rdtype, limit_s=profile.limits.dns_s) for rdtype in ("A", "AAAA"))
    )
    return ServerAnswer(server, Published(a, aaaa))
