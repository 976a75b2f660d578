"""Each fault of the lab, wherever it exists: one red line, and the rest as in a healthy setup."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.knowledge import entry
from smtp_preflight.lab import FAULTS, Fault
from smtp_preflight.lab.faults import PARTS
from smtp_preflight.lab.faults.fault import nothing_written
from smtp_preflight.model import Profile, Severity, Stage
from smtp_preflight.profile import load_profile, load_providers

ROOT = Path(__file__).parent.parent
RUN_LIMIT_S = 120  # for one run of the suite; what takes longer hangs

FILES = (*(ROOT / "profiles").glob("demo*.toml"), ROOT / "tests" / "profiles" / "looks-only.toml")
PLACES = {one.stem: one for one in sorted(FILES, key=lambda one: one.stem)}
DEMOS = tuple(PLACES)
PROVIDERS = load_providers()

CONNECTION = (Stage.DNS, Stage.TCP, Stage.GREETING, Stage.STARTTLS, Stage.TLS, Stage.AUTH_OFFERED)
TOKENS = (Stage.DISCOVERY, Stage.TOKEN, Stage.REFRESH)
GRANTED = "test_token.py::test_token_is_granted"
SUBMISSION = (Stage.AUTH, Stage.MAIL_FROM, Stage.RCPT_TO, Stage.DATA)


@cache
def profile_of(demo: str) -> Profile:
    """The demonstration as its file says it."""
    return load_profile(PLACES[demo], PROVIDERS)


def able(fault: Fault) -> list[str]:
    """The demonstrations in which a fault can be."""
    profiles = ((demo, profile_of(demo)) for demo in DEMOS)
    return [demo for demo, one in profiles if one.lab in fault.provider and not fault.lacks(one)]


def chosen(number: int, fault: Fault) -> list[str]:
    """Where a fault is tried: what is the same everywhere at one, by turns; else also at another provider.

    Looking for the message takes time, so only faults of that are tried where it is looked for.
    """
    demos = [demo for demo in able(fault) if not profile_of(demo).delivery] or able(fault)
    by_turns = demos[number % len(demos)]
    if fault.stage in CONNECTION or profile_of(by_turns).lab == profile_of(demos[0]).lab:
        return [by_turns]
    return [demos[0], by_turns]


CASES = [(name, demo) for number, (name, row) in enumerate(FAULTS.items()) for demo in chosen(number, row)]

# Why a check may not apply to a healthy demonstration.
REASONS = {
    "the profile names its own DNS servers",
    "the profile does not list several DNS servers",
    "the domain does not announce MTA-STS",
    "the domain does not ask for reports",
    "DNS announces no certificate for this service",
    "the preset does not say under which names the provider's keys are",
    "the preset does not say where the provider publishes its servers",
    "no ipv6 address is published",
    "this grant has no refresh token",
    "the profile does not say which tid to expect",
    "this provider does not issue a new refresh token each time",
    "this provider's tokens are not for clients to verify",
    "the token is the application's own, not a user's",
    "the token is opaque: only the provider can read it",
}

# Why a check may not apply once something is broken: nothing can be said of what a domain publishes or of
# what a token says, or what was written into the profile leaves nothing to ask.
NO_LONGER = (
    "the name server did not answer",
    "TLS comes first on this port",
    "RBAC for Applications decides, not the token",
    "the token does not say its appid",
    "the token is opaque",
)

# A lab shortens the limits; a busy machine is slow. Only those that a fault keeps us waiting for stay short.
PATIENT = """
import dataclasses

import smtp_preflight.lab
from smtp_preflight.model import Limits

smtp_preflight.lab.SHORTEST_LIMIT_S = 30
shortened, usual = smtp_preflight.lab._shortened, dataclasses.asdict(Limits())

def patient(limits):
    given = shortened(limits)
    slow = {name for name in usual if name.endswith("_slow_s") and getattr(given, name) == usual[name]}
    return dataclasses.replace(given, **dict.fromkeys(slow, 30))

