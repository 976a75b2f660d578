"""Record a run of the lab for this folder: as much of its report.json as a replay reads, and what it found.

    python tests/replays/record.py NAME PROFILE [FAULT]

The report of somebody's bug goes in the same way: ``shortened`` leaves out all that a replay finds anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
READ = (  # by a replay
    *("schema", "tool", "knowledge", "profile", "settings", "started", "duration_s", "until", "verdict"),
    *("complete", "cut_short", "selected", "environment"),
)
EXPECTED = {
    "checks": ("id", "outcome", "code"),
    "findings": ("code", "subject", "severity", "certainty", "stage", "who"),
}


def shortened(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a replay reads, what it has to find, and the evidence."""
    found = {
        name: [{key: one[key] for key in keys} for one in report[name]] for name, keys in EXPECTED.items()
    }
    return {**{key: report[key] for key in READ}, **found, "evidence": report["evidence"]}


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """JSON with one line for each check, finding and answer: small, and still to be read in a difference."""
    last = list(report)[-1]
    yield "{"
    for key, value in report.items():
        comma = "" if key == last else ","
        if isinstance(value, list) and value:
            rows = [f"  {json.dumps(one, ensure_ascii=False)}" for one in value]
            yield f" {json.dumps(key)}: ["
            yield ",\n".join(rows)
            yield f" ]{comma}"
        else:
            yield f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}{comma}"
    yield "}"


def record(name: str, profile: str, fault: str = "") -> None:
    """Run the suite once, and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--profile={profile}", f"--report-dir={folder}", *([f"--fault={fault}"] if fault else [])]
        subprocess.run([sys.executable, "-m", "pytest", "-q", *options], cwd=HERE.parent.parent, check=False)
        report = json.loads((Path(folder) / profile / "report.json").read_text(encoding="utf-8"))
    text = "\n".join(lines(shortened(report)))
    (HERE / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    record(*sys.argv[1:])
