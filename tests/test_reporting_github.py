"""Annotations in GitHub's log: one line a finding, and no word of a server in command of the runner."""

import datetime as dt
from collections.abc import Callable

import pytest

from smtp_preflight.model import (
    Certainty,
    ReportedFinding,
    Run,
    Seen,
    Severity,
    Stage,
    Until,
    Verdict,
)
from smtp_preflight.reporting.github import annotations

STARTED = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)


@pytest.fixture
def run_with(seen_with: Callable[..., Seen]) -> Callable[..., Run]:
    """Make a run with these findings."""

    def make(*findings: ReportedFinding, profile: str = "contoso") -> Run:
        return Run(
            profile=profile,
            provider="microsoft365",
            tool="smtp-preflight 0.1.0",
            knowledge="2026-11-20",
            started=STARTED,
            duration_s=1,
            until=Until.ENVELOPE,
            verdict=Verdict.NOT_READY,
            proven=None,
            not_asked=(),
            settings={},
            findings=findings,
            checks=(),
            selected=(),
            until_when=(),
            seen=seen_with(),
            evidence=(),
        )

    return make


def found(
    severity: Severity, *, waived: str | None = None, title: str = "The name does not exist"
) -> ReportedFinding:
    return ReportedFinding(
        id="host_not_found",
        code="host_not_found",
        subject="",
        severity=severity,
        certainty=Certainty.CERTAIN,
        transient=False,
        waived=waived,
        stage=Stage.DNS,
        check="test_dns.py::test_a",
        who="profile_author",
        title=title,
        expected="It exists.",
        seen="NXDOMAIN",
        meaning="It does not.",
        remedy=("Correct it.",),
        references=(),
    )


def test_a_finding_is_annotated_by_its_weight(run_with: Callable[..., Run]) -> None:
    """What keeps mail from leaving is an error, what is waived or a warning a warning, a notice nothing."""
    run = run_with(
        found(Severity.ERROR),
        found(Severity.ERROR, waived="known (until 2027-01-01)"),
        found(Severity.WARNING),
        found(Severity.NOTICE),
    )
    rest = (
        " title=contoso%3A host_not_found::The name does not exist (certain; for: whoever wrote the profile)"
    )
    assert annotations(run) == [f"::error{rest}", f"::warning{rest}", f"::warning{rest}"]


def test_what_would_end_a_command_is_escaped(run_with: Callable[..., Run]) -> None:
    """Percent, line ends, and in properties colon and comma; control characters are shown."""
    (line,) = annotations(
        run_with(found(Severity.ERROR, title="100% a,b:c\r\n::error::x\x1b##[group]"), profile="a,b:c%\n")
    )
    assert line == (
        "::error title=a%2Cb%3Ac%25\\u{a}%3A host_not_found"
        "::100%25 a,b:c\\u{d}\\u{a}::error::x\\u{1b}# #[group] (certain; for: whoever wrote the profile)"
    )
