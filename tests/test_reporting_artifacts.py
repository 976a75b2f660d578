"""What live runs leave behind, whatever becomes of them: files that programs and tickets can take."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import lxml.etree  # type: ignore[import-untyped] # ships no types
import pytest
from prometheus_client.parser import text_string_to_metric_families

from smtp_preflight import reporting

INTERRUPTING = """
def pytest_runtest_call(item):
    if "test_starttls" in item.nodeid:
        raise KeyboardInterrupt
"""

RUNS = {
    "healthy": (("--profile=demo-delivery",), "", 0),
    "red": (("--profile=demo", "--fault=smtp_auth_disabled_mailbox"), "", 1),
    "warned": (("--profile=demo", "--fault=mx_missing"), "", 0),
    "warned, and that fails": (("--profile=demo", "--fault=mx_missing", "--warnings-fail"), "", 1),
    "narrowed": (("--profile=demo", "-k", "dns"), "", 0),
    "interrupted": (("--profile=demo",), INTERRUPTING, 2),
    "masked": (("--profile=demo", "--fault=recipient_rejected", "--mask-addresses"), "", 1),
}


@pytest.fixture(scope="module", params=RUNS)
def left(request: pytest.FixtureRequest, run_suite: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run in a job of GitHub Actions, and what it has left."""
    options, plugin, status = RUNS[request.param]
    folder = tmp_path_factory.mktemp("left")
    done = run_suite(
        *options,
        f"--metrics={folder / 'metrics.prom'}",
        folder=folder,
        plugin=plugin,
        environment={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "step.md")},
    )
    assert done.status == status, done.stdout
    return done


def place_of(done: Any) -> Path:
    """Its one profile's folder."""
    (found,) = (one for one in done.folder.iterdir() if (one / "report.json").is_file())
    assert isinstance(found, Path)
    return found


def report_of(done: Any) -> Any:
    return json.loads((place_of(done) / "report.json").read_text(encoding="utf-8"))


def test_the_report_keeps_to_its_schema(left: Any) -> None:
    """Healthy, red, cut short or masked; and small enough for a ticket."""
    schema = json.loads((resources.files(reporting) / "report.schema.json").read_text(encoding="utf-8"))
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert [one.message for one in checker.iter_errors(report_of(left))] == []
    assert (place_of(left) / "report.json").stat().st_size < 200_000


def test_junit_is_what_jenkins_reads(left: Any, junit_schema: Path) -> None:
    """Valid by its schema; no two cases are taken for one."""
    page = lxml.etree.parse(str(place_of(left) / "junit.xml"))
    lxml.etree.XMLSchema(file=str(junit_schema)).assertValid(page)
    cases = [(one.get("classname"), one.get("name")) for one in page.iter("testcase")]
    assert len(set(cases)) == len(cases) == len(report_of(left)["checks"])


def test_the_last_words_fit_a_screen(left: Any) -> None:
    """Verdict, cause, remedy and the place of the report in at most 25 lines of 80 columns."""
    words = re.search(r"=+ smtp-preflight: [\w-]+ =+\n(.*?Report: [^\n]+)", left.stdout, re.DOTALL)
    assert words
    *lines, place = words[1].splitlines()
    assert len(lines) < 25
    assert max(map(len, lines)) <= 80
    assert place.endswith(f"{place_of(left).name}/report.html")


def test_github_shows_the_summary_and_what_to_act_on(left: Any) -> None:
    """The summary as it is; one annotation for each finding, an error where it turned the run red."""
    summary = (place_of(left) / "summary.md").read_text(encoding="utf-8")
    assert (left.folder / "step.md").read_text(encoding="utf-8") == f"{summary}\n"
    report = report_of(left)
    red = {one["code"] for one in report["checks"] if one["outcome"] == "failed"}
    told = re.findall(r"^::(\w+) title=[\w-]+%3A (\w+)::", left.stdout, re.MULTILINE)
    loud = [one["code"] for one in report["findings"] if one["severity"] != "notice"]
    assert told == [("error" if code in red else "warning", code) for code in loud]


def test_metrics_tell_verdict_and_red_line(left: Any) -> None:
    """As Prometheus' own parser reads them, and nothing is left beside them."""
    text = (left.folder / "metrics.prom").read_text(encoding="utf-8")
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    report = report_of(left)
    verdicts = {one.labels["verdict"]: one.value for one in samples if one.name == "smtp_preflight_verdict"}
    assert [name for name, value in verdicts.items() if value] == [report["verdict"]]
    red = [(one.labels["stage"], one.labels["code"]) for one in samples if one.name == "smtp_preflight_red"]
    assert red == [(one["stage"], one["code"]) for one in report["checks"] if one["outcome"] == "failed"]
    assert not list(left.folder.glob("metrics.prom?*"))
