"""One profile's findings while its checks are judged: a cause is red exactly once (product.md section 3).

The check states the expectation, the severity of the finding decides the colour. This is the one place where
the two meet, so that exit status, `-x`, `--lf`, JUnit and verdict agree without special cases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from smtp_preflight.diagnosis.predictions import Standing, standing
from smtp_preflight.knowledge import Entry, entry
from smtp_preflight.model import (
    Alternative,
    Certainty,
    CheckResult,
    Finding,
    Outcome,
    ReportedFinding,
    Seen,
    Severity,
    Stage,
)

RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTICE: 2}


@dataclass(frozen=True, slots=True)
class CheckFrame:
    """A check before it is judged."""

    id: str
    stage: Stage
    expected: str  # its docstring: the expectation in words


class Ledger:
    """Turns what checks tell into outcomes, in the order in which they run."""

    def __init__(self, seen: Seen, *, warnings_fail: bool = False) -> None:
        self._seen = seen
        self._warnings_fail = warnings_fail
        self._findings: dict[str, ReportedFinding] = {}
        self._red: set[str] = set()
        self._confirmed: dict[str, ReportedFinding] = {}  # red predictions, by the stage that decides them

    @property
    def findings(self) -> tuple[ReportedFinding, ...]:
        """Red ones first, then warnings, then notices; within each by stage, then as the checks ran."""
        return tuple(
            sorted(
                self._findings.values(),
                key=lambda one: (RANK[one.severity] + (one.waived is not None), one.stage.place),
            )
        )

    def holds(self, check: CheckFrame, remark: Finding | None = None) -> CheckResult:
        """The expectation holds; the remark says that it will not for long."""
        if remark is None or remark.id in self._findings:
            return self._result(check, Outcome.PASSED)
        return self.fails(check, remark)

    def fails(self, check: CheckFrame, finding: Finding) -> CheckResult:
        """The expectation does not hold, and this is why."""
        if (predicted := self._prediction_of(finding)) is not None:
            return self._blocked(check, predicted)
        told = self._reported(check, finding)
        known = self._findings.get(told.id)
        turns_red = told.severity is Severity.ERROR and not told.waived and told.id not in self._red
        if known and not turns_red:
            return self._blocked(check, known)
        self._findings[told.id] = told
        outcome = self._colour(told)
        decided_by = entry(told.code).decided_by
        if told.id in self._red and decided_by is not None:
            self._confirmed[decided_by] = told
        return self._result(check, outcome, code=told.code)

    def blocked(self, check: CheckFrame, finding: Finding, *, on_the_way: bool) -> CheckResult:
        """What the check needs could not be asked; red only where nothing else is red for it."""
        if (predicted := self._prediction_of(finding)) is not None:
            return self._blocked(check, predicted)
        told = self._reported(check, finding)
        if told.id in self._red:
            return self._blocked(check, self._findings[told.id])
        if on_the_way or (told.severity is Severity.ERROR and not told.waived):
            self._findings[told.id] = replace(told, severity=Severity.ERROR, waived=None)
            self._red.add(told.id)
            return self._result(check, Outcome.FAILED, code=told.code)
        return self._blocked(check, self._findings.setdefault(told.id, told))

    def skipped(self, check: CheckFrame, reason: str) -> CheckResult:
        """The question does not apply here."""
        return self._result(check, Outcome.SKIPPED, reason=reason)

    def broken(self, check: CheckFrame, reason: str) -> CheckResult:
        """The check itself broke; that is our fault and says nothing of the mail."""
        return self._result(check, Outcome.ERROR, reason=reason)

    def _prediction_of(self, finding: Finding) -> ReportedFinding | None:
        """The red prediction that accounts for a refusal in which nothing else can be recognised."""
        return self._confirmed.get(finding.subject) if finding.code == "unexplained" else None

    def _colour(self, told: ReportedFinding) -> Outcome:
        if told.severity is Severity.NOTICE:
            return Outcome.PASSED
        if told.severity is Severity.WARNING or told.waived:
            return Outcome.FAILED if self._warnings_fail else Outcome.WARNED
        self._red.add(told.id)
        return Outcome.FAILED

    def _blocked(self, check: CheckFrame, by: ReportedFinding) -> CheckResult:
        return self._result(check, Outcome.BLOCKED, code=by.code, blocked_by=by.id)

    @staticmethod
    def _result(
        check: CheckFrame,
        outcome: Outcome,
        *,
        code: str | None = None,
        blocked_by: str | None = None,
        reason: str | None = None,
    ) -> CheckResult:
        return CheckResult(check.id, check.stage, outcome, check.expected, code, blocked_by, reason)

    def _reported(self, check: CheckFrame, finding: Finding) -> ReportedFinding:
        """The finding in words, its severity after the profile's override, prediction and waiver."""
        best = finding.causes[0]
        known = entry(best.code)
        place = standing(best.code, known.decided_by, check.stage, self._seen)
        facts = {**best.facts, "subject": finding.subject}
        return ReportedFinding(
            id=finding.id,
            code=best.code,
            subject=finding.subject,
            severity=self._severity(known, place),
            certainty=_as_sure_as(best.certainty, place),
            transient=known.transient,
            waived=self._waiver(best.code, finding.subject),
            stage=check.stage,
            check=check.id,
            who=known.who,
            title=known.filled(known.title, facts),
            expected=check.expected,
            seen=best.facts.get("seen", ""),
            meaning=known.told(facts),
            remedy=known.steps(facts),
            references=known.references,
            alternatives=tuple(
                Alternative(one.code, one.certainty, one.decide_by) for one in finding.causes[1:]
            ),
            predicted=place is Standing.UNDECIDED,
            decide_by=best.decide_by,
        )

    def _severity(self, known: Entry, place: Standing) -> Severity:
        severity = self._seen.profile.severity.get(known.code, known.severity)
        if place is Standing.REFUTED and severity is Severity.ERROR:
            return known.where_refuted
        return severity

    def _waiver(self, code: str, subject: str) -> str | None:
        day = self._seen.started.date()
        for waiver in self._seen.profile.waivers:
            if waiver.covers(code, subject, day):
                return f"{waiver.reason} (until {waiver.until.isoformat()})"
        return None


def _as_sure_as(certainty: Certainty, place: Standing) -> Certainty:
    """How sure a cause is, given what became of it: what no server has said is never certain."""
    unsaid = place in (Standing.UNDECIDED, Standing.FITTING)
    return Certainty.LIKELY if unsaid and certainty is Certainty.CERTAIN else certainty
