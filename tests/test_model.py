"""What the words of the house say of themselves: properties of profiles, observations and findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from smtp_preflight.model import (
    AccessToken,
    AuthExchange,
    Cause,
    Certainty,
    Certificate,
    DataExchange,
    Delivery,
    Discovery,
    DnsAnswer,
    DnsStatus,
    Ehlo,
    Endpoint,
    Expect,
    Failure,
    Finding,
    Grant,
    HttpExchange,
    HttpFailure,
    Keys,
    MailFrom,
    OAuth,
    Observation,
    Profile,
    Published,
    Question,
    SecretCheck,
    SecretRef,
    Seen,
    Send,
    SmtpGreeting,
    SmtpReply,
    Stage,
    StartTls,
    TcpAttempt,
    TcpConnects,
    TcpOutcome,
    TlsFailure,
    TlsHandshake,
    Until,
    Waiver,
    public_fields,
    short,
)

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


# --- profiles ----------------------------------------------------------------------------------------------


def test_stages_know_their_place() -> None:
    """The order is that of the mail's way."""
    assert [stage.place for stage in Stage] == list(range(len(Stage)))
    assert Stage.DNS.place < Stage.TLS.place < Stage.TOKEN.place < Stage.DATA.place


def test_places_of_things_read_as_users_write_them() -> None:
    assert str(SecretRef("env", ("CONTOSO_CLIENT_SECRET",))) == "env:CONTOSO_CLIENT_SECRET"
    assert str(SecretRef("command", ("op", "read", "x"))) == "command:op read x"
    assert str(Endpoint("smtp.office365.com", 587)) == "smtp.office365.com:587"
    assert str(Question(DnsAnswer, "contoso.com A")) == "DnsAnswer contoso.com A"
    assert str(Question(SmtpGreeting)) == "SmtpGreeting"


def test_only_the_secrets_a_profile_names_are_listed() -> None:
    """In the order of the keys, whatever the order in the file."""
    here = SecretRef("env", ("A",))
    oauth = OAuth(refresh_token=here, client_secret=here)
    assert list(oauth.secrets()) == ["client_secret", "refresh_token"]


def test_without_send_the_mailbox_writes_to_itself(profile_with: Callable[..., Profile]) -> None:
    profile = profile_with(send=None)
    assert (profile.sender, profile.recipients) == ("alerts@contoso.com", ("alerts@contoso.com",))


def test_send_names_sender_and_recipients(profile_with: Callable[..., Profile]) -> None:
    profile = profile_with(send=Send("notices@contoso.com", ("a@contoso.com", "b@contoso.com")))
    assert profile.sender == "notices@contoso.com"
    assert profile.recipients == ("a@contoso.com", "b@contoso.com")


@pytest.mark.parametrize(
    ("changes", "furthest"),
    [
        ({"send": None}, Until.ENVELOPE),
        ({}, Until.SEND),
        ({"delivery": Delivery("probe@contoso.com")}, Until.DELIVERY),
    ],
)
def test_the_furthest_is_what_the_profile_sets_up(
    changes: dict[str, Any], furthest: Until, profile_with: Callable[..., Profile]
) -> None:
    assert profile_with(**changes).furthest is furthest


@pytest.mark.parametrize(
    ("sender", "mailbox", "domains"),
    [
        ("a@Contoso.com", "b@contoso.com", ("contoso.com",)),
        ("a@contoso.com", "b@fabrikam.com", ("contoso.com", "fabrikam.com")),
        ("a@contoso.onmicrosoft.com", "b@contoso.com", ("contoso.com",)),
        ("a@onmicrosoft.com", "b@x.onmicrosoft.com", ()),
        ("a@notonmicrosoft.com", "b@notonmicrosoft.com", ("notonmicrosoft.com",)),
    ],
)
def test_the_users_own_domains_are_not_the_providers(
    sender: str, mailbox: str, domains: tuple[str, ...], profile_with: Callable[..., Profile]
) -> None:
    """Only their DNS is the user's to mend."""
    assert profile_with(mailbox=mailbox, send=Send(sender, (mailbox,))).sender_domains == domains


