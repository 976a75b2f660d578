"""Faults from the mail server's port to its second EHLO."""

from __future__ import annotations

from typing import Any

from smtp_preflight.lab.conditions import (
    EHLO,
    GREETING,
    HANDSHAKE,
    HANG_UP,
    SECURE_EHLO,
    SILENCE,
    STARTTLS,
    CertificateTerms,
    Conditions,
    ConnectionConditions,
    Port,
)
from smtp_preflight.lab.faults.fault import PROVIDERS, Fault
from smtp_preflight.model import Stage


def _fault(
    code: str, stage: Stage, line: str, way: str = "", named_first: str = "", **conditions: Any
) -> Fault:
    connection = ConnectionConditions(**conditions)
    return Fault(
        code, stage, PROVIDERS, line, Conditions(connection=connection), way, named_first=named_first
    )


def _waiting(
    code: str, stage: Stage, line: str, limits: dict[str, float], way: str = "", **more: Any
) -> Fault:
    """A fault that shows when a limit, in seconds, is reached; as short as it may be on a busy machine."""
    connection = ConnectionConditions(**more)
    return Fault(code, stage, PROVIDERS, line, Conditions(connection=connection), way, limits=limits)


def _certificate(code: str, line: str, way: str = "", **terms: Any) -> Fault:
    return _fault(code, Stage.TLS, line, way, certificate=CertificateTerms(**terms))


_TCP = (
    _fault("tcp_refused", Stage.TCP, "nothing listens on the mail server's port", port=Port.CLOSED),
    _waiting(
        "tcp_port_blocked",
        Stage.TCP,
        "whoever connects to the mail server's port gets no answer",
        {"tcp_s": 1},
        port=Port.FULL,
    ),
)

_GREETING = (
    _waiting(
        "greeting_timeout",
        Stage.GREETING,
        "the mail server takes connections and says nothing",
        {"greeting_s": 1, "tls_s": 1},
        instead={GREETING: SILENCE},
    ),
    _waiting(
        "greeting_timeout",
        Stage.GREETING,
        "the mail server's port is open, and nobody takes the connections",
        {"greeting_s": 1, "tls_s": 1},
        "unattended",
        port=Port.UNATTENDED,
    ),
    _waiting(
        "greeting_slow",
        Stage.GREETING,
        "the mail server's greeting comes late",
        {"greeting_slow_s": 0.3},
        late_s={GREETING: 0.4},
    ),
    _fault(
        "service_unavailable",
        Stage.GREETING,
        "the mail server has no time for anybody (421)",
        instead={GREETING: "421 4.7.0 Try again later, closing connection."},
    ),
    _fault(
        "client_address_refused",
        Stage.GREETING,
        "the mail server refuses this machine's address (554)",
        instead={GREETING: "554 5.7.1 Service unavailable; Client host [{peer}] blocked using a block list"},
    ),
    _fault(
        "connection_lost",
        Stage.GREETING,
        "the mail server hangs up without a word",
        instead={GREETING: HANG_UP},
    ),
    _fault(
        "not_smtp",
        Stage.GREETING,
        "an SSH server listens on the port",
        first_bytes=b"SSH-2.0-OpenSSH_9.9\r\n",
    ),
    _fault(
        "not_smtp",
        Stage.GREETING,
        "a web server or proxy answers on the port",
        "http",
        first_bytes=b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    ),
    _fault(
        "ehlo_argument_rejected",
        Stage.GREETING,
        "the mail server does not like the name given with EHLO",
        instead={EHLO: "501 5.5.4 Invalid domain name"},
    ),
    _waiting(
        "reply_timeout",
        Stage.GREETING,
        "the mail server never answers EHLO",
        {"reply_s": 2},
        instead={EHLO: SILENCE},
    ),
    _fault(
        "connection_lost",
        Stage.GREETING,
        "the mail server hangs up at EHLO",
        "ehlo",
        instead={EHLO: HANG_UP},
    ),
    _waiting(
        "reply_slow",
        Stage.GREETING,
        "the answer to EHLO comes late",
        {"reply_slow_s": 1},
        late_s={EHLO: 1.1},
    ),
)

