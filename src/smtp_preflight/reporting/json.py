"""``report.json``: the run for machines, and the evidence that replays it (schema version 1)."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smtp_preflight.model import CheckResult, Deadline, ReportedFinding, Run

SCHEMA = 1
NAME = "report.json"


def write(run: Run, path: Path) -> None:
    """Write the report; keys in the order of product.md section 2."""
    path.write_text(json.dumps(plain(run), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def plain(run: Run) -> dict[str, Any]:
    """The run as JSON values."""
    return {
        "schema": SCHEMA,
        "tool": run.tool,
        "knowledge": run.knowledge,
        "replayed_from": run.replayed_from,
        "recorded_knowledge": run.recorded_knowledge,
        "profile": run.profile,
        "provider": run.provider,
        "settings": {key: {"value": one.value, "from": one.origin} for key, one in run.settings.items()},
        "started": _utc(run.started),
        "duration_s": run.duration_s,
        "until": run.until,
        "verdict": run.verdict,
        "proven": run.proven,
        "not_asked": list(run.not_asked),
        "cut_short": run.seen.cut_short,
        "selected": list(run.selected),
        "findings": [_finding(one) for one in run.findings],
        "checks": [_check(one) for one in run.checks],
        "until_when": [_deadline(one) for one in run.until_when],
        "evidence": list(run.evidence),
    }


def _utc(moment: dt.datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _finding(finding: ReportedFinding) -> dict[str, Any]:
    return asdict(finding)


def _check(check: CheckResult) -> dict[str, Any]:
    return asdict(check)


def _deadline(deadline: Deadline) -> dict[str, Any]:
    return asdict(deadline) | {"date": deadline.date.isoformat()}
