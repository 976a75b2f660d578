"""``--mask-addresses``: nobody's name is left, and a masked report replays to the same codes."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import pytest

from smtp_preflight import reporting
from smtp_preflight.evidence import encode
from smtp_preflight.model import (
    AccessToken,
    CheckResult,
    Grant,
    Outcome,
    Profile,
    RcptTo,
    Run,
    Seen,
    Send,
    SmtpReply,
    Stage,
    Until,
    Verdict,
)
from smtp_preflight.profile import settings_of
from smtp_preflight.reporting import json as report_json
from smtp_preflight.reporting.mask import masked, masked_run

STARTED = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alerts@contoso.com", "user1@contoso.com"),
        ("ALERTS@Contoso.com", "user1@contoso.com"),
        (
            "MAIL FROM:<alerts@contoso.com> from jim.alerts@contoso.com",
            "MAIL FROM:<user1@contoso.com> from user2@contoso.com",
        ),
        ("user=alerts@contoso.com", "user=user1@contoso.com"),
        ("Set-CASMailbox -Identity 'alerts@contoso.com'", "Set-CASMailbox -Identity 'user1@contoso.com'"),
        ("alerts@contoso.com.au, alerts@contoso.com.", "user2@contoso.com.au, user1@contoso.com."),
        (
            "https://x.example/?login_hint=alerts%40contoso.com",
            "https://x.example/?login_hint=user1%40contoso.com",
        ),
        ("https://x.example/?u=bob%40contoso.com", "https://x.example/?u=user2%40contoso.com"),
        ("live.com#alerts@contoso.com", "live.com#user1@contoso.com"),
        ("told live.com#bob@outlook.com so", "told live.com#user2@outlook.com so"),
        ("bob_contoso.com#EXT#@fabrikam.com", "user2@fabrikam.com"),
        ("Pat O'Brien <pat.o'brien@contoso.com>", "Pat O'Brien <user2@contoso.com>"),
        ('"pat smith"@contoso.com', "user2@contoso.com"),
        ("[alerts+tag@contoso.com]", "[user2@contoso.com]"),
        ("müller@contoso.com", "user2@contoso.com"),
        ("bob@[192.0.2.1]", "user2@[192.0.2.1]"),
        ("rua=mailto:dmarc@contoso.com", "rua=mailto:user2@contoso.com"),
        ("no address @ all: @contoso.com, 100%, a@", "no address @ all: @contoso.com, 100%, a@"),
        ("contoso.com", "contoso.com"),
    ],
)
def test_an_address_loses_its_local_part(text: str, shown: str) -> None:
    """Wherever it stands and however it is written; its domain stays, and what is no address."""
    report = {"settings": {"mailbox": {"value": "alerts@contoso.com"}}, "text": text}
    assert masked(report)["text"] == shown


def test_a_strange_address_is_known_by_the_place_where_it_stands_alone() -> None:
    """What no pattern would find in a text is found there because a setting holds it whole."""
    report = {
        "settings": {"mailbox": {"value": "a/b=c@contoso.com"}, "send": {"value": ["müller@contoso.com"]}},
        "checks": ["test_a[m\\xfcller@contoso.com]", "test_a[a/b=c@contoso.com]"],
        "url": "https://x.example/?u=a%2Fb%3Dc%40contoso.com",
    }
    assert masked(report) == {
        "settings": {"mailbox": {"value": "user1@contoso.com"}, "send": {"value": ["user2@contoso.com"]}},
        "checks": ["test_a[user2@contoso.com]", "test_a[user1@contoso.com]"],
        "url": "https://x.example/?u=user1%40contoso.com",
    }


def test_letters_that_only_look_equal_break_nothing() -> None:
    """A dotless i is taken for an i by patterns, and for itself by case folding."""
    report = {"settings": {"mailbox": {"value": "info@contoso.com"}}, "text": "\u0131nfo@contoso.com"}
    assert masked(report)["text"] == "user2@contoso.com"


def test_masking_again_changes_nothing() -> None:
    """The names are stable, and a report that is masked already stays as it is."""
    report = {"settings": {"mailbox": {"value": "b@x.com"}}, "b@x.com": ["a@x.com", "user1@x.com", 3, None]}
    once = masked(report)
    assert once == {
        "settings": {"mailbox": {"value": "user1@x.com"}},
        "user1@x.com": ["user2@x.com", "user3@x.com", 3, None],
    }
    assert masked(once) == once


def test_a_report_without_addresses_stays_as_it_is() -> None:
    """Nothing to mask is no trouble."""
    assert masked({"evidence": [1.5, True]}) == {"evidence": [1.5, True]}


@pytest.fixture
def run(profile_with: Callable[..., Profile], seen_with: Callable[..., Seen]) -> Run:
    """A run in which the mailbox and a recipient occur in every kind of place."""
    profile = profile_with(
        mailbox="Alerts@contoso.com", send=Send("alerts@contoso.com", ("probe@contoso.com",))
    )
    token = AccessToken(STARTED, 1432, "0123456789ab", opaque=False, claims={"upn": "ALERTS@contoso.com"})
    seen = seen_with(
        Grant(asked_at=STARTED, grant="refresh_token", token=token),
        (
            "probe@contoso.com",
            RcptTo(
                asked_at=STARTED,
                recipient="probe@contoso.com",
                reply=SmtpReply(250, ("<probe@contoso.com> ok",)),
            ),
        ),
        profile=profile,
    )
    seen = replace(seen, follow_ups=frozenset(seen.answers))
    check = CheckResult("test_rcpt_to.py::test_a[probe@contoso.com]", Stage.RCPT_TO, Outcome.PASSED)
    return Run(
        profile="contoso",
        provider="microsoft365",
        tool="smtp-preflight 0.1.0",
        knowledge="2026-11-20",
        started=STARTED,
        duration_s=1,
        until=Until.ENVELOPE,
        verdict=Verdict.READY,
        proven=Stage.RCPT_TO,
        not_asked=(),
        settings=settings_of(profile),
        findings=(),
        checks=(check,),
        selected=(check.id,),
        until_when=(),
        seen=seen,
        evidence=tuple(encode(seen)),
    )


def test_a_masked_run_keeps_everything_but_names(run: Run) -> None:
    """Every format is written from it: questions, claims, ids and settings speak of the same users."""
    changed = masked_run(run)
    assert changed.seen.profile.mailbox == "user1@contoso.com"
    assert changed.seen.profile.recipients == ("user2@contoso.com",)
    assert changed.checks[0].id == "test_rcpt_to.py::test_a[user2@contoso.com]"
    assert changed.seen.get(RcptTo, "user2@contoso.com")
    assert changed.seen.follow_ups == frozenset(changed.seen.answers)
    grant = changed.seen.get(Grant)
    assert grant
    assert grant.token
    assert grant.token.claim("upn") == "user1@contoso.com"
    assert (changed.started, changed.verdict, changed.until) == (run.started, run.verdict, run.until)
    assert changed.evidence == tuple(encode(changed.seen))


def test_masking_a_run_is_masking_its_report(run: Run) -> None:
    """Both ways lead to the same report."""
    assert report_json.plain(masked_run(run)) == masked(report_json.plain(run))


def test_a_masked_report_replays_to_the_same_codes(run_suite: Any, tmp_path: Path) -> None:
    """The lab's run with a fault, masked: valid, small, without a name, and judged as before."""
    first = run_suite("--profile=demo", "--fault=send_as_denied")
    report = masked(first.report())
    schema = json.loads((resources.files(reporting) / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(report)
    text = json.dumps(report, indent=1)
    assert "alerts@contoso" not in text.casefold()
    assert "probe@contoso" not in text.casefold()
    assert len(text) < 200_000
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    again = run_suite(f"--replay={path}")
    assert again.status == first.status == 1
    assert list(again.codes("demo-replay").values()) == list(first.codes().values())
    assert list(again.outcomes("demo-replay").values()) == list(first.outcomes().values())
