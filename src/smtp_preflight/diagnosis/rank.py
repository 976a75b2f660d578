"""The engine: signs in, causes out, best first. One for a run, for a replay and for ``explain``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from smtp_preflight.knowledge import Entry, Pattern, entries, matches
from smtp_preflight.model import Cause, Certainty, Stage

MOST_CAUSES = 5
PROSE = frozenset({"text", "stage"})  # signs that lean on a provider's wording only


@dataclass(frozen=True, slots=True)
class Signs:
    """What knowledge entries match on, and the facts that fill their remedies.

    ``common`` holds what is true wherever one looks (provider, grant, what the token says), ``stages`` what
    was seen at each stage; a stage's own signs come before the common ones.
    """

    common: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[Stage, Mapping[str, str]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def at(self, stage: Stage) -> dict[str, str]:
        """All signs for a question asked at this stage."""
        return {**self.common, **self.stages.get(stage, {}), "stage": stage}

    def only(self, stage: Stage, *keys: str) -> Signs:
        """The same, but of that stage's signs no more than these: what one expectation is about."""
        kept = {key: value for key, value in self.stages.get(stage, {}).items() if key in keys}
        return replace(self, stages={**self.stages, stage: kept})

    def having(self, stage: Stage, signs: Mapping[str, str], facts: Mapping[str, str] | None = None) -> Signs:
        """The same, with these signs of that stage, and these facts, in addition."""
        return replace(
            self,
            stages={**self.stages, stage: {**self.stages.get(stage, {}), **signs}},
            facts={**self.facts, **(facts or {})},
        )


def rank(signs: Signs, stage: Stage, most: int = MOST_CAUSES) -> tuple[Cause, ...]:
    """The causes whose entries match, best first, at most five; ``unexplained`` where none does.

    most: where somebody wants to know how many were left out.
    What matches on claims, settings or codes comes before what matches on text only; more keys beat fewer.
    The first is certain only if its entry is decisive for these signs and no other entry that can apply to
    the provider matches them.
    """
    present = signs.at(stage)
    matched = sorted(
        (score, code)
        for code, entry in entries().items()
        if entry.applies_to(present.get("provider", "")) and (score := _score(entry, present)) is not None
    )
    if not matched:
        return (Cause("unexplained", Certainty.POSSIBLE, signs.facts),)
    known = [entries()[code] for _, code in matched]
    sure = len(known) == 1 and known[0].settled_by(present)
    return tuple(
        Cause(entry.code, _certainty(number, sure), signs.facts, entry.filled(entry.decide_by, signs.facts))
        for number, entry in enumerate(known[:most])
    )


def _certainty(number: int, sure: bool) -> Certainty:
    if number:
        return Certainty.POSSIBLE
    return Certainty.CERTAIN if sure else Certainty.LIKELY


def _score(entry: Entry, present: Mapping[str, str]) -> tuple[bool, int] | None:
    """Less is better: text only comes last, more keys come first; nothing where no alternative matches."""
    if entry.ruled_out_by(present):
        return None
    return min((_weight(one) for one in entry.match if matches(one, present)), default=None)


def _weight(pattern: Pattern) -> tuple[bool, int]:
    return not set(pattern) - PROSE, -len(pattern)
