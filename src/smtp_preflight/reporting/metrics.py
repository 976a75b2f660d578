"""Runs as metrics for Prometheus, in the format that its node exporter reads from a text file.

Not one of the formats of a run: one file holds all profiles (``--metrics=FILE``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from smtp_preflight.model import Run, Verdict
from smtp_preflight.reporting.asked import stage_times
from smtp_preflight.reporting.inert import visible

_PREFIX = "smtp_preflight_"

_HELP: Mapping[str, str] = {
    "verdict": "1 for the verdict of the last run, 0 for the others.",
    "red": "1 for each finding that keeps mail from leaving, by stage and code.",
    "run_timestamp_seconds": "When the run began.",
    "run_duration_seconds": "From its beginning to the last answer.",
    "stage_duration_seconds": "How long a stage waited for answers.",
    "days_left": "Days until something ends; negative when it has.",
}

Sample = tuple[str, dict[str, str], float]  # name, labels, value; plain data, for it may cross processes


def samples_of(run: Run) -> list[Sample]:
    """What is measured of a run."""
    return [(name, {"profile": run.profile, **labels}, value) for name, labels, value in _samples(run)]


def write_metrics(samples: Sequence[Sample], path: Path) -> None:
    """Write the samples of all runs at once: the exporter must never read half a file."""
    new = path.with_name(f".{path.name}.new")
    new.write_text("".join(f"{line}\n" for line in _lines(samples)), encoding="utf-8")
    new.replace(path)


def _lines(samples: Sequence[Sample]) -> Iterator[str]:
    for name, help_text in _HELP.items():
        yield f"# HELP {_PREFIX}{name} {help_text}"
        yield f"# TYPE {_PREFIX}{name} gauge"
        for kind, labels, value in samples:
            if kind == name:
                yield f"{_PREFIX}{name}{{{_labels(labels)}}} {value:.10g}"


def _samples(run: Run) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for verdict in Verdict:
        yield "verdict", {"provider": run.provider, "verdict": verdict}, float(verdict is run.verdict)
    for stage, code in dict.fromkeys((one.stage, one.code) for one in run.red):
        yield "red", {"stage": stage, "code": code}, 1
    yield "run_timestamp_seconds", {}, run.started.timestamp()
    yield "run_duration_seconds", {}, run.duration_s
    for stage, took_s in stage_times(run).items():
        yield "stage_duration_seconds", {"stage": stage}, took_s
    for what, days in {one.what: one.days_left for one in reversed(run.until_when)}.items():
        yield "days_left", {"what": what}, days


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return visible(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