_STARTTLS = (
    _fault(
        "starttls_not_offered",
        Stage.STARTTLS,
        "the mail server's EHLO reply lists no STARTTLS",
        starttls_offered=False,
    ),
    _fault(
        "starttls_stripped",
        Stage.STARTTLS,
        "a device on the way makes STARTTLS unreadable",
        starttls_keyword="XXXXXXXA",
    ),
    _fault(
        "starttls_refused",
        Stage.STARTTLS,
        "the mail server cannot begin TLS just now (454)",
        instead={STARTTLS: "454 4.7.0 TLS not available due to temporary reason"},
    ),
    _fault(
        "starttls_plaintext_injected",
        Stage.STARTTLS,
        "somebody slips a reply behind the 220 to STARTTLS",
        injected=b"250 2.0.0 OK\r\n",
    ),
    _fault(
        "auth_offered_without_tls",
        Stage.STARTTLS,
        "the mail server offers AUTH before encryption",
        auth_in_clear=True,
    ),
    _waiting(
        "reply_timeout",
        Stage.STARTTLS,
        "the mail server never answers STARTTLS",
        {"reply_s": 2},
        "starttls",
        instead={STARTTLS: SILENCE},
    ),
    _fault(
        "connection_lost",
        Stage.STARTTLS,
        "the mail server hangs up at STARTTLS",
        "starttls",
        instead={STARTTLS: HANG_UP},
    ),
)

_TLS = (
    _waiting(
        "tls_handshake_timeout",
        Stage.TLS,
        "the mail server never answers the handshake",
        {"tls_s": 1},
        instead={HANDSHAKE: SILENCE},
    ),
    _fault(
        "tls_handshake_closed",
        Stage.TLS,
        "the mail server hangs up in the handshake",
        instead={HANDSHAKE: HANG_UP},
    ),
    _waiting(
        "tls_handshake_slow",
        Stage.TLS,
        "the mail server's handshake comes late",
        {"tls_slow_s": 0.3},
        late_s={HANDSHAKE: 0.4},
    ),
    _fault(
        "server_tls_version_obsolete", Stage.TLS, "the mail server speaks TLS 1.0 only", tls_version="TLSv1"
    ),
    _fault(
        "server_tls_version_obsolete",
        Stage.TLS,
        "the mail server speaks TLS 1.0 only, and does not say that this is why",
        "unsaid",
        tls_version="TLSv1",
        alerts_vague=True,
    ),
    _fault(
        "client_certificate_required",
        Stage.TLS,
        "the mail server wants a certificate of its clients",
        client_certificate_wanted=True,
    ),
    _fault(
        "client_certificate_required",
        Stage.TLS,
        "the mail server wants a certificate of its clients, and turns them away with a 421",
        "ehlo_tls",
        instead={SECURE_EHLO: "421 4.7.1 {server} Error: No client certificate presented"},
    ),
    _fault("certificate_missing", Stage.TLS, "the mail server shows no certificate", anonymous=True),
    _certificate(
        "certificate_expired",
        "the mail server's certificate ended three days ago",
        begins_days=-93,
        ends_days=-3,
    ),
    _fault(
        "certificate_expired",
        Stage.TLS,
        "the mail server's certificate has ended, and whoever can do without one is shown none",
        "anonymous",
        certificate=CertificateTerms(begins_days=-93, ends_days=-3),
        anonymous_first=True,
    ),
    _certificate("certificate_not_yet_valid", "the mail server's certificate begins tomorrow", begins_days=1),
    _certificate("certificate_expires_soon", "the mail server's certificate ends within a week", ends_days=6),
    _certificate(
        "certificate_name_mismatch",
        "the mail server's certificate is for another host",
        name="other.lab.example",
    ),
    _certificate(
        "certificate_self_signed", "the mail server has signed its own certificate", self_signed=True
    ),
    _certificate(
        "certificate_issuer_untrusted",
        "an authority that is not known here has signed the certificate",
        stranger="Contoso Works",
    ),
    _certificate(
        "tls_interception",
        "a device on the way shows a certificate of its own",
        stranger="Zscaler Inc.",
    ),
    _certificate(
        "certificate_chain_incomplete", "the mail server keeps the intermediate back", issuer_sent=False
    ),
    _certificate("certificate_key_weak", "the certificate's key has 1024 bits", rsa_bits=1024),
    _certificate("certificate_signature_weak", "the certificate is signed over SHA-1", by_sha1=True),
    _waiting(
        "reply_timeout",
        Stage.TLS,
        "the mail server never answers EHLO under encryption",
        {"reply_s": 2},
        "ehlo_tls",
        instead={SECURE_EHLO: SILENCE},
    ),
    _fault(
        "connection_lost",
        Stage.TLS,
        "the mail server hangs up after the handshake",
        "ehlo_tls",
        instead={SECURE_EHLO: HANG_UP},
    ),
)

_OFFERED = (
    _fault(
        "auth_not_advertised",
        Stage.AUTH_OFFERED,
        "the mail server offers no way to sign in",
        auth_offered=False,
    ),
    _fault(
        "xoauth2_not_advertised",
        Stage.AUTH_OFFERED,
        "the mail server offers password mechanisms only",
        bearer_offered=False,
    ),
)

ROWS = (*_TCP, *_GREETING, *_STARTTLS, *_TLS, *_OFFERED)
