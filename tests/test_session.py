"""One profile's run: verdict, how far mail is proven to get, and reading an old report back."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.evidence import AskingThread, BadRecording
from smtp_preflight.lab import Lab
from smtp_preflight.ledger import CheckFrame
from smtp_preflight.model import (
    Arrival,
    Cause,
    Certainty,
    Certificate,
    DnsAnswer,
    DnsStatus,
    Finding,
    FoundMessage,
    Observation,
    Outcome,
    Profile,
    Provider,
    Question,
    Run,
    SecretRef,
    Seen,
    SmtpGreeting,
    Stage,
    SystemAddresses,
    TlsHandshake,
    Until,
    Verdict,
)
from smtp_preflight.probes import questions
from smtp_preflight.profile import load_profile, load_providers
from smtp_preflight.reporting import json as report_json
from smtp_preflight.session import REACH, ProfileRun, Recording, read_recording
from smtp_preflight.until_when import deadlines

ROOT = Path(__file__).parent.parent
ERROR, WARNING, NOTICE = "starttls_not_offered", "address_unreachable", "system_resolver_differs"


def check(stage: Stage, number: int = 1) -> CheckFrame:
    return CheckFrame(f"test_{stage}.py::test_{number}", stage, "It holds.")


def about(code: str) -> Finding:
    return Finding((Cause(code, Certainty.LIKELY),))


@pytest.fixture
def demo() -> Profile:
    return load_profile(ROOT / "profiles/demo.toml", load_providers())


@pytest.fixture
def run_of(demo: Profile, now: dt.datetime) -> Callable[..., ProfileRun]:
    """A run whose evidence is closed, and for which these checks are called."""

    def make(*checks: CheckFrame, cut_short: str = "") -> ProfileRun:
        seen = Seen(demo, now, cut_short=cut_short)
        recording = Recording(seen, "old/report.json", "2026-01-01", Until.SEND, 1.5, frozenset())
        run = ProfileRun(demo, until=Until.SEND, recording=recording)
        for frame in checks:
            run.called_for[frame.id] = frame.stage
            run.selected[frame.id] = frame
        return run

    return make


MakeRun = Callable[..., ProfileRun]

DNS, TCP, GREETING, STARTTLS, TLS, DELIVERY = map(
    check, (Stage.DNS, Stage.TCP, Stage.GREETING, Stage.STARTTLS, Stage.TLS, Stage.DELIVERY)
)


def judge(run: ProfileRun, *judged: tuple[CheckFrame, str]) -> Run:
    """Judge checks: each holds, is skipped, breaks, or fails by the code that is named."""
    for frame, what in judged:
        known = {
            "holds": lambda frame=frame: run.ledger.holds(frame),
            "skipped": lambda frame=frame: run.ledger.skipped(frame, "does not apply"),
            "breaks": lambda frame=frame: run.ledger.broken(frame, "ZeroDivisionError"),
        }
        result = known[what]() if what in known else run.ledger.fails(frame, about(what))
        run.record(result, 0.01)
    return run.finish()


# --- the verdict -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ("holds", "holds", Verdict.READY),
        ("holds", "skipped", Verdict.READY),
        ("holds", NOTICE, Verdict.READY),
        ("holds", WARNING, Verdict.READY_WITH_WARNINGS),
        ("holds", ERROR, Verdict.NOT_READY),
        ("holds", "breaks", Verdict.INCOMPLETE),
        ("breaks", ERROR, Verdict.NOT_READY),
        ("breaks", WARNING, Verdict.INCOMPLETE),
    ],
)
def test_verdict_says_the_worst(first: str, second: str, verdict: Verdict, run_of: MakeRun) -> None:
    """What failed comes first; an error of ours leaves the rest incomplete."""
    assert judge(run_of(DNS, TCP), (DNS, first), (TCP, second)).verdict is verdict


def test_what_was_called_for_and_not_judged_makes_it_incomplete(run_of: MakeRun) -> None:
    """Whatever took the check away: ``-k``, ``--lf``, Ctrl-C."""
    assert judge(run_of(DNS, TCP), (DNS, "holds")).verdict is Verdict.INCOMPLETE
    assert judge(run_of(DNS, TCP), (DNS, ERROR)).verdict is Verdict.NOT_READY


@pytest.mark.parametrize(("found", "proven"), [(True, Stage.DELIVERY), (False, Stage.TCP)])
def test_delivery_is_proven_by_the_message_alone(
    found: bool, proven: Stage, run_of: MakeRun, now: dt.datetime
) -> None:
    """A mailbox that could not be looked into is a warning, and no proof that the message arrived."""
    message = FoundMessage("INBOX", True, "alerts@contoso.example") if found else None
    arrival = Arrival(asked_at=now, mailbox="alerts@contoso.example", message=message)
    run = run_of(DNS, TCP, DELIVERY)
    assert run.recording is not None
    seen = replace(run.recording.seen, answers={Question(Arrival): arrival})
    run.recording = replace(run.recording, seen=seen)
    done = judge(run, (DNS, "holds"), (TCP, "holds"), (DELIVERY, WARNING))
    assert done.proven is proven


def test_only_errors_are_red(run_of: MakeRun) -> None:
    """What keeps mail from leaving, and nothing else."""
    run = run_of(DNS, TCP, GREETING)
    done = judge(run, (DNS, ERROR), (TCP, WARNING), (GREETING, NOTICE))
    assert [one.code for one in done.red] == [ERROR]


def test_a_run_cut_short_is_incomplete(run_of: MakeRun) -> None:
    run = run_of(DNS, cut_short="interrupted")
    assert judge(run, (DNS, "holds")).verdict is Verdict.INCOMPLETE


def test_a_narrowed_selection_is_incomplete(run_of: MakeRun) -> None:
    """Checks named on the command line are not all there are."""
    run = run_of(DNS)
    run.whole = False
    assert judge(run, (DNS, "holds")).verdict is Verdict.INCOMPLETE


# --- how far -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "proven"),
    [
        (("holds", "holds", "holds"), Stage.GREETING),
        (("holds", "holds", ERROR), Stage.TCP),
        (("holds", "holds", "breaks"), Stage.TCP),
        (("holds", ERROR, "holds"), Stage.DNS),
        (("holds", WARNING, "holds"), Stage.GREETING),
        (("skipped", "holds", "holds"), Stage.GREETING),
        (("skipped", "skipped", "skipped"), None),
        ((ERROR, "holds", "holds"), None),
    ],
)
def test_proven_is_the_last_stage_without_a_gap(
    outcomes: Sequence[str], proven: Stage | None, run_of: MakeRun
) -> None:
    """What does not apply is no gap; what failed or broke is the end."""
    stages = (DNS, TCP, GREETING)
    assert judge(run_of(*stages), *zip(stages, outcomes, strict=True)).proven is proven


def test_what_was_not_judged_is_a_gap(run_of: MakeRun) -> None:
    assert judge(run_of(DNS, TCP, GREETING), (DNS, "holds"), (GREETING, "holds")).proven is Stage.DNS


def test_a_stage_nobody_calls_for_is_no_gap(run_of: MakeRun) -> None:
    assert judge(run_of(DNS, GREETING), (DNS, "holds"), (GREETING, "holds")).proven is Stage.GREETING


def test_a_stage_with_an_open_check_is_no_gap_once_one_was_judged(run_of: MakeRun) -> None:
    """``-k`` may leave out some checks of a stage: the verdict says incomplete, not how far mail gets."""
    run = run_of(DNS, check(Stage.DNS, 2), TCP)
    assert judge(run, (DNS, "holds"), (TCP, "holds")).proven is Stage.TCP


def test_a_warning_met_twice_stops_nothing(run_of: MakeRun) -> None:
    """One of two addresses is silent: a warning for one family, the other blocked by it, and mail leaves."""
    second = check(Stage.TCP, 2)
    done = judge(
        run_of(DNS, TCP, second, GREETING),
        (DNS, "holds"), (TCP, WARNING), (second, WARNING), (GREETING, "holds"),
    )  # fmt: skip
    assert [one.outcome for one in done.checks] == [
        Outcome.PASSED, Outcome.WARNED, Outcome.BLOCKED, Outcome.PASSED,
    ]  # fmt: skip
    assert (done.proven, done.verdict) == (Stage.GREETING, Verdict.READY_WITH_WARNINGS)


def test_what_a_red_cause_blocks_ends_the_way(run_of: MakeRun) -> None:
    """Implicit TLS: the handshake is judged first, and the greeting is blocked by it."""
    done = judge(run_of(DNS, GREETING, TLS), (DNS, "holds"), (TLS, ERROR), (GREETING, ERROR))
    assert done.proven is Stage.DNS


def test_stages_not_asked_are_named(run_of: MakeRun, demo: Profile) -> None:
    """Those of which a check was not judged; and the message, where the profile sends none."""
    assert judge(run_of(DNS, TCP, TLS), (TCP, "holds")).not_asked == (Stage.DNS, Stage.TLS)
    run = run_of(DNS)
    run.profile = replace(demo, send=None)
    assert judge(run, (DNS, "holds")).not_asked == (Stage.DATA,)


def test_each_until_reaches_further_than_the_last() -> None:
    """``connect`` asks no token; ``delivery`` is everything that has checks."""
    reached = [REACH[until] for until in Until]
    assert all(less < more for less, more in pairwise(reached))
    assert Stage.TOKEN not in REACH[Until.CONNECT]
    assert REACH[Until.DELIVERY] == set(Stage) - {Stage.AUTHORIZE, Stage.DEVICE}


# --- until when --------------------------------------------------------------------------------------------


QUIET = Provider("custom", "A server that announces nothing")


def test_everything_that_ends_is_listed_nearest_first(demo: Profile, now: dt.datetime) -> None:
    """Client secret or certificate by the profile, the server's certificate by what was shown."""
    ends = dt.date(2027, 3, 31)
    leaf = Certificate(
        subject="CN=mail",
        issuer="CN=CA",
        names=(),
        not_before=now,
        not_after=now + dt.timedelta(days=10, hours=1),
        key_type="EC",
        key_bits=256,
        signature_hash="sha256",
        sha256="00",
    )
    tls = TlsHandshake(asked_at=now, host="mail.contoso.com", chain=(leaf,))
    profile = replace(demo, provider=QUIET, oauth=replace(demo.oauth, secret_expires=ends))
    told = deadlines(Seen(profile, now, {Question(TlsHandshake): tls}))
    assert [(one.what, one.days_left) for one in told] == [("server_certificate", 10), ("client_secret", 131)]
    assert told[1].date == ends
    by_certificate = replace(profile.oauth, certificate=SecretRef("file", ("app.pem",)))
    (other,) = deadlines(Seen(replace(profile, oauth=by_certificate), now))
    assert other.what == "certificate"


