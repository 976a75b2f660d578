"""Runs as metrics for Prometheus, in the format that its node exporter reads from a text file.

Not one of the formats of a run: one file holds all profiles (``--metrics=FILE``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from smtp_preflight.model import Outcome, Run, Verdict
from smtp_preflight.reporting.asked import stage_times
from smtp_preflight.reporting.inert import visible

_GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {  # what it says, and its labels beside the profile
    "verdict": ("1 for the verdict of the last run, 0 for the others.", ("provider", "verdict")),
    "red": ("1 for each red line of the run, by its stage and code.", ("stage", "code")),
    "run_timestamp_seconds": ("When the run began.", ()),
    "run_duration_seconds": ("From its beginning to the last answer.", ()),
    "stage_duration_seconds": ("How long a stage waited for answers.", ("stage",)),
    "days_left": ("Days until something ends; negative when it has.", ("what",)),
}

Sample = tuple[str, dict[str, str], float]  # name, labels, value; plain data, for it may cross processes


def samples_of(run: Run) -> list[Sample]:
    """What is measured of a run."""
    return [(name, {"profile": run.profile, **labels}, value) for name, labels, value in _samples(run)]


def write_metrics(samples: Sequence[Sample], path: Path) -> None:
    """Write the samples of all runs at once: the exporter must never read half a file."""
    registry = CollectorRegistry()
    gauges = {
        name: Gauge(name, told, ("profile", *labels), namespace="smtp_preflight", registry=registry)
        for name, (told, labels) in _GAUGES.items()
    }
    for name, labels, value in samples:
        gauges[name].labels(**{label: visible(words) for label, words in labels.items()}).set(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)


def _samples(run: Run) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for verdict in Verdict:
        yield "verdict", {"provider": run.provider, "verdict": verdict}, float(verdict is run.verdict)
    for check in run.checks:
        if check.outcome is Outcome.FAILED:  # also a mere warning, with --warnings-fail
            yield "red", {"stage": check.stage, "code": check.code or ""}, 1
    yield "run_timestamp_seconds", {}, run.started.timestamp()
    yield "run_duration_seconds", {}, run.duration_s
    for stage, took_s in stage_times(run).items():
        yield "stage_duration_seconds", {"stage": stage}, took_s
    # An alarm on few days would never be quiet about what ends every hour.
    ends = (one for one in reversed(run.until_when) if not one.needs_nobody)
    for what, days in {one.what: one.days_left for one in ends}.items():
        yield "days_left", {"what": what}, days
