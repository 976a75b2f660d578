"""Runs as Prometheus reads them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from smtp_preflight.evidence import encode
from smtp_preflight.model import (
    Certainty,
    CheckResult,
    Deadline,
    DnsAnswer,
    DnsStatus,
    Outcome,
    ReportedFinding,
    Run,
    Seen,
    Severity,
    Stage,
    Until,
    Verdict,
)
from smtp_preflight.reporting import formats
from smtp_preflight.reporting.metrics import samples_of, write_metrics

STARTED = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)

CAUSE = ReportedFinding(
    id="host_not_found",
    code="host_not_found",
    subject="",
    severity=Severity.ERROR,
    certainty=Certainty.CERTAIN,
    transient=False,
    waived=None,
    stage=Stage.DNS,
    check="test_dns.py::test_a",
    who="profile_author",
    title="The name does not exist",
    expected="It exists.",
    seen="NXDOMAIN",
    meaning="It does not.",
    remedy=("Correct it.",),
    references=(),
)
FAILED = CheckResult(CAUSE.check, Stage.DNS, Outcome.FAILED, code=CAUSE.code)


@pytest.fixture
def run_of(seen_with: Callable[..., Seen]) -> Callable[[str], Run]:
    """Make a run whose name server says that the host does not exist."""

    def make(profile: str) -> Run:
        answer = DnsAnswer(asked_at=STARTED, took_s=0.25, name="x", rdtype="A", status=DnsStatus.NXDOMAIN)
        seen = seen_with(answer)
        return Run(
            profile=profile,
            provider="microsoft365",
            tool="smtp-preflight 0.1.0",
            knowledge="2026-11-20",
            started=STARTED,
            duration_s=0.25,
            until=Until.ENVELOPE,
            verdict=Verdict.NOT_READY,
            proven=None,
            not_asked=(),
            settings={},
            findings=(CAUSE,),
            checks=(FAILED,),
            selected=(),
            until_when=(
                Deadline("client_secret", dt.date(2026, 11, 17), -3, "profile"),
                Deadline("access_token", dt.date(2026, 11, 20), 0, "its own claim exp: 08:00 UTC"),
                Deadline("server_certificate", dt.date(2026, 12, 1), 11, "the certificate shown"),
                Deadline("server_certificate", dt.date(2026, 12, 5), 15, "the certificate shown"),
            ),
            seen=seen,
            evidence=tuple(encode(seen)),
        )

    return make


def samples(path: Path) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels, as Prometheus' own parser reads the file."""
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {
        (one.name.removeprefix("smtp_preflight_"), frozenset(one.labels.items())): one.value
        for family in families
        for one in family.samples
    }


def named(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset({"profile": "contoso", **labels}.items())


def test_what_ends_by_design_raises_no_alarm(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    """An access token has no days left, ever."""
    path = tmp_path / "smtp.prom"
    write_metrics(samples_of(run_of("contoso")), path)
    assert 'what="client_secret"' in path.read_text(encoding="utf-8")
    assert 'what="access_token"' not in path.read_text(encoding="utf-8")


def test_a_run_is_told_in_numbers(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    """Verdict, red line, times, and the days left of what ends first."""
    path = tmp_path / "smtp.prom"
    write_metrics(samples_of(run_of("contoso")), path)
    found = samples(path)
    assert found[named("verdict", provider="microsoft365", verdict="not_ready")] == 1
    assert found[named("verdict", provider="microsoft365", verdict="ready")] == 0
    assert found[named("red", stage="dns", code="host_not_found")] == 1
    assert found[named("run_timestamp_seconds")] == STARTED.timestamp()
    assert found[named("run_duration_seconds")] == 0.25
    assert found[named("stage_duration_seconds", stage="dns")] == 0.25
    assert found[named("days_left", what="client_secret")] == -3
    assert found[named("days_left", what="server_certificate")] == 11


def test_a_warning_that_fails_the_run_is_its_red_line(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    """With --warnings-fail the alarm names what rang it; what only warns is no red line."""
    path, run = tmp_path / "smtp.prom", run_of("contoso")
    warned = replace(run, findings=(replace(CAUSE, severity=Severity.WARNING),))
    write_metrics(samples_of(warned), path)
    assert named("red", stage="dns", code="host_not_found") in samples(path)
    write_metrics(samples_of(replace(warned, checks=(replace(FAILED, outcome=Outcome.WARNED),))), path)
    assert not [name for name, _ in samples(path) if name == "red"]


def test_all_profiles_are_in_one_file(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    """Samples of one metric stand together, as the format wants it, and the old file is replaced."""
    path = tmp_path / "smtp.prom"
    path.write_text("old", encoding="utf-8")
    write_metrics([*samples_of(run_of("a")), *samples_of(run_of("b"))], path)
    names = [
        line.partition("{")[0] for line in path.read_text(encoding="utf-8").splitlines() if line[0] != "#"
    ]
    assert len(dict.fromkeys(names)) == 6
    assert names == [one for name in dict.fromkeys(names) for one in names if one == name]
    assert list(tmp_path.iterdir()) == [path]


def test_labels_are_escaped(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    """A quotation mark, a backslash or a line end in a name breaks no line."""
    path = tmp_path / "smtp.prom"
    write_metrics(samples_of(run_of('a"b\\c\nd\x1b')), path)
    assert ("run_duration_seconds", frozenset({("profile", 'a"b\\c\nd\\u{1b}')})) in samples(path)


def test_metrics_are_no_report_of_a_run() -> None:
    """They are written where --metrics says, not beside every report."""
    assert "metrics" not in [one.__name__.rpartition(".")[2] for one in formats()]
