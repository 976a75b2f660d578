"""What was seen of names, connection, greeting and TLS, and the cause it stands for."""

from __future__ import annotations

import datetime as dt
import enum
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, replace
from types import ModuleType
from typing import Any, get_type_hints

import pytest

from smtp_preflight import diagnosis
from smtp_preflight.diagnosis.dns import (
    host_is_known,
    remark_on_lookup_time,
    why_no_address,
    why_resolver_differs,
)
from smtp_preflight.diagnosis.follow_ups import follow_ups
from smtp_preflight.diagnosis.greeting import (
    remark_on_greeting_time,
    remark_on_reply_time,
    why_not_greeted,
)
from smtp_preflight.diagnosis.predictions import Standing, standing
from smtp_preflight.diagnosis.signs import is_address, signs_of
from smtp_preflight.diagnosis.starttls import (
    why_auth_before_tls,
    why_no_tls_begun,
    why_starttls_not_accepted,
    why_starttls_not_offered,
)
from smtp_preflight.diagnosis.submission import why_not_authenticated
from smtp_preflight.diagnosis.tcp import remark_on_connect_time, why_not_connected
from smtp_preflight.diagnosis.tls import (
    remark_on_certificate_end,
    remark_on_handshake_time,
    why_issuer_not_trusted,
    why_key_weak,
    why_name_differs,
    why_no_handshake,
    why_not_verified,
    why_not_within_dates,
    why_signature_weak,
    why_version_obsolete,
)
from smtp_preflight.knowledge import entries, entry
from smtp_preflight.model import (
    AccessToken,
    AuthExchange,
    Certainty,
    Certificate,
    DnsAnswer,
    DnsStatus,
    Ehlo,
    Failure,
    Finding,
    Grant,
    HttpExchange,
    HttpFailure,
    OAuthError,
    Observation,
    Profile,
    Provider,
    Published,
    Question,
    Seen,
    Smtp,
    SmtpGreeting,
    SmtpReply,
    Stage,
    StartTls,
    SystemAddresses,
    TcpAttempt,
    TcpConnects,
    TcpOutcome,
    TlsFailure,
    TlsHandshake,
)
from smtp_preflight.probes.questions import AFTER_TLS, BEFORE_TLS, IPV4, IPV6, ROWS

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOST = "mail.contoso.com"
PRESET = "smtp.office365.com"


@pytest.fixture
def seen(seen_with: Callable[..., Seen], profile_with: Callable[..., Profile]) -> Callable[..., Seen]:
    """What was seen of a mail server of one's own; another host makes it the provider's."""

    def make(*answers: Any, host: str = HOST, port: int = 587, tls: str = "starttls", **more: Any) -> Seen:
        smtp = Smtp(host, port, tls)
        provider = {} if host == PRESET else {"provider": Provider("custom", "Your server")}
        return seen_with(*answers, profile=profile_with(smtp=smtp, **provider, **more))

    return make


MakeSeen = Callable[..., Seen]


# --- dns ---------------------------------------------------------------------------------------------------


def records(host: str, status: DnsStatus, *addresses: str, **more: Any) -> list[tuple[str, DnsAnswer]]:
    """The A answer as given; of AAAA the same, without records."""
    answer = DnsAnswer(asked_at=NOW, name=host, rdtype="A", status=status, records=addresses, **more)
    other = DnsStatus.NODATA if status is DnsStatus.ANSWER else status
    return [
        (f"{host} A", answer),
        (f"{host} AAAA", replace(answer, rdtype="AAAA", records=(), status=other)),
    ]


def system(host: str, *addresses: str) -> tuple[str, SystemAddresses]:
    error = "" if addresses else "EAI_NONAME"
    return host, SystemAddresses(asked_at=NOW, host=host, addresses=addresses, error=error)


@pytest.mark.parametrize(
    ("status", "bogus", "host", "code"),
    [
        (DnsStatus.NXDOMAIN, False, HOST, "host_name_wrong"),
        (DnsStatus.INVALID_NAME, False, HOST, "host_name_wrong"),
        (DnsStatus.NXDOMAIN, False, PRESET, "dns_resolution_failure"),
        (DnsStatus.TIMEOUT, False, HOST, "dns_resolution_failure"),
        (DnsStatus.UNREACHABLE, False, HOST, "dns_resolution_failure"),
        (DnsStatus.ANSWER, False, HOST, "dns_resolution_failure"),
        (DnsStatus.NODATA, False, HOST, "dns_no_address"),
        (DnsStatus.SERVFAIL, False, HOST, "dns_server_failure"),
        (DnsStatus.REFUSED, False, HOST, "dns_server_failure"),
        (DnsStatus.SERVFAIL, True, HOST, "dnssec_bogus"),
    ],
)
def test_why_no_address(status: DnsStatus, bogus: bool, host: str, code: str, seen: MakeSeen) -> None:
    """Neither DNS nor this machine has one; a name the provider publishes cannot be misspelt."""
    found = ["192.0.2.1"] if status is DnsStatus.ANSWER else []
    finding = why_no_address(seen(*records(host, status, *found, bogus=bogus), system(host), host=host))
    assert finding.code == code
    assert "DNS: " in finding.causes[0].facts["seen"]
    assert "this machine's resolver: EAI_NONAME" in finding.causes[0].facts["seen"]


