"""Hand-built runs become the files and lines they should: golden texts, and what every format promises.

Where a change of the golden texts is meant, call ``make golden`` and read the difference.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import inspect
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import junitparser
import lxml.etree  # type: ignore[import-untyped] # ships no types
import lxml.html  # type: ignore[import-untyped] # ships no types
import pytest
from pytest_html.basereport import BaseReport
from pytest_html.report_data import ReportData
from pytest_html.selfcontained_report import SelfContainedReport

from smtp_preflight import reporting
from smtp_preflight.evidence import encode
from smtp_preflight.knowledge import WHO as WHO_IDS
from smtp_preflight.model import (
    Alternative,
    Arrival,
    AuthExchange,
    Bounce,
    Certainty,
    Change,
    CheckResult,
    Deadline,
    DnsAnswer,
    DnsStatus,
    Ehlo,
    Failure,
    FoundMessage,
    Grant,
    HttpExchange,
    HttpFailure,
    Line,
    MailboxTrouble,
    OAuthError,
    Outcome,
    Question,
    ReportedFinding,
    Run,
    Seen,
    Setting,
    Severity,
    SinceLastReady,
    SmtpGreeting,
    SmtpReply,
    Stage,
    TcpAttempt,
    TcpConnects,
    TcpOutcome,
    Until,
    Verdict,
)
from smtp_preflight.probes.questions import ROWS
from smtp_preflight.reporting import (
    asked,
    github,
    glossary,
    html,
    junit,
    metrics,
    summary,
    terminal,
    way,
    wording,
)
from smtp_preflight.reporting import json as report_json

GOLDEN = Path(__file__).parent / "golden"
STARTED = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
PEER = "192.0.2.1:587"
PLACE = Path("reports/contoso")

# What a server may say to whoever reads its words: markup, escapes, fences, commands, a mirrored file name.
HOSTILE = (
    "220 <script>alert(1)</script> &lt;b&gt; ]]> \x1b[31mred\x1b[0m \x00 \u202egnp.exe\u202c ``` ~~~ '\"\r\n"
    "::error::forged\r\n##[group]forged\r\n| [x](javascript:alert(1)) <img src=x onerror=alert(1)> \u2028end"
)


# --- runs made by hand -------------------------------------------------------------------------------------


def at(seconds: float) -> dt.datetime:
    return STARTED + dt.timedelta(seconds=seconds)


def dialogue(*said: tuple[float, str, str]) -> tuple[Line, ...]:
    return tuple(Line(*one) for one in said)


def answers() -> list[Any]:
    """What was asked of a server up to its sign-in methods."""
    return [
        (
            "smtp.office365.com A",
            DnsAnswer(
                asked_at=at(0.001),
                took_s=0.012,
                name="smtp.office365.com",
                rdtype="A",
                status=DnsStatus.ANSWER,
                records=("192.0.2.1",),
            ),
        ),
        (
            "ipv4",
            TcpConnects(
                asked_at=at(0.014),
                took_s=0.021,
                family="ipv4",
                attempts=(TcpAttempt("192.0.2.1", 587, TcpOutcome.CONNECTED, 0.021),),
            ),
        ),
        SmtpGreeting(
            asked_at=at(0.036),
            took_s=0.03,
            peer=PEER,
            reply=SmtpReply(220, ("mail.contoso.com ready",)),
            lines=dialogue((0.03, "S", "220 mail.contoso.com ready")),
        ),
        (
            "after TLS",
            Ehlo(
                asked_at=at(0.2),
                took_s=0.02,
                peer=PEER,
                encrypted=True,
                reply=SmtpReply(250, ("mail.contoso.com", "AUTH XOAUTH2")),
                lines=dialogue(
                    (0.2, "C", "EHLO [192.0.2.9]"),
                    (0.22, "S", "250-mail.contoso.com"),
                    (0.22, "S", "250 AUTH XOAUTH2"),
                ),
            ),
        ),
    ]


def grant(**answer: Any) -> Grant:
    """The token endpoint's answer, by default that everything is well."""
    exchange = HttpExchange("POST", "https://login.microsoftonline.com/token", **({"status": 200} | answer))
    return Grant(asked_at=at(0.05), took_s=0.1, grant="client_credentials", http=exchange)


REFUSED = AuthExchange(
    asked_at=at(0.22),
    took_s=1.5,
    peer=PEER,
    user="alerts@contoso.com",
    reply=SmtpReply(535, ("5.7.139 Authentication unsuccessful",)),
    lines=dialogue(
        (0.22, "C", "AUTH XOAUTH2 <1432 bytes>"), (1.72, "S", "535 5.7.139 Authentication unsuccessful")
    ),
)

CHECKS = (
    CheckResult(
        "test_dns.py::test_host_has_an_address",
        Stage.DNS,
        Outcome.PASSED,
        "The host has an address.",
        duration_s=0.002,
    ),
    CheckResult("test_tcp.py::test_connects[ipv4]", Stage.TCP, Outcome.PASSED, "Each address connects."),
    CheckResult(
        "test_tcp.py::test_connects[ipv6]",
        Stage.TCP,
        Outcome.SKIPPED,
        "Each address connects.",
        reason="this machine has no IPv6",
    ),
    CheckResult("test_greeting.py::test_server_greets", Stage.GREETING, Outcome.PASSED, "The server greets."),
)
AUTH = CheckResult(
    "test_auth.py::test_sign_in_is_accepted", Stage.AUTH, Outcome.PASSED, "XOAUTH2 is accepted (RFC 4954)."
)
RCPT = CheckResult(
    "test_rcpt_to.py::test_recipient_is_accepted[probe@contoso.com]",
    Stage.RCPT_TO,
    Outcome.PASSED,
    "Each recipient is accepted.",
)

CAUSE = ReportedFinding(
    id="smtp_auth_disabled_mailbox",
    code="smtp_auth_disabled_mailbox",
    subject="",
    severity=Severity.ERROR,
    certainty=Certainty.LIKELY,
    transient=False,
    waived=None,
    stage=Stage.AUTH,
    check=AUTH.id,
    who="exchange_admin",
    title="SMTP AUTH is switched off for this mailbox",
    expected="XOAUTH2 is accepted (RFC 4954).",
    seen="535 5.7.139 Authentication unsuccessful",
    meaning="The token is good. Exchange refuses to let `alerts@contoso.com` submit mail over SMTP.",
    remedy=(
        "Look: `Get-CASMailbox -Identity 'alerts@contoso.com' | fl SmtpClientAuthenticationDisabled`.",
        "Allow it: `Set-CASMailbox -Identity 'alerts@contoso.com' -SmtpClientAuthenticationDisabled $false`.",
        "Wait a few minutes, then run this again.",
    ),
    references=(
        "RFC 4954 section 6",
        "https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission",
    ),
    alternatives=(
        Alternative(
            "smtp_auth_disabled_tenant", Certainty.POSSIBLE, "Look at `Get-TransportConfig` of the tenant."
        ),
        Alternative("security_defaults", Certainty.POSSIBLE, ""),
    ),
    decide_by="`Get-CASMailbox -Identity 'alerts@contoso.com'`: True settles it.",
)
WARNING = replace(
    CAUSE,
    id="client_secret_expires_soon",
    code="client_secret_expires_soon",
    severity=Severity.WARNING,
    stage=Stage.PROFILE,
    check="test_profile.py::test_secret_lasts",
    who="app_owner",
    title="The client secret ends soon",
    seen="",
    remedy=("Create a new one.",),
    references=(),
    alternatives=(),
    decide_by="",
)
NOTICE = replace(
    WARNING,
    id="password_sign_in_offered:mail.contoso.com",
    code="password_sign_in_offered",
    subject="mail.contoso.com",
    severity=Severity.NOTICE,
    title="The server still offers passwords",
)


