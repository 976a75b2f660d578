"""Asking concurrently, closing the evidence, saying what is missing and why, and writing it all down."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
import socket
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from smtp_preflight import evidence as module
from smtp_preflight.evidence import (
    AskingThread,
    BadRecording,
    Evidence,
    ProbeBroken,
    Recorder,
    asks,
    decode,
    encode,
)
from smtp_preflight.model import (
    AccessToken,
    AuthExchange,
    DataExchange,
    Discovery,
    DnsAnswer,
    DnsStatus,
    Ehlo,
    Failure,
    Grant,
    HttpExchange,
    HttpFailure,
    Keys,
    Limits,
    MailFrom,
    OAuth,
    OAuthError,
    Observation,
    Profile,
    Provider,
    Question,
    RcptTo,
    SecretCheck,
    Seen,
    Send,
    Smtp,
    SmtpGreeting,
    SmtpReply,
    StartTls,
    SystemAddresses,
    TcpAttempt,
    TcpConnects,
    TcpOutcome,
    TlsFailure,
    TlsHandshake,
)
from smtp_preflight.outcome import Blocked, NotAsked
from smtp_preflight.probes.questions import AFTER_TLS, BEFORE_TLS, IPV4, IPV6, ROWS, needs_of
from smtp_preflight.secrets import Secret, Wallet

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)

# --- a mail server of a few lines --------------------------------------------------------------------------


class ScriptedServer:
    """A mail server on loopback that answers each line with what the script says, and notes what it heard."""

    def __init__(self, script: Mapping[str, str], greetings: tuple[str, ...]) -> None:
        self._script = script
        self._greetings = greetings
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.heard: list[str] = []
        self.connections = 0
        self.was_reached, self.was_left = threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                greeting = self._greetings[min(self.connections, len(self._greetings) - 1)]
                self.connections += 1
                threading.Thread(target=self._serve, args=(client, greeting), daemon=True).start()

    def _serve(self, client: socket.socket, greeting: str) -> None:
        self.was_reached.set()
        with client, contextlib.suppress(OSError):
            client.sendall(greeting.encode())
            for line in client.makefile("r", encoding="ascii", newline="\r\n"):
                verb = line.split()[0].upper()
                self.heard.append(verb)
                client.sendall(self._script.get(verb, "502 5.5.1 no\r\n").encode())
        self.was_left.set()

    def stop(self) -> None:
        self._listening.close()


PLAIN = {
    "EHLO": "250-mail.contoso.com\r\n250 SIZE 1000\r\n",
    "QUIT": "221 bye\r\n",
    "RSET": "250 ok\r\n",
}


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start mail servers; each greets its first client with the first greeting, and so on."""
    started: list[ScriptedServer] = []

    def start(script: Mapping[str, str] = PLAIN, *greetings: str) -> ScriptedServer:
        started.append(ScriptedServer(script, greetings or ("220 mail.contoso.com\r\n",)))
        return started[-1]

    yield start
    for server in started:
        server.stop()


Serve = Callable[..., ScriptedServer]


def profile_of(server: ScriptedServer, **limits: float) -> Profile:
    """A profile for a server on this machine."""
    return Profile(
        name="contoso",
        provider=Provider("custom", "Custom"),
        mailbox="alerts@contoso.com",
        smtp=Smtp("127.0.0.1", server.port, ehlo_name="client.contoso.com"),
        oauth=OAuth(),
        limits=Limits(**{"greeting_s": 5, "reply_s": 5, "tcp_s": 5, "run_s": 10, **limits}),
    )


def record(
    profile: Profile, *questions: Question, wallet: Wallet | None = None, retries: int = 0
) -> Evidence:
    recorder = Recorder(profile, wallet or Wallet(), questions, retries=retries)
    return asyncio.run(recorder.record())


# --- asking ------------------------------------------------------------------------------------------------


def test_a_question_brings_what_it_needs(serve: Serve) -> None:
    """Before EHLO come addresses, connections and the greeting; at the end QUIT is said."""
    server = serve()
    evidence = record(profile_of(server), Question(Ehlo, BEFORE_TLS))
    assert evidence[Ehlo, BEFORE_TLS].accepted
    assert evidence[SmtpGreeting].accepted
    assert evidence[TcpConnects, IPV4].connected
    assert [str(one) for one in evidence.seen.answers if one.kind is SystemAddresses] == [
        "SystemAddresses 127.0.0.1"
    ]
    assert server.heard == ["EHLO", "QUIT"]
    assert server.connections == 1