DENIED = [*records(HOST, DnsStatus.NXDOMAIN), system(HOST)]


def asked_for_a_token(failure: HttpFailure | None, proxy: str = "") -> Grant:
    """The token endpoint was found and answered, or it ended so."""
    status = None if failure else 200
    http = HttpExchange("POST", "https://login.contoso.com/token", status, failure=failure, proxy=proxy)
    return Grant(asked_at=NOW, grant="client_credentials", http=http)


@pytest.mark.parametrize(
    ("failure", "proxy", "codes", "names_another"),
    [
        (HttpFailure.DNS, "", ["dns_resolution_failure", "host_name_wrong"], False),
        (HttpFailure.DNS, "http://proxy:8080", ["host_name_wrong"], False),
        (HttpFailure.CONNECT, "", ["host_name_wrong"], False),
        (None, "", ["host_name_wrong"], True),
        (None, "http://proxy:8080", ["host_name_wrong"], False),
    ],
)
def test_whether_other_names_are_found_tells_a_wrong_name_from_a_resolver(
    failure: HttpFailure | None, proxy: str, codes: list[str], names_another: bool, seen: MakeSeen
) -> None:
    """Neither is ever certain; a proxy resolves names itself."""
    causes = why_no_address(seen(*DENIED, asked_for_a_token(failure, proxy))).causes
    assert [one.code for one in causes] == codes
    assert causes[0].certainty is Certainty.LIKELY
    wrong = next(one for one in causes if one.code == "host_name_wrong")
    meaning = entry(wrong.code).told(wrong.facts)
    assert ("login.contoso.com" in meaning) is ("network" in meaning) is names_another


@pytest.mark.parametrize("url", ["https://[no-address/token", "https://192.0.2.1/token", ""])
def test_what_is_no_name_says_nothing_of_other_names(url: str, seen: MakeSeen) -> None:
    grant = asked_for_a_token(None)
    assert grant.http is not None
    causes = why_no_address(seen(*DENIED, replace(grant, http=replace(grant.http, url=url)))).causes
    assert [one.code for one in causes] == ["host_name_wrong"]
    assert "found_other_name" not in causes[0].facts


@pytest.mark.parametrize(
    ("published", "resolved"), [(["192.0.2.1"], ["198.51.100.1"]), ([], ["198.51.100.1"])]
)
def test_why_this_machine_resolves_something_else(
    published: list[str], resolved: list[str], seen: MakeSeen
) -> None:
    """Another address, or one where DNS has none: a hosts file, a VPN, split DNS."""
    status = DnsStatus.ANSWER if published else DnsStatus.NXDOMAIN
    told = why_resolver_differs(seen(*records(HOST, status, *published), system(HOST, *resolved)))
    assert told.code == "system_resolver_differs"


def test_the_chain_of_aliases_is_shown(seen: MakeSeen) -> None:
    """And what the name server said beside its status."""
    answers = records(HOST, DnsStatus.NODATA, aliases=("a.contoso.com", "b.contoso.com"), detail="lame")
    words = why_no_address(seen(*answers, system(HOST))).causes[0].facts["seen"]
    assert f"{HOST} A: nodata (via a.contoso.com → b.contoso.com) lame" in words


def test_a_host_is_known_by_dns_or_by_this_machine(seen: MakeSeen) -> None:
    assert host_is_known(seen(*records(HOST, DnsStatus.ANSWER, "192.0.2.1")))
    assert host_is_known(seen(*records(HOST, DnsStatus.NXDOMAIN), system(HOST, "192.0.2.1")))
    assert not host_is_known(seen(*records(HOST, DnsStatus.NXDOMAIN), system(HOST)))
    assert not host_is_known(seen())


@pytest.mark.parametrize(
    ("host", "expected"), [("192.0.2.1", True), ("2001:db8::1", True), (HOST, False), ("1.2.3", False)]
)
def test_a_host_may_be_an_address(host: str, expected: bool) -> None:
    assert is_address(host) is expected


# --- tcp ---------------------------------------------------------------------------------------------------


