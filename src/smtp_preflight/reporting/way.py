"""The mail's way as a row of stages: what became of each, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass

from smtp_preflight.model import CheckResult, Outcome, Run, Stage
from smtp_preflight.reporting.asked import stage_times

# What a stage is called when its checks differ: the first of these that occurs.
_GRAVEST = (
    Outcome.ERROR,
    Outcome.FAILED,
    Outcome.WARNED,
    Outcome.BLOCKED,
    Outcome.PASSED,
    Outcome.SKIPPED,
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """One stage of the way."""

    stage: Stage
    outcome: Outcome | None  # None: it was not asked
    checks: tuple[CheckResult, ...]
    took_s: float | None  # None: nothing was asked for it


def way(run: Run) -> tuple[Stretch, ...]:
    """The stages that this profile calls for, in their order."""
    times = stage_times(run)
    stretches = (
        Stretch(
            stage,
            _outcome(checks := tuple(one for one in run.checks if one.stage is stage)),
            checks,
            times.get(stage),
        )
        for stage in Stage
    )
    return tuple(one for one in stretches if one.checks or one.stage in run.not_asked)


def _outcome(checks: tuple[CheckResult, ...]) -> Outcome | None:
    outcomes = {one.outcome for one in checks}
    return next((one for one in _GRAVEST if one in outcomes), None)
