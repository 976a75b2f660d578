"""Causes and findings: as a check reports them, and in words as reports carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtp_preflight.model.words import Certainty, Severity, Stage


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that may be wrong, how sure that is, and the facts that tell it; prose is in knowledge/."""

    code: str
    certainty: Certainty
    facts: Mapping[str, str] = field(default_factory=dict)
    decide_by: str = ""  # the look that would settle it


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check reports: its causes, best first, never none."""

    causes: tuple[Cause, ...]
    subject: str = ""  # the recipient, address or domain it is about; (code, subject) is its identity

    @property
    def code(self) -> str:
        """The code of its best cause."""
        return self.causes[0].code

    @property
    def id(self) -> str:
        """Its identity within a run."""
        return f"{self.code}:{self.subject}" if self.subject else self.code


@dataclass(frozen=True, slots=True)
class Alternative:
    """A cause that the evidence does not rule out."""

    code: str
    certainty: Certainty
    decide_by: str


@dataclass(frozen=True, slots=True)
class ReportedFinding:
    """A finding in words, as reports and tickets carry it."""

    id: str
    code: str
    subject: str
    severity: Severity
    certainty: Certainty
    transient: bool
    waived: str | None  # the waiver's reason and last day
    stage: Stage
    check: str
    who: str
    title: str
    expected: str
    seen: str
    meaning: str
    remedy: tuple[str, ...]
    references: tuple[str, ...]
    alternatives: tuple[Alternative, ...] = ()
    predicted: bool = False  # read off the profile or the token; no server has decided it
    decide_by: str = ""  # the look that would settle it, where it is not certain