def connects(family: str, *outcomes: TcpOutcome, took_s: float = 0.1) -> tuple[str, TcpConnects]:
    prefix = "192.0.2." if family == IPV4 else "2001:db8::"
    attempts = (
        TcpAttempt(f"{prefix}{number}", 587, outcome, took_s) for number, outcome in enumerate(outcomes, 1)
    )
    return family, TcpConnects(asked_at=NOW, family=family, attempts=tuple(attempts))


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([TcpOutcome.REFUSED], "tcp_refused"),
        ([TcpOutcome.REFUSED, TcpOutcome.REFUSED], "tcp_refused"),
        ([TcpOutcome.RESET], "tcp_refused"),
        ([TcpOutcome.TIMEOUT], "tcp_port_blocked"),
        ([TcpOutcome.NO_ROUTE], "tcp_port_blocked"),
        ([TcpOutcome.OTHER], "tcp_port_blocked"),
        ([TcpOutcome.PROHIBITED], "tcp_prohibited"),
        ([TcpOutcome.REFUSED, TcpOutcome.TIMEOUT], "tcp_port_blocked"),
    ],
)
def test_why_nothing_connects(outcomes: list[TcpOutcome], code: str, seen: MakeSeen) -> None:
    """Every address of both families failed: a firewall, a wrong port, no route."""
    finding = why_not_connected(seen(connects(IPV4, *outcomes), connects(IPV6)))
    assert (finding.code, finding.subject) == (code, "")
    assert "192.0.2.1 port 587: " in finding.causes[0].facts["seen"]


def test_why_some_do_not_connect(seen: MakeSeen) -> None:
    """Some do: then it is about those that do not, and mail leaves."""
    finding = why_not_connected(
        seen(connects(IPV4, TcpOutcome.CONNECTED), connects(IPV6, TcpOutcome.TIMEOUT, TcpOutcome.REFUSED))
    )
    assert (finding.code, finding.subject) == ("address_unreachable", "ipv6")


# --- greeting ----------------------------------------------------------------------------------------------


def reply(kind: type[Any], code: int, *lines: str) -> Any:
    return kind(asked_at=NOW, reply=SmtpReply(code, lines))


def greeting(failure: Failure, looks_like: str = "", first_bytes: str = "") -> SmtpGreeting:
    return SmtpGreeting(asked_at=NOW, failure=failure, looks_like=looks_like, first_bytes=first_bytes)


HELLO = reply(SmtpGreeting, 220, "mail.contoso.com ESMTP")
CAPABLE = reply(Ehlo, 250, "mail.contoso.com", "STARTTLS")


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (greeting(Failure.TIMEOUT), "greeting_timeout"),
        (greeting(Failure.CLOSED), "connection_lost"),
        (greeting(Failure.RESET), "connection_lost"),
        (greeting(Failure.NOT_SMTP, "ssh", "SSH-2.0-OpenSSH_9.7"), "not_smtp"),
        (greeting(Failure.NOT_SMTP, "http", "HTTP/1.1 400 Bad Request"), "not_smtp"),
        (greeting(Failure.NOT_SMTP, "", "\\x00\\x01"), "not_smtp"),
        (greeting(Failure.TOO_LONG, "", "xxxx"), "not_smtp"),
        (greeting(Failure.NOT_SMTP, "tls", "\\x15\\x03\\x03"), "tls_mode_mismatch"),
        (reply(SmtpGreeting, 421, "4.3.2 busy"), "service_unavailable"),
        (reply(SmtpGreeting, 554, "5.7.1 Client host [192.0.2.9] blocked"), "client_address_refused"),
    ],
)
def test_why_no_welcome(step: SmtpGreeting, code: str, seen: MakeSeen) -> None:
    """Silence, another protocol, or a refusal at the door; the report shows what was read."""
    finding = why_not_greeted(seen(step))
    assert finding.code == code
    shown = step.first_bytes or (str(step.reply) if step.reply else "no reply: ")
    assert shown in finding.causes[0].facts["seen"]


def test_silence_on_port_465_is_another_mode_of_tls(seen: MakeSeen) -> None:
    """The server waits for a handshake, and we for a greeting."""
    finding = why_not_greeted(seen(greeting(Failure.TIMEOUT), port=465))
    assert finding.code == "tls_mode_mismatch"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (reply(Ehlo, 501, "5.5.4 Invalid domain name"), "ehlo_argument_rejected"),
        (reply(Ehlo, 421, "4.3.2 closing"), "service_unavailable"),
        (Ehlo(asked_at=NOW, failure=Failure.TIMEOUT), "reply_timeout"),
        (Ehlo(asked_at=NOW, failure=Failure.CLOSED), "connection_lost"),
        (Ehlo(asked_at=NOW, failure=Failure.TOO_LONG), "not_smtp"),
    ],
)
@pytest.mark.parametrize("moment", [BEFORE_TLS, AFTER_TLS])
def test_why_ehlo_is_not_accepted(moment: str, step: Ehlo, code: str, seen: MakeSeen) -> None:
    """Before TLS or under it."""
    before = [] if moment == BEFORE_TLS else [(BEFORE_TLS, CAPABLE)]
    assert why_not_greeted(seen(HELLO, *before, (moment, step))).code == code


# --- starttls ----------------------------------------------------------------------------------------------


