"""Write ``docs/causes/`` from the knowledge: ``make docs``.

One page for each cause, and three ways to find it: by stage, by the mail server's reply, by AADSTS number.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from smtp_preflight.knowledge import Entry, entries, knowledge_date
from smtp_preflight.knowledge.admin import admin_block
from smtp_preflight.model import Stage
from smtp_preflight.reporting.inert import fenced, markdown
from smtp_preflight.reporting.wording import STAGES, WHO

CAUSES = Path(__file__).parent / "causes"
INDEX, REPLIES, NUMBERS = "README.md", "smtp-replies.md", "aadsts-numbers.md"
LOOK_UP = "https://login.microsoftonline.com/error?code={}"
NOTE = "<!-- Written by `make docs` from src/smtp_preflight/knowledge: change it there. -->"
SEVERITIES = {
    "error": "error: mail does not leave",
    "warning": "warning: mail leaves, but not for long or not safely",
    "notice": "notice: good to know",
}


def pages() -> dict[str, str]:
    """Every file of ``docs/causes/``, by name."""
    made = {INDEX: index_by_stage(), REPLIES: index_by_reply(), NUMBERS: index_by_number()}
    made |= {f"{one.code}.md": page(one) for one in entries().values()}
    return {name: "\n".join((NOTE, "", *lines, "")) for name, lines in made.items()}


# --- one cause ---------------------------------------------------------------------------------------------


def page(known: Entry) -> Iterator[str]:
    """What a report says of the cause, where nothing of a set-up is known."""
    yield f"# {markdown(known.filled(known.title, {}))}"
    yield from ("", f"`{known.code}`", "", "| | |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in _facts(known).items())
    yield from ("", "## What it means", "", markdown(known.told({})))
    if known.decide_by:
        yield from ("", "## How to be sure", "", markdown(known.filled(known.decide_by, {})))
    yield from ("", "## What to do", "")
    yield from (f"{number}. {markdown(step)}" for number, step in enumerate(known.steps({}), 1))
    yield from _commands(known)
    yield from _examples(known)
    yield from ("", "## Sources", "")
    yield from (f"- <{one}>" if one.startswith("https://") else f"- {one}" for one in known.references)
    yield from (
        "",
        f"Last verified {known.verified.isoformat()}. Without a run: `smtp-preflight explain {known.code}`",
    )


def _facts(known: Entry) -> Mapping[str, str]:
    return {
        "Where it shows": STAGES[known.stage],
        "Severity": SEVERITIES[known.severity],
        "Who can act": WHO[known.who],
        **({"May pass by itself": "yes: run again before anything is changed"} if known.transient else {}),
        **({"Providers": ", ".join(f"`{one}`" for one in known.providers)} if known.providers else {}),
    }


def _commands(known: Entry) -> Iterator[str]:
    lines = admin_block(known.code, "microsoft365", {})
    if lines:
        yield from ("", "## For an administrator of Microsoft 365", "")
        yield from fenced("\n".join(lines), "powershell").split("\n")


def _examples(known: Entry) -> Iterator[str]:
    told = [line for one in known.examples if (line := _told(one))]
    if told:
        yield from ("", "## How it looks", "")
        yield from fenced("\n".join(told)).split("\n")


def _told(example: Mapping[str, str]) -> str:
    """What a server says in an example; empty where it is known by other signs."""
    code, error, text = (example.get(key, "") for key in ("smtp_code", "error", "text"))
    lead = code or (f"{error}:" if error and text else error)
    return " ".join(part for part in (lead, text) if part)


# --- the ways to find it -----------------------------------------------------------------------------------


def index_by_stage() -> Iterator[str]:
    """All causes, in the order in which a mail meets them."""
    yield "# What can go wrong, by stage"
    yield ""
    yield (
        f"{len(entries())} causes, knowledge of {knowledge_date()}. Another way in: "
        f"[by the mail server's reply]({REPLIES}), [by AADSTS number]({NUMBERS})."
    )
    for stage in Stage:
        at_stage = sorted((one for one in entries().values() if one.stage is stage), key=lambda one: one.code)
        if at_stage:
            yield from ("", f"## {STAGES[stage][:1].upper()}{STAGES[stage][1:]}", "")
            yield from (f"- {link(one.code)}: {markdown(one.filled(one.title, {}))}" for one in at_stage)


def index_by_reply() -> Iterator[str]:
    """Causes by enhanced status code, by reply code, and by the words as servers say them."""
    yield "# What a mail server's reply may mean"
    yield ""
    yield f"[By stage]({INDEX}) · [by AADSTS number]({NUMBERS})"
    yield ""
    yield "Many replies mean several things: a run, like `smtp-preflight explain`, ranks them."
    yield from ("", "## By enhanced status code", "")
    yield from _table("Code", causes_by("enhanced"))
    yield from ("", "## By reply code", "")
    yield from _table("Code", causes_by("smtp_code"))
    yield from ("", "## As servers say it", "", "| Reply | Cause |", "|---|---|")
    yield from (f"| {markdown(_told(one))} | {link(code)} |" for code, one in _replies())


def index_by_number() -> Iterator[str]:
    """Causes by the number of an answer of Microsoft Entra."""
    yield "# What an AADSTS number may mean"
    yield ""
    yield f"[By stage]({INDEX}) · [by the mail server's reply]({REPLIES})"
    yield ""
    yield f"Microsoft explains every number, listed here or not, at `{LOOK_UP.format('NUMBER')}`."
    yield ""
    numbers = {f"[AADSTS{one}]({LOOK_UP.format(one)})": codes for one, codes in causes_by("aadsts").items()}
    yield from _table("Number", numbers)


def causes_by(sign: str) -> dict[str, list[str]]:
    """The causes that some value of a sign leads to, by that value, in the order of numbers."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for known in entries().values():
        for pattern in known.match:
            for value in pattern.get(sign, ()):
                found[value].add(known.code)
    numbers = (value for value in found if value[:1].isdigit())
    return {value: sorted(found[value]) for value in sorted(numbers, key=_as_number)}


def _as_number(value: str) -> tuple[int, ...]:
    return tuple(int(part) for part in value.split("."))


def _replies() -> list[tuple[str, Mapping[str, str]]]:
    """Every example that is a reply, with its cause, by the reply."""
    told = ((known.code, one) for known in entries().values() for one in known.examples)
    replies = [(code, one) for code, one in told if "smtp_code" in one and "text" in one]
    return sorted(replies, key=lambda row: (_told(row[1]), row[0]))


def _table(head: str, rows: Mapping[str, list[str]]) -> Iterator[str]:
    yield from (f"| {head} | Causes |", "|---|---|")
    yield from (f"| {value} | {', '.join(map(link, codes))} |" for value, codes in rows.items())


def link(code: str) -> str:
    """A link to the page of a cause."""
    return f"[`{code}`]({code}.md)"


# --- writing it --------------------------------------------------------------------------------------------


def main() -> int:
    """Write all pages, and remove those of causes that are no more."""
    CAUSES.mkdir(exist_ok=True)
    made = pages()
    for old in CAUSES.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (CAUSES / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(made)} pages in {CAUSES}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
