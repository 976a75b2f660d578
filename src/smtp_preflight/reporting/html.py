"""``report.html``: one file for people, the cause first, complete without network and scripts.

pytest-html's self-contained report is driven with this profile's results and our own template and style,
because the stock page is one a session, empty without scripts, and a list before it is an answer. Its table
comes last, for those who like to filter and sort.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_html import hooks
from pytest_html.report_data import ReportData
from pytest_html.selfcontained_report import SelfContainedReport

from smtp_preflight.model import CheckResult, Outcome, Run, Setting
from smtp_preflight.reporting import wording
from smtp_preflight.reporting.admin import blocks
from smtp_preflight.reporting.asked import asked, span_s, transcript
from smtp_preflight.reporting.commands import repeats
from smtp_preflight.reporting.glossary import occurring
from smtp_preflight.reporting.inert import visible
from smtp_preflight.reporting.mask import MASKED
from smtp_preflight.reporting.pages import policy, resource, template
from smtp_preflight.reporting.surroundings import environment
from smtp_preflight.reporting.way import way

NAME = "report.html"
TEMPLATE, STYLE, SCRIPT = "report.html.template", "report.css", "app.js"
SCRIPTS = "pytest_html.resources"

# What pytest-html asks of pytest's configuration file.
_INI: Mapping[str, Any] = {
    "max_asset_filename_length": 255,
    "render_collapsed": "passed,skipped",
    "initial_sort": "original",
    "generate_report_on_test": False,
}

_PYTEST_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.PASSED: "passed",
    Outcome.WARNED: "passed",
    Outcome.FAILED: "failed",
    Outcome.BLOCKED: "skipped",
    Outcome.SKIPPED: "skipped",
    Outcome.ERROR: "failed",
}


def write(run: Run, path: Path) -> None:
    """Write the page; reporting comes after the session, so pytest's own reports are rebuilt from the run."""
    report = _ProfileReport(run, path)
    for one in _test_reports(run):
        report.pytest_runtest_logreport(one)
    report.finish()


class _ProfileReport(SelfContainedReport):  # type: ignore[misc] # pytest-html ships no types
    """pytest-html's report of one profile, written where we say, with our template."""

    def __init__(self, run: Run, path: Path) -> None:
        manager = pytest.PytestPluginManager()
        manager.add_hookspecs(hooks)
        self._session = SimpleNamespace(
            config=SimpleNamespace(getini=_INI.__getitem__, hook=manager.hook), testscollected=len(run.checks)
        )
        page = SimpleNamespace(render=partial(template(TEMPLATE).render, **_page(run)))
        data = ReportData(self._session.config)
        super().__init__(NAME, self._session.config, data, page, resource(STYLE))
        self._target = path
        data.title = f"{run.profile}: {wording.VERDICTS[run.verdict]} - smtp-preflight"
        data.set_data("environment", {})

    def finish(self) -> None:
        """Render and write."""
        self.pytest_sessionfinish(self._session)

    def _write_report(self, rendered_report: str) -> None:
        self._target.write_text(rendered_report, encoding="utf-8")


# --- pytest-html's own table -------------------------------------------------------------------------------


def _test_reports(run: Run) -> Iterator[pytest.TestReport]:
    """What pytest would have reported of each check; pytest-html inserts ids as they are, so escaped here."""
    for check in run.checks:
        test = escape(visible(check.id))
        made = partial(pytest.TestReport, test, (test, 0, test), {}, duration=check.duration_s)
        when = "setup" if check.outcome is Outcome.ERROR else "call"
        yield made(outcome=_PYTEST_OUTCOMES[check.outcome], longrepr=_words(run, check), when=when)  # type: ignore[arg-type] # a plain text will do
        yield made(outcome="passed", longrepr=None, when="teardown")


def _words(run: Run, check: CheckResult) -> str | None:
    """What is known of a check beyond its outcome; pytest-html escapes it."""
    finding = wording.finding_of(run, check)
    words = [
        f"blocked by {check.blocked_by}" if check.blocked_by else "",
        check.reason or "",
        f"{finding.severity}: {finding.code}: {finding.title}\n\n{finding.seen}" if finding else "",
    ]
    return visible("\n".join(word for word in words if word)) or None


# --- our page ----------------------------------------------------------------------------------------------


def _page(run: Run) -> dict[str, Any]:
    """Everything the template shows, raw: it makes every value inert."""
    questions = asked(run)
    return {
        "run": run,
        "words": wording,
        "provider": run.seen.profile.provider.title,
        "cause": next(iter(wording.told(run)), None),
        "others": wording.told(run)[1:],
        "notices": [one for one in run.findings if one not in wording.told(run)],
        "admin": blocks(run),
        "way": way(run),
        "questions": questions,
        "span_s": span_s(questions),
        "transcript": transcript(run),
        "settings": {key: (_shown(one), one.origin) for key, one in run.settings.items()},
        "commands": repeats(run),
        "glossary": occurring(_prose(run)),
        "environment": environment(run),
        "masked": MASKED in run.environment,
        "finding_of": partial(wording.finding_of, run),
        "script": resource(SCRIPT, SCRIPTS),
        "policy": policy(resource(STYLE), resource(SCRIPT, SCRIPTS)),
    }


def _shown(setting: Setting) -> str:
    """A setting as its profile would hold it; bare where it is a text or a list of texts."""
    value = setting.value
    words = value if isinstance(value, list) else [value]
    return ", ".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in words)


def _prose(run: Run) -> str:
    """Where terms are looked for: what findings and checks say, not what servers do."""
    findings = ((one.title, one.meaning, *one.remedy, one.expected) for one in run.findings)
    checks = (f"{one.title} {wording.LABELS[one.stage]}" for one in run.checks)
    return "\n".join([*(text for finding in findings for text in finding), *checks])
