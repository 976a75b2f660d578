"""An explanation for the terminal: what a failure means, how sure that is, and what to do about it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from smtp_preflight.knowledge import Entry, entry, knowledge_date
from smtp_preflight.knowledge.admin import admin_block
from smtp_preflight.model import Cause, Certainty, short
from smtp_preflight.reporting.inert import bounded_lines, printable
from smtp_preflight.reporting.wording import CERTAINTIES, WHO

WIDTH = 80
MOST_QUOTED = 12
MOST_OF_A_LINE = 400
NOTHING_WRONG = "Nothing wrong was seen."


def cause_lines(
    causes: Sequence[Cause], quote: str, marks: Mapping[str, str], provider: str = "", beyond: str = ""
) -> Iterator[str]:
    """What was judged, the first cause in full, and the others with the look that would decide.

    quote: foreign words, credentials already taken out.
    marks: what to quote in a ticket (trace id and the like), by name.
    provider: the id of a preset, where it is known.
    beyond: a sentence on causes that are not among these.
    """
    judged = [f"| {line}" for line in bounded_lines(quote, MOST_QUOTED, MOST_OF_A_LINE)]
    judged += [f"| {name}: {printable(short(value, 100))}" for name, value in marks.items()]
    yield from ("Judged by:", *judged, "") if judged else ()
    if not causes:
        yield NOTHING_WRONG
        return
    first, *others = causes
    yield from entry_lines(entry(first.code), first.facts, _how_sure(first), provider)
    if others:
        yield ""
        yield "It may also be:"
        yield from (line for one in others for line in _other(one))
    if beyond:
        yield from wrapped(beyond)
    yield ""
    yield f"Knowledge of {knowledge_date()}."


def entry_lines(
    known: Entry, facts: Mapping[str, str], how_sure: Sequence[str] = (), provider: str = ""
) -> Iterator[str]:
    """The entry with the user's own values; what is not known stays ``<name>``.

    provider: the id of a preset, where it is known: what its administrator can run comes last.
    """
    yield from wrapped(f"{known.code}: {known.filled(known.title, facts)}")
    for told in how_sure:
        yield from wrapped(told)
    yield ""
    yield from wrapped(known.told(facts))
    yield ""
    yield f"Who can act: {WHO[known.who]}"
    for number, step in enumerate(known.steps(facts), 1):
        yield from wrapped(step, first=f"{number}. ")
    yield ""
    yield "References:"
    yield from (f"- {one}" for one in known.references)
    yield f"Last verified: {known.verified.isoformat()}"
    if commands := admin_block(known.code, provider, facts):
        yield from ("", "For the administrator (PowerShell):")
        yield from (printable(line) for line in commands)


def _how_sure(cause: Cause) -> list[str]:
    """The certainty in words; below certain, the look that would settle it."""
    sure = cause.certainty is Certainty.CERTAIN or not cause.decide_by
    return [f"How sure: {CERTAINTIES[cause.certainty]}", *([] if sure else [f"To decide: {cause.decide_by}"])]


def _other(cause: Cause) -> Iterable[str]:
    known = entry(cause.code)
    told = f"{cause.code}: {known.filled(known.title, cause.facts)}. {cause.decide_by}".strip()
    return wrapped(told, first="- ")


def wrapped(text: str, first: str = "") -> list[str]:
    """Lines of a paragraph, inert; nothing that is to be copied is cut."""
    lines = textwrap.wrap(
        printable(" ".join(text.split())),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [printable(line) for line in lines]