def hello(*lines: str) -> tuple[str, Ehlo]:
    return BEFORE_TLS, reply(Ehlo, 250, "mail.contoso.com", *lines)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["SIZE 1000"], "starttls_not_offered"),
        ([], "starttls_not_offered"),
        (["XXXXXXXA", "SIZE 1000"], "starttls_stripped"),
    ],
)
def test_why_starttls_is_not_offered(lines: list[str], code: str, seen: MakeSeen) -> None:
    """Not there, or written over by a firewall; either way TLS is not begun because of it."""
    told = seen(HELLO, hello(*lines))
    assert why_starttls_not_offered(told).code == why_no_tls_begun(told).code == code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(StartTls, 454, "4.7.0 TLS not available due to local problem"), "starttls_refused"),
        (reply(StartTls, 502, "5.5.1 Command not implemented"), "starttls_refused"),
        (StartTls(asked_at=NOW, failure=Failure.TIMEOUT), "reply_timeout"),
        (StartTls(asked_at=NOW, failure=Failure.RESET), "connection_lost"),
        (
            replace(reply(StartTls, 220, "Go ahead"), injected="250-evil\\r\\n"),
            "starttls_plaintext_injected",
        ),
    ],
)
def test_why_starttls_is_not_accepted(answer: StartTls, code: str, seen: MakeSeen) -> None:
    """Refused, unanswered, or followed by bytes that nobody may send in the clear."""
    told = seen(HELLO, hello("STARTTLS"), answer)
    assert why_starttls_not_accepted(told).code == why_no_tls_begun(told).code == code
    assert answer.injected in why_starttls_not_accepted(told).causes[0].facts["seen"]


def test_why_a_sign_in_is_offered_in_the_clear(seen: MakeSeen) -> None:
    """The list that says so is shown."""
    finding = why_auth_before_tls(seen(HELLO, hello("STARTTLS", "AUTH PLAIN")))
    assert finding.code == "auth_offered_without_tls"
    assert "250 AUTH PLAIN" in finding.causes[0].facts["seen"]


# --- tls ---------------------------------------------------------------------------------------------------

LEAF = Certificate(
    subject="CN=mail.contoso.com",
    issuer="CN=Contoso CA",
    names=(HOST,),
    not_before=NOW - 300 * DAY,
    not_after=NOW + 65 * DAY,
    key_type="RSA",
    key_bits=2048,
    signature_hash="sha256",
    sha256="00",
)
ROOT_SHOWN = replace(LEAF, subject="CN=Contoso CA")


def refused(verify_code: int, *, alone: bool = False, **leaf: Any) -> TlsHandshake:
    """A handshake whose certificate was refused with OpenSSL's code."""
    shown = replace(LEAF, **leaf)
    return TlsHandshake(
        asked_at=NOW,
        host=HOST,
        failure=TlsFailure.VERIFY,
        verify_code=verify_code,
        verify_message="certificate verify failed",
        version="TLSv1.3",
        chain=(shown,) if alone else (shown, ROOT_SHOWN),
        diagnosed=True,
    )


@pytest.mark.parametrize(
    ("tls", "why", "code"),
    [
        (refused(10, not_after=NOW - DAY), why_not_within_dates, "certificate_expired"),
        (refused(9, not_before=NOW + DAY), why_not_within_dates, "certificate_not_yet_valid"),
        (refused(62, names=("other.contoso.com",)), why_name_differs, "certificate_name_mismatch"),
        (refused(64, names=()), why_name_differs, "certificate_name_mismatch"),
        (refused(18, issuer=LEAF.subject), why_issuer_not_trusted, "certificate_self_signed"),
        (refused(20, alone=True), why_issuer_not_trusted, "certificate_chain_incomplete"),
        (refused(21, alone=True), why_issuer_not_trusted, "certificate_chain_incomplete"),
        (refused(66, key_bits=1024), why_key_weak, "certificate_key_weak"),
        (refused(67), why_key_weak, "certificate_key_weak"),
        (refused(68, signature_hash="sha1"), why_signature_weak, "certificate_signature_weak"),
    ],
)
def test_why_the_certificate_is_refused(
    tls: TlsHandshake, why: Callable[[Seen], Finding], code: str, seen: MakeSeen
) -> None:
    """Each expectation has its cause, and it is the one that keeps a sign-in from being tried."""
    told = seen(tls)
    assert why(told).code == why_not_verified(told).code == code
    assert (
        LEAF.names == tls.chain[0].names or ", ".join(tls.chain[0].names) in why(told).causes[0].facts["seen"]
    )


@pytest.mark.parametrize("verify_code", [2, 19, 20, 21])
def test_why_the_issuer_is_not_trusted(verify_code: int, seen: MakeSeen) -> None:
    """A chain that ends at an authority nobody here knows: of one's own, or of something in between."""
    codes = [cause.code for cause in why_issuer_not_trusted(seen(refused(verify_code))).causes]
    assert codes[0] in ("certificate_issuer_untrusted", "tls_interception")
    assert {"certificate_issuer_untrusted", "tls_interception"} <= set(codes)


def test_why_an_unusual_fault_of_the_chain_is_explained(seen: MakeSeen) -> None:
    """OpenSSL has eighty more codes: whatever it is, somebody is told what to look at."""
    assert why_issuer_not_trusted(seen(refused(24))).code == "certificate_issuer_untrusted"