def test_what_does_not_say_when_it_ends_is_not_listed(demo: Profile, now: dt.datetime) -> None:
    assert deadlines(Seen(replace(demo, provider=QUIET), now)) == ()


# --- asking, and being interrupted -------------------------------------------------------------------------


@pytest.fixture
def thread() -> Iterator[AskingThread]:
    made = AskingThread()
    yield made
    made.stop()


@pytest.fixture
def lab_run(demo: Profile) -> Iterator[ProfileRun]:
    """The demonstration, to be asked for its first words."""
    with Lab.start("microsoft365") as lab:
        run = ProfileRun(demo, until=Until.CONNECT)
        run.wants.append(lambda profile: [Question(SmtpGreeting)])
        run.selected[GREETING.id] = GREETING
        run.enter_lab(lab.overlay(demo), lab.secrets())
        yield run


def test_a_run_asks_what_is_wanted_and_what_that_needs(lab_run: ProfileRun, thread: AskingThread) -> None:
    """Once: starting twice asks once."""
    assert not lab_run.started
    lab_run.start(thread)
    lab_run.start(thread)
    assert lab_run.started
    assert lab_run.evidence[SmtpGreeting].accepted
    assert lab_run.awaited == ()
    kinds = {question.kind for question in lab_run.evidence.seen.answers}
    assert {SmtpGreeting, SystemAddresses} <= kinds
    assert lab_run.finish().duration_s > 0