def test_a_profile_knows_what_was_written(profile_with: Callable[..., Profile]) -> None:
    """Behind a lab's overlay stands the file."""
    profile = profile_with()
    assert profile.as_written is profile
    assert replace(profile, name="other", written=profile).as_written is profile


def test_a_profile_says_what_its_token_has_to(profile_with: Callable[..., Profile]) -> None:
    """In the form in which a token's values are compared; nothing where anything will do."""
    expect = Expect(aud=("https://Outlook.office.com/",), tid=())
    profile = profile_with(expect=expect, oauth=OAuth(client_id="6731DE76"))
    assert profile.expected_values("aud") == {"https://outlook.office.com"}
    assert profile.expected_values("appid") == {"6731de76"}
    assert profile.expected_values("tid") == frozenset()
    assert profile_with(oauth=OAuth()).expected_values("appid") == frozenset()


@pytest.mark.parametrize(
    ("subject", "day", "covers"),
    [("", 0, True), ("contoso.com", 0, True), ("contoso.net", 0, False), ("", 1, False), ("", -1, True)],
)
def test_a_waiver_covers_until_its_last_day(subject: str, day: int, covers: bool) -> None:
    """Of everything, or of its own subject."""
    waiver = Waiver("dmarc_missing", "in March", NOW.date(), subject)
    assert waiver.covers("dmarc_missing", "contoso.com", NOW.date() + day * DAY) is covers
    assert not waiver.covers("spf_missing", "contoso.com", NOW.date())


# --- observations ------------------------------------------------------------------------------------------


def test_an_observation_was_made_when_it_was_complete() -> None:
    assert SmtpGreeting(asked_at=NOW, took_s=1.5).observed_at == NOW + dt.timedelta(seconds=1.5)


def test_an_observation_shows_no_content() -> None:
    """pytest prints fixtures when something fails; what is in them may be long, or foreign."""
    shown = repr(SmtpGreeting(asked_at=NOW, peer="192.0.2.1:587", first_bytes="\x1b[2J"))
    assert shown == "<SmtpGreeting 192.0.2.1:587>"
    assert repr(Grant(asked_at=NOW, grant="x")) == "<Grant 2026-11-20T07:00:00+00:00>"


def test_an_observation_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        SmtpGreeting(asked_at=NOW).took_s = 3  # type: ignore[misc] # that is the point


def test_public_fields_leave_out_time_and_peer() -> None:
    assert public_fields(MailFrom(asked_at=NOW)) == ("reply", "failure", "detail", "lines", "sender")


def test_a_secret_without_problem_is_there() -> None:
    check = SecretCheck(asked_at=NOW, key="client_secret", reference="env:A")
    assert check.resolved
    assert not replace(check, problem="environment variable A is not set").resolved


def dns_answer(status: DnsStatus, *records: str, took_s: float = 0) -> DnsAnswer:
    return DnsAnswer(
        asked_at=NOW, took_s=took_s, name="contoso.com", rdtype="A", status=status, records=records
    )


@pytest.mark.parametrize(
    ("status", "records", "found", "settled"),
    [
        (DnsStatus.ANSWER, ("192.0.2.1",), True, True),
        (DnsStatus.ANSWER, (), False, True),
        (DnsStatus.NODATA, (), False, True),
        (DnsStatus.NXDOMAIN, (), False, True),
        (DnsStatus.SERVFAIL, (), False, False),
        (DnsStatus.TIMEOUT, (), False, False),
    ],
)
def test_a_dns_answer_is_found_or_settled(
    status: DnsStatus, records: tuple[str, ...], found: bool, settled: bool
) -> None:
    """A no is an answer too; silence is not."""
    answer = dns_answer(status, *records)
    assert (answer.found, answer.settled) == (found, settled)