def test_why_nothing_is_trusted_here(seen: MakeSeen) -> None:
    """The file of authorities cannot be read: that says nothing of the server."""
    tls = replace(refused(20), ca_problem="no such file: ca.pem")
    assert why_issuer_not_trusted(seen(tls)).code == "ca_bundle_missing"


def test_why_a_server_without_a_certificate_is_not_trusted(seen: MakeSeen) -> None:
    """It agrees only on ciphers that encrypt for anybody; with another the handshake came to nothing."""
    told = TlsHandshake(asked_at=NOW, host=HOST, failure=TlsFailure.ALERT, version="TLSv1.2", diagnosed=True)
    anonymous = replace(told, cipher="ADH-AES256-GCM-SHA384")
    assert why_not_verified(seen(anonymous)).code == "certificate_missing"
    assert why_not_verified(seen(replace(told, cipher="AES256-SHA"))).code == "tls_handshake_closed"


@pytest.mark.parametrize(
    ("failure", "version", "code"),
    [
        (TlsFailure.TIMEOUT, "", "tls_handshake_timeout"),
        (TlsFailure.CLOSED, "", "tls_handshake_closed"),
        (TlsFailure.RESET, "", "tls_handshake_closed"),
        (TlsFailure.ALERT, "", "tls_handshake_closed"),
        (TlsFailure.OTHER, "", "tls_handshake_closed"),
        (TlsFailure.VERSION, "", "server_tls_version_obsolete"),
        (TlsFailure.NOT_TLS, "", "tls_mode_mismatch"),
    ],
)
def test_why_no_handshake_came_to_its_end(
    failure: TlsFailure, version: str, code: str, seen: MakeSeen
) -> None:
    told = seen(TlsHandshake(asked_at=NOW, host=HOST, failure=failure, version=version))
    assert why_no_handshake(told).code == why_not_verified(told).code == code


def test_why_the_version_is_obsolete(seen: MakeSeen) -> None:
    """What could be agreed on without insisting is shown."""
    told = seen(TlsHandshake(asked_at=NOW, host=HOST, failure=TlsFailure.VERSION, version="TLSv1.1"))
    assert why_version_obsolete(told).code == why_not_verified(told).code == "server_tls_version_obsolete"
    assert "TLSv1.1" in why_version_obsolete(told).causes[0].facts["seen"]


@pytest.mark.parametrize(
    ("ahead", "first", "certainty"),
    [
        (dt.timedelta(), "certificate_expired", Certainty.CERTAIN),
        (dt.timedelta(days=90), "clock_skew", Certainty.LIKELY),
        (None, "certificate_expired", Certainty.LIKELY),
    ],
    ids=["the same time", "another time", "no time told"],
)
def test_a_certificate_has_surely_expired_by_a_clock_that_is_right(
    ahead: dt.timedelta | None, first: str, certainty: Certainty, seen: MakeSeen
) -> None:
    """The token endpoint tells the time; a clock that differs from it makes certificates look expired."""
    told = replace(ANSWER, date=None if ahead is None else GRANTED.observed_at - ahead)
    found = why_not_within_dates(seen(refused(10, not_after=NOW - DAY), replace(GRANTED, http=told)))
    assert (found.causes[0].code, found.causes[0].certainty) == (first, certainty)


def test_each_fault_of_a_certificate_is_told_apart(seen: MakeSeen) -> None:
    """Expired, for another host and from an unknown issuer: three expectations, three causes."""
    told = seen(refused(19, not_after=NOW - DAY, names=("other.contoso.com",)))
    assert why_not_within_dates(told).code == "certificate_expired"
    assert why_name_differs(told).code == "certificate_name_mismatch"
    assert why_not_verified(told).code == why_issuer_not_trusted(told).code


# --- remarks -----------------------------------------------------------------------------------------------


def late(observation: Any, took_s: float) -> Any:
    return replace(observation, took_s=took_s)


PUBLISHED = Published(records(HOST, DnsStatus.ANSWER)[0][1], records(HOST, DnsStatus.ANSWER)[1][1])
SLOW: Mapping[str, tuple[Callable[[Seen, Any], Finding | None], Any, float]] = {
    "dns_slow": (remark_on_lookup_time, PUBLISHED.a, 2),
    "tcp_slow": (remark_on_connect_time, None, 2),
    "greeting_slow": (remark_on_greeting_time, HELLO, 5),
    "reply_slow": (lambda seen, step: remark_on_reply_time(seen, step, Stage.STARTTLS), CAPABLE, 10),
    "tls_handshake_slow": (remark_on_handshake_time, TlsHandshake(asked_at=NOW, host=HOST), 5),
}


