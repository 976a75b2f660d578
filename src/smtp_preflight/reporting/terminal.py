"""What the terminal shows: for a red check its finding, at the end of a run at most 25 lines."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from smtp_preflight.model import Outcome, ReportedFinding, Run, Verdict
from smtp_preflight.reporting.inert import printable
from smtp_preflight.reporting.wording import VERDICTS, WHO, proven_sentence

WIDTH = 78
MOST_LINES = 25
SEEN_LINES = 6


def finding_lines(finding: ReportedFinding) -> list[str]:
    """A finding in full: the cause, then the remedy, then the evidence."""
    return [
        f"{finding.title}",
        f"({finding.code}, {finding.certainty}; for: {WHO[finding.who]})",
        "",
        *_wrapped(finding.meaning),
        "",
        *_steps(finding),
        "",
        f"Expected: {finding.expected}",
        "Seen:",
        *_foreign(finding.seen),
    ]


def summary_lines(run: Run, place: Path) -> list[str]:
    """The last words of a run: verdict, first cause, remedy, and where the report is."""
    counted = Counter(one.outcome for one in run.checks)
    counts = ", ".join(f"{counted[one]} {one}" for one in Outcome if counted[one])
    head = [f"{VERDICTS[run.verdict]}: {proven_sentence(run)}", counts]
    tail = [f"Report: {place / 'report.html'}"]
    body = [] if run.verdict in (Verdict.READY,) or not run.findings else _cause(run.findings[0])
    others = [
        f"also: {one.severity} {one.code}: {one.title}"
        for one in run.findings[1:]
        if one.severity != "notice"
    ]
    room = MOST_LINES - len(head) - len(tail) - 2
    lines = [*body, *others]
    if len(lines) > room:
        lines = [*lines[: room - 1], "… the rest is in the report."]
    return [line[: WIDTH + 40] for line in (*head, *([""] if lines else []), *lines, *tail)]


def _cause(finding: ReportedFinding) -> list[str]:
    return [
        f"{finding.severity}: {finding.title} [{finding.code}, {finding.certainty}]",
        f"who can act: {WHO[finding.who]}",
        *_steps(finding),
        "seen:",
        *_foreign(finding.seen)[:SEEN_LINES],
    ]


def _steps(finding: ReportedFinding) -> list[str]:
    return [
        line
        for number, step in enumerate(finding.remedy, 1)
        for line in _wrapped(step, first=f"{number}. ", rest="   ")
    ]


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _foreign(text: str) -> list[str]:
    """Foreign words, made inert: each line begins with ``| `` and holds no control character."""
    return [f"| {line}" for line in _printable_lines(text)] or ["| (nothing)"]


def _printable_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield printable(line)