@pytest.mark.parametrize(
    ("a", "aaaa", "status"),
    [
        (DnsStatus.ANSWER, DnsStatus.TIMEOUT, DnsStatus.ANSWER),
        (DnsStatus.NODATA, DnsStatus.ANSWER, DnsStatus.ANSWER),
        (DnsStatus.NXDOMAIN, DnsStatus.SERVFAIL, DnsStatus.SERVFAIL),
        (DnsStatus.TIMEOUT, DnsStatus.NODATA, DnsStatus.TIMEOUT),
        (DnsStatus.NODATA, DnsStatus.NODATA, DnsStatus.NODATA),
        (DnsStatus.NXDOMAIN, DnsStatus.NXDOMAIN, DnsStatus.NXDOMAIN),
    ],
)
def test_what_is_published_is_the_better_of_both_families(
    a: DnsStatus, aaaa: DnsStatus, status: DnsStatus
) -> None:
    """An address in either family is one; else trouble is said before a plain no."""
    assert Published(dns_answer(a), dns_answer(aaaa)).status is status


def test_published_holds_both_families_and_the_longer_time() -> None:
    both = Published(
        dns_answer(DnsStatus.ANSWER, "192.0.2.1", took_s=1),
        dns_answer(DnsStatus.ANSWER, "2001:db8::1", took_s=2),
    )
    assert both.addresses == ("192.0.2.1", "2001:db8::1")
    assert both.took_s == 2


def test_attempts_are_told_apart() -> None:
    good, bad = (TcpAttempt("192.0.2.1", 587, one) for one in (TcpOutcome.CONNECTED, TcpOutcome.REFUSED))
    connects = TcpConnects(asked_at=NOW, family="ipv4", attempts=(good, bad))
    assert (connects.connected, connects.failed) == ((good,), (bad,))


# --- SMTP --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "enhanced"),
    [
        ("5.7.139 Authentication unsuccessful", "5.7.139"),
        ("2.1.0", "2.1.0"),
        ("5.7.3x no", ""),
        ("3.1.0 no class of its own", ""),
        ("Authentication unsuccessful 5.7.3", ""),
        ("5.1234.1 too long", ""),
    ],
)
def test_the_enhanced_code_stands_first(line: str, enhanced: str) -> None:
    """RFC 3463: class 2, 4 or 5, at the beginning of the text."""
    assert SmtpReply(535, (line,)).enhanced == enhanced


def test_a_reply_without_lines_says_nothing() -> None:
    reply = SmtpReply(250)
    assert (reply.enhanced, reply.text, str(reply)) == ("", "", "250 ")


def test_a_reply_reads_as_it_was_sent() -> None:
    reply = SmtpReply(250, ("mail.contoso.com", "SIZE 1000", "STARTTLS"))
    assert str(reply) == "250-mail.contoso.com\n250-SIZE 1000\n250 STARTTLS"
    assert reply.text == "mail.contoso.com SIZE 1000 STARTTLS"


@pytest.mark.parametrize(("code", "positive"), [(220, True), (354, True), (421, False), (550, False)])
def test_a_reply_is_positive_below_400(code: int, positive: bool) -> None:
    assert SmtpReply(code).positive is positive


@pytest.mark.parametrize(
    ("reply", "failure", "accepted"),
    [
        (SmtpReply(250), None, True),
        (SmtpReply(354), None, False),
        (SmtpReply(550), None, False),
        (SmtpReply(250), Failure.TOO_LONG, False),
        (None, Failure.TIMEOUT, False),
    ],
)
def test_a_step_is_accepted_by_a_whole_positive_reply(
    reply: SmtpReply | None, failure: Failure | None, accepted: bool
) -> None:
    assert MailFrom(asked_at=NOW, reply=reply, failure=failure).accepted is accepted


def ehlo(*lines: str, code: int = 250) -> Ehlo:
    return Ehlo(asked_at=NOW, reply=SmtpReply(code, ("mail.contoso.com", *lines)))


@pytest.mark.parametrize(
    ("lines", "keywords"),
    [
        (("SIZE 35882577", "8bitmime"), {"SIZE": ("35882577",), "8BITMIME": ()}),
        (("AUTH LOGIN XOAUTH2",), {"AUTH": ("LOGIN", "XOAUTH2")}),
        (("AUTH=LOGIN PLAIN",), {"AUTH": ("LOGIN", "PLAIN")}),
        (("AUTH=LOGIN", "AUTH XOAUTH2"), {"AUTH": ("XOAUTH2",)}),
        (("AUTH LOGIN", "AUTH XOAUTH2"), {"AUTH": ("LOGIN", "XOAUTH2")}),
        (("8 BITMIME",), {"8": ("BITMIME",)}),
        (("", "  ", "DSN"), {"DSN": ()}),
        ((), {}),
    ],
)
def test_capabilities_are_read_line_by_line(
    lines: tuple[str, ...], keywords: dict[str, tuple[str, ...]]
) -> None:
    """In upper case; the old ``AUTH=`` counts where there is no ``AUTH``, and odd lines do no harm."""
    assert ehlo(*lines).keywords == keywords


