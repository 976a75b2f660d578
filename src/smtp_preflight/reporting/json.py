"""``report.json``: the run for machines, and the evidence that replays it (schema version 1).

``report.schema.json`` beside this file is its published JSON Schema.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from smtp_preflight.model import Run

SCHEMA = 1
NAME = "report.json"


def write(run: Run, path: Path) -> None:
    """Write the report; keys in the order of product.md section 2."""
    path.write_text(json.dumps(plain(run), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def plain(run: Run) -> dict[str, Any]:
    """The run as JSON values, and nothing that only looks like one."""
    report = {
        "schema": SCHEMA,
        "tool": run.tool,
        "knowledge": run.knowledge,
        "replayed_from": run.replayed_from,
        "recorded_knowledge": run.recorded_knowledge,
        "recorded_codes": run.recorded_codes,
        "profile": run.profile,
        "provider": run.provider,
        "settings": {key: {"value": one.value, "from": one.origin} for key, one in run.settings.items()},
        "started": run.started,
        "duration_s": run.duration_s,
        "until": run.until,
        "verdict": run.verdict,
        "complete": run.complete,
        "proven": run.proven,
        "not_asked": run.not_asked,
        "cut_short": run.seen.cut_short,
        "selected": run.selected,
        "findings": [asdict(one) for one in run.findings],
        "checks": [asdict(one) for one in run.checks],
        "until_when": [asdict(one) for one in run.until_when],
        "since_last_ready": asdict(run.since_last_ready) if run.since_last_ready else None,
        "environment": run.environment,
        "evidence": run.evidence,
    }
    return {key: _plain(value) for key, value in report.items()}


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case dt.datetime():
            return value.isoformat().replace("+00:00", "Z")
        case dt.date():
            return value.isoformat()
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value
