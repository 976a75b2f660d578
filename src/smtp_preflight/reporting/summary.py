"""``summary.md``: what one pastes into a ticket; also GitHub's step summary, where there is one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from smtp_preflight.model import ReportedFinding, Run
from smtp_preflight.reporting.admin import blocks
from smtp_preflight.reporting.inert import fenced, foreign_markdown, markdown, telling_lines
from smtp_preflight.reporting.wording import (
    CERTAINTIES,
    REPLAY,
    VERDICTS,
    WHO,
    capital,
    change_words,
    counts,
    how_to_be_sure,
    left,
    proven_sentence,
    reason_incomplete,
    remarks,
    replay_sentence,
    since_sentence,
    told,
)

NAME = "summary.md"
SEEN_LINES, SEEN_WIDTH = 5, 300
# Which keeps the whole under 60 lines.
MOST_STEPS, MOST_CHANGES, MOST_COMMANDS, MOST_OTHERS, MOST_ENDS = 6, 2, 6, 2, 3
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"


def write(run: Run, path: Path) -> None:
    """Write the summary, and append it to the step's where continuous integration asks for that."""
    text = "\n".join(_lines(run)) + "\n"
    path.write_text(text, encoding="utf-8")
    if step := os.environ.get(STEP_SUMMARY):
        # A runner that cannot take it loses nothing: the same text is in the file.
        with contextlib.suppress(OSError), Path(step).open("a", encoding="utf-8") as summary:
            summary.write(f"{text}\n")


def _lines(run: Run) -> Iterator[str]:
    provider, started = run.seen.profile.provider.title, run.started.strftime("%Y-%m-%d %H:%M")
    sentence = markdown(f"{proven_sentence(run)} {reason_incomplete(run)}").strip()
    yield f"# {markdown(run.profile)}: {VERDICTS[run.verdict]}"
    yield ""
    yield capital(sentence)
    yield ""
    again = foreign_markdown(capital(replay_sentence(run)))
    yield f"{markdown(provider)}, {started} UTC: {counts(run)}. {again}".rstrip()
    found = told(run)
    if found:
        yield from _cause(found[0])
    yield from _changes(run)
    if found:
        yield from _commands(run, found[0].code)
    yield from _others(found[1:])
    yield from _ends(run)
    yield ""
    yield f"{run.tool}, knowledge of {run.knowledge}. To judge the same evidence again: `{REPLAY}`"


def _cause(finding: ReportedFinding) -> Iterator[str]:
    yield from ("", f"## {markdown(finding.title)}", "")
    also = f" *{markdown(capital('; '.join(remarks(finding))))}.*" if remarks(finding) else ""
    yield f"`{finding.code}` ({CERTAINTIES[finding.certainty]}). Who can act: {WHO[finding.who]}.{also}"
    yield from ("", markdown(finding.meaning))
    if look := how_to_be_sure(finding):
        yield from ("", f"**How to be sure**: {markdown(look)}")
    yield from ("", "**What to do**")
    steps = [f"{number}. {markdown(step)}" for number, step in enumerate(finding.remedy, 1)]
    yield from _first(steps, MOST_STEPS, "- … {} more in the report")
    yield from ("", f"**What was expected**: {markdown(finding.expected)} **What was seen**:")
    seen = telling_lines(finding.seen, SEEN_LINES, SEEN_WIDTH) or ["(nothing)"]
    yield from fenced("\n".join(seen)).split("\n")
    if finding.alternatives:
        yield from ("", "**What else it could be**")
        yield from (
            f"- `{one.code}` ({one.certainty}){': ' + markdown(one.decide_by) if one.decide_by else ''}"
            for one in finding.alternatives
        )


def _changes(run: Run) -> Iterator[str]:
    """What has changed since mail could last leave: a fault right after a change is often that change."""
    if sentence := since_sentence(run):
        yield from ("", f"**{markdown(capital(sentence))}**")
        changes = run.since_last_ready.changes if run.since_last_ready else ()
        lines = [f"- {foreign_markdown(change_words(one))}" for one in changes]
        yield from _first(lines, MOST_CHANGES, "- … {} more in the report")


def _commands(run: Run, code: str) -> Iterator[str]:
    """What an administrator can run for the cause; the HTML report explains it."""
    for block in blocks(run):
        if block.code == code:
            yield from ("", "**For the administrator** (PowerShell; read it first, nobody has run it)")
            commands = _first(list(block.commands), MOST_COMMANDS, "# … {} more in the report")
            yield from fenced("\n".join(commands), "powershell").split("\n")


def _first(lines: list[str], most: int, rest: str) -> list[str]:
    """As many lines as there is room for, the last of them saying how many more there are."""
    more = len(lines) - most
    return lines if more <= 0 else [*lines[: most - 1], rest.format(more + 1)]


def _others(findings: tuple[ReportedFinding, ...]) -> Iterator[str]:
    if findings:
        yield from ("", "**Also found**")
        lines = [f"- {one.severity} `{one.code}`: {markdown(one.title)}" for one in findings]
        yield from _first(lines, MOST_OTHERS, "- … {} more in the report")


def _ends(run: Run) -> Iterator[str]:
    if run.until_when:
        shown = [f"{one.what.replace('_', ' ')} {one.date} ({left(one)})" for one in run.until_when]
        more = len(shown) - MOST_ENDS
        rest = [f"{more} more in the report"] if more > 0 else []
        yield from ("", f"**Until when**: {'; '.join([*shown[:MOST_ENDS], *rest])}")