@pytest.mark.parametrize("code", SLOW)
def test_what_took_long_is_remarked_on(code: str, seen: MakeSeen) -> None:
    """Above the limit of product.md section 9, and not at it."""
    remark, observation, limit_s = SLOW[code]

    def taking(took_s: float) -> Any:
        if observation is None:
            return connects(IPV4, TcpOutcome.CONNECTED, TcpOutcome.REFUSED, took_s=took_s)[1]
        return late(observation, took_s)

    assert remark(seen(), taking(limit_s)) is None
    told = remark(seen(), taking(limit_s + 0.1))
    assert told
    assert told.code == code
    assert f"slow from {limit_s:g} s" in told.causes[0].facts["seen"]


def test_slow_replies_are_told_apart_by_stage(seen: MakeSeen) -> None:
    """A late answer to STARTTLS and one to MAIL are two findings."""
    step = late(CAPABLE, 11)
    first, second = (remark_on_reply_time(seen(), step, one) for one in (Stage.STARTTLS, Stage.MAIL_FROM))
    assert first
    assert second
    assert first.id != second.id


@pytest.mark.parametrize(
    ("ends", "soon"),
    [(NOW + 13 * DAY, True), (NOW + 14 * DAY, False), (NOW + 90 * DAY, False), (NOW - DAY, False)],
)
def test_a_certificate_that_ends_soon_is_remarked_on(ends: dt.datetime, soon: bool, seen: MakeSeen) -> None:
    """Two weeks before; one that has ended is a finding of its own."""
    tls = TlsHandshake(asked_at=NOW, host=HOST, chain=(replace(LEAF, not_after=ends),))
    tls = tls if ends > NOW else replace(tls, failure=TlsFailure.VERIFY, verify_code=10)
    told = remark_on_certificate_end(seen(tls), tls)
    assert (told is not None) is soon
    assert told is None or told.code == "certificate_expires_soon"


def test_without_a_certificate_nothing_ends(seen: MakeSeen) -> None:
    assert remark_on_certificate_end(seen(), TlsHandshake(asked_at=NOW, host=HOST)) is None


# --- predictions -------------------------------------------------------------------------------------------

TOKEN = AccessToken(observed_at=NOW, length=1500, fingerprint="0123456789ab")
ANSWER = HttpExchange("POST", "https://login.contoso.com/token", status=200, is_json=True)
GRANTED = Grant(asked_at=NOW, grant="client_credentials", http=ANSWER, token=TOKEN)
EXPIRED = Grant(
    asked_at=NOW,
    grant="client_credentials",
    http=replace(ANSWER, status=401),
    error=OAuthError("invalid_client", "AADSTS7000222: expired", ("7000222",)),
)
UNREACHABLE = Grant(
    asked_at=NOW,
    grant="client_credentials",
    http=replace(ANSWER, status=None, is_json=False, failure=HttpFailure.CONNECT),
)
DISABLED = "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."


@pytest.mark.parametrize(
    ("code", "decided_by", "stage", "answers", "expected"),
    [
        ("client_secret_expired", None, Stage.PROFILE, [], Standing.FACT),
        ("client_secret_expired", Stage.TOKEN, Stage.TOKEN, [GRANTED], Standing.FACT),
        ("client_secret_expired", Stage.TOKEN, Stage.PROFILE, [], Standing.UNDECIDED),
        (
            "client_secret_expired",
            Stage.TOKEN,
            Stage.PROFILE,
            [replace(GRANTED, http=None)],
            Standing.UNDECIDED,
        ),
        ("client_secret_expired", Stage.TOKEN, Stage.PROFILE, [GRANTED], Standing.REFUTED),
        ("client_secret_expired", Stage.TOKEN, Stage.PROFILE, [EXPIRED], Standing.CONFIRMED),
        ("tenant_not_found", Stage.TOKEN, Stage.PROFILE, [EXPIRED], Standing.REFUTED),
        ("token_wrong_audience", Stage.AUTH, Stage.CLAIMS, [GRANTED], Standing.UNDECIDED),
        (
            "token_wrong_audience",
            Stage.AUTH,
            Stage.CLAIMS,
            [reply(AuthExchange, 235, "ok")],
            Standing.REFUTED,
        ),
        (
            "token_wrong_audience",
            Stage.AUTH,
            Stage.CLAIMS,
            [reply(AuthExchange, 535, DISABLED)],
            Standing.REFUTED,
        ),
        (
            "smtp_auth_disabled_mailbox",
            Stage.AUTH,
            Stage.CLAIMS,
            [reply(AuthExchange, 535, DISABLED)],
            Standing.CONFIRMED,
        ),
    ],
)
def test_servers_decide_what_was_predicted(
    code: str,
    decided_by: Stage | None,
    stage: Stage,
    answers: list[Observation],
    expected: Standing,
    seen: MakeSeen,
) -> None:
    """Accepted, or refused for another named cause: refuted. Refused for this one: confirmed."""
    assert standing(code, decided_by, stage, seen(*answers, host=PRESET)) is expected


def said(status: int, error: str = "", description: str = "") -> Grant:
    """A token endpoint's answer without a token."""
    return Grant(
        asked_at=NOW,
        grant="client_credentials",
        http=replace(ANSWER, status=status, is_json=bool(error)),
        error=OAuthError(error, description) if error else None,
    )


