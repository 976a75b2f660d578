"""Old runs judged again: for each file, the outcome and the code of every check, and nothing else found.

A file is a ``report.json``, or as much of one as a replay reads, with what its checks have to come to. To
close a report of a bug, add the report, correct its ``checks``, watch this fail, and mend the diagnosis.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FILES = sorted((Path(__file__).parent / "replays").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_old_run_is_judged_as_it_should_be(path: Path, run_suite: Any) -> None:
    """At most one cause is red, and whatever is blocked is blocked by it."""
    recorded = json.loads(path.read_text(encoding="utf-8"))
    wanted = {check["id"]: (check["outcome"], check["code"]) for check in recorded["checks"]}
    done = run_suite(f"--replay={path}")
    report = done.report(f"{recorded['profile']}-replay")
    assert {check["id"]: (check["outcome"], check["code"]) for check in report["checks"]} == wanted
    loud = [finding for finding in report["findings"] if finding["severity"] != "notice"]
    assert done.status == len(loud) <= 1
    assert {finding["code"] for finding in loud} == {one[1] for one in wanted.values() if one[0] == "failed"}
    assert {check["blocked_by"] for check in report["checks"]} <= {None, *(finding["id"] for finding in loud)}


def test_there_is_a_healthy_run_among_them() -> None:
    """What must not be found matters as much as what must."""
    assert {path.stem for path in FILES} >= {"healthy", "smtp_auth_disabled_mailbox", "certificate_expired"}