def test_whoever_waits_can_look_up_now_and_then(
    lab_run: ProfileRun, thread: AskingThread, run_of: MakeRun
) -> None:
    """A terminal shows what is awaited until the evidence is closed; a replay is not waited for."""
    assert not run_of(DNS).waiting(0)
    assert not lab_run.waiting(0)
    lab_run.start(thread)
    while lab_run.waiting(0.01):
        assert len(lab_run.awaited) < 10
    assert lab_run.evidence.seen.cut_short == ""
    assert not lab_run.waiting(0)


def test_a_replay_nobody_judged_is_incomplete(run_of: MakeRun) -> None:
    """Its evidence is whole, its checks are not."""
    done = run_of(DNS).finish()
    assert (done.verdict, done.seen.cut_short) == (Verdict.INCOMPLETE, "")
    assert done.replayed_from == "old/report.json"
    assert done.duration_s == 1.5


def test_a_run_that_never_began_is_interrupted(demo: Profile) -> None:
    """Nothing was asked, so nothing is known."""
    run = ProfileRun(demo, until=Until.SEND)
    done = run.finish()
    assert (done.verdict, done.seen.cut_short, done.evidence) == (Verdict.INCOMPLETE, "interrupted", ())


def test_a_run_interrupted_while_asking_keeps_what_is_known(
    lab_run: ProfileRun, thread: AskingThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered stays, what is awaited is given up."""
    at_greeting = threading.Event()

    async def never(asking: object, subject: str) -> Observation:
        at_greeting.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    row = questions.ROWS[SmtpGreeting]
    monkeypatch.setitem(questions.ROWS, SmtpGreeting, replace(row, ask=never))
    lab_run.start(thread)
    assert at_greeting.wait(10)
    assert lab_run.awaited == (Question(SmtpGreeting),)
    done = lab_run.finish()
    assert (done.verdict, done.seen.cut_short) == (Verdict.INCOMPLETE, "interrupted")
    assert {"SystemAddresses", "TcpConnects"} <= {one["kind"] for one in done.evidence}


def test_a_run_interrupted_before_its_first_check_has_its_answers(
    lab_run: ProfileRun, thread: AskingThread
) -> None:
    """Asked to the end, and not judged: incomplete, with whole evidence."""
    lab_run.start(thread)
    assert lab_run._future is not None
    lab_run._future.result(10)
    done = lab_run.finish()
    assert done.seen.get(SmtpGreeting)
    assert done.seen.cut_short == ""


# --- reading an old report ---------------------------------------------------------------------------------


@pytest.fixture
def report(run_of: MakeRun, tmp_path: Path) -> Path:
    """A report of one answer and one check."""
    run = run_of(DNS)
    question = Question(DnsAnswer, "smtp.office365.com A")
    answer = DnsAnswer(
        asked_at=run.evidence.seen.started,
        took_s=0.5,
        name="smtp.office365.com",
        rdtype="A",
        status=DnsStatus.NXDOMAIN,
    )
    assert run.recording
    seen = replace(run.recording.seen, answers={question: answer}, follow_ups=frozenset({question}))
    run.recording = replace(run.recording, seen=seen)
    path = tmp_path / "report.json"
    run._evidence = None
    report_json.write(judge(run, (DNS, "holds")), path)
    return path


def test_what_was_written_is_read_back(report: Path, demo: Profile, now: dt.datetime) -> None:
    """Profile, settings, evidence, times, selection: all that judging needs."""
    recording = read_recording(report)
    assert recording.seen.started == now
    assert recording.seen.profile.mailbox == demo.mailbox
    assert recording.selected == {DNS.id}
    assert (recording.until, recording.duration_s) == (Until.SEND, 1.5)
    answer = recording.seen.get(DnsAnswer, "smtp.office365.com A")
    assert answer
    assert answer.status is DnsStatus.NXDOMAIN
    assert recording.seen.follow_ups == {Question(DnsAnswer, "smtp.office365.com A")}


def change(path: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    alter(report)
    path.write_text(json.dumps(report), encoding="utf-8")


ALTERED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "other schema": (lambda report: report.update(schema=2), "schema: found 2; wanted 1"),
    "no schema": (lambda report: report.pop("schema"), "lacks 'schema'"),
    "no settings": (lambda report: report.pop("settings"), "lacks 'settings'"),
    "settings are text": (lambda report: report.update(settings="none"), "not a report.json of this suite"),
    "unknown until": (lambda report: report.update(until="dawn"), "'dawn' is not a valid Until"),
    "no time": (lambda report: report.update(started="yesterday"), "Invalid isoformat string"),
    "duration is text": (lambda report: report.update(duration_s="long"), "could not convert"),
    "bad setting": (
        lambda report: report["settings"].update({"smtp.port": {"value": "x", "from": "profile"}}),
        "smtp.port",
    ),
    "kind unknown": (lambda report: report["evidence"][0].update(kind="Tarot"), "Tarot"),
    "evidence is text": (lambda report: report.update(evidence="none"), "not as a run writes it"),
    "profile is a path": (
        lambda report: report.update(profile="../../elsewhere"),
        "profile: found '../../elsewhere'; wanted the name of a profile",
    ),
    "answer incomplete": (lambda report: report["evidence"][0]["value"].pop("rdtype"), "rdtype"),
    "answer of another type": (
        lambda report: report["evidence"][0]["value"].update(status="maybe"),
        "evidence DnsAnswer: status",
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_report_is_told_in_one_line(name: str, report: Path) -> None:
    """Which file, and what is wrong in it; whatever was altered, never another exception."""
    alter, told = ALTERED[name]
    change(report, alter)
    with pytest.raises(BadRecording) as raised:
        read_recording(report)
    assert str(report) in str(raised.value)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRecording, match=r"not a report\.json"):
        read_recording(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match=r"cannot be read: No such file"):
        read_recording(tmp_path / "report.json")
