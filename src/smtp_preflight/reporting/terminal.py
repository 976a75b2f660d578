"""What the terminal shows: for a red check its finding, at the end of a run at most 25 lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from smtp_preflight.model import ReportedFinding, Run
from smtp_preflight.reporting.inert import printable, telling_lines
from smtp_preflight.reporting.wording import (
    VERDICTS,
    WHO,
    change_words,
    counts,
    hedged_meaning,
    how_to_be_sure,
    proven_sentence,
    reason_incomplete,
    remarks,
    replay_sentence,
    since_sentence,
    told,
)

WIDTH = 80
MOST_LINES = 25
MOST_SEEN, SEEN_IN_SUMMARY = 40, 6  # lines of foreign text: of a failed check, at the end
MOST_OF_A_LINE = 400  # characters of a foreign line
MOST_OTHERS = 4
MOST_CHANGES = 2
MOST_OF_A_REPLAY = 3  # lines
MOST_OF_THE_MEANING = 4  # lines

_LONG_WORD = re.compile(rf"\S{{{MOST_OF_A_LINE},}}")
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z`\"])")


def finding_lines(finding: ReportedFinding) -> list[str]:
    """A finding in full: the cause, then the remedy, then the evidence."""
    return [
        *_wrapped(finding.title),
        *_wrapped(f"({finding.code}, {finding.certainty}; for: {WHO[finding.who]})"),
        "",
        *_wrapped(finding.meaning),
        *_remarks(finding),
        *_doubts(finding),
        *_look(finding),
        "",
        *_steps(finding),
        "",
        *_wrapped(f"Expected: {finding.expected}"),
        "Seen:",
        *_foreign(finding.seen, MOST_SEEN),
    ]


def summary_lines(run: Run, place: Path) -> list[str]:
    """The last words of a run: verdict, first cause, remedy, and where the report is."""
    sentence = f"{VERDICTS[run.verdict]}: {proven_sentence(run)} {reason_incomplete(run)}"
    head = [*_wrapped(sentence), *_wrapped(counts(run)), *_wrapped(replay_sentence(run))[:MOST_OF_A_REPLAY]]
    found = told(run)
    tail = [*_changes(run), *_others(found[1:]), f"Report: {printable(str(place / 'report.html'))}"]
    cause = _cause(found[0], MOST_LINES - len(head) - len(tail) - 1) if found else []
    return [*head, *([""] if found else []), *cause, *tail]


def _changes(run: Run) -> list[str]:
    """When mail could last leave, and the change that is likeliest to matter."""
    changes = run.since_last_ready.changes if run.since_last_ready else ()
    told = [f"  {change_words(one)}" for one in changes[:MOST_CHANGES]]
    more = len(changes) - MOST_CHANGES
    return [
        *_wrapped(since_sentence(run)),
        *map(_cut, told),
        *([f"  … {more} more in the report"] if more > 0 else []),
    ]


def _cause(finding: ReportedFinding, room: int) -> list[str]:
    """Cause and remedy; of doubts, meaning and evidence, in this order, as much as there is room for."""
    title = _wrapped(f"{finding.severity}: {finding.title} [{finding.code}, {finding.certainty}]", rest="  ")
    said = _remarks(finding)
    acting = [*_wrapped(f"who can act: {WHO[finding.who]}"), *_steps(finding)]
    free = room - len(title) - len(said) - len(acting)
    doubts, gist, look = _fitting(free, _doubts(finding), _gist(hedged_meaning(finding)), _look(finding))
    lines = [*title, *gist, *said, *doubts, *look, *acting]
    if len(lines) > room:
        return [*lines[: room - 1], "… the rest is in the report."]
    seen = ["seen:", *_foreign(finding.seen, min(SEEN_IN_SUMMARY, room - len(lines) - 2))]
    return [*lines, *seen] if len(lines) + 3 <= room else lines


def _fitting(room: int, *parts: list[str]) -> Iterator[list[str]]:
    """Each part whole where there is room for it, or nothing of it; the weightiest first."""
    for part in parts:
        fits = len(part) <= room
        yield part if fits else []
        room -= len(part) if fits else 0


def _remarks(finding: ReportedFinding) -> list[str]:
    return [line for remark in remarks(finding) for line in _wrapped(f"({remark})")]


def _doubts(finding: ReportedFinding) -> list[str]:
    """What else it could be; ``smtp-preflight explain`` tells of each code."""
    codes = ", ".join(one.code for one in finding.alternatives)
    return _wrapped(f"or: {codes}", rest="    ") if codes else []


def _look(finding: ReportedFinding) -> list[str]:
    look = how_to_be_sure(finding)
    return _wrapped(f"To be sure: {look}") if look else []


def _gist(meaning: str) -> list[str]:
    """The first sentences of a meaning, as many as fit a few lines."""
    kept: list[str] = []
    for number in range(1, len(sentences := _SENTENCE_END.split(meaning)) + 1):
        lines = _wrapped(" ".join(sentences[:number]))
        if len(lines) > MOST_OF_THE_MEANING:
            break
        kept = lines
    return kept


def _others(findings: tuple[ReportedFinding, ...]) -> list[str]:
    lines = [_cut(f"also: {one.severity} {one.code}: {one.title}") for one in findings[:MOST_OTHERS]]
    more = len(findings) - MOST_OTHERS
    return [*lines, f"also: {more} more in the report"] if more > 0 else lines


def _steps(finding: ReportedFinding) -> list[str]:
    return [
        line
        for number, step in enumerate(finding.remedy, 1)
        for line in _wrapped(step, first=f"{number}. ", rest="   ")
    ]


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most 80 columns; a longer word, a URL say, stays whole so that it can be copied."""
    lines = textwrap.wrap(
        printable(_LONG_WORD.sub(_shortened, " ".join(text.split()))),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [printable(line) for line in lines]  # a wrapped line may begin with what was inside before


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][:MOST_OF_A_LINE]}…"


def _cut(text: str) -> str:
    line = printable(text)
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def _foreign(text: str, most: int) -> list[str]:
    """Foreign words, made inert: each line begins with ``| `` and holds no control character."""
    whole = telling_lines(text, most, MOST_OF_A_LINE)
    lines = [part for line in whole for part in textwrap.wrap(line, WIDTH - 2) or [""]]
    kept = lines if len(lines) <= most + 1 else [*lines[:most], "…"]
    return [f"| {line}" for line in kept] or ["| (nothing)"]