def test_a_refused_ehlo_offers_nothing() -> None:
    assert ehlo("STARTTLS", code=550).keywords == {}
    assert Ehlo(asked_at=NOW, failure=Failure.TIMEOUT).keywords == {}


def test_offers_and_mechanisms() -> None:
    hello = ehlo("STARTTLS", "AUTH LOGIN XOAUTH2 OAUTHBEARER")
    assert hello.offers("starttls")
    assert not hello.offers("DSN")
    assert hello.mechanisms == ("LOGIN", "XOAUTH2", "OAUTHBEARER")


@pytest.mark.parametrize(
    ("offered", "wanted", "used"),
    [
        ("AUTH LOGIN OAUTHBEARER XOAUTH2", "", "XOAUTH2"),
        ("AUTH LOGIN OAUTHBEARER", "", "OAUTHBEARER"),
        ("AUTH XOAUTH2 OAUTHBEARER", "oauthbearer", "OAUTHBEARER"),
        ("AUTH XOAUTH2", "oauthbearer", ""),
        ("AUTH LOGIN PLAIN", "", ""),
    ],
)
def test_the_mechanism_is_xoauth2_unless_only_the_other_is_offered(
    offered: str, wanted: str, used: str
) -> None:
    """Or the one the profile asks for."""
    assert ehlo(offered).bearer_for(wanted) == used


def test_a_greeting_is_smtp_or_not() -> None:
    assert SmtpGreeting(asked_at=NOW, reply=SmtpReply(554)).is_smtp
    assert not SmtpGreeting(asked_at=NOW, failure=Failure.NOT_SMTP, looks_like="ssh").is_smtp


@pytest.mark.parametrize(
    ("reply", "injected", "may_begin"),
    [(220, "", True), (220, "250 evil", False), (454, "", False), (None, "", False)],
)
def test_tls_begins_after_220_and_nothing_else(reply: int | None, injected: str, may_begin: bool) -> None:
    answer = StartTls(asked_at=NOW, reply=SmtpReply(reply) if reply else None, injected=injected)
    assert answer.may_begin is may_begin


@pytest.mark.parametrize(("code", "accepted"), [(235, True), (250, False), (334, False), (503, False)])
def test_only_235_is_a_sign_in(code: int, accepted: bool) -> None:
    """A 334 is a question, and a server that says 250 has not said that it knows the user."""
    assert AuthExchange(asked_at=NOW, reply=SmtpReply(code)).accepted is accepted


@pytest.mark.parametrize(
    ("text", "queue_id"),
    [
        ("2.0.0 Ok: queued as 4B2C7A0123", "4B2C7A0123"),
        ("2.0.0 OK <abc123@AM0PR01.prod.outlook.com> [Hostname=AM0PR01]", "abc123@AM0PR01.prod.outlook.com"),
        ("2.0.0 OK  1732086000 ffacd0b85a97d-3825 - gsmtp", "1732086000"),
        ("OK id=1tDabc-0000xy-2Z", "1tDabc-0000xy-2Z"),
        ("message accepted", ""),
    ],
)
def test_the_servers_own_name_for_the_message(text: str, queue_id: str) -> None:
    """As Postfix, Exchange, Gmail and Exim give it."""
    assert DataExchange(asked_at=NOW, reply=SmtpReply(250, (text,))).queue_id == queue_id


def test_a_refused_message_has_no_name() -> None:
    reply = SmtpReply(550, ("5.7.1 queued as NEVER123",))
    assert DataExchange(asked_at=NOW, reply=reply).queue_id == ""
    assert DataExchange(asked_at=NOW, failure=Failure.CLOSED).queue_id == ""


# --- TLS ---------------------------------------------------------------------------------------------------

