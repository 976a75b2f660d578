"""Each fault of the lab, wherever it exists: one red line, and the rest as in a healthy setup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from smtp_preflight.lab import FAULTS
from smtp_preflight.model import Stage

DEMOS = {
    "demo": "microsoft365",
    "demo-app": "microsoft365",
    "demo-outlook": "outlook_personal",
    "demo-gmail": "google",
}

# What cannot break, because the demonstration does not use it.
IMMUNE = {
    ("refresh_token_expired_inactivity", "demo-app"),  # it redeems no refresh token
    ("client_secret_expired", "demo-outlook"),  # it is a public client, without a secret
}
# Where a demonstration has a more exact name for what is broken.
CODES = {("token_missing_smtp_scope", "demo-app"): "app_only_smtp_role_missing"}

CASES = [
    (fault, demo)
    for fault, row in FAULTS.items()
    for demo, provider in DEMOS.items()
    if provider in row.provider and (fault, demo) not in IMMUNE
]

SUBMISSION = [Stage.AUTH, Stage.MAIL_FROM, Stage.RCPT_TO, Stage.DATA]
# By the stage of a fault: the stages of which nothing can be asked, and those of which a part can.
DEPENDENT: Mapping[Stage, tuple[list[Stage], list[Stage]]] = {
    Stage.STARTTLS: ([Stage.TLS, Stage.AUTH_OFFERED, *SUBMISSION], [Stage.STARTTLS]),
    Stage.TLS: ([Stage.AUTH_OFFERED, *SUBMISSION], [Stage.TLS]),
    Stage.AUTH_OFFERED: (SUBMISSION, []),
    Stage.TOKEN: ([Stage.CLAIMS, *SUBMISSION], [Stage.TOKEN, Stage.REFRESH]),
    Stage.REFRESH: ([Stage.REFRESH, Stage.CLAIMS, *SUBMISSION], [Stage.TOKEN]),
    Stage.CLAIMS: (SUBMISSION, [Stage.CLAIMS]),
    Stage.AUTH: (SUBMISSION[1:], []),
    Stage.DATA: ([], []),
}

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
    "this provider does not issue a new refresh token each time",
    "this provider's tokens are not for clients to verify",
    "the token is the application's own, not a user's",
    "the token is opaque: only the provider can read it",
}

# A lab shortens the limits, those after which an answer is called slow among them; a busy machine is slow.
PATIENT = """
import smtp_preflight.lab

smtp_preflight.lab.SHORTEST_LIMIT_S = 30
"""

# Replays every report in the process that wrote it: starting another one takes longer than judging.
REPLAYING = """
from pathlib import Path

import pytest

def pytest_unconfigure(config):
    folder = Path(config.option.report_dir)
    for report in sorted(folder.glob("*/report.json")):
        pytest.main(["-q", "-p", "no:cacheprovider", f"--replay={report}", f"--report-dir={folder}"])
"""


def demos_with(fault: str) -> list[str]:
    return [demo for one, demo in CASES if one == fault]


@pytest.fixture(scope="session")
def suite_with(run_suite: Any) -> Callable[[str], Any]:
    """Run every demonstration that has the fault in one process, once, and replay the reports."""
    done: dict[str, Any] = {}

    def suite(fault: str) -> Any:
        if fault not in done:
            demos = demos_with(fault) if fault else list(DEMOS)
            options = [f"--profile={demo}" for demo in demos] + ([f"--fault={fault}"] if fault else [])
            done[fault] = run_suite(*options, plugin=PATIENT + REPLAYING)
        return done[fault]

    return suite


@dataclass(frozen=True)
class Case:
    """One fault at one demonstration, and the run in which it was broken."""

    fault: str
    demo: str
    suite: Any

    @property
    def report(self) -> dict[str, Any]:
        """The report of the live run."""
        return self.suite.report(self.demo)  # type: ignore[no-any-return] # a fixture's class, as all helpers

    @property
    def stage(self) -> Stage:
        """Where the fault is."""
        return FAULTS[self.fault].stage


# With the scope of the module, all tests of a case follow each other, and so do all cases of a fault.
@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, suite_with: Callable[[str], Any]) -> Case:
    fault, demo = request.param
    return Case(fault, demo, suite_with(fault))


def by_id(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in report["checks"]}


def judged(suite: Any, name: str) -> dict[str, Any]:
    """What a report says of the mail, without how long judging took."""
    report = suite.report(name)
    for check in report["checks"]:
        del check["duration_s"]
    kept = ("findings", "checks", "verdict", "proven", "not_asked", "until_when", "evidence", "settings")
    return {key: report[key] for key in kept}


# --- broken ------------------------------------------------------------------------------------------------


def test_a_fault_is_one_red_line(case: Case) -> None:
    """One check failed and it names the cause, nothing else is worth more than a notice; exit 1."""
    report, code = case.report, CODES.get((case.fault, case.demo), case.fault)
    assert case.suite.status == 1
    assert report["verdict"] == "not_ready"
    assert [check["code"] for check in report["checks"] if check["outcome"] == "failed"] == [code]
    assert {check["outcome"] for check in report["checks"]} <= {"passed", "failed", "blocked", "skipped"}
    first, *others = report["findings"]
    assert (first["code"], first["severity"], first["predicted"]) == (code, "error", False)
    assert {finding["severity"] for finding in others} <= {"notice"}


def test_a_fault_shows_at_its_stage(case: Case) -> None:
    """What the token request meets is red at stage token, whatever is redeemed."""
    wanted = Stage.TOKEN if case.stage is Stage.REFRESH else case.stage
    assert case.report["findings"][0]["stage"] == wanted


def test_what_depends_on_a_fault_is_blocked_by_it(case: Case) -> None:
    """Everything further down the message's way, and what else cannot be asked; each names the finding."""
    report = case.report
    wholly, partly = DEPENDENT[case.stage]
    unasked = [check for check in report["checks"] if check["stage"] in wholly and check["code"] is None]
    assert [check["id"] for check in unasked if check["outcome"] != "skipped"] == []
    blocked = [check for check in report["checks"] if check["outcome"] == "blocked"]
    assert {check["blocked_by"] for check in blocked} <= {report["findings"][0]["id"]}
    assert {check["stage"] for check in blocked} <= {*wholly, *partly}