def make_run(seen: Seen, **changes: Any) -> Run:
    """A run of Microsoft 365 that is ready, with what was seen."""
    whole: dict[str, Any] = {
        "profile": "contoso",
        "provider": "microsoft365",
        "tool": "smtp-preflight 0.1.0",
        "knowledge": "2026-11-20",
        "started": seen.started,
        "duration_s": 1.72,
        "until": Until.ENVELOPE,
        "verdict": Verdict.READY,
        "proven": Stage.RCPT_TO,
        "not_asked": (Stage.DATA,),
        "settings": {
            "mailbox": Setting("alerts@contoso.com", "profile"),
            "oauth.client_secret": Setting("env:CONTOSO_CLIENT_SECRET", "profile"),
            "pop.check": Setting(False, "default"),
            "send.to": Setting(["probe@contoso.com"], "profile"),
        },
        "findings": (),
        "checks": (*CHECKS, AUTH, RCPT),
        "selected": tuple(one.id for one in (*CHECKS, AUTH, RCPT)),
        "until_when": (
            Deadline("client_secret", dt.date(2026, 12, 1), 11, "profile"),
            Deadline("server_certificate", dt.date(2026, 11, 21), 1, "the certificate shown"),
        ),
        "seen": seen,
        "evidence": tuple(encode(seen)),
    }
    return Run(**(whole | changes))


Make = Callable[..., Seen]


@pytest.fixture
def healthy(seen_with: Make) -> Run:
    return make_run(seen_with(*answers(), grant()))


@pytest.fixture
def failing(seen_with: Make) -> Run:
    blocked = replace(RCPT, outcome=Outcome.BLOCKED, code=CAUSE.code, blocked_by=CAUSE.id)
    warned = CheckResult(
        WARNING.check, Stage.PROFILE, Outcome.WARNED, "The secret lasts for a while.", code=WARNING.code
    )
    noticed = CheckResult(
        "test_auth_offered.py::test_offered", Stage.AUTH_OFFERED, Outcome.PASSED, code=NOTICE.code
    )
    return make_run(
        seen_with(*answers(), grant(), REFUSED),
        verdict=Verdict.NOT_READY,
        proven=Stage.GREETING,
        findings=(CAUSE, WARNING, replace(NOTICE, check=noticed.id)),
        checks=(
            warned,
            *CHECKS,
            noticed,
            replace(AUTH, outcome=Outcome.FAILED, code=CAUSE.code, duration_s=0.004),
            blocked,
        ),
        until_when=(Deadline("client_secret", dt.date(2026, 11, 17), -3, "profile"),),
        since_last_ready=SinceLastReady(
            STARTED - dt.timedelta(days=1),
            (
                Change(Stage.TLS, "TLS handshake: issuer", "CN=Good CA", "CN=Proxy"),
                Change(None, "knowledge", "2026-11-19", "2026-11-20"),
            ),
        ),
    )


@pytest.fixture
def hostile(seen_with: Make) -> Run:
    """Every text that can come from outside is hostile."""
    greeting = SmtpGreeting(
        asked_at=at(0.01), took_s=0.02, peer=PEER, lines=dialogue((0.02, "S", HOSTILE)), detail=HOSTILE
    )
    finding = replace(
        CAUSE,
        id=f"unexplained:{HOSTILE}",
        code="unexplained",
        subject=HOSTILE,
        stage=Stage.GREETING,
        check=f"test_greeting.py::test_server_greets[{HOSTILE}]",
        title=f"Odd: {HOSTILE}",
        expected=HOSTILE,
        seen=HOSTILE,
        meaning=f"::warning::x {HOSTILE}",
        remedy=(f"Ask for `{HOSTILE}`.", f"x `y ::set-output name=a::b {HOSTILE}"),
        references=("javascript:alert(1)", 'https://example.org/"><script>alert(1)</script>'),
        alternatives=(Alternative("other", Certainty.POSSIBLE, HOSTILE),),
        decide_by=HOSTILE,
    )
    return make_run(
        seen_with(greeting),
        profile="hostile",
        verdict=Verdict.NOT_READY,
        proven=None,
        findings=(finding, replace(finding, severity=Severity.NOTICE, id="x")),
        checks=(
            CheckResult(finding.check, Stage.GREETING, Outcome.FAILED, HOSTILE, "unexplained"),
            CheckResult("test_a.py::test_a", Stage.TLS, Outcome.SKIPPED, HOSTILE, reason=HOSTILE),
            CheckResult("test_a.py::test_b", Stage.TLS, Outcome.ERROR, HOSTILE, reason=HOSTILE),
            CheckResult("test_a.py::test_c", Stage.TLS, Outcome.BLOCKED, HOSTILE, "unexplained", finding.id),
        ),
        settings={"smtp.host": Setting(HOSTILE, "profile")},
        environment={"OpenSSL": HOSTILE},
        since_last_ready=SinceLastReady(
            STARTED, (Change(Stage.DNS, HOSTILE, HOSTILE, ""), Change(None, "x", "", HOSTILE))
        ),
    )


@pytest.fixture(params=["healthy", "failing", "hostile"])
def run(request: pytest.FixtureRequest) -> Run:
    """Each of the runs made by hand."""
    made: Run = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def no_step_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(summary.STEP_SUMMARY, raising=False)


pytestmark = pytest.mark.usefixtures("no_step_summary")


def written(module: Any, run: Run, folder: Path) -> str:
    """What a format writes."""
    path = folder / module.NAME
    module.write(run, path)
    text: str = path.read_text(encoding="utf-8")
    return text


def page(run: Run, folder: Path) -> Any:
    """The HTML report, parsed."""
    return lxml.html.document_fromstring(written(html, run, folder))


def words(element: Any) -> str:
    """The text a reader sees of an element, its parts apart, blanks folded."""
    return " ".join(" ".join(element.itertext()).split())


