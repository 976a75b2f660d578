"""Looking at another service after a failure: how far one gets there, and what it offers. Never a login."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from dataclasses import replace

import dns.asyncresolver

from smtp_preflight.model import (
    Endpoint,
    Line,
    Profile,
    ServiceCheck,
    SmtpStep,
)
from smtp_preflight.probes.dns import probe_addresses
from smtp_preflight.probes.smtp import Dialogue, hang_up, probe_ehlo, probe_greeting, probe_starttls
from smtp_preflight.probes.stream import Stream, error_name
from smtp_preflight.probes.tls import probe_tls
from smtp_preflight.secrets import Wallet

MOST_ADDRESSES = 4


async def probe_service(
    profile: Profile, wallet: Wallet, resolver: dns.asyncresolver.Resolver, place: Endpoint
) -> ServiceCheck:
    """Connect, begin TLS, say EHLO and QUIT, within ``tcp_s``, ``greeting_s`` and ``tls_s`` taken together.

    place: its ``tls`` is starttls, implicit, or https; then nothing is said after the handshake.
    wallet: only redacts; no credential is ever sent here.
    Records how far that went. Never raises for what the network does: see ``ServiceCheck.problem``.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    limits, look = profile.limits, _Look(profile, wallet, place)
    try:
        async with asyncio.timeout(limits.tcp_s + limits.greeting_s + limits.tls_s):
            await look.at(await _addresses(profile, resolver, place))
    except TimeoutError:
        look.problem = "timeout"
    except OSError as problem:
        look.problem = error_name(problem)
    return ServiceCheck(
        asked_at=asked_at,
        took_s=time.monotonic() - begun_s,
        peer=look.peer,
        host=place.host,
        port=place.port,
        tls=place.tls,
        greeting=look.greeting,
        begun=look.begun,
        trusted=look.trusted,
        issuer=look.issuer,
        mechanisms=look.mechanisms,
        problem=look.problem,
        lines=tuple(look.lines),
    )


async def _addresses(
    profile: Profile, resolver: dns.asyncresolver.Resolver, place: Endpoint
) -> tuple[str, ...]:
    """Those to try; raises OSError, in the resolver's word for it, where there are none."""
    found = await probe_addresses(profile, resolver, place.host, place.port)
    if not found.addresses:
        raise OSError(found.error or "no address")
    return found.addresses[:MOST_ADDRESSES]


class _Look:
    """One look, filled in as it goes on, so that what was seen before a deadline is kept."""

    def __init__(self, profile: Profile, wallet: Wallet, place: Endpoint) -> None:
        mode = "starttls" if place.tls == "starttls" else "implicit"
        self._profile = replace(
            profile, smtp=replace(profile.smtp, host=place.host, port=place.port, tls=mode)
        )
        self._wallet = wallet
        self._place = place
        self.peer = ""
        self.greeting = ""
        self.begun = False
        self.trusted = False
        self.issuer = ""
        self.mechanisms: tuple[str, ...] = ()
        self.problem = ""
        self.lines: list[Line] = []

    async def at(self, addresses: tuple[str, ...]) -> None:
        """Look at the first address that connects; raises OSError where none does."""
        stream = await self._connected(addresses)
        self.peer = stream.peer
        with contextlib.closing(stream):
            dialogue = Dialogue(stream, self._profile, self._wallet)
            if self._place.tls != "starttls" or await self._may_begin(dialogue):
                await self._through_tls(dialogue)

    async def _connected(self, addresses: tuple[str, ...]) -> Stream:
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(self._profile.limits.tcp_s / len(addresses)):
                    return await Stream.connect(address, self._place.port)
        return await Stream.connect(addresses[-1], self._place.port)

    async def _may_begin(self, dialogue: Dialogue) -> bool:
        """The server greets, and says 220 to STARTTLS."""
        if not await self._greeted(dialogue):
            return False
        if not self._went_well(await probe_ehlo(dialogue, encrypted=False)):
            return False
        answer = await probe_starttls(dialogue)
        return self._went_well(answer) and answer.may_begin

    async def _through_tls(self, dialogue: Dialogue) -> None:
        tls = await probe_tls(dialogue)
        self.lines += tls.lines
        self.begun, self.trusted = tls.completed, tls.verified
        self.issuer = tls.leaf.issuer if tls.leaf else ""
        if not tls.verified:
            self.problem = f"TLS: {tls.detail or tls.failure}"
        elif self._place.tls != "https" and (self.greeting or await self._greeted(dialogue)):
            ehlo = await probe_ehlo(dialogue, encrypted=True)
            if self._went_well(ehlo):
                self.mechanisms = ehlo.mechanisms
            await hang_up(dialogue)

    async def _greeted(self, dialogue: Dialogue) -> bool:
        step = await probe_greeting(dialogue)
        self.greeting = str(step.reply).partition("\n")[0] if step.reply else ""
        return self._went_well(step)

    def _went_well(self, step: SmtpStep) -> bool:
        """Keeps what was said; and where the step was not accepted, why."""
        self.lines += step.lines
        if not step.accepted:
            self.problem = str(step.reply or step.failure)
        return step.accepted