smtp_preflight.lab._shortened = patient
"""


@dataclass(frozen=True)
class Ran:
    """A run of the suite: how it ended, where its reports are, and what of it must not stand there."""

    status: int
    folder: Path
    canaries: list[tuple[str, str]] = field(repr=False)

    def report(self, name: str) -> dict[str, Any]:
        """A report, read."""
        read: dict[str, Any] = json.loads((self.folder / name / "report.json").read_text(encoding="utf-8"))
        return read


Suite = Callable[..., Ran]


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory, serving_suite: Callable[..., Any]) -> Iterator[Suite]:
    """Run the suite in a process that serves one run after the other, and is patient."""
    serving = serving_suite(PATIENT, RUN_LIMIT_S)

    def run(*args: str, folder: Path | None = None) -> Ran:
        place = folder or tmp_path_factory.mktemp("fault")
        said = place / "terminal.txt"
        status, planted = serving.run([*args, f"--report-dir={place}", "--tb=native"], said, said)
        return Ran(status, place, planted)

    yield run
    serving.close()


@pytest.fixture(scope="session")
def well(suite: Suite) -> Callable[[str], dict[str, Any]]:
    """The report of a demonstration in which nothing is broken."""
    return cache(lambda demo: suite(f"--profile={PLACES[demo]}").report(demo))


@dataclass(frozen=True)
class Case:
    """One fault at one demonstration, the run in which it was broken, and its replay."""

    fault: Fault
    demo: str
    ran: Ran
    replay: Ran

    @property
    def report(self) -> dict[str, Any]:
        """The report of the live run."""
        return self.ran.report(self.demo)

    @property
    def severity(self) -> Severity:
        """What the fault does to the mail."""
        return self.fault.severity or entry(self.fault.code).severity

    @property
    def outcome(self) -> str:
        """What becomes of the check that shows it."""
        return {Severity.ERROR: "failed", Severity.WARNING: "warned", Severity.NOTICE: "passed"}[
            self.severity
        ]


# With the scope of the module, all tests of a case follow each other.
@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, suite: Suite) -> Case:
    name, demo = request.param
    ran = suite(f"--profile={PLACES[demo]}", f"--fault={name}")
    replay = suite(f"--replay={ran.folder / demo / 'report.json'}", folder=ran.folder)
    return Case(FAULTS[name], demo, ran, replay)


def by_id(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in report["checks"]}


def told(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Outcome and code of every check."""
    return {check: (one["outcome"], one["code"]) for check, one in by_id(report).items()}


