"""The complete runs of a profile, newest last, for comparing one morning with the last."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from smtp_preflight.model import Run, Verdict

FOLDER = "history"
MOST_RUNS = 60  # two months of daily runs
READY = (Verdict.READY, Verdict.READY_WITH_WARNINGS)


def keep(run: Run, report: Path) -> None:
    """Add a run's report to its profile's history, and let the oldest go; only complete runs count.

    A replay is not a run of its own, and one that was narrowed or cut short says nothing of readiness.
    """
    if run.replayed_from or not run.complete or run.verdict is Verdict.INCOMPLETE:
        return
    folder = report.parent / FOLDER
    folder.mkdir(exist_ok=True)
    shutil.copyfile(report, folder / f"{_time(run)}-{run.verdict}.json")
    _let_go(folder)


def ready_before(run: Run, reports: Path) -> Iterator[Path]:
    """The reports of earlier runs of its profile in which mail could leave, the newest first."""
    before = sorted(reports.joinpath(run.profile, FOLDER).glob("*.json"), reverse=True)
    return (path for path in before if _is_ready(path) and path.name < _time(run))


def _let_go(folder: Path) -> None:
    """The oldest, but for the last ready one: however long a fault lasts, there is something to compare."""
    kept = sorted(folder.glob("*.json"))
    last_ready = next(filter(_is_ready, reversed(kept)), None)
    for old in kept[:-MOST_RUNS]:
        if old != last_ready:
            old.unlink()


def _time(run: Run) -> str:
    return f"{run.started:%Y%m%dT%H%M%S.%fZ}"


def _is_ready(path: Path) -> bool:
    """By its name, so that nobody has to read two months of reports for it."""
    return path.stem.partition("-")[2] in READY