def test_what_a_question_needs_was_asked_before_it(serve: Serve) -> None:
    """Every answer is younger than the answers it stands on."""
    profile = profile_of(serve())
    seen = record(profile, Question(Ehlo, BEFORE_TLS)).seen
    asked = {question: answer.asked_at for question, answer in seen.answers.items()}
    for question in asked:
        for need in needs_of(question, profile):
            assert asked[need] <= asked[question]


def test_a_slow_family_does_not_hold_up_the_greeting(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection is enough: here the second family answers only after the greeting."""
    greeted = asyncio.Event()
    ask_tcp, ask_greeting = ROWS[TcpConnects].ask, ROWS[SmtpGreeting].ask

    async def slow(asking: Any, subject: str) -> Observation:
        if subject == IPV6:
            await greeted.wait()
        return await ask_tcp(asking, subject)

    async def greeting(asking: Any, subject: str) -> Observation:
        answer = await ask_greeting(asking, subject)
        greeted.set()
        return answer

    monkeypatch.setitem(ROWS, TcpConnects, replace(ROWS[TcpConnects], ask=slow))
    monkeypatch.setitem(ROWS, SmtpGreeting, replace(ROWS[SmtpGreeting], ask=greeting))
    evidence = record(profile_of(serve()), Question(SmtpGreeting))
    assert evidence.seen.cut_short == ""
    assert evidence[SmtpGreeting].accepted


def test_the_runs_limit_ends_the_asking(serve: Serve) -> None:
    """A server that says nothing: what was answered stays, what was awaited is blocked by the limit."""
    evidence = record(profile_of(serve(PLAIN, ""), run_s=0.3), Question(Ehlo, BEFORE_TLS))
    assert evidence.seen.cut_short == "run_limit"
    assert evidence[TcpConnects, IPV4].connected
    for key in (SmtpGreeting, (Ehlo, BEFORE_TLS), StartTls):
        with pytest.raises(Blocked) as blocked:
            evidence[key]
        assert blocked.value.finding.code == "run_limit_reached"
        assert blocked.value.on_the_way


def test_a_name_that_leads_nowhere_is_explained_without_stage_dns(serve: Serve) -> None:
    """No check of stage dns was selected (``-m greeting``): the cause has its name all the same."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        name_server = f"127.0.0.1:{closed.getsockname()[1]}"
    profile = replace(
        profile_of(serve(), dns_s=0.5), smtp=Smtp("mail.contoso.example"), dns_servers=(name_server,)
    )
    evidence = record(profile, Question(SmtpGreeting))
    assert missing(evidence, SmtpGreeting, "").finding.code == "dns_resolution_failure"


def test_cancelling_closes_the_sockets(serve: Serve) -> None:
    """Ctrl-C leaves no connection behind."""
    server = serve(PLAIN, "")
    thread = AskingThread()
    recorder = Recorder(profile_of(server), Wallet(), (Question(SmtpGreeting),))
    future = thread.submit(recorder)
    assert server.was_reached.wait(10)
    future.cancel()
    assert server.was_left.wait(10)
    assert recorder.evidence("interrupted").seen.cut_short == "interrupted"
    thread.stop()


def test_stopping_the_thread_cancels_what_is_asked(serve: Serve) -> None:
    """The end of the process need not wait for a server that says nothing."""
    server = serve(PLAIN, "")
    thread = AskingThread()
    thread.submit(Recorder(profile_of(server), Wallet(), (Question(SmtpGreeting),)))
    assert server.was_reached.wait(10)
    thread.stop()
    assert server.was_left.wait(10)


def test_what_is_awaited_can_be_shown(serve: Serve) -> None:
    """While the greeting is awaited, that is what is shown, and nothing afterwards."""
    server = serve(PLAIN, "")
    recorder = Recorder(profile_of(server), Wallet(), (Question(SmtpGreeting),))

    async def look() -> tuple[Question, ...]:
        asking = asyncio.create_task(recorder.record())
        while recorder.awaited != (Question(SmtpGreeting),):
            await asyncio.sleep(0.01)
        shown = recorder.awaited
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return shown

    assert asyncio.run(look()) == (Question(SmtpGreeting),)
    assert recorder.awaited == ()


def test_follow_ups_are_asked_and_marked(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What diagnosis would still like to know is asked once, after everything else."""
    wanted = Question(DnsAnswer, "localhost A")
    monkeypatch.setattr(module, "follow_ups", lambda seen: (wanted,))

    async def ask(asking: object, subject: str) -> Observation:
        return DnsAnswer(asked_at=NOW, name="localhost", rdtype="A", status=DnsStatus.NXDOMAIN)

    monkeypatch.setitem(ROWS, DnsAnswer, replace(ROWS[DnsAnswer], ask=ask))
    seen = record(profile_of(serve()), Question(SmtpGreeting)).seen
    assert seen.follow_ups == {wanted}
    assert seen.get(DnsAnswer, "localhost A")
    assert seen.get(SmtpGreeting)


def test_a_transient_answer_is_asked_again_where_that_is_wished(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server busy at first: without retries that is what is reported, with one the second word counts."""
    monkeypatch.setattr(module, "RETRY_PAUSE_S", 0)
    busy = "421 4.3.2 busy\r\n"
    without = record(profile_of(serve(PLAIN, busy, "220 hello\r\n")), Question(Ehlo, BEFORE_TLS))
    assert not without[SmtpGreeting].accepted
    again = record(profile_of(serve(PLAIN, busy, "220 hello\r\n")), Question(Ehlo, BEFORE_TLS), retries=1)
    assert again[SmtpGreeting].accepted
    assert again[Ehlo, BEFORE_TLS].accepted


# --- a probe that breaks -----------------------------------------------------------------------------------


@pytest.fixture
def broken_greeting(monkeypatch: pytest.MonkeyPatch) -> str:
    """A greeting whose probe raises what it should have recorded, with a secret in its words."""
    token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25l"

    async def broken(asking: Any, subject: str) -> Observation:
        raise ZeroDivisionError(f"a bug of ours, {token}")

    monkeypatch.setitem(ROWS, SmtpGreeting, replace(ROWS[SmtpGreeting], ask=broken))
    return token


def test_a_broken_probe_is_raised_where_its_answer_is_looked_at(serve: Serve, broken_greeting: str) -> None:
    """And by all that needs it; the rest is answered."""
    wallet = Wallet()
    wallet.put("access_token", Secret(broken_greeting, "test"))
    evidence = record(profile_of(serve()), Question(Ehlo, BEFORE_TLS), wallet=wallet)
    assert evidence[TcpConnects, IPV4].connected
    for key in (SmtpGreeting, (Ehlo, BEFORE_TLS), StartTls, TlsHandshake):
        with pytest.raises(ProbeBroken, match="ZeroDivisionError: a bug of ours, <redacted>") as raised:
            evidence[key]
        assert broken_greeting not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None


def test_a_question_nobody_asked_is_no_finding(seen_with: Callable[..., Seen]) -> None:
    """Neither cut short nor prevented: the recording is an older one, or somebody forgot to ask."""
    with pytest.raises(NotAsked, match=r"SystemAddresses smtp\.office365\.com was not asked"):
        Evidence(seen_with())[SmtpGreeting]


def test_a_fixture_names_its_questions(profile_with: Callable[..., Profile]) -> None:
    """One subject, or several by the profile; marks add up."""
    profile = profile_with()

    @asks(SmtpGreeting)
    @asks(DnsAnswer, lambda profile, parameters: (f"{profile.smtp.host} {parameters['rdtype']}",))
    def fixture() -> None:
        """Stand for one of conftest.py."""

    marks: Any = fixture
    named = [one for questions in marks.__asks__ for one in questions({"rdtype": "MX"}, profile)]
    assert named == [Question(DnsAnswer, "smtp.office365.com MX"), Question(SmtpGreeting)]


# --- why something is missing ------------------------------------------------------------------------------

HOST = "smtp.office365.com"
HELLO = SmtpReply(250, ("mail.contoso.com", "STARTTLS"))
REFUSED = SmtpReply(535, ("5.7.3 Authentication unsuccessful",))


def tcp(outcome: TcpOutcome) -> TcpConnects:
    return TcpConnects(asked_at=NOW, family=IPV4, attempts=(TcpAttempt("192.0.2.1", 587, outcome),))


def ok(kind: Any, code: int = 250, *lines: str) -> Any:
    return kind(asked_at=NOW, reply=SmtpReply(code, lines or ("2.1.0 ok",)))


Step = tuple[str, Observation, Observation, str]  # subject, healthy, failed, and the code that follows

SECRET = "client_secret"
TOKEN = AccessToken(observed_at=NOW, length=1500, fingerprint="0123456789ab")
EXPIRED = OAuthError(
    "invalid_client", "AADSTS7000222: The provided client secret keys are expired.", ("7000222",)
)
ANSWERED = HttpExchange("POST", "https://login.microsoftonline.com/token", status=200, is_json=True)
REFUSED_GRANT = replace(ANSWERED, status=401)

CONNECTION: list[Step] = [
    (
        HOST,
        SystemAddresses(asked_at=NOW, host=HOST, addresses=("192.0.2.1",)),
        SystemAddresses(asked_at=NOW, host=HOST, error="EAI_NONAME"),
        "host_name_wrong",  # with the answers below
    ),
    (IPV4, tcp(TcpOutcome.CONNECTED), tcp(TcpOutcome.REFUSED), "tcp_refused"),
]
GREETING: Step = (
    "",
    ok(SmtpGreeting, 220),
    SmtpGreeting(asked_at=NOW, failure=Failure.TIMEOUT),
    "greeting_timeout",
)
HANDSHAKE: Step = (
    "",
    TlsHandshake(asked_at=NOW, host=HOST, version="TLSv1.3"),
    TlsHandshake(asked_at=NOW, host=HOST, failure=TlsFailure.TIMEOUT),
    "tls_handshake_timeout",
)
SIGN_IN: list[Step] = [
    (
        AFTER_TLS,
        ok(Ehlo, 250, "mail.contoso.com", "AUTH XOAUTH2"),
        ok(Ehlo, 250, "mail.contoso.com", "AUTH LOGIN"),
        "xoauth2_not_advertised",
    ),
    ("", ok(AuthExchange, 235), AuthExchange(asked_at=NOW, reply=SmtpReply(454, ("4.7.0 Temporary",))), ""),
    ("", ok(MailFrom), ok(MailFrom, 550, "5.7.60 not allowed"), ""),
    ("probe@contoso.com", ok(RcptTo), ok(RcptTo, 550, "5.1.1 unknown"), ""),
    ("", ok(DataExchange), ok(DataExchange), ""),
]
STARTTLS_WAY: list[Step] = [
    *CONNECTION,
    GREETING,
    (BEFORE_TLS, replace(ok(Ehlo), reply=HELLO), ok(Ehlo, 250, "mail.contoso.com"), "starttls_not_offered"),
    ("", ok(StartTls, 220), ok(StartTls, 454, "4.7.0 TLS not available"), "starttls_refused"),
    HANDSHAKE,
    *SIGN_IN,
]
IMPLICIT_WAY: list[Step] = [*CONNECTION, HANDSHAKE, GREETING, *SIGN_IN]
OAUTH: list[Step] = [
    (
        SECRET,
        SecretCheck(asked_at=NOW, key=SECRET, reference="env:SECRET", length=40),
        SecretCheck(asked_at=NOW, key=SECRET, reference="env:SECRET", problem="not set"),
        "secret_unavailable",
    ),
    (
        "",
        Grant(asked_at=NOW, grant="client_credentials", http=ANSWERED, token=TOKEN),
        Grant(asked_at=NOW, grant="client_credentials", http=REFUSED_GRANT, error=EXPIRED),
        "client_secret_expired",
    ),
]
NO_SUCH_NAME = [
    (f"{HOST} {rdtype}", DnsAnswer(asked_at=NOW, name=HOST, rdtype=rdtype, status=DnsStatus.NXDOMAIN))
    for rdtype in ("A", "AAAA")
]
SILENT_FAMILY = (IPV6, TcpConnects(asked_at=NOW, family=IPV6))


def keyed(steps: list[Step], failed: int | None) -> list[tuple[str, Observation]]:
    """The answers up to the one that failed, that included; all of them where none did."""
    upto = len(steps) if failed is None else failed + 1
    return [
        (subject, bad if number == failed else good)
        for number, (subject, good, bad, _) in enumerate(steps[:upto])
    ]


def missing(evidence: Evidence, kind: type[Observation], subject: str) -> Blocked:
    with pytest.raises(Blocked) as raised:
        evidence[kind, subject]
    return raised.value


FAILING_POINTS = [
    pytest.param(mode, way, number, id=f"{mode}: {type(good).__name__} {subject}".rstrip())
    for mode, way in (("starttls", STARTTLS_WAY), ("implicit", IMPLICIT_WAY))
    for number, (subject, good, _, _) in enumerate(way[:-1])
]


@pytest.mark.parametrize(("mode", "way", "failed"), FAILING_POINTS)
def test_everything_after_a_failure_names_it(
    mode: str,
    way: list[Step],
    failed: int,
    seen_with: Callable[..., Seen],
    profile_with: Callable[..., Profile],
) -> None:
    """Whatever stage of the connection fails, all that comes after it is blocked by that one cause."""
    smtp = Smtp(HOST, 465 if mode == "implicit" else 587, tls=mode)
    profile = profile_with(smtp=smtp, provider=Provider("custom", "Custom"))
    beside = [SILENT_FAMILY] if failed else NO_SUCH_NAME
    seen = seen_with(*keyed(OAUTH, None), *keyed(way, failed), *beside, profile=profile)
    told = [missing(Evidence(seen), type(good), subject) for subject, good, _, _ in way[failed + 1 :]]
    assert len({one.finding.id for one in told}) == 1
    assert way[failed][3] in ("", told[0].finding.code)
    assert told[0].finding.code != "unexplained"
    assert all(one.on_the_way for one in told)


@pytest.mark.parametrize("failed", range(len(OAUTH)), ids=["secret", "grant"])
def test_without_a_token_nothing_is_signed_in(failed: int, seen_with: Callable[..., Seen]) -> None:
    """The connection is up, the token is not there: AUTH and what follows name the token's trouble."""
    before = STARTTLS_WAY[: -len(SIGN_IN) + 1]
    seen = seen_with(*keyed(OAUTH, failed), *keyed(before, None), SILENT_FAMILY)
    told = [missing(Evidence(seen), type(good), subject) for subject, good, _, _ in SIGN_IN[1:]]
    assert {one.finding.code for one in told} == {OAUTH[failed][3]}


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (SmtpReply(501, ("5.5.4 Invalid domain name",)), "ehlo_argument_rejected"),
        (None, "reply_timeout"),
    ],
)
def test_an_ehlo_that_is_not_accepted_is_told_as_such(
    reply: SmtpReply | None, code: str, seen_with: Callable[..., Seen]
) -> None:
    """Not as a missing STARTTLS: nothing was listed at all."""
    ehlo = Ehlo(asked_at=NOW, reply=reply, failure=None if reply else Failure.TIMEOUT)
    seen = seen_with(*keyed(STARTTLS_WAY[:3], None), SILENT_FAMILY, (BEFORE_TLS, ehlo))
    assert missing(Evidence(seen), TlsHandshake, "").finding.code == code


