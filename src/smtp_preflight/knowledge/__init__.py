"""What each cause means, who can act, and what to do: the reader of the entries beside this file.

One TOML file per stage, one table per code, in the form of house-style.md section 7. Entries carry all prose
for users; code carries codes and facts only.
"""

from __future__ import annotations

import datetime as dt
import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from smtp_preflight.knowledge import powershell
from smtp_preflight.model import Severity, Stage, short

WHO = (
    "profile_author",
    "app_owner",
    "tenant_admin",
    "exchange_admin",
    "mailbox_user",
    "network_operator",
    "provider",
)

# What a reader knows of the set-up without having seen a run of it: where such a value is not known here, its
# name stands for it. Everything else was seen in a run, or is not there to be told.
SETTINGS = frozenset(
    {
        *("provider", "profile", "host", "port", "written_port", "tls_mode"),
        *("mailbox", "sender", "recipient", "domain"),
        *("tenant", "client_id", "scope", "token_endpoint", "secret", "reference"),
        *("preset_host", "preset_port", "spf_include", "dkim_selector"),
    }
)

Pattern = Mapping[str, tuple[str, ...]]


# What a step may be bound to: facts with few values, of which it names those that it is for.
CONDITIONS = frozenset({"preset", "resolver"})


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a remedy, and the set-ups that it is for."""

    text: str
    only: Pattern = field(default_factory=dict)  # fact to how its value may begin; empty: any set-up

    def fits(self, facts: Mapping[str, str]) -> bool:
        """Whether nothing known of a set-up speaks against the step; what is not known does not."""
        known = {name: facts[name] for name in self.only if facts.get(name)}
        return all(value.startswith(self.only[name]) for name, value in known.items())


@dataclass(frozen=True, slots=True)
class Entry:
    """One cause explained."""

    code: str
    stage: Stage  # where it usually shows; it orders entries and never excludes one
    title: str
    severity: Severity
    who: str
    verified: dt.date
    meaning: str
    remedy: tuple[Step, ...]
    references: tuple[str, ...]
    match: tuple[Pattern, ...] = ()  # alternatives; each: sign to the values it may have, `text` a pattern
    unless: tuple[Pattern, ...] = ()  # signs that rule it out, whatever else matches
    examples: tuple[Mapping[str, str], ...] = ()
    decisive: bool = False  # no other cause can show these signs
    decisive_where: tuple[Pattern, ...] = ()  # if only some of them: these; empty: all
    transient: bool = False
    providers: tuple[str, ...] = ()  # the providers it can apply to; empty: any
    decided_by: Stage | None = None  # the stage whose server decides what this cause only predicts
    where_refuted: Severity = Severity.NOTICE  # its severity where that server accepted all the same
    decide_by: str = ""  # the look that would tell it from its neighbours

    def settled_by(self, signs: Mapping[str, str]) -> bool:
        """Whether nothing else can be the cause of these signs, which match the entry."""
        return self.decisive and (
            not self.decisive_where or any(matches(one, signs) for one in self.decisive_where)
        )

    def filled(self, text: str, facts: Mapping[str, str]) -> str:
        """The text with the user's own values in its placeholders; one that is not known stays `<name>`.

        A placeholder between single quotes stands in a PowerShell command, and is filled as one.
        """
        return _Filler(facts).vformat(powershell.filled(text, facts), (), {})

    def told(self, facts: Mapping[str, str]) -> str:
        """The meaning, without the sentences about something that was not seen here."""
        sentences = _SENTENCE_END.split(self.meaning)
        kept = [one for one in sentences if not _unseen(one, facts)]
        return self.filled(" ".join(kept or sentences), facts)

    def steps(self, facts: Mapping[str, str]) -> tuple[str, ...]:
        """The remedy, without the steps that are about something this setup is known not to have."""
        kept = (step for step in self.remedy if step.fits(facts) and not _lacking(step.text, facts))
        return tuple(self.filled(step.text, facts) for step in kept)

    def applies_to(self, provider: str) -> bool:
        """Whether this provider can show the cause at all."""
        return not self.providers or provider in (*self.providers, "", "any")

    def ruled_out_by(self, signs: Mapping[str, str]) -> bool:
        """Whether something that was seen cannot be where this is the cause."""
        return any(matches(one, signs) for one in self.unless)


def _lacking(step: str, facts: Mapping[str, str]) -> bool:
    """Whether a step names what a preset is known not to have, or what nobody has found out."""
    none = {name for name in _named(step) if not facts.get(name)}
    return _is_about_a_second_address(step, facts) or any(
        name.startswith("found_") or (name.startswith("preset_") and name in facts) for name in none
    )


def _is_about_a_second_address(text: str, facts: Mapping[str, str]) -> bool:
    """Whether a text sets mailbox and sender apart, and both are known to be the same address."""
    mailbox, sender = facts.get("mailbox", ""), facts.get("sender", "")
    return {"mailbox", "sender"} <= set(_named(text)) and mailbox != "" and mailbox.lower() == sender.lower()


def _unseen(sentence: str, facts: Mapping[str, str]) -> bool:
    """Whether a sentence tells of something that only a run can have seen, and that is not known."""
    return _is_about_a_second_address(sentence, facts) or any(
        not facts.get(name) for name in _named(sentence) if name not in SETTINGS
    )


def _named(text: str) -> Iterator[str]:
    """The names of the placeholders in a text."""
    return (name for _, name, _, _ in string.Formatter().parse(text) if name)


_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z`{\"])")


MOST_OF_A_FACT = 500  # characters; what a server says may be a megabyte, and a sentence is to be read


class _Filler(string.Formatter):
    """Fills `{name}`; what is not known shows its own name, so that a remedy is never half a sentence."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self._facts = facts

    def get_value(self, key: int | str, args: object, kwargs: object) -> str:
        fact = self._facts.get(str(key), "")
        if len(fact) > MOST_OF_A_FACT:
            return short(fact, MOST_OF_A_FACT)
        return fact or f"<{str(key).replace('_', ' ')}>"