def judged(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says of the mail, without how long judging took."""
    for check in report["checks"]:
        del check["duration_s"]
    kept = ("findings", "checks", "verdict", "proven", "not_asked", "until_when", "evidence", "settings")
    return {key: report[key] for key in kept}


def out_of_reach(stage: Stage) -> tuple[Stage, ...]:
    """Of which stages nothing can be asked any more, by the stage of what is broken."""
    if stage in CONNECTION:
        return (*CONNECTION[CONNECTION.index(stage) + 1 :], *SUBMISSION)
    if stage in SUBMISSION:
        return SUBMISSION[SUBMISSION.index(stage) + 1 :]
    if stage in TOKENS:
        return (Stage.CLAIMS, *SUBMISSION)
    return SUBMISSION if stage in (Stage.PROFILE, Stage.CLAIMS) else ()


# --- broken ------------------------------------------------------------------------------------------------


def test_every_fault_has_a_name_of_its_own() -> None:
    rows = [row for part in PARTS for row in part.ROWS]
    assert sorted(FAULTS) == sorted(row.name for row in rows)
    assert all(able(row) for row in rows), "some fault is in no demonstration"


def test_a_hundred_causes_can_be_shown() -> None:
    assert len({row.code for row in FAULTS.values()}) >= 100


def test_a_fault_is_one_line(case: Case) -> None:
    """One check shows it and names the cause, red or yellow; nothing else is worth more than a notice."""
    report, fault = case.report, case.fault
    shown = [check for check in report["checks"] if check["outcome"] in ("failed", "warned", "error")]
    assert [check["outcome"] for check in shown] == [case.outcome]
    first, *others = report["findings"]
    assert (first["severity"], first["predicted"]) == (case.severity, False)
    assert first["code"] == shown[0]["code"] == (fault.named_first or fault.code)
    assert {finding["severity"] for finding in others} <= {"notice"}


def test_a_fault_decides_how_a_run_ends(case: Case) -> None:
    """An error: exit 1, not ready. A warning: exit 0, ready all the same."""
    red = case.severity is Severity.ERROR
    assert case.ran.status == red
    assert case.report["verdict"] == ("not_ready" if red else "ready_with_warnings")
    assert case.report["cut_short"] == ("run_limit" if case.fault.code == "run_limit_reached" else "")


def test_what_cannot_be_decided_is_not_called_certain(case: Case) -> None:
    """Where another cause is named first, this one is among the alternatives, and neither is certain."""
    first = case.report["findings"][0]
    if case.fault.named_first:
        assert case.fault.code in [one["code"] for one in first["alternatives"]]
        assert first["certainty"] != "certain"


def test_a_fault_shows_at_its_stage(case: Case) -> None:
    """What the token request meets is red at stage token, whatever is redeemed."""
    stage = case.fault.stage
    assert case.report["findings"][0]["stage"] == (Stage.TOKEN if stage is Stage.REFRESH else stage)


def test_what_depends_on_a_fault_is_blocked_by_it(case: Case) -> None:
    """Everything further down the message's way, and what else cannot be asked; each names the finding."""
    report = case.report
    first = report["findings"][0]
    beyond = out_of_reach(case.fault.stage) if case.severity is Severity.ERROR else ()
    if case.fault.stage in TOKENS and by_id(report)[GRANTED]["outcome"] == "passed":
        beyond = ()  # less than was asked for, but a token
    further = {check["outcome"] for check in report["checks"] if check["stage"] in beyond}
    assert further <= {"blocked", "skipped"}
    assert {check["blocked_by"] for check in report["checks"] if check["blocked_by"]} <= {first["id"]}


def test_what_does_not_depend_on_a_fault_is_as_ever(
    case: Case, well: Callable[[str], dict[str, Any]]
) -> None:
    """The same checks as in a healthy setup, each with the same outcome unless it is the fault's.

    A profile that names other scopes or no secret has other checks of them.
    """
    healthy, broken = by_id(well(case.demo)), by_id(case.report)
    if case.fault.settings is nothing_written:
        assert list(broken) == list(healthy)
    now_applies = {check for check, one in healthy.items() if one["outcome"] == "skipped"}
    touched = {
        check
        for check, one in broken.items()
        if one["outcome"] in ("failed", "warned", "blocked")
        or (one["reason"] or "").startswith(NO_LONGER)
        or (one["outcome"] == "passed" and check in now_applies)
    }
    common = broken.keys() & healthy.keys() - touched
    assert {check: broken[check]["outcome"] for check in common} == {
        check: healthy[check]["outcome"] for check in common
    }


def test_a_replay_of_a_fault_judges_the_same(case: Case) -> None:
    """Findings, outcomes, codes and what blocked: all but the times of judging."""
    assert case.replay.status == case.ran.status
    assert judged(case.replay.report(f"{case.demo}-replay")) == judged(case.report)


def test_no_fault_brings_a_secret_to_light(case: Case, leaks: Callable[..., list[tuple[str, str]]]) -> None:
    """On the terminal, in reports and replays: nothing of what the lab has made up."""
    files = (file for file in sorted(case.ran.folder.rglob("*")) if file.is_file())
    places = [(file.name, file.read_bytes().decode("latin-1")) for file in files]
    assert leaks(places, case.ran.canaries, step=16) == []


# What goes wrong together, in the order of the mail's way: neither keeps the other from being asked.
PAIRS = (
    ("client_secret_missing", "dns_slow"),
    ("client_secret_expires_soon", "smtp_auth_disabled_mailbox"),
    ("host_name_wrong", "client_secret_expired"),
    ("dns_server_failure", "refresh_token_revoked"),
    ("dns_no_address", "token_missing_smtp_scope"),
    ("mx_missing", "client_secret_expired"),
    ("mx_null", "starttls_not_offered"),
    ("mx_unresolvable", "spf_missing"),
    ("spf_missing", "certificate_expired"),
    ("spf_multiple", "token_missing_smtp_scope"),
    ("spf_too_many_lookups", "refresh_token_expired_inactivity"),
    ("dkim_selector_missing", "send_as_denied"),
    ("dmarc_missing", "smtp_auth_disabled_mailbox"),
    ("mta_sts_policy_unreachable", "smtp_auth_disabled_tenant"),
    ("tls_rpt_invalid", "refresh_token_revoked"),
    ("tcp_refused", "client_secret_wrong"),
    ("address_unreachable", "refresh_token_expired_inactivity"),
    ("greeting_timeout", "consent_missing"),
    ("greeting_slow", "mfa_required"),
    ("service_unavailable", "user_account_disabled"),
    ("client_address_refused", "conditional_access_block"),
    ("starttls_stripped", "client_secret_expired"),
    ("auth_offered_without_tls", "send_as_denied"),
    ("tls_handshake_closed", "refresh_token_invalid"),
    ("certificate_name_mismatch", "wrong_tenant_id"),
    ("certificate_expires_soon", "token_missing_smtp_scope"),
    ("certificate_self_signed", "token_endpoint_throttled"),
    ("tls_interception", "app_not_found_in_tenant"),
    ("tlsa_mismatch", "client_secret_wrong"),
    ("xoauth2_not_advertised", "token_wrong_audience"),
    ("auth_not_advertised", "token_expired"),
    ("jwks_unreachable", "smtp_auth_disabled_mailbox"),
)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_of_two_faults_both_are_found_each_once(pair: tuple[str, str], suite: Suite) -> None:
    """In the order of the stages, whichever stands first on the command line."""
    options = [f"--fault={name}" for name in reversed(pair)]
    report = suite("--profile=demo", *options).report("demo")
    shown = [check["code"] for check in report["checks"] if check["outcome"] in ("failed", "warned", "error")]
    assert shown == list(pair)
    assert {one["code"] for one in report["findings"] if one["severity"] != "notice"} == {*pair}


@pytest.mark.parametrize("fault", ["certificate_expired", "token_wrong_audience"])
def test_workers_judge_the_same(fault: str, suite: Suite, run_suite: Any) -> None:
    """With ``-n 2`` each profile stays whole: the same outcomes and codes, exit 1."""
    demos = able(FAULTS[fault])[:2]
    options = [*(f"--profile={PLACES[demo]}" for demo in demos), f"--fault={fault}"]
    spread, alone = run_suite(*options, "-n", "2", plugin=PATIENT), suite(*options)
    assert spread.status == alone.status == 1
    for demo in demos:
        assert told(spread.report(demo)) == told(alone.report(demo))


# --- healthy -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def healthy(suite: Suite) -> Mapping[str, Ran]:
    """Every demonstration, unbroken, twice in a row."""
    demos = [f"--profile={PLACES[demo]}" for demo in DEMOS]
    return {"first": suite(*demos), "again": suite(*demos)}


@pytest.mark.parametrize("time", ["first", "again"])
@pytest.mark.parametrize("demo", DEMOS)
def test_a_healthy_setup_is_ready(time: str, demo: str, healthy: Mapping[str, Ran]) -> None:
    """Exit 0, nothing failed, blocked or warned, and no finding but notices, none of them a prediction."""
    report = healthy[time].report(demo)
    furthest = Stage.DELIVERY if profile_of(demo).delivery else Stage.DATA
    assert healthy[time].status == 0
    assert (report["verdict"], report["proven"], report["not_asked"]) == ("ready", furthest, [])
    assert {check["outcome"] for check in report["checks"]} == {"passed", "skipped"}
    assert {finding["severity"] for finding in report["findings"]} <= {"notice"}
    assert [finding["code"] for finding in report["findings"] if finding["predicted"]] == []


@pytest.mark.parametrize("demo", DEMOS)
def test_a_healthy_setup_skips_only_what_does_not_apply(demo: str, healthy: Mapping[str, Ran]) -> None:
    """Every reason is one of those we know."""
    report = healthy["first"].report(demo)
    assert {check["reason"] for check in report["checks"] if check["outcome"] == "skipped"} <= REASONS


@pytest.mark.parametrize("demo", DEMOS)
def test_a_healthy_setup_says_the_same_twice(demo: str, healthy: Mapping[str, Ran]) -> None:
    assert told(healthy["again"].report(demo)) == told(healthy["first"].report(demo))


@pytest.mark.parametrize("demo", DEMOS)
def test_a_replay_of_a_healthy_setup_judges_the_same(
    demo: str, suite: Suite, healthy: Mapping[str, Ran]
) -> None:
    first = healthy["first"]
    replay = suite(f"--replay={first.folder / demo / 'report.json'}", folder=first.folder)
    assert judged(replay.report(f"{demo}-replay")) == judged(first.report(demo))