GOOD = Certificate(
    subject="CN=mail.contoso.com",
    issuer="CN=Contoso CA",
    names=("mail.contoso.com",),
    not_before=NOW - DAY,
    not_after=NOW + 90 * DAY,
    key_type="RSA",
    key_bits=2048,
    signature_hash="sha256",
    sha256="00",
)


@pytest.mark.parametrize(
    ("host", "names", "matches"),
    [
        ("mail.contoso.com", ("mail.contoso.com",), True),
        ("MAIL.contoso.com.", ("mail.Contoso.com",), True),
        ("mail.contoso.com", ("*.contoso.com",), True),
        ("a.mail.contoso.com", ("*.contoso.com",), False),
        ("contoso.com", ("*.contoso.com",), False),
        ("mail.contoso.com", ("*",), False),
        ("mail.contoso.com", ("m*.contoso.com",), False),
        ("localhost", ("*.",), False),
        ("192.0.2.1", ("192.0.2.1",), True),
        ("mail.contoso.com", (), False),
    ],
)
def test_a_wildcard_stands_for_one_whole_label(host: str, names: tuple[str, ...], matches: bool) -> None:
    """RFC 9525 section 6.3."""
    assert replace(GOOD, names=names).names_host(host) is matches


@pytest.mark.parametrize(
    ("key_type", "bits", "weak"),
    [("RSA", 2047, True), ("RSA", 2048, False), ("EC", 192, True), ("EC", 256, False), ("Ed25519", 0, False)],
)
def test_short_keys_are_weak(key_type: str, bits: int, weak: bool) -> None:
    """RFC 9325 section 4.5; the Edwards curves have one size."""
    assert replace(GOOD, key_type=key_type, key_bits=bits).weak_key is weak


def test_a_broken_hash_is_weak_unless_it_signs_itself() -> None:
    """A root is trusted by being there, not by its signature."""
    weak = replace(GOOD, signature_hash="sha1")
    assert weak.weak_signature
    assert not weak.self_issued
    assert not replace(weak, issuer=weak.subject).weak_signature


def handshake(code: int | None = None, leaf: Certificate | None = GOOD, **changes: Any) -> TlsHandshake:
    """A handshake that failed verification with OpenSSL's code, or succeeded without one."""
    known: dict[str, Any] = {
        "asked_at": NOW,
        "host": "mail.contoso.com",
        "version": "TLSv1.3",
        "failure": None if code is None else TlsFailure.VERIFY,
        "verify_code": code,
        "chain": (leaf,) if leaf else (),
    }
    return TlsHandshake(**{**known, **changes})


def test_a_verified_handshake_holds_in_every_way() -> None:
    tls = handshake()
    assert tls.verified
    assert tls.completed
    assert tls.modern
    assert tls.dates_hold
    assert tls.names_host
    assert tls.issuer_trusted
    assert tls.keys_strong
    assert tls.signatures_strong


def test_a_handshake_that_never_came_to_its_end() -> None:
    """Nothing was shown: nothing can be held against the certificate."""
    tls = handshake(leaf=None, version="", failure=TlsFailure.CLOSED)
    assert not tls.verified
    assert not tls.completed
    assert not tls.modern
    assert tls.leaf is None
    assert tls.dates_hold
    assert tls.names_host


@pytest.mark.parametrize(
    ("tls", "what"),
    [
        (handshake(10, replace(GOOD, not_after=NOW - DAY)), "dates_hold"),
        (handshake(9, replace(GOOD, not_before=NOW + DAY)), "dates_hold"),
        (handshake(10), "dates_hold"),  # of an intermediate: our leaf is good
        (handshake(62, replace(GOOD, names=("other.contoso.com",))), "names_host"),
        (handshake(64, replace(GOOD, names=("192.0.2.1",))), "names_host"),
        (handshake(66), "keys_strong"),
        (handshake(67), "keys_strong"),
        (handshake(18), "issuer_trusted"),
        (handshake(20), "issuer_trusted"),
        (handshake(68), "signatures_strong"),
    ],
)
def test_each_verification_error_breaks_one_expectation(tls: TlsHandshake, what: str) -> None:
    """OpenSSL names the first fault it meets; the others hold."""
    expectations = ("dates_hold", "names_host", "keys_strong", "issuer_trusted", "signatures_strong")
    assert [name for name in expectations if not getattr(tls, name)] == [what]


