"""TLS: the verified handshake, and where that fails a second look that verifies nothing and says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import ssl
import time
import warnings
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smtp_preflight.model import Certificate, Failure, Line, TlsFailure, TlsHandshake, short
from smtp_preflight.oauth.trust import verifying_context
from smtp_preflight.probes.smtp import Dialogue, hang_up, probe_ehlo, probe_greeting, probe_starttls
from smtp_preflight.probes.stream import Stream, error_name, printable

CHAIN_AT_MOST = 20

_RECORD_TYPES = frozenset((20, 21, 22, 23))  # RFC 8446 section 5.1
_VERSION_REASONS = frozenset(
    (
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_SSL_VERSION",
        "WRONG_VERSION_NUMBER",
    )
)
_WORTH_A_SECOND_LOOK = frozenset((TlsFailure.VERIFY, TlsFailure.VERSION, TlsFailure.ALERT, TlsFailure.OTHER))
# What the second look offers, up to TLS 1.2; TLS 1.3 has no ciphers without a certificate.
_WITH_CERTIFICATE = "ALL:!aNULL:@SECLEVEL=0"
_WITHOUT_CERTIFICATE = "aNULL:@SECLEVEL=0"
# ssl names it from Python 3.12 on: RFC 5746 is not insisted on, by the second look alone.
_OP_LEGACY_SERVER_CONNECT = 0x4
_KEY_TYPES = (
    (rsa.RSAPublicKey, "RSA"),
    (ec.EllipticCurvePublicKey, "EC"),
    (dsa.DSAPublicKey, "DSA"),
    (ed25519.Ed25519PublicKey, "Ed25519"),
    (ed448.Ed448PublicKey, "Ed448"),
)
_EDWARDS_BITS = {"Ed25519": 256, "Ed448": 456}
_UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """How the verified handshake failed."""

    failure: TlsFailure
    detail: str = ""
    verify_code: int | None = None
    verify_message: str = ""
    ca_problem: str = ""


@dataclass(frozen=True, slots=True)
class _Agreed:
    """What a completed handshake settled on, and the certificates that were sent."""

    version: str = ""
    cipher: str = ""
    chain: tuple[Certificate, ...] = ()
    unreadable: int = 0

    def __str__(self) -> str:
        return f"{self.version} {self.cipher}" if self.version else "no handshake"


async def probe_tls(dialogue: Dialogue) -> TlsHandshake:
    """Shake hands on the dialogue's connection, verified for ``smtp.host``, within ``tls_s``.

    Serves STARTTLS and implicit TLS alike. After success the dialogue is protected and what it learned in the
    clear is forgotten. A failure that a certificate, a version or an algorithm may explain is followed by a
    second handshake on a new connection to the same address, unverified and with everything old allowed: it
    reads version, cipher and chain, and says nothing but EHLO, STARTTLS and QUIT. Where two alerts were all
    that came, a third one sees whether the server has no certificate at all. What they add shows as
    ``diagnosed``; ``took_s`` is that of the first handshake.
    """
    asked_at, begun_s = dt.datetime.now(dt.UTC), time.monotonic()
    trouble = await _shake_hands(dialogue)
    took_s = time.monotonic() - begun_s
    if trouble is None:
        agreed = _agreed(dialogue.stream.tls)
        lines = [_line(dialogue, f"TLS established: {agreed}")]
    else:
        lines = [_line(dialogue, ": ".join(filter(None, ("TLS failed", trouble.failure, trouble.detail))))]
        agreed = _Agreed()
        if trouble.failure in _WORTH_A_SECOND_LOOK:
            agreed = await _second_look(dialogue, trouble.failure)
            lines.append(_line(dialogue, f"TLS unverified, on another connection: {agreed}"))
    return TlsHandshake(
        asked_at=asked_at,
        took_s=took_s,
        peer=dialogue.stream.peer,
        host=dialogue.profile.smtp.host,
        failure=trouble.failure if trouble else None,
        detail=_detail(trouble, agreed),
        verify_code=trouble.verify_code if trouble else None,
        verify_message=trouble.verify_message if trouble else "",
        version=agreed.version,
        cipher=agreed.cipher,
        chain=agreed.chain,
        diagnosed=trouble is not None and bool(agreed.version),
        ca_problem=trouble.ca_problem if trouble else "",
        lines=tuple(lines),
    )


# --- the verified handshake --------------------------------------------------------------------------------


async def _shake_hands(dialogue: Dialogue) -> _Trouble | None:
    """The one handshake that makes a dialogue fit for credentials, or why it did not come about."""
    profile, stream = dialogue.profile, dialogue.stream
    try:
        context = verifying_context(profile.ca_file)
    except OSError as problem:
        dialogue.over = Failure.TLS
        words = " ".join(filter(None, (profile.ca_file, error_name(problem))))
        return _Trouble(TlsFailure.OTHER, words, ca_problem=words)
    try:
        async with asyncio.timeout(profile.limits.tls_s):
            await stream.start_tls(context, profile.smtp.host)
    except (OSError, EOFError) as problem:
        dialogue.over = Failure.TLS
        return _trouble(problem, stream.handshake_head)
    except asyncio.CancelledError:
        dialogue.over = Failure.TLS
        raise
    dialogue.begin_protected()
    dialogue.verified = True
    return None


def _trouble(problem: OSError | EOFError, head: bytes) -> _Trouble:
    """What ended a handshake; head: the first bytes the server answered with."""
    words = error_name(problem) if isinstance(problem, OSError) else ""
    if head and head[0] not in _RECORD_TYPES:
        return _Trouble(TlsFailure.NOT_TLS, short(f"{words}: {printable(head)}".removeprefix(": ")))
    if isinstance(problem, ssl.SSLCertVerificationError):
        message = printable(problem.verify_message)
        return _Trouble(TlsFailure.VERIFY, message, problem.verify_code, message)
    return _Trouble(_failure(problem), words)


def _failure(problem: OSError | EOFError) -> TlsFailure:
    if isinstance(problem, EOFError):
        return TlsFailure.CLOSED
    if isinstance(problem, TimeoutError):
        return TlsFailure.TIMEOUT
    if isinstance(problem, ConnectionError):
        return TlsFailure.RESET
    if not isinstance(problem, ssl.SSLError):
        return TlsFailure.OTHER
    if problem.reason in _VERSION_REASONS:
        return TlsFailure.VERSION
    return TlsFailure.ALERT if "_ALERT_" in (problem.reason or "") else TlsFailure.OTHER


def _detail(trouble: _Trouble | None, agreed: _Agreed) -> str:
    unread = f"{agreed.unreadable} certificates unreadable" if agreed.unreadable else ""
    return "; ".join(filter(None, (trouble.detail if trouble else "", unread)))


def _line(dialogue: Dialogue, text: str) -> Line:
    at_s = time.monotonic() - dialogue.stream.opened_s
    return Line(round(at_s, 4), "-", dialogue.shown(text))


# --- the second look ---------------------------------------------------------------------------------------


async def _second_look(dialogue: Dialogue, failure: TlsFailure) -> _Agreed:
    """Version, cipher and chain as an unverified handshake shows them; empty where that fails too.

    Ciphers without a certificate are tried alone: a server that prefers them (Postfix does) shows none.
    """
    found = await _look_again(dialogue, _WITH_CERTIFICATE)
    if not found.version and failure is TlsFailure.ALERT:
        found = await _look_again(dialogue, _WITHOUT_CERTIFICATE)
    return found


async def _look_again(dialogue: Dialogue, ciphers: str) -> _Agreed:
    """What another connection to the same address agrees to with these ciphers."""
    limits, old = dialogue.profile.limits, dialogue.stream
    with contextlib.suppress(OSError, EOFError):
        async with asyncio.timeout(limits.greeting_s + limits.tls_s):
            stream = await Stream.connect(old.address, old.port)
            with contextlib.closing(stream):
                return await _look(Dialogue(stream, dialogue.profile, dialogue.wallet), ciphers)
    return _Agreed()


async def _look(dialogue: Dialogue, ciphers: str) -> _Agreed:
    """Raises OSError and EOFError; the dialogue is never verified, so nothing secret can be said in it."""
    smtp = dialogue.profile.smtp
    if smtp.tls == "starttls" and not await _may_begin(dialogue):
        return _Agreed()
    await dialogue.stream.start_tls(_lenient_context(ciphers), smtp.host)
    agreed = _agreed(dialogue.stream.tls)
    dialogue.begin_protected()
    await hang_up(dialogue)
    return agreed


async def _may_begin(dialogue: Dialogue) -> bool:
    greeting = await probe_greeting(dialogue)
    if not greeting.accepted:
        return False
    await probe_ehlo(dialogue, encrypted=False)
    return (await probe_starttls(dialogue)).may_begin


def _lenient_context(ciphers: str) -> ssl.SSLContext:
    """Accepts whatever a server may still speak: for reading what it shows, never for talking to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is looked for here
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers(ciphers)
    context.options |= _OP_LEGACY_SERVER_CONNECT
    return context


