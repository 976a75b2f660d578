"""Stage tls: is the channel encrypted, and is it the right server at its end?

Evidence: ``tls`` is the verified handshake; where that failed, what a second, unverified one could read.
``certificate`` is the same, once a certificate has been seen.
"""

from smtp_preflight.diagnosis.greeting import remark_on_reply_time, why_not_greeted
from smtp_preflight.diagnosis.tls import (
    remark_on_certificate_end,
    remark_on_handshake_time,
    why_issuer_not_trusted,
    why_key_weak,
    why_name_differs,
    why_no_handshake,
    why_not_within_dates,
    why_signature_weak,
    why_version_obsolete,
)
from smtp_preflight.diagnosis.tlsa import announces, why_not_announced
from smtp_preflight.model import DnsAnswer, Ehlo, Seen, Stage, TlsHandshake
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.TLS


def test_handshake_completes(tls: TlsHandshake, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The server answers the TLS handshake to its end."""
    assert tls.completed, explain(why_no_handshake(seen))
    remark(remark_on_handshake_time(seen, tls))


def test_version_is_modern(certificate: TlsHandshake, seen: Seen, explain: Explain) -> None:
    """TLS 1.2 or newer is agreed on (RFC 9325 section 3.1.1)."""
    assert certificate.modern, explain(why_version_obsolete(seen))


def test_issuer_is_trusted(certificate: TlsHandshake, seen: Seen, explain: Explain) -> None:
    """The chain leads to an authority that this machine trusts (RFC 5280 section 6)."""
    assert certificate.issuer_trusted, explain(why_issuer_not_trusted(seen))


def test_certificate_names_the_host(certificate: TlsHandshake, seen: Seen, explain: Explain) -> None:
    """The certificate is for the configured host name (RFC 9525 section 6)."""
    assert certificate.names_host, explain(why_name_differs(seen))


def test_certificate_is_within_its_dates(
    certificate: TlsHandshake, seen: Seen, explain: Explain, remark: Remark
) -> None:
    """The certificate has begun and not ended, nor will soon (RFC 5280 section 4.1.2.5)."""
    assert certificate.dates_hold, explain(why_not_within_dates(seen))
    remark(remark_on_certificate_end(seen, certificate))


def test_key_is_strong(certificate: TlsHandshake, seen: Seen, explain: Explain) -> None:
    """Keys are as long as RFC 9325 section 4.5 asks for."""
    assert certificate.keys_strong, explain(why_key_weak(seen))


def test_signature_is_strong(certificate: TlsHandshake, seen: Seen, explain: Explain) -> None:
    """The chain is not signed over MD5 or SHA-1."""
    assert certificate.signatures_strong, explain(why_signature_weak(seen))


def test_certificate_is_the_one_announced(
    tlsa: DnsAnswer, certificate: TlsHandshake, seen: Seen, explain: Explain
) -> None:
    """Where TLSA records announce a certificate or key, it is the one shown (RFC 6698 section 2.1)."""
    assert announces(tlsa, certificate), explain(why_not_announced(seen))


def test_ehlo_is_accepted_under_encryption(
    ehlo_tls: Ehlo, seen: Seen, explain: Explain, remark: Remark
) -> None:
    """The server answers EHLO again after the handshake (RFC 3207 section 4.2)."""
    assert ehlo_tls.accepted, explain(why_not_greeted(seen))
    remark(remark_on_reply_time(seen, ehlo_tls, STAGE))
