"""The chain of evidence, top to bottom: one fixture per observation, in the order of the mail's way.

A fixture never asks, never judges and never fails. It hands on what was observed, or it is blocked by the
finding that kept it from being asked, or it skips a question that does not apply.
"""

from __future__ import annotations

import pytest

from smtp_preflight.diagnosis.greeting import why_not_greeted
from smtp_preflight.diagnosis.signs import is_address
from smtp_preflight.diagnosis.tls import why_no_handshake
from smtp_preflight.evidence import Evidence, asks
from smtp_preflight.model import (
    DnsAnswer,
    Ehlo,
    Profile,
    Published,
    Seen,
    SmtpGreeting,
    StartTls,
    SystemAddresses,
    TcpConnects,
    TlsHandshake,
)
from smtp_preflight.outcome import Blocked
from smtp_preflight.probes.questions import AFTER_TLS, BEFORE_TLS, first_ehlo

pytest_plugins = ["smtp_preflight.plugin"]


@pytest.fixture(scope="session")
@asks(DnsAnswer, lambda profile, _: (f"{profile.smtp.host} A", f"{profile.smtp.host} AAAA"))
def published(evidence: Evidence, profile: Profile) -> Published:
    """What DNS publishes for the submission host; skipped where the host is given as an address."""
    host = profile.smtp.host
    if is_address(host):
        pytest.skip("the host is given as an address")
    return Published(evidence[DnsAnswer, f"{host} A"], evidence[DnsAnswer, f"{host} AAAA"])


@pytest.fixture(scope="session")
@asks(SystemAddresses, lambda profile, _: (profile.smtp.host,))
def system(evidence: Evidence, profile: Profile) -> SystemAddresses:
    """What this machine's own resolver makes of the submission host."""
    return evidence[SystemAddresses, profile.smtp.host]


@pytest.fixture(scope="session")
def resolved_here(system: SystemAddresses) -> SystemAddresses:
    """The same, where it was this machine's resolver that was asked and it had an answer."""
    if not system.by_system:
        pytest.skip("the profile names its own DNS servers")
    return system


@pytest.fixture(scope="session")
@asks(TcpConnects, lambda profile, parameters: ("ipv4", "ipv6"))
def connects(evidence: Evidence, family: str) -> TcpConnects:
    """The attempts to connect to each address of one family."""
    mine = evidence[TcpConnects, family]
    others = [one for one in evidence.seen.every(TcpConnects) if one.family != family and one.attempts]
    if not mine.attempts:
        pytest.skip(f"no {family} address is published")
    if not mine.routable and others:
        pytest.skip(f"this machine has no {family}")
    return mine


@pytest.fixture(scope="session")
@asks(SmtpGreeting)
def greeting(evidence: Evidence) -> SmtpGreeting:
    """The server's first words."""
    return evidence[SmtpGreeting]


@pytest.fixture(scope="session")
@asks(Ehlo, BEFORE_TLS)
def ehlo(evidence: Evidence, profile: Profile) -> Ehlo:
    """The capabilities before TLS; skipped with implicit TLS, where there is no such moment."""
    if profile.smtp.tls == "implicit":
        pytest.skip("TLS comes first on this port")
    return evidence[Ehlo, BEFORE_TLS]


@pytest.fixture(scope="session")
def ehlo_accepted(ehlo: Ehlo, seen: Seen) -> Ehlo:
    """The capabilities before TLS, once there are any."""
    if not ehlo.accepted:
        raise Blocked(why_not_greeted(seen))
    return ehlo


@pytest.fixture(scope="session")
@asks(Ehlo, lambda profile, _: (first_ehlo(profile),))
def hello(evidence: Evidence, profile: Profile) -> Ehlo:
    """The answer to the first EHLO, in the clear or, with implicit TLS, under encryption."""
    return evidence[Ehlo, first_ehlo(profile)]


@pytest.fixture(scope="session")
@asks(StartTls)
def starttls(evidence: Evidence, profile: Profile) -> StartTls:
    """The answer to STARTTLS."""
    if profile.smtp.tls == "implicit":
        pytest.skip("TLS comes first on this port")
    return evidence[StartTls]


@pytest.fixture(scope="session")
@asks(TlsHandshake)
def tls(evidence: Evidence) -> TlsHandshake:
    """The handshake, and the certificates that were shown in it."""
    return evidence[TlsHandshake]


@pytest.fixture(scope="session")
def certificate(tls: TlsHandshake, seen: Seen) -> TlsHandshake:
    """The handshake, once it came to its end and a certificate was shown."""
    if not tls.completed:
        raise Blocked(why_no_handshake(seen))
    return tls


@pytest.fixture(scope="session")
@asks(Ehlo, AFTER_TLS)
def ehlo_tls(evidence: Evidence) -> Ehlo:
    """The capabilities under verified TLS; the only ones that count (RFC 3207 section 4.2)."""
    return evidence[Ehlo, AFTER_TLS]