# --- what was agreed on ------------------------------------------------------------------------------------


def _agreed(engine: ssl.SSLObject | None) -> _Agreed:
    assert engine is not None, "start_tls has succeeded"
    sent = sent_chain(engine)[:CHAIN_AT_MOST]
    chain = tuple(found for der in sent if (found := read_certificate(der)) is not None)
    cipher = engine.cipher()
    return _Agreed(
        version=engine.version() or "",
        cipher=cipher[0] if cipher else "",
        chain=chain,
        unreadable=len(sent) - len(chain),
    )


def sent_chain(engine: ssl.SSLObject) -> list[bytes]:
    """The certificates as the server sent them, leaf first, DER.

    Public from Python 3.13 on. Before, only the object inside has it, and hands out objects of its own; the
    alternative, the leaf alone, could not tell an incomplete chain from an untrusted one.
    """
    inner: Any = engine
    if not hasattr(engine, "get_unverified_chain"):
        inner = engine._sslobj  # type: ignore[attr-defined]  # private, hence not in typeshed
    found = inner.get_unverified_chain() or ()
    return [one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found]


def read_certificate(der: bytes) -> Certificate | None:
    """The parts of a certificate that judging needs; nothing where it cannot be read."""
    try:
        found = x509.load_der_x509_certificate(der)
        key = found.public_key()
        key_type = next((name for kind, name in _KEY_TYPES if isinstance(key, kind)), type(key).__name__)
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Certificate(
            subject=printable(found.subject.rfc4514_string()),
            issuer=printable(found.issuer.rfc4514_string()),
            names=_names(found),
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
            key_type=key_type,
            key_bits=getattr(key, "key_size", _EDWARDS_BITS.get(key_type, 0)),
            signature_hash=_signature_hash(found),
            sha256=hashlib.sha256(der).hexdigest(),
            spki_sha256=hashlib.sha256(spki).hexdigest(),
        )
    except _UNREADABLE:
        return None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and addresses of subjectAltName; the common name is no name (RFC 9525 section 2)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    names = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return tuple(printable(str(name)) for name in (*names, *addresses))


def _signature_hash(certificate: x509.Certificate) -> str:
    """Empty for Ed25519 and its like, which bring their own, and for hashes nobody knows."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return ""
    return algorithm.name if algorithm else ""
