"""Stage tls: whether the certificates shown are those that DNS announces (DANE)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import is_address
from smtp_preflight.model import Certificate, DnsAnswer, Finding, Profile, Seen, Stage, TlsHandshake, short

# RFC 6698 section 2.1: usage 2 is an authority of the chain, 3 the server's own certificate; selector 0 is
# the whole certificate, 1 its key; matching 0 is the thing itself, 1 its SHA-256.
USAGES = ("2", "3")
SELECTORS = ("0", "1")
MATCHINGS = ("0", "1")


def tlsa_question(profile: Profile) -> tuple[str, ...]:
    """The subject of the question for the service's TLSA records; none where the host is an address."""
    host, port = profile.smtp.host, profile.smtp.port
    return () if is_address(host) else (f"_{port}._tcp.{host} TLSA",)


def comparable(tlsa: DnsAnswer) -> bool:
    """All of the records are of a kind that can be held against what was seen.

    Usages 0 and 1 play no part in mail (RFC 7672 section 3.1.3); of SHA-512 nothing was recorded, so that it
    could be the one that matches.
    """
    mail = [one for one in _parts(tlsa) if one[0] in USAGES]
    return bool(mail) and all(one[1] in SELECTORS and one[2] in MATCHINGS for one in mail)


def announces(tlsa: DnsAnswer, tls: TlsHandshake) -> bool:
    """One of the records is about a certificate that the server showed (RFC 6698 section 2.1)."""
    return any(_fits(one, tls.chain) for one in _parts(tlsa))


def why_not_announced(seen: Seen) -> Finding:
    """None of the TLSA records is about what the server shows."""
    answers = [seen.get(DnsAnswer, one) for one in tlsa_question(seen.profile)]
    tls = seen.get(TlsHandshake)
    lines = [
        *(f"{one.name} TLSA: {record}" for one in answers if one for record in one.records),
        *(f"shown: {one.subject}, SHA-256 {one.sha256}, of its key {one.spki_sha256}" for one in _chain(tls)),
    ]
    facts = {"seen": "\n".join(map(short, lines))}
    return finding(seen, Stage.TLS, "tlsa", signs={"tlsa": "mismatch"}, facts=facts)


def _chain(tls: TlsHandshake | None) -> tuple[Certificate, ...]:
    return tls.chain if tls else ()


def _parts(tlsa: DnsAnswer) -> list[list[str]]:
    """Usage, selector, matching and data of each record."""
    return [parts for record in tlsa.records if len(parts := record.lower().split()) == 4]


def _fits(parts: Sequence[str], chain: Sequence[Certificate]) -> bool:
    usage, selector, matching, data = parts
    candidates = {"2": chain, "3": chain[:1]}.get(usage, ())
    shown = {"0": [one.sha256 for one in candidates], "1": [one.spki_sha256 for one in candidates]}
    wanted = {"0": _sha256_of(data), "1": data}
    return wanted.get(matching) in shown.get(selector, ())


def _sha256_of(data: str) -> str:
    """Of the certificate or key that a record holds itself; what is no hexadecimal number has none."""
    try:
        return hashlib.sha256(bytes.fromhex(data)).hexdigest()
    except ValueError:
        return "none"
