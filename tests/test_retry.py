"""``--retry-transient``: what failed for the moment is asked again, what could do harm never is.

The lab's servers run in this process, so that a test can make one of them stumble once; what they were asked
stands in the lab's log.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pytest

from smtp_preflight import evidence as module
from smtp_preflight.diagnosis.submission import why_message_refused
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.evidence import Evidence, Recorder
from smtp_preflight.lab import Lab, names
from smtp_preflight.lab.conditions import SMTP_HOST
from smtp_preflight.lab.entra import Entra
from smtp_preflight.lab.http import HttpConnection, Request, Response
from smtp_preflight.lab.identity import IdentityProvider
from smtp_preflight.lab.names import NameServer
from smtp_preflight.lab.smtp import Session
from smtp_preflight.model import (
    AuthExchange,
    DataExchange,
    Discovery,
    DnsAnswer,
    DnsStatus,
    Grant,
    HttpExchange,
    Limits,
    Profile,
    Question,
    RcptTo,
    SmtpGreeting,
    SystemAddresses,
)
from smtp_preflight.probes.questions import wanted_pause_s
from smtp_preflight.profile import load_profile, load_providers
from smtp_preflight.secrets import Wallet

ROOT = Path(__file__).parent.parent
TRIES = 3
TO_THE_END = (Question(DataExchange),)


@pytest.fixture(autouse=True)
def _without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_PAUSE_S", 0)


@pytest.fixture
def labs() -> Iterator[Callable[[str], tuple[Lab, Profile]]]:
    """Start a lab for one of the demonstrations; its profile comes with it, pointed there."""
    started: list[Lab] = []

    def start(demo: str = "demo") -> tuple[Lab, Profile]:
        profile = load_profile(ROOT / f"profiles/{demo}.toml", load_providers())
        lab = Lab.start(profile.lab)
        started.append(lab)
        return lab, replace(lab.overlay(profile), limits=Limits())

    yield start
    for lab in started:
        lab.stop()


MakeLab = Callable[..., tuple[Lab, Profile]]


def record(lab: Lab, profile: Profile, *questions: Question, retries: int = TRIES) -> Evidence:
    wallet = Wallet()
    for key, secret in lab.secrets().items():
        wallet.put(key, secret)
    return asyncio.run(Recorder(profile, wallet, questions or TO_THE_END, retries=retries).record())


def times(lab: Lab, what: str) -> int:
    """How often a server was asked for this."""
    return sum(what in event.what for event in lab.log)


def once(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, instead: Callable[..., Any]) -> None:
    """Let a method do something else the first time it is called."""
    monkeypatch.setattr(kind, name, first_then(instead, getattr(kind, name)))


def first_then(instead: Callable[..., Any], usual: Callable[..., Any]) -> Callable[..., Any]:
    """Call the one the first time, and the other from then on."""
    turns = chain([instead], repeat(usual))
    return lambda *args: next(turns)(*args)


# --- asked again -------------------------------------------------------------------------------------------


def busy(session: Session) -> bytes:
    session.closed = True
    return b"421 4.3.2 Service not active\r\n"


def test_a_busy_server_is_connected_to_again(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the dialogue is asked anew, once, and one message leaves."""
    once(monkeypatch, Session, "greet", busy)
    lab, profile = labs()
    assert record(lab, profile)[DataExchange].accepted
    assert (times(lab, "(connected)"), times(lab, "AUTH XOAUTH2"), len(lab.messages)) == (2, 1, 1)


