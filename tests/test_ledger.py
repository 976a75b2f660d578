"""The table of outcomes (product.md section 3): severity decides the colour, and a cause is red once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from smtp_preflight.diagnosis import predictions
from smtp_preflight.ledger import CheckFrame, Ledger
from smtp_preflight.model import (
    Cause,
    Certainty,
    CheckResult,
    Finding,
    Outcome,
    Profile,
    ReportedFinding,
    Seen,
    Severity,
    Stage,
    Waiver,
)

ERROR = "starttls_not_offered"
WARNING = "greeting_slow"
NOTICE = "system_resolver_differs"
PREDICTION = "token_wrong_audience"  # stage claims predicts it, the mail server decides at stage auth

FIRST = CheckFrame("test_starttls.py::test_starttls_is_offered", Stage.STARTTLS, "EHLO lists STARTTLS.")
SECOND = CheckFrame("test_tls.py::test_handshake_completes", Stage.TLS, "The handshake completes.")
CLAIMS = CheckFrame("test_claims.py::test_claim_is_as_expected[aud]", Stage.CLAIMS, "The token is for us.")
AUTH = CheckFrame("test_auth.py::test_token_is_accepted", Stage.AUTH, "The token is accepted.")


def about(code: str, subject: str = "", **facts: str) -> Finding:
    return Finding((Cause(code, Certainty.LIKELY, facts),), subject)


def waiver(code: str, until: dt.date = dt.date(2026, 11, 20), subject: str = "") -> Waiver:
    return Waiver(code, "the parent follows in March", until, subject)


MakeLedger = Callable[..., Ledger]


@pytest.fixture
def ledger_with(seen_with: Callable[..., Seen], profile_with: Callable[..., Profile]) -> MakeLedger:
    """Make a ledger for a profile with these waivers and severities."""

    def make(*, warnings_fail: bool = False, **changes: Any) -> Ledger:
        return Ledger(seen_with(profile=profile_with(**changes)), warnings_fail=warnings_fail)

    return make


def only(ledger: Ledger) -> ReportedFinding:
    (finding,) = ledger.findings
    return finding


# --- the table, row by row ---------------------------------------------------------------------------------


def test_what_holds_passes(ledger_with: MakeLedger) -> None:
    ledger = ledger_with()
    assert ledger.holds(FIRST) == CheckResult(
        FIRST.id, Stage.STARTTLS, Outcome.PASSED, "EHLO lists STARTTLS."
    )
    assert ledger.findings == ()


def test_what_holds_with_a_notice_passes(ledger_with: MakeLedger) -> None:
    """The notice is kept: good to know."""
    ledger = ledger_with()
    assert ledger.holds(FIRST, about(NOTICE)).outcome is Outcome.PASSED
    assert only(ledger).severity is Severity.NOTICE


def test_what_does_not_hold_by_a_notice_passes(ledger_with: MakeLedger) -> None:
    assert ledger_with().fails(FIRST, about(NOTICE)).outcome is Outcome.PASSED


@pytest.mark.parametrize("judge", [Ledger.holds, Ledger.fails])
def test_a_warning_warns(judge: Callable[..., CheckResult], ledger_with: MakeLedger) -> None:
    """Whether the expectation does not hold, or holds but not for long."""
    ledger = ledger_with()
    told = judge(ledger, FIRST, about(WARNING))
    assert (told.outcome, told.code) == (Outcome.WARNED, WARNING)
    assert only(ledger).severity is Severity.WARNING


def test_a_warning_fails_where_that_is_asked_for(ledger_with: MakeLedger) -> None:
    ledger = ledger_with(warnings_fail=True)
    assert ledger.holds(FIRST, about(WARNING)).outcome is Outcome.FAILED
    assert only(ledger).severity is Severity.WARNING


def test_an_error_fails(ledger_with: MakeLedger) -> None:
    told = ledger_with().fails(FIRST, about(ERROR))
    assert (told.outcome, told.code, told.blocked_by) == (Outcome.FAILED, ERROR, None)


def test_the_same_cause_again_is_blocked(ledger_with: MakeLedger) -> None:
    """A cause is red exactly once, and everything later names the finding."""
    ledger = ledger_with()
    ledger.fails(FIRST, about(ERROR))
    again = ledger.fails(SECOND, about(ERROR))
    assert (again.outcome, again.code, again.blocked_by) == (Outcome.BLOCKED, ERROR, ERROR)
    assert only(ledger).check == FIRST.id


def test_the_same_code_about_something_else_is_another_cause(ledger_with: MakeLedger) -> None:
    """Code and subject together are a cause's identity: each refused recipient has a line of its own."""
    ledger = ledger_with()
    one = ledger.fails(FIRST, about("recipient_rejected", "a@contoso.com"))
    other = ledger.fails(SECOND, about("recipient_rejected", "b@contoso.com"))
    assert one.outcome is other.outcome is Outcome.FAILED
    assert [finding.id for finding in ledger.findings] == [
        "recipient_rejected:a@contoso.com",
        "recipient_rejected:b@contoso.com",
    ]


