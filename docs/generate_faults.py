"""Write ``docs/faults.md`` from the lab's faults: ``make docs``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from smtp_preflight.knowledge import entries, entry
from smtp_preflight.lab import FAULTS, Fault
from smtp_preflight.lab.faults import fault as faults
from smtp_preflight.model import Severity, Stage

PAGE = Path(__file__).parent / "faults.md"
NOTE = "<!-- Written by `make docs` from src/smtp_preflight/lab/faults: change it there. -->"
OUTCOMES = {
    Severity.ERROR: "red, exit 1",
    Severity.WARNING: "yellow, exit 0",
    Severity.NOTICE: "mentioned, exit 0",
}
HEAD = f"""{NOTE}

# What the lab can break

`pytest --profile=demo --fault=NAME` breaks one thing in the servers of a demonstration, or in its profile,
and shows what a report looks like then; `--fault` may be repeated. `smtp-preflight faults` lists the same.
Where one cause can be shown in several ways, the way stands behind a colon. A fault that a profile cannot
meet (no client secret, so none that has expired) ends the call with one line that says so, exit 4.

Each of them is run by `tests/test_faults.py`: one line in the report, with this cause; whatever depends on
it blocked by it; everything else as in a healthy run; and the same from the replay.
"""


def page() -> str:
    """The whole of ``docs/faults.md``."""
    codes = {one.code for one in FAULTS.values()}
    counts = f"{len(FAULTS)} faults, {len(codes)} causes."
    return "\n".join((HEAD, counts, *_tables(), *_not_shown(), ""))


def _tables() -> Iterator[str]:
    """Fault, stage and outcome, one table a stage."""
    for stage in Stage:
        rows = [one for one in FAULTS.values() if one.stage is stage]
        if rows:
            yield from ("", f"## Stage {stage}", "")
            yield from ("| fault | what is broken | at | outcome |", "|---|---|---|---|")
            yield from map(_row, rows)


def _row(one: Fault) -> str:
    everywhere = set(one.provider) == set(faults.PROVIDERS)
    where = "all" if everywhere else ", ".join(one.provider)
    line = one.line[0].upper() + one.line[1:]
    return f"| [`{one.name}`](causes/{one.code}.md) | {line} | {where} | {_outcome(one)} |"


def _outcome(one: Fault) -> str:
    told = OUTCOMES[one.severity or entry(one.code).severity]
    first = one.named_first
    return f"{told}; as likely as [`{first}`](causes/{first}.md), which is named first" if first else told


def _not_shown() -> Iterator[str]:
    """The causes without a fault, and why."""
    reasons = not_shown()
    yield from ("", "## What no lab shows", "", "| cause | why |", "|---|---|")
    for code in entries():
        if code in reasons:
            yield f"| [`{code}`](causes/{code}.md) | {reasons[code]} |"


def not_shown() -> dict[str, str]:
    """By code, why there is no fault for it."""
    file = resources.files("smtp_preflight.lab.faults") / "not_shown.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