@pytest.mark.parametrize(
    "answer",
    [
        UNREACHABLE,
        replace(UNREACHABLE, answer_lost=True),
        said(200),
        said(404),
        said(429),
        said(503),
        said(429, "too_many_requests"),
        said(503, "temporarily_unavailable"),
        said(400, "server_error"),
    ],
    ids=lambda one: f"{one.http.status} {one.error.error if one.error else one.http.failure}",
)
def test_no_token_endpoint_has_decided_without_yes_or_no(answer: Grant, seen: MakeSeen) -> None:
    """Nothing came, something that is not OAuth, or what passes by itself: the prediction stands."""
    place = standing("redirect_uri_mismatch", Stage.TOKEN, Stage.PROFILE, seen(answer, host=PRESET))
    assert place is Standing.UNDECIDED


@pytest.mark.parametrize(
    "answer",
    [
        AuthExchange(asked_at=NOW, failure=Failure.TIMEOUT),
        AuthExchange(asked_at=NOW, failure=Failure.CLOSED),
        AuthExchange(asked_at=NOW, failure=Failure.NOT_SENT),
        reply(AuthExchange, 334, ""),
        reply(AuthExchange, 421, "4.4.2 closing"),
        reply(AuthExchange, 454, "4.7.0 Temporary authentication failure"),
    ],
    ids=lambda one: str(one.reply or one.failure),
)
def test_no_mail_server_has_decided_without_yes_or_no(answer: AuthExchange, seen: MakeSeen) -> None:
    """The same of AUTH, even where the token alone would explain a refusal."""
    token = replace(TOKEN, opaque=False, claims={"aud": "https://graph.microsoft.com"})
    found = seen(replace(GRANTED, token=token), answer, host=PRESET)
    assert standing("token_wrong_audience", Stage.AUTH, Stage.CLAIMS, found) is Standing.UNDECIDED


@pytest.mark.parametrize(
    ("failure", "code"),
    [(Failure.TIMEOUT, "auth_no_answer"), (Failure.CLOSED, "auth_connection_closed")],
)
def test_a_login_without_an_answer_says_nothing_of_the_token(
    failure: Failure, code: str, seen: MakeSeen
) -> None:
    """Whatever is wrong with the token, no server has minded it."""
    token = replace(TOKEN, opaque=False, claims={"aud": "https://graph.microsoft.com"})
    found = seen(replace(GRANTED, token=token), AuthExchange(asked_at=NOW, failure=failure), host=PRESET)
    assert [one.code for one in why_not_authenticated(found).causes] == [code]


NOBODY_THERE = connects(IPV4, TcpOutcome.REFUSED)
FORGED = refused(18, issuer=LEAF.subject)
BUSY = reply(SmtpGreeting, 421, "4.3.2 busy")
NO_SIGN_IN = (AFTER_TLS, reply(Ehlo, 250, "mail.contoso.com"))
SIGN_IN = (AFTER_TLS, reply(Ehlo, 250, "mail.contoso.com", "AUTH XOAUTH2"))