def test_the_ehlo_under_encryption_is_told_as_such(seen_with: Callable[..., Seen]) -> None:
    """The second EHLO is refused: AUTH is blocked by that, not by what it did not list."""
    way = STARTTLS_WAY[: -len(SIGN_IN)]
    late = Ehlo(asked_at=NOW, failure=Failure.CLOSED, encrypted=True)
    seen = seen_with(*keyed(OAUTH, None), *keyed(way, None), SILENT_FAMILY, (AFTER_TLS, late))
    assert missing(Evidence(seen), AuthExchange, "").finding.code == "connection_lost"


def test_one_accepted_recipient_is_enough_for_the_message(
    seen_with: Callable[..., Seen], profile_with: Callable[..., Profile]
) -> None:
    """DATA is not blocked by the recipient that was refused; it was simply not asked here."""
    profile = profile_with(send=Send("alerts@contoso.com", ("probe@contoso.com", "second@contoso.com")))
    seen = seen_with(
        *keyed(OAUTH, None),
        *keyed(STARTTLS_WAY[:-1], None),
        SILENT_FAMILY,
        ("second@contoso.com", ok(RcptTo, 550, "5.1.1 unknown")),
        profile=profile,
    )
    with pytest.raises(NotAsked):
        Evidence(seen)[DataExchange]


