"""Old runs judged again: for each file, what becomes of every check, what is found, and nothing else.

A file is as much of a ``report.json`` as a replay reads, with what it has to come to (``replays/record.py``
makes one). To close a report of a bug, add its file, correct its ``checks`` and ``findings``, watch this
fail, and mend the diagnosis.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import lxml.etree  # type: ignore[import-untyped] # ships no types
import pytest

from smtp_preflight import reporting
from smtp_preflight.model import Severity, Stage
from smtp_preflight.reporting.inert import markdown
from smtp_preflight.reporting.wording import WHO

ROOT = Path(__file__).parent.parent
FILES = sorted((Path(__file__).parent / "replays").glob("*.json"))
FOUND = ("code", "subject", "severity", "certainty", "stage", "who")  # of a finding, in a file


@dataclass(frozen=True)
class Replayed:
    """A recorded run, and what judging it again has come to."""

    recorded: dict[str, Any]
    status: int
    folder: Path

    @property
    def report(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        return read

    @property
    def summary(self) -> str:
        return (self.folder / "summary.md").read_text(encoding="utf-8")


# With the scope of the module, all tests of a file follow each other.
@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def replayed(request: pytest.FixtureRequest, run_suite: Any) -> Replayed:
    recorded = json.loads(request.param.read_text(encoding="utf-8"))
    done = run_suite(f"--replay={request.param}")
    return Replayed(recorded, done.status, done.folder / f"{recorded['profile']}-replay")


def test_an_old_run_is_judged_as_it_should_be(replayed: Replayed) -> None:
    """Every check has the outcome and the code that it had."""
    wanted = {one["id"]: (one["outcome"], one["code"]) for one in replayed.recorded["checks"]}
    assert {one["id"]: (one["outcome"], one["code"]) for one in replayed.report["checks"]} == wanted


def test_an_old_run_shows_what_it_should(replayed: Replayed) -> None:
    """Cause, how sure, where and whose it is; and nothing that should not be found."""
    found = [{key: one[key] for key in FOUND} for one in replayed.report["findings"]]
    assert found == replayed.recorded["findings"]
    red = [one for one in found if one["severity"] == Severity.ERROR]
    assert replayed.status == len(red) <= 1
    assert {one["blocked_by"] for one in replayed.report["checks"]} <= {
        None,
        *(one["id"] for one in replayed.report["findings"]),
    }


def test_a_summary_alone_tells_cause_owner_and_next_step(replayed: Replayed) -> None:
    """Whoever has nothing but the text in a ticket can name the cause, who can act, and what to do first."""
    text, report = replayed.summary, replayed.report
    assert text.count("\n") < 60
    loud = [one for one in report["findings"] if one["severity"] != Severity.NOTICE]
    for one in loud[:1]:
        assert f"## {markdown(one['title'])}\n" in text
        assert f"`{one['code']}` ({one['certainty']}" in text
        assert f"Who can act: {WHO[one['who']]}." in text
        assert f"**What to do**\n1. {markdown(one['remedy'][0])}\n" in text
        assert one["seen"].splitlines()[0][:200] in text
    assert text.startswith(f"# {report['profile']}: {'not ready' if replayed.status else 'ready'}")
    assert bool(loud) == ("## " in text)


def test_every_report_of_an_old_run_is_what_programs_expect(replayed: Replayed, junit_schema: Path) -> None:
    """JUnit as Jenkins reads it, JSON as its schema says, and of a size that can be attached."""
    page = replayed.folder / "junit.xml"
    lxml.etree.XMLSchema(file=str(junit_schema)).assertValid(lxml.etree.parse(str(page)))
    cases = Counter(
        (one.get("classname"), one.get("name")) for one in lxml.etree.parse(str(page)).iter("testcase")
    )
    assert max(cases.values()) == 1
    assert len(cases) == len(replayed.report["checks"])
    schema = json.loads((resources.files(reporting) / "report.schema.json").read_text(encoding="utf-8"))
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert [one.message for one in checker.iter_errors(replayed.report)] == []
    assert (replayed.folder / "report.json").stat().st_size < 200_000


def test_a_replay_can_be_replayed(replayed: Replayed, run_suite: Any) -> None:
    """What it writes holds the same evidence in the same order, and comes to the same."""
    done = run_suite(f"--replay={replayed.folder / 'report.json'}")
    again = done.report(replayed.folder.name)
    differ = {key for key, value in replayed.report.items() if again[key] != value}
    assert done.status == replayed.status
    assert differ <= {"replayed_from", "recorded_codes", "recorded_knowledge", "checks"}
    assert [one["code"] for one in again["checks"]] == [one["code"] for one in replayed.report["checks"]]


def test_newer_knowledge_says_what_was_found_before(run_suite: Any, tmp_path: Path) -> None:
    """Both dates, and what the run itself had found: in the ticket's text, on the terminal, in the page."""
    report = json.loads((ROOT / "tests" / "replays" / "smtp_auth_disabled_mailbox.json").read_text("utf-8"))
    report["knowledge"], report["findings"][0]["code"] = "2026-01-01", "unexplained"
    path = tmp_path / "old.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    done = run_suite(f"--replay={path}")
    told = "recorded with that of 2026-01-01. It found then: unexplained."
    assert told in " ".join(done.stdout.split())
    assert told in (done.folder / "demo-replay" / "summary.md").read_text(encoding="utf-8")
    assert told in (done.folder / "demo-replay" / "report.html").read_text(encoding="utf-8")


def test_the_corpus_covers_the_way() -> None:
    """What must not be found matters as much as what must: healthy runs, too, and each part of the way."""
    recorded = [json.loads(path.read_text(encoding="utf-8")) for path in FILES]
    stages = {one["findings"][0]["stage"] for one in recorded if one["verdict"] == "not_ready"}
    assert len(FILES) >= 12
    assert sum(one["verdict"] == "ready" for one in recorded) >= 3
    assert sum(one["verdict"] == "not_ready" for one in recorded) >= 12
    assert stages >= {
        *(Stage.DNS, Stage.TCP, Stage.GREETING, Stage.STARTTLS, Stage.TLS, Stage.AUTH_OFFERED),
        *(Stage.DISCOVERY, Stage.TOKEN, Stage.AUTH, Stage.RCPT_TO, Stage.DATA, Stage.DELIVERY),
    }