def test_no_evidence_because_of_a_red_cause_is_blocked(ledger_with: MakeLedger) -> None:
    ledger = ledger_with()
    ledger.fails(FIRST, about(ERROR))
    assert ledger.blocked(SECOND, about(ERROR), on_the_way=True).outcome is Outcome.BLOCKED


def test_what_could_only_be_blocked_fails_in_the_owners_place(ledger_with: MakeLedger) -> None:
    """With the owning check not selected, the first check that misses the evidence is red."""
    ledger = ledger_with()
    assert ledger.blocked(SECOND, about(ERROR), on_the_way=False).outcome is Outcome.FAILED
    assert (only(ledger).check, only(ledger).stage) == (SECOND.id, Stage.TLS)
    assert ledger.blocked(AUTH, about(ERROR), on_the_way=True).outcome is Outcome.BLOCKED


def test_what_does_not_apply_is_skipped(ledger_with: MakeLedger) -> None:
    told = ledger_with().skipped(FIRST, "TLS comes first on this port")
    assert (told.outcome, told.reason) == (Outcome.SKIPPED, "TLS comes first on this port")


def test_a_check_that_breaks_is_an_error(ledger_with: MakeLedger) -> None:
    """It has no code: it says nothing of the mail."""
    told = ledger_with().broken(FIRST, "ZeroDivisionError")
    assert (told.outcome, told.code, told.reason) == (Outcome.ERROR, None, "ZeroDivisionError")


# --- what keeps a question from being asked ----------------------------------------------------------------


@pytest.mark.parametrize("code", [WARNING, NOTICE])
def test_a_mild_cause_on_the_messages_way_is_red(code: str, ledger_with: MakeLedger) -> None:
    """Whatever keeps the message from going on is an error where it does so, and only there."""
    ledger = ledger_with()
    assert ledger.fails(FIRST, about(code)).outcome is not Outcome.FAILED
    prevented = ledger.blocked(SECOND, about(code), on_the_way=True)
    assert (prevented.outcome, prevented.code) == (Outcome.FAILED, code)
    assert (only(ledger).severity, only(ledger).check) == (Severity.ERROR, SECOND.id)
    assert ledger.blocked(AUTH, about(code), on_the_way=True).outcome is Outcome.BLOCKED


def test_a_waiver_does_not_carry_a_message_further(ledger_with: MakeLedger) -> None:
    """It removes the finding's own red line, not that of the question it prevents."""
    ledger = ledger_with(waivers=(waiver(ERROR),))
    assert ledger.fails(FIRST, about(ERROR)).outcome is Outcome.WARNED
    assert ledger.blocked(SECOND, about(ERROR), on_the_way=True).outcome is Outcome.FAILED
    assert only(ledger).waived is None


@pytest.mark.parametrize("code", [WARNING, NOTICE])
def test_a_mild_cause_beside_the_way_turns_nothing_red(code: str, ledger_with: MakeLedger) -> None:
    """What only other checks need is blocked by it, known before or not."""
    ledger = ledger_with()
    blocked = ledger.blocked(FIRST, about(code), on_the_way=False)
    assert (blocked.outcome, blocked.blocked_by) == (Outcome.BLOCKED, code)
    assert ledger.blocked(SECOND, about(code), on_the_way=False).outcome is Outcome.BLOCKED
    assert only(ledger).severity in (Severity.WARNING, Severity.NOTICE)