def test_what_is_not_on_the_way_says_so(seen_with: Callable[..., Seen]) -> None:
    """A question only other checks need: its cause need not turn red."""
    http = HttpExchange("GET", "https://login.microsoftonline.com/", failure=HttpFailure.TIMEOUT)
    seen = seen_with(Discovery(asked_at=NOW, http=http))
    assert not missing(Evidence(seen), Keys, "").on_the_way


# --- plain data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
def test_every_observation_survives_being_written_down(
    kind: type[Observation], filled: Callable[[type], Any]
) -> None:
    """With every field set: what is read from report.json is what was seen."""
    observation, question = filled(kind), Question(kind, "whom it is about")
    defaults = {one.name: one.default for one in dataclasses.fields(kind)}
    assert all(getattr(observation, name) != default for name, default in defaults.items())
    seen = Seen(typing.cast(Profile, None), NOW, {question: observation}, frozenset({question}))
    text = json.dumps(encode(seen), ensure_ascii=True)
    answers, follow_ups = decode(json.loads(text))
    assert answers == {question: observation}
    assert follow_ups == {question}


def test_answers_are_written_in_the_order_of_asking(seen_with: Callable[..., Seen]) -> None:
    """Whatever the order in which they came."""
    later, earlier = NOW + dt.timedelta(seconds=2), NOW + dt.timedelta(seconds=1)
    seen = seen_with(
        SmtpGreeting(asked_at=later, reply=SmtpReply(220, ("hello",))),
        (IPV6, TcpConnects(asked_at=earlier, family=IPV6)),
        (IPV4, TcpConnects(asked_at=earlier, family=IPV4)),
    )
    written = [(one["kind"], one["subject"], one["follow_up"]) for one in encode(seen)]
    assert written == [
        ("TcpConnects", IPV4, False),
        ("TcpConnects", IPV6, False),
        ("SmtpGreeting", "", False),
    ]


