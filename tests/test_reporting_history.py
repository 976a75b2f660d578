"""The history of a profile: complete runs only, and no more than it should hold."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from smtp_preflight.model import (
    OAuth,
    Profile,
    Provider,
    Run,
    Seen,
    Smtp,
    Until,
    Verdict,
)
from smtp_preflight.reporting import history, publish

STARTED = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)


@pytest.fixture
def run() -> Run:
    profile = Profile(
        "contoso", Provider("custom", "Custom"), "a@contoso.example", Smtp("mx.example"), OAuth()
    )
    return Run(
        profile="contoso",
        provider="custom",
        tool="smtp-preflight 0",
        knowledge="2026-11-20",
        started=STARTED,
        duration_s=1.0,
        until=Until.ENVELOPE,
        verdict=Verdict.READY,
        proven=None,
        not_asked=(),
        settings={},
        findings=(),
        checks=(),
        selected=(),
        until_when=(),
        seen=Seen(profile, STARTED),
        evidence=(),
    )


def kept(folder: Path) -> list[str]:
    return sorted(one.name for one in (folder / "contoso" / "history").glob("*"))


def test_a_complete_run_is_kept_beside_the_reports(run: Run, tmp_path: Path) -> None:
    publish(run, tmp_path)
    assert kept(tmp_path) == ["20261120T070000.000000Z-ready.json"]
    held = json.loads((tmp_path / "contoso" / "history" / kept(tmp_path)[0]).read_text())
    assert held == json.loads((tmp_path / "contoso" / "report.json").read_text())


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": Verdict.INCOMPLETE},
        {"replayed_from": "old/report.json"},
        {"verdict": Verdict.NOT_READY, "complete": False},
    ],
    ids=["cut", "replay", "narrowed"],
)
def test_what_proves_nothing_new_is_not_kept(run: Run, tmp_path: Path, changes: dict[str, object]) -> None:
    publish(replace(run, **changes), tmp_path)  # type: ignore[arg-type] # by parameter
    assert not kept(tmp_path)


def test_the_oldest_run_goes_when_there_are_too_many(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_RUNS", 2)
    for day in range(3):
        publish(replace(run, started=STARTED + dt.timedelta(days=day)), tmp_path)
    assert kept(tmp_path) == ["20261121T070000.000000Z-ready.json", "20261122T070000.000000Z-ready.json"]


def test_the_last_ready_run_stays_however_long_a_fault_lasts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or after two months there would be nothing to compare with."""
    monkeypatch.setattr(history, "MOST_RUNS", 2)
    for day, verdict in enumerate([Verdict.READY, Verdict.READY_WITH_WARNINGS, *[Verdict.NOT_READY] * 4]):
        publish(replace(run, started=STARTED + dt.timedelta(days=day), verdict=verdict), tmp_path)
    assert [name.partition("-")[2] for name in kept(tmp_path)] == [
        "ready_with_warnings.json",
        "not_ready.json",
        "not_ready.json",
    ]


def test_earlier_ready_runs_are_found_newest_first(run: Run, tmp_path: Path) -> None:
    """Neither the run itself nor a later one is before it."""
    for day, verdict in enumerate(
        [Verdict.READY, Verdict.READY_WITH_WARNINGS, Verdict.NOT_READY, Verdict.READY]
    ):
        publish(replace(run, started=STARTED + dt.timedelta(days=day), verdict=verdict), tmp_path)
    later = replace(run, started=STARTED + dt.timedelta(days=3))
    assert [path.name[:8] for path in history.ready_before(later, tmp_path)] == ["20261121", "20261120"]
    assert not list(history.ready_before(replace(run, profile="another"), tmp_path))