@pytest.mark.parametrize(
    ("code", "answers", "expected"),
    [
        ("host_name_wrong", [*records(HOST, DnsStatus.NXDOMAIN), system(HOST)], Standing.CONFIRMED),
        ("tcp_refused", [system(HOST, "192.0.2.1"), NOBODY_THERE], Standing.CONFIRMED),
        ("certificate_self_signed", [FORGED], Standing.CONFIRMED),
        ("service_unavailable", [BUSY], Standing.CONFIRMED),
        ("auth_not_advertised", [HELLO, NO_SIGN_IN], Standing.CONFIRMED),
        ("host_name_wrong", [system(HOST, "192.0.2.1"), NOBODY_THERE], Standing.UNDECIDED),
        ("tcp_refused", [connects(IPV4, TcpOutcome.CONNECTED), FORGED], Standing.UNDECIDED),
        ("service_unavailable", [(AFTER_TLS, reply(Ehlo, 421, "4.3.2 busy"))], Standing.UNDECIDED),
        ("auth_not_advertised", [HELLO, SIGN_IN], Standing.UNDECIDED),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_keeps_the_mail_server_from_being_asked_may_be_what_was_predicted(
    code: str, answers: list[Any], expected: Standing, seen: MakeSeen
) -> None:
    """The first step that did not succeed says why; where it has another cause, nothing is decided."""
    assert standing(code, Stage.AUTH, Stage.PROFILE, seen(*answers)) is expected


@pytest.mark.parametrize(
    ("code", "answers", "expected"),
    [
        ("client_secret_expired", [EXPIRED], Standing.FACT),
        ("clock_skew", [EXPIRED], Standing.UNDECIDED),
        ("clock_skew", [GRANTED], Standing.UNDECIDED),
    ],
)
def test_what_the_token_endpoint_refused_for_waits_for_no_mail_server(
    code: str, answers: list[Observation], expected: Standing, seen: MakeSeen
) -> None:
    """What is only read off its answer does."""
    assert standing(code, Stage.AUTH, Stage.TOKEN, seen(*answers)) is expected


# --- any observation ---------------------------------------------------------------------------------------


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(diagnosis.__path__):
        yield importlib.import_module(f"{diagnosis.__name__}.{found.name}")


JUDGEMENTS = sorted(
    {
        function
        for module in modules()
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if name.startswith(("why_", "remark_on_")) and function.__module__ == module.__name__
    },
    key=lambda function: (function.__module__, function.__name__),
)


def smallest(kind: type[Any], filled: Callable[[type], Any]) -> Any:
    """An observation with nothing in it but what it cannot do without."""
    full = filled(kind)
    needed = (one for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING)
    return kind(**{one.name: getattr(full, one.name) for one in needed})


def variants(kind: type[Any], filled: Callable[[type], Any]) -> Iterator[Any]:
    """An observation with everything in it, with next to nothing, and once for each way it can end."""
    full = filled(kind)
    yield full
    yield smallest(kind, filled)
    for one in fields(kind):
        value = getattr(full, one.name)
        if isinstance(value, enum.Enum):
            yield from (replace(full, **{one.name: member}) for member in type(value))
        elif isinstance(value, SmtpReply):
            yield from (
                replace(full, failure=None, reply=SmtpReply(code)) for code in (220, 250, 354, 421, 550)
            )


def questions_about(profile: Profile) -> list[Question]:
    return [
        Question(kind, subject)
        for kind in ROWS
        for subject in dict.fromkeys((*ROWS[kind].subjects(profile), ""))
    ]


def of(profile: Profile, *observations: tuple[Question, Observation]) -> Seen:
    return Seen(profile, NOW, dict(observations))


@pytest.fixture
def odd(filled: Callable[[type], Any]) -> Callable[[Profile], list[Seen]]:
    """Nothing; each observation alone, at its fullest and its smallest; all of them together."""

    def make(profile: Profile) -> list[Seen]:
        questions = questions_about(profile)
        fullest = [(one, filled(one.kind)) for one in questions]
        least = [(one, smallest(one.kind, filled)) for one in questions]
        return [of(profile, *some) for some in ([], fullest, least, *([one] for one in [*fullest, *least]))]

    return make


Odd = Callable[[Profile], list[Seen]]


def arguments(function: Callable[..., Any], filled: Callable[[type], Any]) -> Iterator[list[Any]]:
    """What the function may be called with beside what was seen: much, and as little as can be."""
    hints = get_type_hints(function)
    wanted = {name: hint for name, hint in hints.items() if name not in ("seen", "return")}
    for least in (False, True) if wanted else (False,):
        yield [_some(name, hint, filled, least=least) for name, hint in wanted.items()]


def _some(name: str, hint: Any, filled: Callable[[type], Any], *, least: bool) -> Any:
    if hint is str:
        return {"claim": "aud", "method": "dkim"}.get(name, "probe@contoso.com")
    if hint is Stage:
        return Stage.MAIL_FROM
    kinds = getattr(hint, "__args__", (hint,))
    if least and type(None) in kinds:
        return None
    return smallest(kinds[0], filled) if least else filled(kinds[0])


@pytest.mark.parametrize(
    "function", JUDGEMENTS, ids=lambda one: f"{one.__module__.rpartition('.')[2]}.{one.__name__}"
)
def test_every_judgement_answers_for_any_observation(
    function: Callable[..., Any],
    odd: Odd,
    filled: Callable[[type], Any],
    profile_with: Callable[..., Profile],
) -> None:
    """However odd what was seen: a finding with a code that is explained; of a remark, perhaps none."""
    for seen in odd(profile_with(smtp=Smtp(HOST))):
        for given in arguments(function, filled):
            finding = function(seen, *given)
            if finding is None:
                assert function.__name__.startswith("remark_on_")
                continue
            assert 1 <= len(finding.causes) <= 5
            assert all(cause.code in entries() for cause in finding.causes)


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
def test_every_observation_has_signs(
    kind: type[Observation],
    mode: str,
    filled: Callable[[type], Any],
    profile_with: Callable[..., Profile],
) -> None:
    """However it ended: signs and facts are text, for knowledge to match and reports to show."""
    profile = profile_with(smtp=Smtp(HOST, tls=mode))
    for question in questions_about(profile):
        for answer in variants(kind, filled) if question.kind is kind else ():
            signs = signs_of(of(profile, (question, answer)))
            told = {**signs.common, **signs.facts}
            for stage in Stage:
                told |= signs.at(stage)
            assert all(isinstance(value, str) for value in told.values())


def test_follow_ups_are_questions_of_the_table(odd: Odd, profile_with: Callable[..., Profile]) -> None:
    """Whatever was seen, only what can be asked is asked."""
    for seen in odd(profile_with()):
        assert all(one.kind in ROWS for one in follow_ups(seen))
