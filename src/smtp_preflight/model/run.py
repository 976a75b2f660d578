"""A run: one profile, asked and judged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smtp_preflight.model.findings import ReportedFinding
from smtp_preflight.model.observation import Seen
from smtp_preflight.model.profile import Setting
from smtp_preflight.model.words import Outcome, Severity, Stage, Until, Verdict


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of one check."""

    id: str
    stage: Stage
    outcome: Outcome
    title: str = ""  # the expectation in a sentence
    code: str | None = None
    blocked_by: str | None = None
    reason: str | None = None
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something that ends."""

    what: str
    date: dt.date
    days_left: int
    based_on: str

    @property
    def needs_nobody(self) -> bool:
        """It ends every hour, or OAuth does not use it: nobody has to act before it does."""
        return self.what in ("access_token", "password_sign_in")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that two runs were told differently."""

    stage: Stage | None  # where it shows; None: of this machine or of what judges
    what: str
    before: str  # empty: nothing
    after: str


@dataclass(frozen=True, slots=True)
class SinceLastReady:
    """What has changed since the last run in which mail could leave; the likeliest to matter first."""

    started: dt.datetime  # of that run
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One profile, asked and judged: what every report is written from."""

    profile: str
    provider: str
    tool: str
    knowledge: str  # its date
    started: dt.datetime
    duration_s: float
    until: Until
    verdict: Verdict
    proven: Stage | None
    not_asked: tuple[Stage, ...]
    settings: Mapping[str, Setting]
    findings: tuple[ReportedFinding, ...]
    checks: tuple[CheckResult, ...]
    selected: tuple[str, ...]  # the ids of the checks that were to be judged
    until_when: tuple[Deadline, ...]
    seen: Seen
    evidence: tuple[Mapping[str, Any], ...]  # the answers of ``seen`` as plain data
    complete: bool = True  # every check that the profile's set-up calls for was judged
    replayed_from: str | None = None
    recorded_knowledge: str | None = None  # the date of the knowledge that judged it first
    recorded_codes: tuple[str, ...] = ()  # what that had found to act on; of a replay only
    since_last_ready: SinceLastReady | None = None  # None: no ready run is known
    environment: Mapping[str, str] = field(default_factory=dict)  # of the machine that asked: Python, OpenSSL

    @property
    def red(self) -> tuple[ReportedFinding, ...]:
        """The findings that keep mail from leaving."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR and not one.waived)