@cache
def entries() -> Mapping[str, Entry]:
    """All entries by code, in the order of the stages."""
    found: dict[str, Entry] = {}
    for stage, tables in _files():
        for code, table in tables.items():
            if code in found:
                raise ValueError(f"{code} is explained twice, in {found[code].stage}.toml and {stage}.toml")
            found[code] = _entry(code, stage, table)
    return found


def entry(code: str) -> Entry:
    """The entry of a code; KeyError where there is none, which a test makes sure of."""
    return entries()[code]


@cache
def knowledge_date() -> str:
    """The day on which the newest entry was last verified, as ISO text."""
    return max(one.verified for one in entries().values()).isoformat()


def matches(pattern: Pattern, signs: Mapping[str, str]) -> bool:
    """Whether every sign of the pattern is there: whole values, and `text` as a regular expression."""
    return pattern.keys() <= signs.keys() and all(
        _holds(key, allowed, signs[key]) for key, allowed in pattern.items()
    )


def _holds(key: str, allowed: tuple[str, ...], value: str) -> bool:
    if key == "text":
        return any(_compiled(one).search(value) for one in allowed)
    if key == "aadsts":  # an answer may carry several numbers, separated by blanks
        return not set(allowed).isdisjoint(value.split())
    return value in allowed


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """There are more patterns than ``re`` itself keeps compiled."""
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


def _files() -> Iterator[tuple[Stage, Mapping[str, Any]]]:
    folder = resources.files(__name__)
    for stage in Stage:
        yield stage, tomllib.loads((folder / f"{stage}.toml").read_text(encoding="utf-8"))


def _entry(code: str, stage: Stage, table: Mapping[str, Any]) -> Entry:
    known = dict(table)
    decisive = known.pop("decisive", False)  # true, or the patterns for which it is
    made = Entry(
        code=code,
        stage=stage,
        title=known.pop("title"),
        severity=Severity(known.pop("severity", "error")),
        who=known.pop("who"),
        verified=known.pop("verified"),
        meaning=" ".join(known.pop("meaning").split()),
        remedy=tuple(_step(code, one) for one in known.pop("remedy")),
        references=tuple(known.pop("references")),
        match=tuple(_pattern(one) for one in _tables(known.pop("match", []))),
        unless=tuple(_pattern(one) for one in _tables(known.pop("unless", []))),
        examples=tuple(
            {key: str(value) for key, value in one.items()} for one in _tables(known.pop("example", []))
        ),
        decisive=bool(decisive),
        decisive_where=tuple(map(_pattern, _tables([] if isinstance(decisive, bool) else decisive))),
        transient=known.pop("transient", False),
        providers=tuple(known.pop("providers", ())),
        decided_by=Stage(known.pop("decided_by")) if "decided_by" in known else None,
        where_refuted=Severity(known.pop("where_refuted", "notice")),
        decide_by=" ".join(known.pop("decide_by", "").split()),
    )
    if known or made.who not in WHO:
        raise ValueError(f"{stage}.toml: {code}: {', '.join(known) or made.who} is not known")
    return made


def _step(code: str, written: str | Mapping[str, Any]) -> Step:
    """A step is its text, or a table of its text and what it is bound to."""
    table = {"step": written} if isinstance(written, str) else dict(written)
    text, only = table.pop("step"), _pattern(table)
    if unknown := only.keys() - CONDITIONS:
        raise ValueError(f"{code}: a step cannot be bound to {', '.join(sorted(unknown))}")
    return Step(" ".join(text.split()), only)


def _tables(value: Mapping[str, Any] | list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return value if isinstance(value, list) else [value]


def _pattern(table: Mapping[str, Any]) -> Pattern:
    return {
        key: tuple(map(str, value)) if isinstance(value, list) else (str(value),)
        for key, value in table.items()
    }