def test_a_waived_cause_beside_the_way_turns_nothing_red(ledger_with: MakeLedger) -> None:
    ledger = ledger_with(waivers=(waiver(ERROR),))
    assert ledger.blocked(FIRST, about(ERROR), on_the_way=False).outcome is Outcome.BLOCKED
    assert only(ledger).waived


# --- waivers and severities --------------------------------------------------------------------------------


def test_a_waived_error_warns_and_stays_visible(ledger_with: MakeLedger) -> None:
    """Its reason and last day stand in the report."""
    ledger = ledger_with(waivers=(waiver(ERROR),))
    assert ledger.fails(FIRST, about(ERROR)).outcome is Outcome.WARNED
    assert only(ledger).waived == "the parent follows in March (until 2026-11-20)"
    assert only(ledger).severity is Severity.ERROR


def test_a_waived_error_fails_where_warnings_do(ledger_with: MakeLedger) -> None:
    ledger = ledger_with(waivers=(waiver(ERROR),), warnings_fail=True)
    assert ledger.fails(FIRST, about(ERROR)).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "other",
    [
        waiver(ERROR, until=dt.date(2026, 11, 19)),
        waiver(ERROR, subject="contoso.com"),
        waiver("starttls_stripped"),
    ],
    ids=["ended the day before", "other subject", "other code"],
)
def test_a_waiver_for_something_else_waives_nothing(other: Waiver, ledger_with: MakeLedger) -> None:
    ledger = ledger_with(waivers=(other,))
    assert ledger.fails(FIRST, about(ERROR, "contoso.net")).outcome is Outcome.FAILED


def test_a_waiver_for_one_subject_waives_that(ledger_with: MakeLedger) -> None:
    ledger = ledger_with(waivers=(waiver(ERROR, subject="contoso.com"),))
    assert ledger.fails(FIRST, about(ERROR, "contoso.com")).outcome is Outcome.WARNED


@pytest.mark.parametrize(
    ("severity", "outcome"),
    [
        (Severity.NOTICE, Outcome.PASSED),
        (Severity.WARNING, Outcome.WARNED),
        (Severity.ERROR, Outcome.FAILED),
    ],
)
@pytest.mark.parametrize("code", [ERROR, WARNING, NOTICE])
def test_the_profile_may_weigh_a_cause_itself(
    code: str, severity: Severity, outcome: Outcome, ledger_with: MakeLedger
) -> None:
    """``[severity]`` overrides knowledge, either way."""
    ledger = ledger_with(severity={code: severity})
    assert ledger.fails(FIRST, about(code)).outcome is outcome
    assert only(ledger).severity is severity


# --- predictions -------------------------------------------------------------------------------------------


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> Callable[[Finding | bool | None], None]:
    """Let the mail server decide this at stage auth."""

    def decide(decision: Finding | bool | None) -> None:
        table: Mapping[Stage, Any] = {Stage.AUTH: lambda seen: decision}
        monkeypatch.setattr(predictions, "DECISIONS", table)

    return decide


Decide = Callable[[Finding | bool | None], None]


def test_a_prediction_nobody_decided_stands_and_says_so(decided: Decide, ledger_with: MakeLedger) -> None:
    """An error that no server has decided is an error, marked as a prediction."""
    decided(None)
    ledger = ledger_with()
    assert ledger.fails(CLAIMS, about(PREDICTION)).outcome is Outcome.FAILED
    assert only(ledger).predicted


def test_a_prediction_that_came_true_is_the_red_line(decided: Decide, ledger_with: MakeLedger) -> None:
    """The refusal that ranks it first is blocked by it."""
    decided(about(PREDICTION))
    ledger = ledger_with()
    assert ledger.fails(CLAIMS, about(PREDICTION)).outcome is Outcome.FAILED
    assert ledger.fails(AUTH, about(PREDICTION)).blocked_by == PREDICTION
    assert not only(ledger).predicted


