"""The way to the submission host: TCP, then TLS and the certificates shown there."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from smtp_preflight.model.observation import Line, Observation


class TcpOutcome(StrEnum):
    """What came of one attempt to connect."""

    CONNECTED = "connected"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NO_ROUTE = "no_route"
    PROHIBITED = "prohibited"
    RESET = "reset"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TcpAttempt:
    """One address, one attempt."""

    address: str
    port: int
    outcome: TcpOutcome
    took_s: float = 0.0
    error: str = ""  # the system's name for it, ECONNREFUSED say


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TcpConnects(Observation):
    """Every published address of one family, each tried once."""

    family: str  # ipv4 | ipv6
    attempts: tuple[TcpAttempt, ...] = ()  # none: no address of this family is published
    routable: bool = True  # this machine has a route for the family

    @property
    def connected(self) -> tuple[TcpAttempt, ...]:
        """The attempts that succeeded."""
        return tuple(one for one in self.attempts if one.outcome is TcpOutcome.CONNECTED)

    @property
    def failed(self) -> tuple[TcpAttempt, ...]:
        """The attempts that did not."""
        return tuple(one for one in self.attempts if one.outcome is not TcpOutcome.CONNECTED)


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of a chain, as far as judging it needs."""

    subject: str
    issuer: str
    names: tuple[str, ...]  # subjectAltName, DNS names and addresses
    not_before: dt.datetime
    not_after: dt.datetime
    key_type: str  # RSA | EC | Ed25519 | …
    key_bits: int
    signature_hash: str  # sha256 | sha1 | …; empty where the scheme has none of its own
    sha256: str  # fingerprint of the whole certificate, hex
    spki_sha256: str = ""  # of its public key, for TLSA 3 1 1

    @property
    def self_issued(self) -> bool:
        """It names itself as its issuer."""
        return self.subject == self.issuer

    @property
    def weak_key(self) -> bool:
        """RSA under 2048 bits, or elliptic curves under 224 (RFC 9325 section 4.5)."""
        least = {"RSA": 2048, "DSA": 2048, "EC": 224}.get(self.key_type, 0)
        return self.key_bits < least

    @property
    def weak_signature(self) -> bool:
        """Signed over MD5 or SHA-1; a self-issued one is trusted by itself, not by its signature."""
        return self.signature_hash in ("md5", "sha1") and not self.self_issued

    def names_host(self, host: str) -> bool:
        """A DNS name matches, a wildcard standing for one whole left-most label (RFC 9525 section 6.3)."""
        wanted = host.lower().rstrip(".")
        parent = wanted.partition(".")[2]
        offered = {name.lower().rstrip(".") for name in self.names}
        return wanted in offered or (bool(parent) and f"*.{parent}" in offered)


class TlsFailure(StrEnum):
    """How a handshake ended, where it did not succeed."""

    TIMEOUT = "timeout"
    CLOSED = "closed"
    RESET = "reset"
    ALERT = "alert"
    VERSION = "version"  # no version in common
    NOT_TLS = "not_tls"  # the answer is no TLS record
    VERIFY = "verify"  # the certificate is not accepted
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TlsHandshake(Observation):
    """The verified handshake; where that failed, what a second, unverified one could still read."""

    host: str
    failure: TlsFailure | None = None
    detail: str = ""
    verify_code: int | None = None  # OpenSSL's X509_V_ERR_…
    verify_message: str = ""
    version: str = ""  # TLSv1.3
    cipher: str = ""
    chain: tuple[Certificate, ...] = ()  # as sent, leaf first, at most 20
    diagnosed: bool = False  # version, cipher and chain are from the second handshake
    ca_problem: str = ""  # why no trust store could be loaded, in words
    lines: tuple[Line, ...] = ()

    @property
    def verified(self) -> bool:
        """The handshake succeeded and the certificate is good for the configured name."""
        return self.failure is None

    @property
    def leaf(self) -> Certificate | None:
        """The server's own certificate."""
        return self.chain[0] if self.chain else None

    @property
    def dates_hold(self) -> bool:
        """The chain has begun and not ended; where OpenSSL found another fault first, we read the leaf."""
        if self.verified or self.leaf is None:
            return True
        return (
            self.verify_code not in (9, 10)
            and self.leaf.not_before <= self.observed_at <= self.leaf.not_after
        )

    @property
    def names_host(self) -> bool:
        """The server's certificate is for the configured host; OpenSSL has said so where it verified."""
        return self.verified or self.leaf is None or self.leaf.names_host(self.host)

    @property
    def keys_strong(self) -> bool:
        """No key of the chain is too short for OpenSSL, nor the server's own for RFC 9325 section 4.5."""
        return self.verify_code not in (66, 67) and not (self.leaf and self.leaf.weak_key)

    @property
    def signatures_strong(self) -> bool:
        """The chain is not signed over a broken hash."""
        return self.verify_code != 68 and not (self.leaf and self.leaf.weak_signature)

    @property
    def modern(self) -> bool:
        """TLS 1.2 or newer was agreed on (RFC 9325 section 3.1.1)."""
        return self.version in ("TLSv1.2", "TLSv1.3")

    @property
    def completed(self) -> bool:
        """A handshake came to its end, be it the second, unverified one."""
        return bool(self.version)

    @property
    def issuer_trusted(self) -> bool:
        """The chain leads to an authority this machine trusts, whatever its dates and names are.

        OpenSSL builds the chain before it looks at key sizes, names and dates, and reports the first error:
        one about those (66 to 68; 62, 64; 9, 10) means that the chain had been found.
        """
        return self.verified or self.verify_code in (9, 10, 62, 64, 66, 67, 68)