def test_a_fault_behind_another_is_read_off_the_leaf() -> None:
    """The issuer is not trusted; beside that the certificate has ended, names no host, and is weak."""
    leaf = replace(GOOD, not_after=NOW - DAY, names=(), key_bits=1024, signature_hash="md5")
    tls = handshake(20, leaf)
    assert not any(
        (tls.issuer_trusted, tls.dates_hold, tls.names_host, tls.keys_strong, tls.signatures_strong)
    )


# --- tokens ------------------------------------------------------------------------------------------------


def token(expires_in_s: int | None = None, **claims: Any) -> AccessToken:
    return AccessToken(
        observed_at=NOW, length=1500, fingerprint="00", opaque=False, claims=claims, expires_in_s=expires_in_s
    )


@pytest.mark.parametrize(
    ("claims", "permissions"),
    [
        ({"scp": "SMTP.Send IMAP.AccessAsUser.All"}, {"SMTP.Send", "IMAP.AccessAsUser.All"}),
        ({"scp": ["SMTP.Send", "Mail.Read"]}, {"SMTP.Send", "Mail.Read"}),
        ({"roles": ["SMTP.SendAsApp"]}, {"SMTP.SendAsApp"}),
        ({"roles": "SMTP.SendAsApp"}, {"SMTP.SendAsApp"}),
        ({"scp": "SMTP.Send", "roles": ["Mail.Send"]}, {"SMTP.Send", "Mail.Send"}),
        ({}, set()),
    ],
)
def test_permissions_are_scopes_and_roles(claims: dict[str, Any], permissions: set[str]) -> None:
    """As text or as a list: both exist in the wild."""
    assert token(**claims).permissions == permissions


def test_a_claim_reads_as_text() -> None:
    """``appid`` is called ``azp`` in version 2 tokens, and ``client_id`` by RFC 9068 section 2.2."""
    assert token(azp="6731de76").claim("appid") == "6731de76"
    assert token(appid="one", azp="two").claim("appid") == "one"
    assert token(client_id="mail-alerts").claim("appid") == "mail-alerts"
    assert token(exp=5).claim("exp") == "5"
    assert token().claim("aud") == ""


def test_a_claims_values_compare_in_one_form() -> None:
    """One or several, without case and without the slash at the end."""
    assert token(aud="https://Outlook.office.com/").values("aud") == {"https://outlook.office.com"}
    assert token(aud=["A", "b/"]).values("aud") == {"a", "b"}
    assert token(azp="X").values("appid") == {"x"}
    assert token().values("aud") == frozenset()


def test_the_user_is_named_by_the_first_claim_that_does() -> None:
    assert token(email="mail@contoso.com", upn="upn@contoso.com").user == "upn@contoso.com"
    assert token(email="mail@contoso.com").user == "mail@contoso.com"
    assert token().user == ""


@pytest.mark.parametrize(
    ("claims", "for_application"),
    [({"scp": "SMTP.Send"}, False), ({"roles": ["x"]}, True), ({"idtyp": "app", "scp": "x"}, True)],
)
def test_a_token_is_for_an_application_or_a_user(claims: dict[str, Any], for_application: bool) -> None:
    assert token(**claims).for_application is for_application


def test_an_id_token_shows_itself() -> None:
    """By the nonce of a sign-in or a hash of the access token beside it, and no scope."""
    for name in ("nonce", "at_hash"):
        assert replace(token(), other_claims=(name,)).is_id_token
        assert not replace(token(scp="SMTP.Send"), other_claims=(name,)).is_id_token
    assert not token().is_id_token


@pytest.mark.parametrize("value", [True, "1763622000", None, 1e300, float("nan"), [1]])
def test_what_is_no_time_is_none(value: Any) -> None:
    """NumericDate is a number of seconds (RFC 7519 section 2); whatever else stands there does no harm."""
    assert token(exp=value).time("exp") is None


def test_a_token_ends_as_it_says_or_as_the_answer_said() -> None:
    """Its own claim comes first."""
    assert token(exp=NOW.timestamp() + 60, expires_in_s=5).expires_at == NOW + dt.timedelta(seconds=60)
    assert token(expires_in_s=5).expires_at == NOW + dt.timedelta(seconds=5)
    assert token().expires_at is None