def test_a_refusal_nobody_can_name_is_blocked_by_the_prediction(
    decided: Decide, ledger_with: MakeLedger
) -> None:
    """So is whatever could not be asked because of it: one cause, one red line."""
    nameless = about("unexplained", Stage.AUTH)
    decided(nameless)
    ledger = ledger_with()
    assert ledger.fails(CLAIMS, about(PREDICTION)).outcome is Outcome.FAILED
    refused = ledger.fails(AUTH, nameless)
    after = ledger.blocked(CheckFrame("test_data.py::test_x", Stage.DATA, "x"), nameless, on_the_way=True)
    assert [one.outcome for one in (refused, after)] == [Outcome.BLOCKED, Outcome.BLOCKED]
    assert {refused.blocked_by, after.blocked_by} == {PREDICTION}
    assert [one.code for one in ledger.findings] == [PREDICTION]


@pytest.mark.parametrize(
    "decision", [True, about("smtp_auth_disabled_mailbox")], ids=["accepted", "another named cause"]
)
def test_a_refuted_prediction_is_a_notice(
    decision: Finding | bool, decided: Decide, ledger_with: MakeLedger
) -> None:
    """Servers decide: the check passes, and what was found is only good to know."""
    decided(decision)
    ledger = ledger_with()
    assert ledger.fails(CLAIMS, about(PREDICTION)).outcome is Outcome.PASSED
    assert only(ledger).severity is Severity.NOTICE


def test_a_refuted_prediction_may_still_warn(decided: Decide, ledger_with: MakeLedger) -> None:
    """What the profile calls a warning is one, whatever the server makes of it."""
    decided(True)
    ledger = ledger_with(severity={PREDICTION: Severity.WARNING})
    assert ledger.fails(CLAIMS, about(PREDICTION)).outcome is Outcome.WARNED


def test_a_cause_met_at_the_deciding_stage_is_a_fact(decided: Decide, ledger_with: MakeLedger) -> None:
    """At stage auth nothing is predicted any more, whatever was decided."""
    decided(True)
    ledger = ledger_with()
    assert ledger.fails(AUTH, about(PREDICTION)).outcome is Outcome.FAILED
    assert not only(ledger).predicted


# --- what is reported --------------------------------------------------------------------------------------


def test_findings_are_ordered_by_colour_then_stage(ledger_with: MakeLedger) -> None:
    """Red ones first, then warnings and waived errors, then notices; within each by stage."""
    ledger = ledger_with(waivers=(waiver("tcp_refused"),))
    ledger.fails(SECOND, about(NOTICE))
    ledger.fails(AUTH, about("smtp_auth_disabled_mailbox"))
    ledger.fails(SECOND, about(WARNING))
    ledger.fails(FIRST, about("tcp_refused"))
    ledger.fails(FIRST, about(ERROR))
    assert [one.code for one in ledger.findings] == [
        ERROR,
        "smtp_auth_disabled_mailbox",
        "tcp_refused",
        WARNING,
        NOTICE,
    ]


def test_a_finding_carries_its_explanation(ledger_with: MakeLedger) -> None:
    """Expected, seen, meaning, remedy with the user's own values, who, sources, alternatives."""
    causes = (
        Cause(
            ERROR,
            Certainty.LIKELY,
            {"seen": "250 SIZE", "host": "smtp.contoso.com", "port": "587"},
            "Look again.",
        ),
        Cause("starttls_stripped", Certainty.POSSIBLE, {}, "Look at the list from elsewhere."),
    )
    ledger = ledger_with()
    ledger.fails(FIRST, Finding(causes))
    told = only(ledger)
    assert (told.expected, told.seen, told.check) == (FIRST.expected, "250 SIZE", FIRST.id)
    assert told.title
    assert told.meaning
    assert told.references
    assert any("smtp.contoso.com" in step for step in told.remedy)
    assert "{" not in "".join(told.remedy)
    assert told.decide_by == "Look again."
    (other,) = told.alternatives
    assert (other.code, other.certainty, other.decide_by) == (
        "starttls_stripped",
        Certainty.POSSIBLE,
        "Look at the list from elsewhere.",
    )
