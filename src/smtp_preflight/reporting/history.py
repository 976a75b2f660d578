"""The complete runs of a profile, newest last, for comparing one morning with the last."""

from __future__ import annotations

import shutil
from pathlib import Path

from smtp_preflight.model import Run, Verdict

FOLDER = "history"
MOST_RUNS = 60  # two months of daily runs


def keep(run: Run, report: Path) -> None:
    """Add a run's report to its profile's history, and let the oldest go; only complete runs count.

    A replay is not a run of its own, and one that was narrowed or cut short says nothing of readiness.
    """
    if run.replayed_from or run.verdict is Verdict.INCOMPLETE:
        return
    folder = report.parent / FOLDER
    folder.mkdir(exist_ok=True)
    shutil.copyfile(report, folder / f"{run.started:%Y%m%dT%H%M%S.%fZ}.json")
    for old in sorted(folder.glob("*.json"))[:-MOST_RUNS]:
        old.unlink()