WRITTEN: Mapping[str, Any] = {
    "kind": "DnsAnswer",
    "subject": "contoso.com A",
    "asked_at": "2026-11-20T07:00:00Z",
    "took_s": 0.1,
    "peer": "192.0.2.53:53",
    "follow_up": False,
    "value": {"name": "contoso.com", "rdtype": "A", "status": "answer"},
}


def test_fields_of_a_newer_version_do_no_harm() -> None:
    """Fields may be added to schema 1; what this version does not know is passed over."""
    value = {**WRITTEN["value"], "colour": "blue"}
    answers, follow_ups = decode([{**WRITTEN, "weight": 3, "value": value}])
    assert [str(question) for question in answers] == ["DnsAnswer contoso.com A"]
    assert follow_ups == frozenset()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "Horoscope"}, "evidence: kind 'Horoscope' is not known here"),
        ({"kind": []}, "an entry of evidence is not as a run writes it"),
        ({"value": None}, "an entry of evidence is not as a run writes it"),
        ({"value": {"name": "contoso.com", "rdtype": "A"}}, "evidence DnsAnswer: status: Field required"),
        (
            {"value": {**WRITTEN["value"], "ttl_s": "soon"}},
            "evidence DnsAnswer: ttl_s: Input should be a valid integer",
        ),
        ({"asked_at": "yesterday"}, "evidence DnsAnswer: asked_at: Input should be a valid datetime"),
    ],
)
def test_a_bad_entry_is_told(change: Mapping[str, Any], told: str) -> None:
    """Which kind, which field, what is wrong; of a kind that is not known, that."""
    with pytest.raises(BadRecording) as raised:
        decode([{**WRITTEN, **change}])
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize("key", ["kind", "subject", "asked_at", "took_s", "peer", "value"])
def test_an_incomplete_entry_is_told(key: str) -> None:
    with pytest.raises(BadRecording, match=f"^an entry of evidence lacks '{key}'$"):
        decode([{name: value for name, value in WRITTEN.items() if name != key}])
