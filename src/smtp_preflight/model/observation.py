"""Questions, and what comes back: the base of every observation, and all that a run has seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from smtp_preflight.model.profile import Profile


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that can be asked: the kind of observation, and whom or what it is about."""

    kind: type[Observation]
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind.__name__} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one question brought: begun when (UTC), taking how long, answered by whom."""

    asked_at: dt.datetime
    took_s: float = 0.0
    peer: str = ""

    @property
    def observed_at(self) -> dt.datetime:
        """When the answer was complete; "now" for whoever judges it."""
        return self.asked_at + dt.timedelta(seconds=self.took_s)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.peer or self.asked_at.isoformat()}>"


def public_fields(observation: Observation) -> tuple[str, ...]:
    """The names of what an observation holds beyond its time and peer."""
    return tuple(one.name for one in fields(observation) if one.name not in ("asked_at", "took_s", "peer"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a dialogue as the transcript shows it, credentials already replaced."""

    at_s: float  # since the connection was opened
    who: str  # C: we, S: the server, -: what happened to the connection
    text: str


T = TypeVar("T", bound=Observation)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was asked about one profile and what came back; closed before the first check."""

    profile: Profile
    started: dt.datetime
    answers: Mapping[Question, Observation] = field(default_factory=dict)
    follow_ups: frozenset[Question] = frozenset()  # those of the questions that were asked after a failure
    cut_short: str = ""  # run_limit | interrupted: why the asking ended early

    def get(self, kind: type[T], subject: str = "") -> T | None:
        """The answer to a question, or nothing where it was not asked."""
        found = self.answers.get(Question(kind, subject))
        return found if isinstance(found, kind) else None

    def every(self, kind: type[T]) -> tuple[T, ...]:
        """All answers of a kind, in the order in which they were asked."""
        return tuple(one for one in self.answers.values() if isinstance(one, kind))