def section(document: Any, name: str) -> str:
    return words(document.get_element_by_id(name))


# --- golden texts ------------------------------------------------------------------------------------------


def _terminal(run: Run, _folder: Path) -> str:
    told = "\n\n".join("\n".join(terminal.finding_lines(one)) for one in run.findings)
    return "\n".join([*terminal.summary_lines(run, PLACE), "", told])


def _annotations(run: Run, _folder: Path) -> str:
    return "\n".join(github.annotations(run))


def _metrics(run: Run, folder: Path) -> str:
    metrics.write_metrics(metrics.samples_of(run), folder / "metrics.prom")
    return (folder / "metrics.prom").read_text(encoding="utf-8")


def _page_in_words(run: Run, folder: Path) -> str:
    """What a reader sees of the page, but for what differs from machine to machine."""
    document = page(run, folder)
    others = "//head | //script | //template | //*[@id='environment-of-run'] | //*[@id='table']"
    for part in document.xpath(others):
        part.drop_tree()
    return "\n".join(filter(None, (" ".join(line.split()) for line in document.itertext())))


FORMS: dict[str, Callable[[Run, Path], str]] = {
    "summary.md": lambda run, folder: written(summary, run, folder),
    "junit.xml": lambda run, folder: written(junit, run, folder),
    "report.json": lambda run, folder: written(report_json, run, folder),
    "report.html.txt": _page_in_words,
    "terminal.txt": _terminal,
    "github.txt": _annotations,
    "metrics.prom": _metrics,
}