def test_what_does_not_depend_on_a_fault_is_as_ever(case: Case, suite_with: Callable[[str], Any]) -> None:
    """The same checks as in a healthy setup, each with the same outcome unless it is the fault's."""
    well, broken = by_id(suite_with("").report(case.demo)), by_id(case.report)
    assert list(broken) == list(well)
    touched = {check for check, one in broken.items() if one["outcome"] in ("failed", "blocked")}
    assert {check: one["outcome"] for check, one in broken.items() if check not in touched} == {
        check: one["outcome"] for check, one in well.items() if check not in touched
    }


def test_a_replay_of_a_fault_judges_the_same(case: Case) -> None:
    """Findings, outcomes, codes and what blocked: all but the times of judging."""
    assert judged(case.suite, f"{case.demo}-replay") == judged(case.suite, case.demo)


@pytest.mark.parametrize("fault", ["certificate_expired", "token_wrong_audience"])
def test_workers_judge_the_same(fault: str, run_suite: Any, suite_with: Callable[[str], Any]) -> None:
    """With ``-n 2`` each profile stays whole: the same outcomes and codes, exit 1."""
    demos = demos_with(fault)[:2]
    spread = run_suite(
        *(f"--profile={demo}" for demo in demos), f"--fault={fault}", "-n", "2", plugin=PATIENT
    )
    assert spread.status == 1
    for demo in demos:
        assert spread.outcomes(demo) == suite_with(fault).outcomes(demo)
        assert spread.codes(demo) == suite_with(fault).codes(demo)


# --- healthy -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def healthy(suite_with: Callable[[str], Any], run_suite: Any) -> Mapping[str, Any]:
    """Every demonstration, unbroken, twice in a row."""
    again = run_suite(*(f"--profile={demo}" for demo in DEMOS), plugin=PATIENT)
    return {"first": suite_with(""), "again": again}


@pytest.mark.parametrize("time", ["first", "again"])
@pytest.mark.parametrize("demo", DEMOS)
def test_a_healthy_setup_is_ready(time: str, demo: str, healthy: Mapping[str, Any]) -> None:
    """Exit 0, nothing failed, blocked or warned, and no finding but notices, none of them a prediction."""
    report = healthy[time].report(demo)
    assert healthy[time].status == 0
    assert (report["verdict"], report["proven"], report["not_asked"]) == ("ready", "data", [])
    assert {check["outcome"] for check in report["checks"]} == {"passed", "skipped"}
    assert {finding["severity"] for finding in report["findings"]} <= {"notice"}
    assert [finding["code"] for finding in report["findings"] if finding["predicted"]] == []


@pytest.mark.parametrize("demo", DEMOS)
def test_a_healthy_setup_skips_only_what_does_not_apply(demo: str, healthy: Mapping[str, Any]) -> None:
    """Every reason is one of those we know."""
    report = healthy["first"].report(demo)
    assert {check["reason"] for check in report["checks"] if check["outcome"] == "skipped"} <= REASONS


@pytest.mark.parametrize("demo", DEMOS)
def test_a_healthy_setup_says_the_same_twice(demo: str, healthy: Mapping[str, Any]) -> None:
    assert healthy["again"].outcomes(demo) == healthy["first"].outcomes(demo)
    assert healthy["again"].codes(demo) == healthy["first"].codes(demo)


@pytest.mark.parametrize("demo", DEMOS)
def test_a_replay_of_a_healthy_setup_judges_the_same(demo: str, healthy: Mapping[str, Any]) -> None:
    assert judged(healthy["first"], f"{demo}-replay") == judged(healthy["first"], demo)
