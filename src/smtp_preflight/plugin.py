"""How the suite meets pytest: options, parameters, fixtures and hooks. They act on our checks only."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight import __version__
from smtp_preflight.diagnosis.delivery import METHODS
from smtp_preflight.diagnosis.token import scopes_to_be_granted
from smtp_preflight.evidence import Evidence
from smtp_preflight.knowledge import knowledge_date
from smtp_preflight.ledger import CheckFrame
from smtp_preflight.model import (
    CheckResult,
    Finding,
    Outcome,
    Profile,
    Question,
    ReportedFinding,
    Seen,
    Stage,
    Until,
)
from smtp_preflight.outcome import Blocked, Explain, NotAsked, Remark
from smtp_preflight.reporting import terminal
from smtp_preflight.reporting.asked import waiting_line
from smtp_preflight.reporting.overview import overview_lines
from smtp_preflight.roster import Roster, runs_for
from smtp_preflight.secrets import STANDARD_INPUT, SecretProblem
from smtp_preflight.session import REACH, ProfileRun

FAMILIES = ("ipv4", "ipv6")

# What a profile itself names, and so a check can be parametrized by: the same in every worker, before any
# question is asked.
SUBJECTS: Mapping[str, Callable[[Profile], Sequence[str]]] = {
    "family": lambda profile: FAMILIES,
    "recipient": lambda profile: profile.recipients,
    "secret": lambda profile: tuple(profile.oauth.secrets()),
    "scope": scopes_to_be_granted,
    "claim": lambda profile: ("aud", "tid", "appid"),
    "sender_domain": lambda profile: profile.sender_domains,
    "protocol": lambda profile: tuple(one for one in ("imap", "pop") if getattr(profile, one).check),
    "method": lambda profile: METHODS,
}

OUTCOMES: Mapping[Outcome, tuple[str, str]] = {  # pytest's category and letter
    Outcome.PASSED: ("passed", "."),
    Outcome.WARNED: ("warned", "W"),
    Outcome.FAILED: ("failed", "F"),
    Outcome.BLOCKED: ("blocked", "B"),
    Outcome.SKIPPED: ("skipped", "s"),
    Outcome.ERROR: ("error", "E"),
}

PROGRESS_S = 0.5  # between two lines that say what is awaited
WIDTH = 79
MOST_IN_FULL = 5  # profiles; of more, those are told of at the end that are not ready

CHECK = pytest.StashKey[CheckFrame]()
TOLD = pytest.StashKey[list[Finding]]()
REMARKED = pytest.StashKey[list[Finding | None]]()
ROSTER = pytest.StashKey[Roster]()
STANDARD_INPUT_OF_WORKER = "smtp_preflight_standard_input"
STANDARD_INPUT_S = 10.0


# --- options -----------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of product.md section 2."""
    group = parser.getgroup("smtp-preflight", "SMTP with OAuth2")
    group.addoption(
        "--profile",
        action="append",
        default=[],
        metavar="NAME",
        help="profiles/NAME.toml, a path to a .toml, or 'all'; repeatable",
    )
    group.addoption(
        "--until",
        choices=[str(one) for one in Until],
        help="how far to go; default: the furthest the profile sets up",
    )
    group.addoption(
        "--replay", metavar="FILE", help="judge the evidence of an old report.json again, offline"
    )
    group.addoption(
        "--fault",
        action="append",
        default=[],
        metavar="CODE",
        help="break one thing in the embedded lab; repeatable",
    )
    group.addoption(
        "--report-dir", metavar="DIR", default="reports", help="where reports go (default: reports)"
    )
    group.addoption("--warnings-fail", action="store_true", help="what is only a warning fails the run")
    group.addoption(
        "--mask-addresses",
        action="store_true",
        help="replace the local part of every address in the reports, so that they can be shown in public",
    )
    group.addoption("--metrics", metavar="FILE", help="write the run for Prometheus (textfile format)")
    group.addoption(
        "--retry-transient",
        type=int,
        default=0,
        metavar="N",
        help="ask again, up to N times, what failed for the moment and has no effect",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register a marker for every stage, so that ``-m tls`` selects it."""
    for stage in Stage:
        config.addinivalue_line("markers", f"{stage}: checks of stage {stage}")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Which suite, whose knowledge, which profiles."""
    roster = config.stash.get(ROSTER, None)
    if roster is None:
        return None
    return f"smtp-preflight {__version__}, knowledge {knowledge_date()}, profiles: {', '.join(roster.runs)}"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Read the profiles before anything else; what is no profile ends the run here (exit 4)."""
    options = config.option
    if asks_to_list(config):
        return
    if not wants_checks(config):
        if options.profile or options.replay:
            raise pytest.UsageError(f"--profile and --replay need the checks: {_way_to_checks(config)}")
        return
    config.stash[ROSTER] = Roster(config, runs_for(config))
    if reads_standard_input(config.stash[ROSTER]):
        _keep_standard_input(config)


def _way_to_checks(config: pytest.Config) -> str:
    """What to do where no check is among what is to be run."""
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return "leave out the paths, or name checks/"
    return f"run pytest in {config.rootpath}, or from any folder `smtp-preflight check` and `replay`"


def reads_standard_input(roster: Roster) -> bool:
    """Whether a profile has its access token on standard input."""
    named = (run.profile.oauth.access_token for run in roster.runs.values() if run.recording is None)
    return any(ref is not None and ref.kind == "stdin" for ref in named)


def _keep_standard_input(config: pytest.Config) -> None:
    """Get at the real one, which pytest hides while it captures, or in a worker at what it was handed."""
    if hasattr(config, "workerinput"):
        handed = config.workerinput.get(STANDARD_INPUT_OF_WORKER, b"")
        STANDARD_INPUT.take_from(io.BytesIO(handed))
    elif sys.__stdin__ is not None:  # with none to begin with, its number may be another file's by now
        capture = config.pluginmanager.get_plugin("capturemanager")
        assert capture is not None  # pytest loads it always
        capture.suspend(in_=True)
        STANDARD_INPUT.take_from(os.fdopen(os.dup(0), "rb"))
        capture.resume()


def asks_to_list(config: pytest.Config) -> bool:
    """Whether this call of pytest only shows something about itself, its options say."""
    listings = ("help", "version", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow")
    return any(config.getoption(name, None) for name in listings)


def wants_checks(config: pytest.Config) -> bool:
    """Whether this call of pytest is to run checks of ours, rather than tests."""
    folder = checks_folder(config)
    places = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    return any(place == folder or place in folder.parents or folder in place.parents for place in places)


def checks_folder(config: pytest.Config) -> Path:
    """Where the checks stand: beside the conftest.py that brought this plugin."""
    return (config.rootpath / "checks").resolve()


# --- collection --------------------------------------------------------------------------------------------


def is_check(item: pytest.Item) -> bool:
    """Whether an item is one of our checks."""
    return isinstance(item, pytest.Function) and isinstance(getattr(item.module, "STAGE", None), Stage)


def profile_of(item: pytest.Item) -> str:
    """The name of the profile a check is about."""
    assert isinstance(item, pytest.Function)  # for the type checker; see is_check
    return str(item.callspec.params["profile"])


def run_of(item: pytest.Item) -> ProfileRun:
    """The run of the profile a check is about."""
    return item.config.stash[ROSTER].runs[profile_of(item)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every check, for every profile, and for everything the profile itself names."""
    if (
        not isinstance(getattr(metafunc.module, "STAGE", None), Stage)
        or "profile" not in metafunc.fixturenames
    ):
        return
    roster = metafunc.config.stash.get(ROSTER, None)
    runs = roster.runs if roster else {}  # none where only fixtures or markers are listed
    named = [name for name in SUBJECTS if name in metafunc.fixturenames]
    rows = [
        (name, *values)
        for name, run in runs.items()
        for values in _combinations([SUBJECTS[one](run.profile.as_written) for one in named])
    ]
    ids = [":".join((name, "-".join(values))).removesuffix(":") for name, *values in rows]  # see spread.py
    metafunc.parametrize(["profile", *named], rows, indirect=["profile"], scope="session", ids=ids)


def _combinations(values: list[Sequence[str]]) -> list[tuple[str, ...]]:
    if not values:
        return [()]
    return [(first, *rest) for first in values[0] for rest in _combinations(values[1:])]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Order by profile and stage, leave out what lies beyond ``--until``, note what would be called for.

    Before all plugins, so that what `-k`, `-m` or `--lf` take away is known to be missing; and after them,
    for pytest itself groups by parameters, and `--ff` by what failed.
    """
    roster = config.stash.get(ROSTER, None)
    if roster is None:
        return (yield)
    kept: list[pytest.Item] = []
    beyond: list[pytest.Item] = []
    for item in items:
        if is_check(item):
            if profile_of(item) not in roster.runs:
                continue  # no profile names anything for it: pytest's own place-holder
            frame = _frame(item)
            item.stash[CHECK] = frame
            item.add_marker(str(frame.stage))
            (kept if _wanted(roster.runs[profile_of(item)], frame, config) else beyond).append(item)
        else:
            kept.append(item)
    kept.sort(key=lambda item: _place(roster, item))
    items[:] = kept
    if beyond:
        config.hook.pytest_deselected(items=beyond)
    places = {item: number for number, item in enumerate(kept)}
    yield
    items.sort(key=lambda item: places.get(item, -1))


def _place(roster: Roster, item: pytest.Item) -> tuple[int, float]:
    """By profile, then by stage; with implicit TLS the handshake comes before the greeting."""
    if CHECK not in item.stash:
        return -1, 0
    stage, name = item.stash[CHECK].stage, profile_of(item)
    implicit = roster.runs[name].profile.smtp.tls == "implicit"
    place = Stage.GREETING.place - 0.5 if implicit and stage is Stage.TLS else stage.place
    return list(roster.runs).index(name), place


def _frame(item: pytest.Item) -> CheckFrame:
    assert isinstance(item, pytest.Function)  # for the type checker; see is_check
    name = profile_of(item)
    parameters = item.callspec.id.removeprefix(name).removeprefix(":")
    test = f"{item.path.name}::{item.originalname}" + (f"[{parameters}]" if parameters else "")
    expected = (item.function.__doc__ or item.originalname).strip().splitlines()[0]
    return CheckFrame(test, item.module.STAGE, expected)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before a profile's first check: say on a terminal what is awaited, until the evidence is closed."""
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    if CHECK not in item.stash or reporter is None or not reporter.isatty:
        return
    run = run_of(item)
    shown = False
    while run.waiting(PROGRESS_S):
        reporter.rewrite(waiting_line(run.awaited, WIDTH), erase=True)
        shown = True
    if shown:
        reporter.rewrite("", erase=True)


def _wanted(run: ProfileRun, frame: CheckFrame, config: pytest.Config) -> bool:
    """Whether a check lies within reach; what the profile's set-up calls for is noted on the way."""
    if run.recording is not None and frame.id not in run.recording.selected:
        return False
    if frame.stage in REACH[run.profile.furthest]:
        run.called_for[frame.id] = frame.stage
    return frame.stage in REACH[run.until]


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is selected now is what will be asked."""
    roster = session.config.stash.get(ROSTER, None)
    if roster is None:
        return
    whole = not session.config.getoption("lf", False) and not any("::" in arg for arg in session.config.args)
    folder = checks_folder(session.config)
    given = [(session.config.invocation_params.dir / arg).resolve() for arg in session.config.args]
    whole = whole and any(place == folder or place in folder.parents for place in given)
    for run in roster.runs.values():
        run.whole = whole
    for item in session.items:
        if CHECK in item.stash:
            frame, run = item.stash[CHECK], roster.runs[profile_of(item)]
            run.selected[frame.id] = frame
            run.wants.extend(questions_of(item))


def questions_of(item: pytest.Item) -> Iterator[Callable[[Profile], Iterable[Question]]]:
    """The questions behind the fixtures a check asks for, directly or through others.

    As functions of the profile, for a lab changes its hosts before anything is asked.
    """
    assert isinstance(item, pytest.Function)  # for the type checker; see is_check
    parameters = item.callspec.params
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        for questions in getattr(definitions[-1].func, "__asks__", ()):
            yield functools.partial(questions, parameters)


# --- the run -----------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Ask about all profiles at once; a worker of xdist waits for a profile's first check instead."""
    roster = session.config.stash.get(ROSTER, None)
    if roster is None or session.config.option.collectonly or not _runs_checks_itself(session.config):
        return
    if hasattr(session.config, "workerinput"):
        return
    for run in roster.runs.values():
        if run.judged:
            roster.start(run)


def _runs_checks_itself(config: pytest.Config) -> bool:
    """Whether checks run in this process, rather than in workers of xdist."""
    return hasattr(config, "workerinput") or config.getoption("dist", "no") == "no"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a profile in one worker, whatever ``--dist`` says."""
    roster = config.stash.get(ROSTER, None)
    if roster is None:
        return None
    from smtp_preflight.spread import ProfileScheduling  # xdist is there whenever this hook is called

    return ProfileScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand standard input on to a worker on this machine, over the pipe between the two."""
    roster = node.config.stash.get(ROSTER, None)
    if roster is None or not node.gateway.spec.popen or not reads_standard_input(roster):
        return
    with contextlib.suppress(SecretProblem):  # the worker's own check says that nothing came
        node.workerinput[STANDARD_INPUT_OF_WORKER] = STANDARD_INPUT.read_within(STANDARD_INPUT_S)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the last words of a worker; only JSON crosses processes."""
    roster = node.config.stash.get(ROSTER, None)
    if roster is not None:
        roster.last_words.update(json.loads(getattr(node, "workeroutput", {}).get("smtp_preflight", "{}")))


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, sched: Any) -> None:
    """A worker died and nobody asks again: an older run's report must not stand for this one."""
    from smtp_preflight.spread import profile_in  # xdist is there whenever this hook is called

    roster = sched.config.stash.get(ROSTER, None)
    run = roster.runs.get(profile_in(crashitem)) if roster else None
    if run is not None:
        roster.report(run)


@pytest.fixture(scope="session")
def profile_run(request: pytest.FixtureRequest, profile: Profile) -> ProfileRun:
    """The run of the profile under judgement; its asking begins here where it has not yet."""
    roster = request.config.stash[ROSTER]
    return roster.runs[profile.name]


@pytest.fixture(scope="session")
def profile(request: pytest.FixtureRequest) -> Profile:
    """The profile under judgement, as it was asked about."""
    roster = request.config.stash[ROSTER]
    return roster.start(roster.runs[request.param]).profile


@pytest.fixture(scope="session")
def evidence(profile_run: ProfileRun) -> Evidence:
    """Everything that was seen of the profile; closed."""
    return profile_run.evidence


@pytest.fixture(scope="session")
def seen(evidence: Evidence) -> Seen:
    """What a ``why_…`` looks at."""
    return evidence.seen


@pytest.fixture
def explain(request: pytest.FixtureRequest) -> Explain:
    """Give a failing assertion its causes."""

    def explain(finding: Finding) -> str:
        request.node.stash[TOLD] = [finding]
        return finding.code

    return explain


@pytest.fixture
def remark(request: pytest.FixtureRequest) -> Remark:
    """Say of an expectation that holds that it will not for long; the first remark counts."""
    request.node.stash[REMARKED] = []

    def remark(finding: Finding | None) -> None:
        if finding is not None:
            request.node.stash[REMARKED].append(finding)

    return remark


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn what a check told into its outcome; everything else stays pytest's."""
    report = yield
    if CHECK in item.stash and call.when in ("setup", "call"):
        result = _judge(item, call, report)
        if result is not None:
            run = run_of(item)
            _show(report, run.record(result, call.duration), run, item)
    return report


def _judge(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> CheckResult | None:
    """What became of the check; nothing where its set-up went well and it is still to be called."""
    frame, run = item.stash[CHECK], run_of(item)
    raised = call.excinfo.value if call.excinfo else None
    if raised is None:
        if call.when == "setup":
            return None
        remarks = item.stash.get(REMARKED, None) or [None]
        return run.ledger.holds(frame, remarks[0])
    if isinstance(raised, Blocked):
        return run.ledger.blocked(frame, raised.finding, on_the_way=raised.on_the_way)
    if isinstance(raised, AssertionError) and TOLD in item.stash:
        return run.ledger.fails(frame, item.stash[TOLD][0])
    if isinstance(raised, pytest.skip.Exception):
        return run.ledger.skipped(frame, str(raised))
    if isinstance(raised, NotAsked) and run.evidence.seen.cut_short:
        return run.ledger.skipped(frame, str(raised))
    if isinstance(raised, KeyboardInterrupt):
        return None
    return run.ledger.broken(frame, type(raised).__name__)


class Told:
    """A finding as pytest shows a failure: its title in the summary, its words in full."""

    def __init__(self, place: str, finding: ReportedFinding) -> None:
        self.reprcrash = self
        self.path, self.lineno = place, 0
        self.message = f"{finding.code}: {finding.title}"
        self._lines = terminal.finding_lines(finding)

    def toterminal(self, writer: Any) -> None:
        """Write the finding, line by line."""
        for line in self._lines:
            writer.line(line)

    def __str__(self) -> str:
        return "\n".join(self._lines)


def _show(report: pytest.TestReport, result: CheckResult, run: ProfileRun, item: pytest.Item) -> None:
    """Give pytest's report the outcome, and the words where there are any."""
    if result.outcome is Outcome.ERROR:
        return
    report.preflight = {"outcome": str(result.outcome), "code": result.code}  # type: ignore[attr-defined] # ours
    if result.outcome is Outcome.FAILED:
        finding = next(
            one for one in run.ledger.findings if one.code == result.code and one.check == result.id
        )
        report.outcome, report.longrepr = "failed", Told(item.nodeid, finding)  # type: ignore[assignment] # duck-typed
    elif result.outcome is Outcome.BLOCKED:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"blocked by {result.code}")
    elif result.outcome is Outcome.SKIPPED:
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"Skipped: {result.reason}")
    elif result.outcome in (Outcome.PASSED, Outcome.WARNED):
        report.outcome, report.longrepr = "passed", None


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """The letters and words of product.md section 3."""
    told = getattr(report, "preflight", None)
    if told is None:
        return None
    category, letter = OUTCOMES[Outcome(told["outcome"])]
    word = f"BLOCKED by {told['code']}" if category == "blocked" else category.upper()
    return category, letter, word


