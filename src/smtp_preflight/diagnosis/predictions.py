"""Stages profile and claims predict, servers decide (product.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from smtp_preflight.model import Finding, Seen, Stage


class Standing(StrEnum):
    """What became of something that was read off the profile or the token."""

    FACT = "fact"  # no prediction: it was seen to happen
    CONFIRMED = "confirmed"  # it happened, and the refusal names this cause first
    REFUTED = "refuted"  # it did not happen, or the refusal has another named cause
    UNDECIDED = "undecided"  # the server was not asked


# A stage's server to what it decided: nothing where it was not asked, no cause where it accepted.
DECISIONS: Mapping[Stage, Callable[[Seen], Finding | bool | None]] = {}


def standing(code: str, decided_by: Stage | None, stage: Stage, seen: Seen) -> Standing:
    """Whether what a check at this stage shows is a fact, or a prediction and what became of it."""
    if decided_by is None or stage.place >= decided_by.place:
        return Standing.FACT
    decision = DECISIONS[decided_by](seen)
    if decision is None:
        return Standing.UNDECIDED
    if isinstance(decision, Finding):
        return Standing.CONFIRMED if decision.code in (code, "unexplained") else Standing.REFUTED
    return Standing.REFUTED
