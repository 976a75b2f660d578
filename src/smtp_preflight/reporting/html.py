"""``report.html``: one file for people, the cause first, complete without network and scripts.

pytest-html's self-contained report is driven with this profile's results and our own template and style,
because the stock page is one a session, empty without scripts, and a list before it is an answer. Its table
comes last, for those who like to filter and sort.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from html import escape
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from pytest_html import hooks
from pytest_html.report_data import ReportData
from pytest_html.selfcontained_report import SelfContainedReport

from smtp_preflight.model import CheckResult, Outcome, Run, Setting
from smtp_preflight.reporting import wording
from smtp_preflight.reporting.asked import asked, span_s, transcript
from smtp_preflight.reporting.glossary import occurring
from smtp_preflight.reporting.inert import bounded_lines, spans, visible
from smtp_preflight.reporting.way import way

NAME = "report.html"
SEEN_LINES, SEEN_WIDTH = 200, 1000
TEMPLATE, STYLE, SCRIPT = "report.html.template", "report.css", "app.js"

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
        template = SimpleNamespace(render=partial(_template().render, **_page(run)))
        data = ReportData(self._session.config)
        super().__init__(NAME, self._session.config, data, template, _text(STYLE))
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
    """Everything the template shows; it escapes every value and makes it visible."""
    questions = asked(run)
    return {
        "run": run,
        "words": wording,
        "provider": run.seen.profile.provider.title,
        "cause": next(iter(wording.told(run)), None),
        "others": wording.told(run)[1:],
        "notices": [one for one in run.findings if one not in wording.told(run)],
        "way": way(run),
        "questions": questions,
        "span_s": span_s(questions),
        "transcript": transcript(run),
        "settings": {key: (_shown(one), one.origin) for key, one in run.settings.items()},
        "glossary": occurring(_prose(run)),
        "environment": _environment(run),
        "finding_of": partial(wording.finding_of, run),
        "script": _text(SCRIPT, "pytest_html.resources"),
        "policy": _policy(),
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


def _environment(run: Run) -> dict[str, str]:
    """What the report was made with; what the run itself says of its machine comes first."""
    proxies = {str((one.value.get("http") or {}).get("proxy", "")) for one in asked(run)} - {""}
    written_by = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return {
        "tool": run.tool,
        "knowledge of": run.knowledge,
        **({"knowledge of the recorded run": run.recorded_knowledge} if run.recorded_knowledge else {}),
        **({"replayed from": run.replayed_from} if run.replayed_from else {}),
        **run.environment,
        "HTTP proxy": ", ".join(sorted(proxies)) or "none was used",
        "written by": f"{written_by}, pytest {pytest.__version__}, {sys.implementation.name}",
    }


@cache
def _template() -> jinja2.Template:
    """The page's template; autoescape and ``finalize`` make every value inert, wherever it stands."""
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_inert,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"spans": spans, "seconds": _seconds, "seen": _seen, "sentence": _sentence}
    return environment.from_string(_text(TEMPLATE))


def _inert(value: Any) -> Any:
    """Applied to every value the template shows; what is marked safe is our own style and script."""
    return value if hasattr(value, "__html__") else visible(str(value))


def _seconds(value: float) -> str:
    """A duration for people: milliseconds below one second, tenths of them where they count."""
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"


def _seen(text: str) -> str:
    return "\n".join(bounded_lines(text, SEEN_LINES, SEEN_WIDTH)) or "(nothing)"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def _text(name: str, package: str = __package__) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")


@cache
def _policy() -> str:
    """A Content Security Policy that lets our style and pytest-html's script in, and nothing else."""
    style, script = _digest(_text(STYLE)), _digest(_text(SCRIPT, "pytest_html.resources"))
    return (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