def test_a_grant_says_what_came() -> None:
    http = HttpExchange("POST", "https://login.contoso.com/token", status=200, is_json=True)
    grant = Grant(asked_at=NOW, grant="refresh_token", http=http, token=token(), token_type="bearer")
    assert grant.granted
    assert grant.answered
    assert grant.is_json
    assert grant.is_bearer
    lost = replace(grant, token=None, token_type="", http=replace(http, status=None, is_json=False))
    assert (lost.granted, lost.answered, lost.is_json, lost.is_bearer) == (False, False, False, False)
    given = replace(grant, http=None)
    assert given.answered
    assert given.is_json


def test_metadata_is_readable_with_issuer_and_token_endpoint() -> None:
    http = HttpExchange("GET", "https://login.contoso.com/", status=200)
    metadata = {"issuer": "https://login.contoso.com", "token_endpoint": "https://login.contoso.com/token"}
    discovery = Discovery(asked_at=NOW, http=http, metadata=metadata)
    assert discovery.readable
    assert not replace(discovery, http=replace(http, status=404)).readable
    assert not replace(discovery, metadata={"issuer": "x"}).readable
    assert not replace(discovery, metadata={"token_endpoint": "x"}).readable


def test_keys_are_readable_when_there_is_one() -> None:
    http = HttpExchange("GET", "https://login.contoso.com/keys", failure=HttpFailure.TIMEOUT)
    assert not Keys(asked_at=NOW, http=http).readable
    assert Keys(asked_at=NOW, http=http, kids=("1",)).readable


# --- findings and what was seen ----------------------------------------------------------------------------


def test_a_finding_is_its_first_cause_and_its_subject() -> None:
    causes = (Cause("mailbox_full", Certainty.LIKELY), Cause("greylisted", Certainty.POSSIBLE))
    assert Finding(causes).id == "mailbox_full"
    assert Finding(causes, "a@contoso.com").id == "mailbox_full:a@contoso.com"
    assert Finding(causes, "a@contoso.com").code == "mailbox_full"


def test_seen_answers_by_kind_and_subject(profile_with: Callable[..., Profile]) -> None:
    """And tells every answer of a kind in the order of asking."""
    first, second = ehlo(), ehlo("STARTTLS")
    answers: dict[Question, Observation] = {
        Question(Ehlo, "before TLS"): first,
        Question(Ehlo, "after TLS"): second,
        Question(MailFrom): first,  # not what its kind says: an altered recording
    }
    seen = Seen(profile_with(), NOW, answers)
    assert seen.get(Ehlo, "after TLS") is second
    assert seen.get(Ehlo) is None
    assert seen.get(MailFrom) is None
    assert seen.every(Ehlo)[:2] == (first, second)


def test_short_says_what_was_cut() -> None:
    """One line, bounded."""
    assert short("a\n b\t c") == "a b c"
    assert short("x" * 305) == "x" * 300 + "… (5 more characters)"
    assert short(OSError(13, "no")) == "[Errno 13] no"


@pytest.mark.parametrize(
    ("published", "elsewhere", "agree"),
    [
        (["52.97.1.1", "52.97.1.2"], ["52.97.1.2", "52.97.1.9"], True),
        (["52.97.1.1"], ["40.101.7.7"], True),  # another part of a large provider's addresses
        (["52.97.1.1"], ["10.0.0.5"], False),  # split DNS, a hosts file
        (["10.0.0.5"], ["52.97.1.1"], False),
        ([], ["52.97.1.1"], False),
        (["52.97.1.1"], [], False),
    ],
)
def test_two_resolvers_agree_unless_one_shows_another_network(
    published: list[str], elsewhere: list[str], agree: bool
) -> None:
    """A provider answers each query with other addresses of its own, which is no contradiction."""
    status = DnsStatus.ANSWER if published else DnsStatus.NODATA
    found = Published(replace(dns_answer(status), records=tuple(published)), dns_answer(DnsStatus.NODATA))
    assert found.agrees_with(tuple(elsewhere)) is agree