def test_without_the_option_nothing_is_asked_again(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer counts."""
    once(monkeypatch, Session, "greet", busy)
    lab, profile = labs()
    assert not record(lab, profile, Question(SmtpGreeting), retries=0)[SmtpGreeting].accepted
    assert times(lab, "(connected)") == 1


def test_a_server_that_stays_busy_is_asked_as_often_as_wished(
    labs: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and then N times more."""
    monkeypatch.setattr(Session, "greet", busy)
    lab, profile = labs()
    found = record(lab, profile, Question(SmtpGreeting), retries=2)
    assert found[SmtpGreeting].reply is not None
    assert times(lab, "(connected)") == 3


def test_a_greylisted_recipient_is_named_again(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a new connection, with the token of the first: it is not redeemed a second time."""
    rcpt = first_then(lambda *_: "451 4.7.1 Greylisted, try again later", Session._COMMANDS["RCPT"])
    monkeypatch.setattr(Session, "_COMMANDS", {**Session._COMMANDS, "RCPT": rcpt})
    lab, profile = labs()
    found = record(lab, profile)
    assert found[RcptTo, profile.recipients[0]].accepted
    assert (times(lab, "AUTH XOAUTH2"), times(lab, "refresh_token"), len(lab.messages)) == (2, 1, 1)


def test_a_name_server_in_trouble_is_asked_again(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """SERVFAIL to everything in the first round, with and without checking."""
    usual, asked = NameServer._fill, Counter[tuple[str, int]]()

    def fill(server: NameServer, reply: dns.message.Message, *, checking: bool) -> None:
        key = (reply.question[0].to_text(), int(reply.flags))
        asked[key] += 1
        usual(server, reply, checking=checking)
        if SMTP_HOST in key[0] and asked[key] <= 2:  # the stage's own question, and the connection's
            reply.answer.clear()
            reply.set_rcode(dns.rcode.SERVFAIL)

    monkeypatch.setattr(NameServer, "_fill", fill)
    lab, profile = labs()
    questions = [Question(DnsAnswer, f"{SMTP_HOST} {rdtype}") for rdtype in ("A", "AAAA")]
    first = record(lab, profile, *questions, *TO_THE_END, retries=0)
    assert first[DnsAnswer, f"{SMTP_HOST} A"].status is DnsStatus.SERVFAIL
    assert first[SystemAddresses, SMTP_HOST].addresses == ()
    asked.clear()
    again = record(lab, profile, *questions, *TO_THE_END, retries=1)
    assert again[DnsAnswer, f"{SMTP_HOST} A"].found
    assert again[DataExchange].accepted


def unavailable(_provider: IdentityProvider, _request: Request) -> Response:
    return Response(503, {}, {"Retry-After": "1"})


def test_an_application_asks_for_its_token_again(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client credentials have no effect; the mail server's answers are kept meanwhile."""
    once(monkeypatch, IdentityProvider, "token", unavailable)
    lab, profile = labs("demo-app")
    assert record(lab, profile)[DataExchange].accepted
    assert (times(lab, "client_credentials"), times(lab, "(connected)")) == (2, 1)


def test_an_endpoint_found_out_later_is_used(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where metadata name the token endpoint and come at the second try, the token is asked for then."""
    once(monkeypatch, IdentityProvider, "answer", unavailable)
    lab, profile = labs("demo-app")
    found = record(lab, replace(profile, oauth=replace(profile.oauth, token_endpoint="")), Question(Grant))
    assert found[Discovery].readable
    assert found[Grant].granted


# --- never asked again -------------------------------------------------------------------------------------


def test_a_refresh_token_whose_answer_was_lost_is_not_redeemed_again(
    labs: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be spent: one request, whatever was wished for, and the cause says so."""
    usual = HttpConnection._finish

    def finish(connection: HttpConnection, response: Response) -> None:
        if "access_token" in response.content:
            connection.transport.abort()
        else:
            usual(connection, response)

    monkeypatch.setattr(HttpConnection, "_finish", finish)
    lab, profile = labs()
    found = record(lab, profile, Question(Grant))
    assert found[Grant].answer_lost
    assert why_not_granted(found.seen).code == "refresh_answer_lost"
    assert times(lab, "refresh_token") == 1


def test_a_refresh_token_is_not_redeemed_again(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the endpoint says that it was only busy."""
    once(monkeypatch, IdentityProvider, "token", unavailable)
    lab, profile = labs()
    assert not record(lab, profile, Question(Grant))[Grant].granted
    assert times(lab, "refresh_token") == 1


def silent(session: Session) -> str:
    session.closed = True
    return ""


@pytest.mark.parametrize(
    "end", [silent, lambda _: "451 4.3.0 Try again later"], ids=["no reply", "a refusal for now"]
)
def test_nothing_is_said_again_once_the_message_has_left(
    end: Callable[[Session], str], labs: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one might arrive as well."""
    once(monkeypatch, Session, "_take_message", end)
    lab, profile = labs()
    found = record(lab, profile)
    assert found[DataExchange].body_sent
    assert (times(lab, "DATA"), times(lab, "(connected)")) == (1, 1)


def test_a_message_without_a_reply_is_told_as_such(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it was accepted."""
    monkeypatch.setattr(Session, "_take_message", silent)
    lab, profile = labs()
    assert why_message_refused(record(lab, profile).seen).code == "connection_lost_after_data"


def test_metadata_are_asked_for_again_after_the_message(
    labs: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no part of the dialogue can do no harm."""
    once(monkeypatch, Entra, "_discovery", unavailable)
    lab, profile = labs()
    found = record(lab, profile, Question(Discovery), *TO_THE_END)
    assert found[Discovery].readable
    assert (len(lab.messages), times(lab, "(connected)")) == (1, 1)


def test_a_family_that_does_not_connect_costs_no_second_dialogue(
    labs: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one serves; an address that nobody listens on is a finding, not a reason to begin anew."""
    records = names.own_records()
    monkeypatch.setattr(
        names, "own_records", lambda host=SMTP_HOST: {**records, (SMTP_HOST, "AAAA"): ("::1",)}
    )
    lab, profile = labs()
    assert record(lab, profile, Question(AuthExchange))[AuthExchange].accepted
    assert times(lab, "(connected)") == 1


# --- when --------------------------------------------------------------------------------------------------


def asked_to_wait(told: str, now: dt.datetime) -> float:
    http = HttpExchange("POST", "https://login.contoso.com/token", 503, {"retry-after": told})
    return wanted_pause_s(Grant(asked_at=now, grant="client_credentials", http=http))


@pytest.mark.parametrize(
    ("told", "pause_s"),
    [
        ("", 0),
        ("7", 7),
        ("Fri, 20 Nov 2026 07:00:09 GMT", 9),
        ("Fri, 20 Nov 2026 06:00:00 GMT", 0),
        ("soon", 0),
        ("-5", 0),
        ("Fri, 20 Nov 2026 07:00:09", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(told: str, pause_s: float, now: dt.datetime) -> None:
    """RFC 9110 section 10.2.3; what is neither asks for nothing."""
    assert asked_to_wait(told, now) == pause_s


def test_nobody_is_asked_to_wait_by_mail(now: dt.datetime) -> None:
    assert wanted_pause_s(SmtpGreeting(asked_at=now)) == 0


def test_a_pause_beyond_the_runs_limit_is_not_begun(labs: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered stands; the run is not cut short by waiting."""
    once(monkeypatch, IdentityProvider, "token", lambda *_: Response(429, {}, {"Retry-After": "86400"}))
    lab, profile = labs("demo-app")
    found = record(lab, profile, Question(Grant))
    assert found.seen.cut_short == ""
    assert why_not_granted(found.seen).code == "token_endpoint_throttled"
    assert times(lab, "client_credentials") == 1


# --- the option --------------------------------------------------------------------------------------------

BUSY_AT_FIRST = """
from smtp_preflight import evidence
from smtp_preflight.lab.smtp import Session

evidence.RETRY_PAUSE_S = 0
usual, sessions = Session.greet, []

def greet(session):
    sessions.append(session)
    session.closed = len(sessions) == 1
    return b"421 4.3.2 Service not active\\r\\n" if session.closed else usual(session)

Session.greet = greet
"""


def test_the_option_mends_a_run(run_suite: Any) -> None:
    """Red without it; ready with it, and the report shows the second answer only."""
    without = run_suite("--profile=demo", plugin=BUSY_AT_FIRST)
    assert (without.status, without.report()["findings"][0]["stage"]) == (1, "greeting")
    again = run_suite("--profile=demo", "--retry-transient=1", plugin=BUSY_AT_FIRST)
    assert (again.status, again.report()["proven"]) == (0, "data")
    assert again.having("failed") == again.having("blocked") == []
