"""What a program says of a failure of its own, put into the signs that a probe would have recorded.

The wordings are those of the C library, of Python, Node, Java, .NET and Go, and of OpenSSL. They are
hearsay: each of them names one layer, and none proves what a probe would have seen. The sign ``witness``
says so.
"""

from __future__ import annotations

import re

from smtp_preflight.knowledge.inspectors import inspector_in
from smtp_preflight.model import DnsStatus, Failure, HttpFailure, Stage, TcpOutcome, TlsFailure

HTTP_STAGES = frozenset({Stage.DISCOVERY, Stage.DEVICE, Stage.AUTHORIZE, Stage.TOKEN, Stage.REFRESH})
CONNECTING = frozenset({Stage.DNS, Stage.TCP})
DIALOGUE = frozenset({Stage.GREETING, Stage.STARTTLS, Stage.AUTH, Stage.MAIL_FROM, Stage.RCPT_TO})

_NAMES = (
    (
        DnsStatus.TIMEOUT,
        r"EAI_AGAIN|temporary failure in name resolution|resolv\w* timed out|dns .{0,20}timed? ?out",
    ),
    (DnsStatus.SERVFAIL, r"SERVFAIL|server misbehaving"),
    (DnsStatus.NODATA, r"EAI_NODATA|no address associated with hostname|\bENODATA\b"),
    (
        DnsStatus.NXDOMAIN,
        r"ENOTFOUND|name or service not known|nodename nor servname|no such host|NXDOMAIN|UnknownHost"
        r"|could not resolve|unable to resolve|getaddrinfo failed|\b11001\b",
    ),
)
_CONNECTIONS = (
    (TcpOutcome.REFUSED, r"ECONNREFUSED|connection (was )?refused|actively refused|\b10061\b"),
    (TcpOutcome.TIMEOUT, r"ETIMEDOUT|timed? ?out|did not properly respond after a period of time|\b10060\b"),
    (TcpOutcome.NO_ROUTE, r"ENETUNREACH|EHOSTUNREACH|network is unreachable|no route to host"),
    (TcpOutcome.PROHIBITED, r"administratively prohibited|operation not permitted"),
    (TcpOutcome.RESET, r"ECONNRESET|connection (was )?(reset|aborted)"),
    (TcpOutcome.OTHER, r"(failed|unable) to connect|(can|could) ?(not|n't) connect"),
)
_TLS = (
    (
        TlsFailure.NOT_TLS,
        r"wrong version number|packet length too long|record layer failure|not an (SSL/TLS|SSL) record"
        r"|first record does not look like a TLS handshake|unknown protocol|plaintext connection"
        r"|unrecogni[sz]ed SSL message|(frame|record) .{0,30}corrupt|corrupted (frame|record)",
    ),
    (
        TlsFailure.VERIFY,
        r"certificate.{0,4}verif|certificate problem|CERT_|x509:|PKIX|RemoteCertificate|self[- ]signed"
        r"|verify locations|setting certificate|remote certificate|trust anchor|PeerUnverified"
        r"|unable to (get|verify)|hostname mismatch|ALTNAME_INVALID"
        r"|certificate (has expired|is not)",
    ),
    (
        TlsFailure.VERSION,
        r"unsupported[ _]protocol|protocol[ _]version|no[ _](appropriate[ _]protocol|protocols[ _]available)"
        r"|common algorithm",
    ),
    (TlsFailure.ALERT, r"handshake failure|tls(v1)? alert|sslv3 alert"),
    (TlsFailure.CLOSED, r"unexpected EOF|EOF occurred in violation of protocol|before secure TLS"),
)
_ENDS = (
    (Failure.RESET, r"ECONNRESET|connection (was )?reset"),
    (
        Failure.CLOSED,
        r"connection .{0,20}closed|closed (the )?connection|server disconnected|unexpected EOF|broken pipe"
        r"|response: -1\b",  # JavaMail has read nothing
    ),
    (Failure.TIMEOUT, r"ETIMEDOUT|timed? ?out"),
)
UNNAMED = "1"  # X509_V_ERR_UNSPECIFIED: the certificate was refused, and nobody says why
# OpenSSL's numbers for what a verification found (X509_STORE_CTX_get_error), by the words for it.
_VERIFY_CODES = (
    ("10", r"certificate has expired|CERT_HAS_EXPIRED|certificate (is )?expired"),
    ("9", r"certificate is not yet valid|CERT_NOT_YET_VALID"),
    (
        "62",
        r"hostname mismatch|ALTNAME_INVALID|NameMismatch|doesn't match|does not match (the )?(host|target)",
    ),
    ("18", r"DEPTH_ZERO_SELF_SIGNED|self[- ]signed certificate(?! in)"),
    ("19", r"self[- ]signed certificate in|SELF_SIGNED_CERT_IN_CHAIN|unknown authority|UntrustedRoot"),
    (
        "20",
        r"unable to get (local )?issuer|PKIX path building failed|unable to find valid certification path",
    ),
    ("21", r"unable to verify the first certificate|UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
)
_PROXY = re.compile(
    r"proxyerror|connect to proxy|from proxy|proxy CONNECT|tunnel (connection )?failed|proxy authentication",
    re.IGNORECASE,
)
_UNRESOLVED = re.compile(r"failed to resolve|NameResolutionError|could not resolve", re.IGNORECASE)
_HTTP_STATUS = re.compile(
    r"\bHTTP(?:/[\d.]+)?(?:[ _-]?(?:error|status|code))*[ :=]+([1-5]\d\d)\b", re.IGNORECASE
)
_ABOUT_CERTIFICATE = re.compile(r"issue[rd]|\bCN ?=|\bO ?=|certificate|verify|\bTLS\b|\bSSL\b", re.IGNORECASE)
_TARGET = re.compile(
    r"(?<![\w@.-])((?:[a-z0-9_-]+\.)+[a-z]{2,24}|(?:\d{1,3}\.){3}\d{1,3}|::1|localhost)\.?"
    r"(?:[:,]\s*(?:port[ =]+)?(\d{1,5}))?(?![\w.-]*@)",
    re.IGNORECASE,
)


_CLASS = re.compile(r"(exception|error)$", re.IGNORECASE)  # a program's names have dots as well


def signs_of_words(text: str, stage: Stage) -> dict[str, str]:
    """The words themselves, and what they amount to at this stage."""
    found = {"text": text, "witness": "program"}
    if status := _HTTP_STATUS.search(text):
        found["http_status"] = status[1]
    if _ABOUT_CERTIFICATE.search(text) and inspector_in(text):
        found["cert_issuer"] = "inspector"
    if stage in HTTP_STAGES:
        failure = _http_failure(text)
        return found | ({"http_failure": failure} | _verify_code(text) if failure else {})
    if name := _first(_NAMES, text):
        return found | {"host_dns": name, "bogus": "no", "system": "none"}
    if tls := _first(_TLS, text):
        unnamed = {"verify_code": UNNAMED} if tls == TlsFailure.VERIFY else {}
        return found | {"tls_failure": tls} | unnamed | _verify_code(text)
    if stage in CONNECTING and (outcome := _first(_CONNECTIONS, text)):
        return found | {"tcp": outcome, "some_connect": "no"}
    if stage in DIALOGUE and (failure := _first(_ENDS, text)):
        return found | {"failure": failure} | ({"step": "greeting"} if stage is Stage.GREETING else {})
    return found


def target_of(text: str) -> tuple[str, str]:
    """The host or address that the words name, and the port, each empty where they do not."""
    for found in _TARGET.finditer(text):
        if not _CLASS.search(found[1]):
            return found[1].lower(), found[2] or ""
    return "", ""


def is_decorated(text: str) -> bool:
    """The name that was looked up has quotes or the like around it, which are part of it."""
    return bool(re.search(r"ENOTFOUND\s+\S*[\"';,<>/]", text, re.IGNORECASE))


def _http_failure(text: str) -> str:
    if _PROXY.search(text):
        return HttpFailure.PROXY
    if _first(_NAMES, text) or _UNRESOLVED.search(text):
        return HttpFailure.DNS
    if _first(_TLS, text):
        return HttpFailure.TLS
    outcome = _first(_CONNECTIONS, text)
    if outcome == TcpOutcome.TIMEOUT:
        return HttpFailure.TIMEOUT
    return HttpFailure.CONNECT if outcome else ""


def _verify_code(text: str) -> dict[str, str]:
    code = _first(_VERIFY_CODES, text)
    return {"verify_code": code} if code else {}


def _first(wordings: tuple[tuple[str, str], ...], text: str) -> str:
    return next((sign for sign, pattern in wordings if re.search(pattern, text, re.IGNORECASE)), "")
