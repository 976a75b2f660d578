"""Runs as Prometheus reads them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from smtp_preflight.evidence import encode
from smtp_preflight.model import (
    Certainty,
    Deadline,
    DnsAnswer,
    DnsStatus,
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
SAMPLE = re.compile(r'(\w+)\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\} (-?[\d.e+]+)')

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
            checks=(),
            selected=(),
            until_when=(
                Deadline("client_secret", dt.date(2026, 11, 17), -3, "profile"),
                Deadline("server_certificate", dt.date(2026, 12, 1), 11, "the certificate shown"),
                Deadline("server_certificate", dt.date(2026, 12, 5), 15, "the certificate shown"),
            ),
            seen=seen,
            evidence=tuple(encode(seen)),
        )

    return make


def samples(path: Path) -> dict[str, float]:
    """Every sample by its name and labels; each line is one, or a comment."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            read = SAMPLE.fullmatch(line)
            assert read, line
            assert f"{read[1]}{{{read[2]}}}" not in found
            found[f"{read[1]}{{{read[2]}}}"] = float(read[3])
    return found


def test_a_run_is_told_in_numbers(run_of: Callable[[str], Run], tmp_path: Path) -> None:
    """Verdict, red line, times, and the days left of what ends first."""
    path = tmp_path / "smtp.prom"
    write_metrics(samples_of(run_of("contoso")), path)
    found = samples(path)
    profile = 'profile="contoso"'
    verdict = f'smtp_preflight_verdict{{{profile},provider="microsoft365",verdict='
    assert found[f'{verdict}"not_ready"}}'] == 1
    assert found[f'{verdict}"ready"}}'] == 0
    assert found[f'smtp_preflight_red{{{profile},stage="dns",code="host_not_found"}}'] == 1
    assert found[f"smtp_preflight_run_timestamp_seconds{{{profile}}}"] == STARTED.timestamp()
    assert found[f"smtp_preflight_run_duration_seconds{{{profile}}}"] == 0.25
    assert found[f'smtp_preflight_stage_duration_seconds{{{profile},stage="dns"}}'] == 0.25
    assert found[f'smtp_preflight_days_left{{{profile},what="client_secret"}}'] == -3
    assert found[f'smtp_preflight_days_left{{{profile},what="server_certificate"}}'] == 11


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
    assert 'smtp_preflight_run_duration_seconds{profile="a\\"b\\\\c\\nd\\\\u{1b}"}' in samples(path)


def test_metrics_are_no_report_of_a_run() -> None:
    """They are written where --metrics says, not beside every report."""
    assert "metrics" not in [one.__name__.rpartition(".")[2] for one in formats()]