@pytest.mark.parametrize("name", ["healthy", "failing", "hostile"])
@pytest.mark.parametrize("form", FORMS)
def test_a_run_is_written_as_the_golden_file_shows(
    name: str, form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Nothing in these texts changes without somebody reading the change."""
    text = FORMS[form](request.getfixturevalue(name), tmp_path).rstrip() + "\n"
    golden = GOLDEN / f"{name}.{form}"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_a_run_is_published_in_every_format(healthy: Run, tmp_path: Path) -> None:
    """A format is found by being there; what is for many runs at once is none."""
    place = reporting.publish(healthy, tmp_path)
    assert place == tmp_path / "contoso"
    files = {one.name for one in place.iterdir() if one.is_file()}
    assert files == {"report.html", "report.json", "junit.xml", "summary.md"}


def test_a_replay_is_published_beside_the_run_it_judges(healthy: Run, tmp_path: Path) -> None:
    """The old run's reports stay as they were."""
    assert reporting.publish(replace(healthy, replayed_from="x"), tmp_path).name == "contoso-replay"


# --- report.html -------------------------------------------------------------------------------------------


def test_the_first_thing_read_is_verdict_and_cause(failing: Run, tmp_path: Path) -> None:
    """Verdict, cause, who, remedy and evidence stand before everything else, without scripts."""
    document = page(failing, tmp_path)
    assert document.find(".//title").text == "contoso: not ready - smtp-preflight"
    assert words(document.find(".//h1")) == "Not ready"
    cause = section(document, "cause")
    for expected in (
        "SMTP AUTH is switched off for this mailbox",
        "an administrator of the mail system",
        "likely: other causes can look the same",
        "smtp_auth_disabled_mailbox",
        "535 5.7.139 Authentication unsuccessful",
        "The token is good.",
        "Set-CASMailbox -Identity 'alerts@contoso.com'",
        "smtp_auth_disabled_tenant",
    ):
        assert expected in cause
    ids = [one.get("id") for one in document.iterfind(".//section")]
    assert ids[:6] == ["cause", "since", "findings", "admin", "way", "until-when"]


def test_a_healthy_run_shows_no_cause(healthy: Run, tmp_path: Path) -> None:
    """Where nothing is wrong the page says how far it is proven, and no more."""
    document = page(healthy, tmp_path)
    assert words(document.find(".//h1")) == "Ready"
    assert "Proven up to the recipients (RCPT TO); no message was sent." in words(document.find(".//header"))
    assert not document.xpath("//*[contains(@class, 'finding')]")


def test_commands_can_be_copied_whole(failing: Run, tmp_path: Path) -> None:
    """What stands in backticks is code, word by word, so that a line breaks between options only."""
    document = page(failing, tmp_path)
    steps = document.xpath("//section[@id='cause']//ol[@class='remedy']/li")
    assert steps[1].find("code").text_content() == CAUSE.remedy[1].split("`")[1]
    assert steps[1].text_content() == CAUSE.remedy[1].replace("`", "")


def test_the_way_shows_every_stage_in_words(failing: Run, tmp_path: Path) -> None:
    """Each stage says in text what became of it, and how long it took."""
    document = page(failing, tmp_path)
    row = [words(one) for one in document.xpath("//ol[@class='way']/li")]
    assert row == [
        "Profile ! warned",
        "DNS ✓ passed 12 ms",
        "TCP ✓ passed 21 ms",
        "Greeting ✓ passed 30 ms",
        "AUTH offered ✓ passed",
        "AUTH ✗ failed 1.50 s",
        "RCPT TO ⊘ blocked",
        "DATA · not asked",
    ]


def test_the_time_line_is_a_table_with_bars(failing: Run, tmp_path: Path) -> None:
    """Every question has its times in text, and a bar that lies within the picture."""
    document = page(failing, tmp_path)
    rows = document.xpath("//table[@class='waterfall']/tbody/tr")
    assert [words(one) for one in rows] == [
        "DNS smtp.office365.com A 1.0 ms 12 ms",
        "connect ipv4 14 ms 21 ms",
        "greeting 36 ms 30 ms",
        "token request 50 ms 100 ms",
        "EHLO after TLS 200 ms 20 ms",
        "AUTH 220 ms 1.50 s",
    ]
    for bar in document.xpath("//*[@class='took']"):
        assert float(bar.get("x")) >= 0
        assert float(bar.get("x")) + float(bar.get("width")) <= 1000.1


def test_the_transcript_marks_the_failing_line(failing: Run, tmp_path: Path) -> None:
    """SMTP and HTTP are one dialogue in the order of time; where the cause shows is marked in words."""
    document = page(failing, tmp_path)
    rows = [words(one) for one in document.xpath("//table[@class='transcript']/tbody/tr")]
    assert rows == [
        "36 ms S 220 mail.contoso.com ready",
        "50 ms C POST https://login.microsoftonline.com/token",
        "150 ms S HTTP 200 (token request)",
        "200 ms C EHLO [192.0.2.9]",
        "220 ms S 250-mail.contoso.com",
        "220 ms S 250 AUTH XOAUTH2",
        "220 ms C AUTH XOAUTH2 <1432 bytes>",
        "1.72 s S 535 5.7.139 Authentication unsuccessful ← the cause shows here",
    ]


def test_all_checks_are_there_without_scripts(failing: Run, tmp_path: Path) -> None:
    """Every check with its outcome, and the cause that blocks it."""
    document = page(failing, tmp_path)
    checks = section(document, "checks")
    assert all(one.id in checks for one in failing.checks)
    assert "⊘ blocked blocked by smtp_auth_disabled_mailbox" in checks
    assert "skipped this machine has no IPv6" in checks


def test_settings_say_where_they_come_from(healthy: Run, tmp_path: Path) -> None:
    """A secret is named and never shown; values look as they do in a profile."""
    settings = section(page(healthy, tmp_path), "settings")
    assert "oauth.client_secret env:CONTOSO_CLIENT_SECRET profile" in settings
    assert "pop.check false default" in settings
    assert "send.to probe@contoso.com profile" in settings


def test_only_terms_that_occur_are_explained(failing: Run, tmp_path: Path) -> None:
    """The glossary is as short as the report allows."""
    document = page(failing, tmp_path)
    terms = [one.text for one in document.xpath("//section[@id='glossary']//dt")]
    assert {"AUTH", "SMTP", "XOAUTH2", "token"} <= set(terms)
    assert "DKIM" not in terms


def test_a_report_may_need_no_glossary(healthy: Run, tmp_path: Path) -> None:
    """No heading stands above nothing: not where no term occurs, nothing was asked and nothing ends."""
    bare = replace(healthy, checks=(), evidence=(), until_when=(), not_asked=())
    document = page(bare, tmp_path)
    assert not document.xpath("//section[@id='glossary'] | //section[@id='until-when']")
    assert "Nothing was asked." in section(document, "time")
    assert "Nothing was said to a server." in section(document, "transcript")


def test_until_when_is_said_in_days(failing: Run, healthy: Run, tmp_path: Path) -> None:
    """What has ended is told apart from what will."""
    assert "client secret 17 November 2026 ended 3 days ago" in section(page(failing, tmp_path), "until-when")
    assert "server certificate 21 November 2026 1 day left" in section(page(healthy, tmp_path), "until-when")


def test_the_environment_names_what_judged(failing: Run, tmp_path: Path) -> None:
    """Versions, dates of knowledge, the machine that asked, and whether a proxy was in between."""
    exchange = grant(proxy="http://proxy.contoso.com:3128")
    run = replace(
        failing,
        replayed_from="old/report.json",
        recorded_knowledge="2026-10-01",
        environment={"OpenSSL": "OpenSSL 3.0.15"},
        evidence=(*failing.evidence[:2], _entry(exchange)),
    )
    shown = section(page(run, tmp_path), "environment-of-run")
    for expected in (
        "Tool smtp-preflight 0.1.0",
        "Knowledge of 2026-11-20",
        "Knowledge of the recorded run 2026-10-01",
        "Replayed from old/report.json",
        "OpenSSL OpenSSL 3.0.15",
        "HTTP proxy http://proxy.contoso.com:3128",
    ):
        assert expected in shown


def test_waived_predicted_and_transient_findings_say_so(failing: Run, tmp_path: Path) -> None:
    """What changes the weight of a finding stands in words beside it."""
    finding = replace(CAUSE, predicted=True, transient=True, waived="known (until 2027-03-31)")
    cause = section(page(replace(failing, findings=(finding,)), tmp_path), "cause")
    assert "A prediction: no server has decided it in this run." in cause
    assert "May pass by itself: run again before changing anything." in cause
    assert "Waived: known (until 2027-03-31)." in cause


def test_the_page_can_be_found_one_s_way_in(run: Run, tmp_path: Path) -> None:
    """Language, landmarks, a heading for each section, headed tables, no skipped heading level."""
    document = page(run, tmp_path)
    assert document.get("lang") == "en"
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert len(document.findall(f".//{landmark}")) == 1
    for one in document.iterfind(".//section"):
        assert document.get_element_by_id(one.get("aria-labelledby")).tag == "h2"
    for table in document.xpath("//table[not(ancestor::details[@class='stock'])]"):
        assert table.xpath("./thead//th[@scope='col']")
    levels = [int(one.tag[1]) for one in document.xpath("//h1 | //h2 | //h3 | //h4")]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = document.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert all(one.lstrip("#") in ids for one in document.xpath("//nav//@href"))


def test_the_page_loads_nothing(run: Run, tmp_path: Path) -> None:
    """No script, style, image or font from anywhere; links lead to https only."""
    document = page(run, tmp_path)
    assert [one.tag for one in document.xpath("//*[@src]")] == ["img"]  # in a template, and empty
    assert document.xpath("//@src") == ["data:,"]
    assert not document.xpath("//link | //iframe | //object | //embed | //base")
    hrefs = [one for one in document.xpath("//@href") if not one.startswith("#")]
    assert all(one.startswith("https://") for one in hrefs)


def test_the_policy_permits_what_is_inside_and_nothing_else(run: Run, tmp_path: Path) -> None:
    """The Content Security Policy names our style and script by digest; there are no inline handlers."""
    document = page(run, tmp_path)
    policy = document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]

    def digest(text: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    (style,), (script,) = document.xpath("//style/text()"), document.xpath("//script/text()")
    assert f"style-src '{digest(style)}'" in policy
    assert f"script-src '{digest(script)}'" in policy
    assert policy.startswith("default-src 'none';")
    assert not document.xpath("//@style | //@*[starts-with(name(), 'on')]")


def test_hostile_text_stays_text_in_html(hostile: Run, healthy: Run, tmp_path: Path) -> None:
    """A banner brings no element and no attribute into the page, nor control characters or mirrored text."""
    document = page(hostile, tmp_path)
    assert len(document.xpath("//script")) == 1
    assert [one.get("src") for one in document.xpath("//img")] == ["data:,"]
    assert "<script>alert(1)</script>" in section(document, "cause")
    assert not document.xpath("//a[starts-with(@href, 'javascript')]")
    source = written(html, hostile, tmp_path)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", source)
    known = {one.tag for one in page(healthy, tmp_path).iter() if isinstance(one.tag, str)}
    known |= {"article", "code", "span", "pre", "h3", "h4", "summary", "a", "mark", "dl", "ol", "li", "ul"}
    assert {one.tag for one in document.iter() if isinstance(one.tag, str)} <= known


def test_hostile_text_stays_text_in_the_table_that_scripts_draw(hostile: Run, tmp_path: Path) -> None:
    """pytest-html inserts ids and logs as they are, so both are escaped before it gets them."""
    data = json.loads(page(hostile, tmp_path).get_element_by_id("data-container").get("data-jsonblob"))
    for tests in data["tests"].values():
        for one in tests:
            cells = lxml.html.fragment_fromstring("".join([*one["resultsTableRow"], one["log"]]), "div")
            assert {element.tag for element in cells.iter()} <= {"div", "td"}


def test_pytest_html_still_works_as_we_use_it(healthy: Run, tmp_path: Path) -> None:
    """What we take from pytest-html is not its public face: a change has to be noticed here."""
    version = tuple(int(part) for part in metadata.version("pytest-html").split(".")[:2])
    assert (4, 2) <= version < (5, 0)
    assert list(inspect.signature(SelfContainedReport).parameters) == [
        "report_path",
        "config",
        "report_data",
        "template",
        "css",
    ]
    assert list(inspect.signature(BaseReport._write_report).parameters) == ["self", "rendered_report"]
    assert list(inspect.signature(ReportData).parameters) == ["config"]
    document = page(healthy, tmp_path)
    script = (resources.files("pytest_html.resources") / "app.js").read_text(encoding="utf-8")
    needed = set(re.findall(r"getElementById\('([\w-]+)'\)", script)) - {"not-found-message"}
    assert needed <= set(document.xpath("//@id"))
    filters = re.search(r"possibleFilters = \[(.*?)\]", script, re.DOTALL)
    assert filters
    assert set(re.findall(r"'(\w+)'", filters[1])) <= set(document.xpath("//input/@data-test-result"))


def test_pytest_html_s_own_table_is_last_and_closed(failing: Run, tmp_path: Path) -> None:
    """Its data holds every check with pytest's outcome."""
    document = page(failing, tmp_path)
    assert document.xpath("//section")[-1].get("id") == "table"
    assert document.xpath("//details[@class='stock']")[0].get("open") is None
    data = json.loads(document.get_element_by_id("data-container").get("data-jsonblob"))
    results = {
        name: re.sub("<.*?>", "", tests[0]["resultsTableRow"][0]) for name, tests in data["tests"].items()
    }
    assert results[AUTH.id] == "Failed"
    assert results[RCPT.id] == "Skipped"
    assert results[WARNING.check] == "Passed"
    assert document.xpath("//p[@class='run-count']/text()") != []


def test_a_broken_check_is_an_error_in_pytest_html_s_table(hostile: Run, tmp_path: Path) -> None:
    """Our own fault is never shown as a failed expectation."""
    data = json.loads(page(hostile, tmp_path).get_element_by_id("data-container").get("data-jsonblob"))
    assert "Error" in data["tests"]["test_a.py::test_b"][0]["resultsTableRow"][0]


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_colours_have_the_contrast_that_reading_needs(scheme: str) -> None:
    """WCAG 2.2 AA: at least 4.5 to 1 for every colour of text on every ground it stands on."""
    css = (resources.files(reporting) / "report.css").read_text(encoding="utf-8")
    rules = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours: dict[str, str] = {}
    for rule in {"light": rules[:1], "dark": rules[:2], "print": [rules[0], rules[2]]}[scheme]:
        colours |= dict(re.findall(r"--([\w-]+): (#\w{3,6});", rule))

    def luminance(colour: str) -> float:
        plain = colour.lstrip("#")
        plain = plain if len(plain) == 6 else "".join(2 * one for one in plain)
        parts = [int(plain[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        red, green, blue = (
            one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for text, ground in (
        *((text, "paper") for text in ("ink", "quiet", "link", "red", "amber", "green")),
        *((text, "raised") for text in ("ink", "quiet", "red")),
        *((text, "red-soft") for text in ("ink", "quiet", "red")),
        ("amber", "amber-soft"),
    ):
        brighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (brighter + 0.05) / (darker + 0.05) >= 4.5, f"{text} on {ground}"


# --- what the page is made of ------------------------------------------------------------------------------


def _entry(observation: Any, subject: str = "") -> dict[str, Any]:
    """An observation as evidence holds it."""
    kind = type(observation)
    seen = Seen(None, STARTED, {Question(kind, subject): observation})  # type: ignore[arg-type] # no profile needed
    (entry,) = encode(seen)
    return entry


def test_everything_that_can_be_asked_has_a_name_for_readers() -> None:
    """A new observation needs its line in the table of kinds, or its time belongs to no stage."""
    assert {kind.__name__ for kind in ROWS} <= set(asked.KINDS)


def test_what_a_newer_version_asked_is_shown_by_its_kind(healthy: Run) -> None:
    """Evidence of a kind not known here has no stage, and breaks nothing."""
    entry = _entry(grant()) | {"kind": "Telepathy", "subject": "x"}
    (one,) = asked.asked(replace(healthy, evidence=(entry,)))
    assert (one.what, one.stage) == ("Telepathy x", None)
    assert asked.stage_times(replace(healthy, evidence=(entry,))) == {}


def test_what_runs_side_by_side_counts_once(healthy: Run) -> None:
    """A stage's time is that for which somebody waited."""

    def answer(began_s: float, took_s: float) -> dict[str, Any]:
        observation = DnsAnswer(
            asked_at=at(began_s), took_s=took_s, name="x", rdtype="A", status=DnsStatus.NODATA
        )
        return _entry(observation)

    run = replace(healthy, evidence=(answer(0, 2), answer(1, 3), answer(1, 0.5), answer(10, 1)))
    assert asked.stage_times(run) == {Stage.DNS: 5}


@pytest.mark.parametrize(
    ("answer", "error", "line"),
    [
        (
            {"status": 401},
            OAuthError("invalid_client", "AADSTS7000215"),
            ("S", "HTTP 401 invalid_client"),
        ),
        ({"status": 200}, None, ("S", "HTTP 200")),
        (
            {"status": None, "failure": HttpFailure.TIMEOUT, "detail": "30 s"},
            None,
            ("-", "timeout 30 s"),
        ),
    ],
)
def test_an_http_exchange_is_two_lines(
    healthy: Run, answer: dict[str, Any], error: OAuthError | None, line: tuple[str, str]
) -> None:
    """The request, and how it was answered or why not."""
    entry = _entry(replace(grant(**answer), error=error))
    spoken = asked.transcript(replace(healthy, evidence=(entry,)))
    assert [(one.who, one.text) for one in spoken] == [
        ("C", "POST https://login.microsoftonline.com/token"),
        line,
    ]


def test_the_metadata_s_error_code_is_shown(healthy: Run) -> None:
    """Discovery says its error as a plain text."""
    entry = _entry(grant(status=400))
    entry["value"]["error"] = "invalid_tenant"
    spoken = asked.transcript(replace(healthy, evidence=(entry,)))
    assert spoken[-1].text == "HTTP 400 invalid_tenant"


def test_where_nothing_quoted_was_said_the_stage_s_own_trouble_is_marked(failing: Run) -> None:
    """What happened to the connection tells more than the last line before it."""
    lost = replace(
        REFUSED,
        reply=None,
        failure=Failure.CLOSED,
        lines=dialogue((0.22, "C", "AUTH XOAUTH2 <1432 bytes>"), (0.3, "-", "closed")),
    )
    run = replace(failing, findings=(replace(CAUSE, seen="closed by the server"),), evidence=(_entry(lost),))
    assert [one.text for one in asked.transcript(run) if one.marked] == ["closed"]


def test_a_cause_that_no_line_shows_marks_none(failing: Run) -> None:
    """Neither quoted nor of a stage that said anything: better no mark than a wrong one."""
    run = replace(failing, findings=(replace(CAUSE, seen="", stage=Stage.DNS),))
    assert not any(one.marked for one in asked.transcript(run))


def test_the_way_leaves_out_what_the_profile_does_not_call_for(healthy: Run) -> None:
    """No stage stands there that nobody meant to ask."""
    assert [one.stage for one in way.way(healthy)] == [
        Stage.DNS,
        Stage.TCP,
        Stage.GREETING,
        Stage.AUTH,
        Stage.RCPT_TO,
        Stage.DATA,
    ]


def test_every_definition_is_a_sentence() -> None:
    """The glossary's words are there to be read."""
    assert all(one.endswith(".") and one[0].isupper() for one in glossary.definitions().values())


def test_a_term_is_found_as_a_whole_word_only() -> None:
    """`roles` is no part of `enroles`, and `AUTH` is not `OAUTH`."""
    assert list(glossary.occurring("OAUTH enroles")) == []
    assert list(glossary.occurring("AUTH roles")) == ["AUTH", "roles"]


# --- words -------------------------------------------------------------------------------------------------


def test_every_id_has_its_words() -> None:
    """No report meets a stage, a verdict, a certainty or a `who` that it cannot say."""
    assert set(wording.WHO) == set(WHO_IDS)
    assert set(wording.STAGES) == set(wording.LABELS) == set(Stage)
    assert set(wording.VERDICTS) == set(Verdict)
    assert set(wording.CERTAINTIES) == set(Certainty)


@pytest.mark.parametrize(
    ("proven", "sentence"),
    [
        (None, "nothing on the message's way is proven yet."),
        (Stage.AUTH, "proven up to the sign-in (AUTH); no message was sent."),
        (Stage.DATA, "a message was accepted by the server; that it arrives was not checked."),
        (Stage.DELIVERY, "a message was sent and found in the mailbox."),
    ],
)
def test_the_sentence_says_how_far_mail_gets(healthy: Run, proven: Stage | None, sentence: str) -> None:
    """A login alone proves little, so the verdict never stands without this."""
    assert wording.proven_sentence(replace(healthy, proven=proven)) == sentence


FOUND = FoundMessage("INBOX", in_inbox=True, author="alerts@contoso.com")
OF_DELIVERY = replace(CAUSE, stage=Stage.DELIVERY)


@pytest.mark.parametrize(
    ("looks", "findings", "sentence"),
    [
        ({"looks": 3}, (), "a message was accepted by the server, looked for in the mailbox, and not found."),
        ({"bounce": Bounce("5.1.1")}, (), "a message was accepted by the server, and came back undelivered."),
        (
            {"trouble": MailboxTrouble.HUNG_UP},
            (),
            "a message was accepted by the server; looking for it in the mailbox ended early.",
        ),
        (
            {"message": FOUND},
            (OF_DELIVERY,),
            "a message was sent and found in the mailbox, but not as it should be.",
        ),
        (
            {"message": FOUND},
            (CAUSE, replace(OF_DELIVERY, severity=Severity.WARNING)),
            "a message was sent and found in the mailbox.",
        ),
    ],
)
def test_the_sentence_says_what_became_of_the_message(
    healthy: Run,
    seen_with: Make,
    looks: dict[str, Any],
    findings: tuple[ReportedFinding, ...],
    sentence: str,
) -> None:
    """What was looked for and not found was not left unchecked."""
    arrival = Arrival(asked_at=at(2), mailbox="probe@contoso.com", **looks)
    seen = seen_with(("probe@contoso.com", arrival))
    run = replace(healthy, seen=seen, proven=Stage.DATA, findings=findings)
    assert wording.proven_sentence(run) == sentence


def test_the_look_that_would_settle_a_likely_cause_is_in_every_report(failing: Run, tmp_path: Path) -> None:
    """A certain cause needs none."""
    look = "`Get-CASMailbox -Identity 'alerts@contoso.com'`: True settles it."
    certain = replace(failing, findings=(replace(CAUSE, certainty=Certainty.CERTAIN),))
    for run, there in ((failing, True), (certain, False)):
        first = run.findings[0]
        assert ("How to be sure Get-CASMailbox -Identity" in section(page(run, tmp_path), "cause")) is there
        assert (f"**How to be sure**: {look}\n" in written(summary, run, tmp_path)) is there
        assert (f"How to be sure: {look}\n" in written(junit, run, tmp_path)) is there
        for lines in (terminal.summary_lines(run, PLACE), terminal.finding_lines(first)):
            assert (f"To be sure: {look}" in " ".join(lines)) is there


def test_an_incomplete_run_says_what_is_missing(healthy: Run) -> None:
    """Broken, cut short, left out: in the order in which it matters."""
    run = replace(healthy, verdict=Verdict.INCOMPLETE)
    assert wording.reason_incomplete(healthy) == ""
    assert wording.reason_incomplete(run) == "Not asked: DATA."
    assert wording.reason_incomplete(replace(run, not_asked=())) == "Not every check was selected."
    cut = replace(run, seen=replace(run.seen, cut_short="interrupted"))
    assert wording.reason_incomplete(cut).startswith("The run was interrupted")
    broken = replace(cut, checks=(replace(AUTH, outcome=Outcome.ERROR, reason="ProbeBroken"),))
    assert "(ProbeBroken)" in wording.reason_incomplete(broken)
    assert wording.counts(replace(run, checks=())) == "nothing was checked"


# --- junit.xml ---------------------------------------------------------------------------------------------

# Jenkins' junit-10.xsd, as far as we use it: element -> attributes and children it may have.
SCHEMA: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "time", "classname"}, {"skipped", "error", "failure", "system-out"}),
    "skipped": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "failure": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}


def test_junit_has_the_shape_that_jenkins_reads(run: Run, tmp_path: Path) -> None:
    """Only elements, attributes and times of junit-10.xsd."""
    root = lxml.etree.fromstring(written(junit, run, tmp_path).encode())
    for element in root.iter():
        attributes, children = SCHEMA[element.tag]
        assert set(element.attrib) <= attributes
        assert {one.tag for one in element} <= children
    (suite,) = root
    assert re.fullmatch(r"\d+\.\d{3}", suite.get("time"))
    assert {"name", "tests", "failures", "errors"} <= set(suite.attrib)


def test_junit_is_valid_against_jenkins_own_schema(run: Run, tmp_path: Path, junit_schema: Path) -> None:
    """Nothing in it is unknown to Jenkins, nor of another kind or in another place."""
    schema = lxml.etree.XMLSchema(file=str(junit_schema))
    schema.assertValid(lxml.etree.fromstring(written(junit, run, tmp_path).encode()))


def test_junit_is_read_back_as_it_was_meant(failing: Run, tmp_path: Path) -> None:
    """One suite, one case a check, classname by stage; blocked is skipped with its cause."""
    path = tmp_path / "junit.xml"
    junit.write(failing, path)
    (suite,) = junitparser.JUnitXml.fromfile(str(path))
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == ("contoso", 8, 1, 0, 2)
    cases = {one.name: one for one in suite}
    (failure,) = cases["test_sign_in_is_accepted"].result
    assert failure.message == "smtp_auth_disabled_mailbox: SMTP AUTH is switched off for this mailbox"
    assert failure.type == "smtp_auth_disabled_mailbox"
    assert "535 5.7.139" in failure.text
    assert "Set-CASMailbox" in failure.text
    assert cases["test_sign_in_is_accepted"].classname == "contoso.auth"
    assert cases["test_sign_in_is_accepted"].time == pytest.approx(1.504)
    (blocked,) = cases["test_recipient_is_accepted[probe@contoso.com]"].result
    assert blocked.message == "blocked by smtp_auth_disabled_mailbox"
    assert cases["test_secret_lasts"].result == []
    assert cases["test_secret_lasts"].system_out.startswith("client_secret_expires_soon: The client secret")


def test_a_broken_check_is_an_error_in_junit(hostile: Run, tmp_path: Path) -> None:
    """Our own fault is an error, not a failure."""
    path = tmp_path / "junit.xml"
    junit.write(hostile, path)
    (suite,) = junitparser.JUnitXml.fromfile(str(path))
    assert suite.errors == 1


def test_no_two_cases_of_junit_have_equal_names(healthy: Run, tmp_path: Path) -> None:
    """GitLab keeps only the first of equal cases, so a second one gets its module, a third a number."""
    twins = [CheckResult(f"test_{module}.py::test_a", Stage.TLS, Outcome.PASSED) for module in "xyyy"]
    path = tmp_path / "junit.xml"
    junit.write(replace(healthy, checks=(*twins, replace(twins[0], id="plain"))), path)
    (suite,) = junitparser.JUnitXml.fromfile(str(path))
    assert [one.name for one in suite] == [
        "test_a",
        "test_y.py::test_a",
        "test_y.py::test_a (2)",
        "test_y.py::test_a (3)",
        "plain",
    ]


def test_a_failure_without_its_finding_still_has_its_code(healthy: Run, tmp_path: Path) -> None:
    """The case names the cause even where the finding was shown elsewhere."""
    lone = replace(AUTH, outcome=Outcome.FAILED, code="unexplained")
    path = tmp_path / "junit.xml"
    junit.write(replace(healthy, checks=(lone,)), path)
    (case,) = next(iter(junitparser.JUnitXml.fromfile(str(path))))
    assert case.result[0].message == "unexplained"


# --- report.json -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The published JSON Schema."""
    read: dict[str, Any] = json.loads(
        (resources.files(reporting) / "report.schema.json").read_text(encoding="utf-8")
    )
    return read


def test_the_published_schema_is_one(schema: dict[str, Any]) -> None:
    """It is valid JSON Schema itself."""
    jsonschema.Draft202012Validator.check_schema(schema)


def test_report_json_keeps_to_its_schema(run: Run, schema: dict[str, Any], tmp_path: Path) -> None:
    """Every run made by hand is valid, dates included."""
    report = json.loads(written(report_json, run, tmp_path))
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert [one.message for one in checker.iter_errors(report)] == []


def test_every_field_is_described(failing: Run, schema: dict[str, Any]) -> None:
    """What is written and what is published do not drift apart."""
    report = report_json.plain(failing)
    parts = schema["$defs"]
    assert set(report) == set(schema["properties"])
    assert set(report["findings"][0]) == set(parts["finding"]["properties"])
    assert set(report["checks"][0]) == set(parts["check"]["properties"])
    assert set(report["until_when"][0]) == set(parts["deadline"]["properties"])
    assert set(report["evidence"][0]) == set(parts["evidence"]["properties"])
    assert parts["stage"]["enum"] == [str(one) for one in Stage]
    assert parts["finding"]["properties"]["who"]["enum"] == list(WHO_IDS)


def _types(value: Any) -> Iterator[type]:
    yield type(value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _types(inner)


def test_plain_values_are_plain(failing: Run) -> None:
    """No enum and no date is left that only looks like a text."""
    assert set(_types(report_json.plain(failing))) <= {dict, list, str, int, float, bool, type(None)}


def test_equal_runs_make_equal_files(failing: Run, tmp_path: Path) -> None:
    """The order is that of the contract, not that of the moment."""
    assert written(report_json, failing, tmp_path) == written(report_json, failing, tmp_path)
    assert list(report_json.plain(failing))[:3] == ["schema", "tool", "knowledge"]


# --- summary.md --------------------------------------------------------------------------------------------


def crowded(run: Run) -> Run:
    """More of everything than fits."""
    cause = replace(
        CAUSE,
        seen="\n".join(f"line {number} {'x' * 999}" for number in range(300)),
        remedy=tuple(f"Step {number}: {'do this and that ' * 20}" for number in range(30)),
        alternatives=CAUSE.alternatives * 2,  # five causes at most are ever ranked
        transient=True,
        predicted=True,
        waived="so be it (until 2027-01-01)",
    )
    others = tuple(replace(WARNING, id=f"w{number}") for number in range(40))
    change = Change(Stage.TLS, "TLS handshake: issuer", "CN=Good CA " * 90, "CN=Proxy " * 90)
    return replace(
        run,
        findings=(cause, *others),
        until_when=run.until_when * 20,
        since_last_ready=SinceLastReady(STARTED, (change,) * 40),
        replayed_from=f"{'a/very/long/path/' * 20}report.json",
        recorded_knowledge="2026-01-01",
        recorded_codes=("unexplained",),
    )


def test_a_summary_fits_a_ticket(run: Run, failing: Run, tmp_path: Path) -> None:
    """Under 60 lines, whatever was found."""
    for one in (run, crowded(failing)):
        assert written(summary, one, tmp_path).count("\n") < 60


def test_a_summary_has_the_commands_of_its_own_cause(failing: Run, tmp_path: Path) -> None:
    """The page has those of everything that was found; a ticket is about one cause."""
    tenant = replace(CAUSE, id="smtp_auth_disabled_tenant", code="smtp_auth_disabled_tenant", remedy=("Do.",))
    text = written(summary, replace(failing, findings=(tenant, CAUSE)), tmp_path)
    assert text.count("**For the administrator**") == 1
    assert "-SmtpClientAuthenticationDisabled $before" in text  # the way back to what counted before
    look, change, back = (text.index(one) for one in ("$before = (Get-CAS", "Disabled $false", "Disabled $b"))
    assert look < change < back


def test_a_summary_keeps_of_what_was_seen_what_decides(failing: Run, tmp_path: Path) -> None:
    """Of a long answer to EHLO the sign-in methods are not among the lines that are cut."""
    seen = "\n".join([*(f"250-X{number}" for number in range(9)), "250-AUTH LOGIN", "250 SMTPUTF8"])
    text = written(summary, replace(failing, findings=(replace(CAUSE, seen=seen),)), tmp_path)
    assert "250-X3\n… (6 more lines)\n250-AUTH LOGIN\n```" in text


def test_a_summary_says_first_until_when_somebody_must_have_acted(failing: Run, tmp_path: Path) -> None:
    """Three are named: the certificate, the refresh token and the secret may all end."""
    ends = tuple(Deadline(what, dt.date(2026, 12, 1), 11, "") for what in ("one", "two", "three", "four"))
    text = written(summary, replace(failing, until_when=ends), tmp_path)
    assert "three 2026-12-01 (11 days left); 1 more in the report\n" in text


def test_a_summary_is_appended_where_ci_asks_for_it(
    healthy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub's step summary holds what earlier steps and profiles said."""
    step = tmp_path / "step.md"
    step.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv(summary.STEP_SUMMARY, str(step))
    text = written(summary, healthy, tmp_path)
    assert step.read_text(encoding="utf-8") == f"before\n{text}\n"


def test_a_summary_is_written_where_ci_cannot_take_it(
    healthy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner's trouble is no trouble of the report."""
    monkeypatch.setenv(summary.STEP_SUMMARY, str(tmp_path / "missing" / "step.md"))
    assert written(summary, healthy, tmp_path).startswith("# contoso: ready\n")


def test_hostile_text_stays_text_in_markdown(hostile: Run, tmp_path: Path) -> None:
    """Outside the fence and code spans every sign that begins a construct is escaped."""
    text = written(summary, hostile, tmp_path)
    fence = re.search(r"^(`{4,})text\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)
    assert fence
    assert "<script>" in fence[2]
    prose = re.sub(r"`[^`\n]+`", "", text.replace(fence[0], ""))
    assert not re.search(r"(?<!\\)[<\[]", prose)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)


# --- terminal ----------------------------------------------------------------------------------------------


def test_the_last_words_fit_a_screen(run: Run, failing: Run) -> None:
    """At most 25 lines of 80 columns, the report's place last; a longer word stays whole."""
    for one in (run, crowded(failing)):
        lines = terminal.summary_lines(one, PLACE)
        assert len(lines) <= 25
        assert all(len(line) <= 80 for line in lines if " " in line.strip())
        assert lines[-1] == "Report: reports/contoso/report.html"


def test_the_cause_comes_before_the_evidence(failing: Run) -> None:
    """Verdict, cause, who, remedy, bytes: in this order."""
    text = "\n".join(terminal.summary_lines(failing, PLACE))
    places = [
        text.index(one)
        for one in ("not ready", "SMTP AUTH is", "who can act", "Set-CASMailbox", "| 535", "also: warning")
    ]
    assert places == sorted(places)


def test_a_likely_cause_is_not_said_as_a_fact(failing: Run) -> None:
    """The last words hedge, and name what else it could be; a certain cause, and none at all, need none."""

    def last_words(**changes: Any) -> str:
        run = replace(failing, findings=(replace(CAUSE, **changes),), since_last_ready=None)
        return "\n".join(terminal.summary_lines(run, PLACE))

    assert "\nMost likely: The token is good." in last_words()
    assert "\nor: smtp_auth_disabled_tenant, security_defaults\n" in last_words()
    assert "\nPossibly: The token is good." in last_words(certainty=Certainty.POSSIBLE)
    certain = last_words(certainty=Certainty.CERTAIN, alternatives=())
    assert "\nThe token is good." in certain
    assert "\nor: " not in certain
    assert "\nThe token is good." in last_words(certainty=Certainty.POSSIBLE, code="unexplained")


def test_doubts_come_before_the_gist_where_room_is_short(failing: Run) -> None:
    """A likely cause never stands there without the others."""
    steps = tuple(f"Step {number}." for number in range(17))
    run = replace(failing, findings=(replace(CAUSE, remedy=steps),), since_last_ready=None)
    lines = terminal.summary_lines(run, PLACE)
    assert "or: smtp_auth_disabled_tenant, security_defaults" in lines
    assert "17. Step 16." in lines
    assert not [line for line in lines if line.startswith(("Most likely", "To be sure"))]


def test_the_last_words_keep_the_remarks(failing: Run) -> None:
    """A prediction is not told as something that a server has said."""
    finding = replace(CAUSE, predicted=True, transient=True, waived="known (until 2027-03-31)")
    lines = terminal.summary_lines(replace(failing, findings=(finding,)), PLACE)
    assert "(a prediction: no server has decided it in this run)" in lines
    assert "(may pass by itself: run again before changing anything)" in lines
    assert "(waived: known (until 2027-03-31))" in lines


def test_a_long_line_of_a_server_is_folded(failing: Run) -> None:
    """What a server says in one line is shown on several, and cut where it never ends."""
    lines = terminal.finding_lines(replace(CAUSE, seen="word " * 100_000))
    seen = [line for line in lines if line.startswith("| ")]
    assert 5 < len(seen) < 10
    assert all(len(line) <= 80 for line in seen)
    many = terminal.finding_lines(replace(CAUSE, seen=f"{'word ' * 60}\n" * 30))
    assert [line for line in many if line.startswith("| ")][-1] == "| …"


def test_a_word_without_end_is_cut_on_the_terminal() -> None:
    """Long enough for any address to be copied whole."""
    address = f"https://login.contoso.com/{'a' * 300}"
    lines = terminal.finding_lines(replace(CAUSE, remedy=(f"Open {address}", f"Read {'b' * 1000}")))
    assert address in "".join(lines)
    assert f"{'b' * 400}…" in "".join(lines)
    assert "b" * 401 not in "".join(lines)


def test_evidence_yields_where_the_remedy_needs_the_room(failing: Run) -> None:
    """A remedy that just fits stays whole; the bytes are in the report."""
    finding = replace(CAUSE, remedy=tuple(f"Step {number}." for number in range(16)))
    lines = terminal.summary_lines(replace(failing, findings=(finding,), since_last_ready=None), PLACE)
    assert "16. Step 15." in lines
    assert "seen:" not in lines


def test_nothing_a_server_says_is_a_command(hostile: Run) -> None:
    """No escape reaches the terminal, and no line that GitHub's runner would obey."""
    (finding, _) = hostile.findings
    for line in (*terminal.summary_lines(hostile, PLACE), *terminal.finding_lines(finding)):
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u202e]", line)
        assert not re.match(r"\s*::.*::", line)
        assert "##[" not in line