# --- reports -----------------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the reports of every profile that was judged in this process."""
    roster = session.config.stash.get(ROSTER, None)
    if roster is None or session.config.option.collectonly or not _runs_checks_itself(session.config):
        return
    for run in roster.runs.values():
        if run.judged and run.started:
            roster.report(run)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["smtp_preflight"] = json.dumps(roster.last_words)
    roster.stop()


def pytest_unconfigure(config: pytest.Config) -> None:
    """When every worker has reported: what is said of all profiles together."""
    roster = config.stash.get(ROSTER, None)
    if roster is not None and roster.last_words and not hasattr(config, "workerinput"):
        roster.write_metrics()
        roster.write_overview()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Generator[None]:
    """The last thing on the screen: verdict, cause, remedy, and where the report is."""
    yield
    roster = config.stash.get(ROSTER, None)
    if roster is None:
        return
    told = roster.told_in_full(MOST_IN_FULL)
    for name, words in roster.last_words.items():
        if name in told:
            terminalreporter.section(f"smtp-preflight: {name}")
        for line in words["summary"] if name in told else ():
            terminalreporter.line(line)
        for line in words["annotations"]:
            terminalreporter.line(line)
    if roster.overview is not None:
        terminalreporter.section(f"smtp-preflight: {len(roster.last_words)} profiles")
        for line in overview_lines([words["row"] for words in roster.last_words.values()], roster.overview):
            terminalreporter.line(line)
