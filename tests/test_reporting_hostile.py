"""What servers say stays text wherever it is shown: in every report, on the terminal, in GitHub's log.

Real servers say it, over real sockets, wherever a server's words reach a report: banner, EHLO, a refusal, a
certificate, DNS, the token endpoint's error, a mailbox.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import junitparser
import lxml.html  # type: ignore[import-untyped] # ships no types
import pytest
from prometheus_client.parser import text_string_to_metric_families

from smtp_preflight.cli import main

# What is said: markup, entities, escapes, a mirrored file name, fences, quotes, commands of GitHub's runner.
SAYING = r"""
MARKUP = (
    "<script>alert(1)</script> &lt;b&gt; ]]> \x1b[31mred\x1b[0m\x07 \u202egnp.exe ``` ~~~ $(calc) '; calc; ' "
    "::error::forged ##[group]forged [x](javascript:alert(1)) <img src=x onerror=alert(1)> | `x` \u2028end"
)
COMMAND = "::set-output name=forged::1 ##[error]forged <script>alert(1)</script>"
MEGABYTE = "<script>alert(1)</script>" * 40_000

def raw(text):
    return text.encode("utf-8")
"""

PLACES = {
    "banner": """
from smtp_preflight.lab.smtp import Session

Session.greet = lambda self: b"220-" + raw(SAID) + b"\\r\\n220-" + raw(COMMAND) + b"\\r\\n220 ready\\r\\n"
""",
    "refusal by banner": """
from smtp_preflight.lab.smtp import Session

Session.greet = lambda self: b"554-" + raw(SAID) + b"\\r\\n554 " + raw(COMMAND) + b"\\r\\n"
""",
    "EHLO": """
from smtp_preflight.lab.smtp import Session

say = Session._say

def said(self, template):
    first, end, rest = say(self, template).partition(b"\\r\\n")
    if not first.startswith(b"250-"):
        return first + end + rest
    return first + end + b"250-" + raw(SAID) + b"\\r\\n250-" + raw(COMMAND) + b"\\r\\n" + rest

Session._say = said
""",
    "AUTH": """
from smtp_preflight.lab.smtp import Session

WORDS = b"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. "
say = Session._say
Session._say = lambda self, text: WORDS + raw(SAID) + b"\\r\\n" if text.startswith("235") else say(self, text)
""",
    "RCPT TO": """
from smtp_preflight.lab.smtp import Session

say = Session._say
REFUSED = b"550-" + raw(SAID) + b"\\r\\n550 " + raw(COMMAND) + b"\\r\\n"
Session._COMMANDS = {**Session._COMMANDS, "RCPT": lambda self, argument: "no such recipient"}
Session._say = lambda self, text: REFUSED if text == "no such recipient" else say(self, text)
""",
    "token error": """
from smtp_preflight.lab.http import Response
from smtp_preflight.lab.identity import IdentityProvider

words = {"error": COMMAND, "error_description": f"AADSTS7000215: {SAID}\\r\\n{COMMAND}", "trace_id": SAID}
IdentityProvider.token = lambda self, request: Response(401, words)
""",
    "token page": """
from smtp_preflight.lab.http import Response
from smtp_preflight.lab.identity import IdentityProvider

PAGE = Response(502, raw(f"{COMMAND}\\r\\n{SAID}"), {"Content-Type": "text/html"})
IdentityProvider.token = lambda self, request: PAGE
""",
    "certificate": """
import trustme

from smtp_preflight.lab.authority import Authority

Authority._issuer = lambda self, terms: trustme.CA(
    organization_name=COMMAND, organization_unit_name=SAID[:4000]
)
""",
    "DNS": """
from smtp_preflight.lab import names

def text(value):
    whole = raw(f"{value} {SAID[:3000]} {COMMAND}")
    pieces = (whole[at : at + 255] for at in range(0, len(whole), 255))
    return " ".join('"' + "".join(f"\\\\{byte:03}" for byte in piece) + '"' for piece in pieces)

names._text = text
""",
    "mailbox": """
from smtp_preflight.lab.imap import ImapSession
from smtp_preflight.lab.mailbox import Mailboxes

received = Mailboxes._as_received

def hostile(self, message, sender):
    results = f'Authentication-Results: mx.example; spf=fail reason="{SAID}"; dkim=fail ({COMMAND})'
    return raw(results) + b"\\r\\n" + received(self, message, sender)

Mailboxes._as_received = hostile
""",
    "mailbox refused": """
from smtp_preflight.lab.imap import ImapSession

ImapSession.authenticated = lambda self, admitted: f"{self._tag} NO {SAID} {COMMAND}"
""",
}
LENGTHS = {"markup": "MARKUP", "a megabyte": "MEGABYTE"}
CASES = [
    *((place, "markup") for place in PLACES),
    *((place, "a megabyte") for place in ("banner", "EHLO", "AUTH", "token error", "certificate")),
]

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True)
class Heard:
    """What a run has left of what it heard."""

    demo: str
    stdout: str
    reports: Path
    ready: Path  # the report of a run before it

    @property
    def step(self) -> Path:
        """GitHub's step summary."""
        return self.reports / "step.md"

    @property
    def metrics(self) -> Path:
        return self.reports / "metrics.prom"

    @property
    def folder(self) -> Path:
        return self.reports / self.demo

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    @property
    def page(self) -> Any:
        return lxml.html.document_fromstring(self.text("report.html"))


@pytest.fixture(scope="module")
def ready(run_suite: Any) -> Callable[[str], Path]:
    """The history of a ready run, for a hostile one to be compared with."""
    return cache(lambda demo: run_suite(f"--profile={demo}").folder / demo / "history")


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def heard(
    request: pytest.FixtureRequest,
    run_suite: Any,
    ready: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Heard:
    place, length = request.param
    demo = "demo-delivery" if place.startswith("mailbox") else "demo"
    reports = tmp_path_factory.mktemp("hostile")
    shutil.copytree(ready(demo), reports / demo / "history")
    done = run_suite(
        f"--profile={demo}",
        f"--metrics={reports / 'metrics.prom'}",
        folder=reports,
        plugin=f"{SAYING}\nSAID = {LENGTHS[length]}\n{PLACES[place]}",
        environment={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(reports / "step.md")},
    )
    assert done.status in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    assert not done.having("error", demo)
    return Heard(demo, done.stdout, reports, next(ready(demo).iterdir()))


def test_it_was_heard(heard: Heard) -> None:
    """Or the rest would prove nothing; and of what never ends no more is kept than can be attached."""
    text = heard.text("report.json")
    assert "forged" in text.lower() or "alert(1)" in text
    assert len(text) < 1_000_000


def test_the_terminal_shows_it_as_text(heard: Heard) -> None:
    """Nothing moves the cursor, and GitHub's runner obeys our own annotations alone, one a line."""
    for line in heard.stdout.splitlines():
        assert not CONTROLS.search(line), line
        assert "##[" not in line
        assert not re.match(r"\s*::", line) or re.match(
            r"::(error|warning) title=demo[\w-]*%3A \w+::", line
        ), line
        assert len(line) < 1000


def fences(text: str) -> Iterator[tuple[str, str]]:
    """The fenced parts of Markdown: language and text."""
    for found in re.finditer(r"^(`{3,})(\w+)\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE):
        yield found[2], found[0]


def test_a_ticket_shows_it_as_text(heard: Heard) -> None:
    """Outside fences and code spans every sign of Markdown and HTML is escaped; PowerShell never holds it."""
    text = heard.text("summary.md")
    assert heard.step.read_text(encoding="utf-8") == f"{text}\n"
    assert not CONTROLS.search(text)
    assert text.count("\n") < 60
    assert not re.search(r"^\s*::|##\[", text, re.MULTILINE)
    for language, fence in fences(text):
        text = text.replace(fence, "")
        assert language != "powershell" or not re.search(r"alert\(|calc|forged", fence)
    prose = re.sub(r"`[^`\n]+`", "", text)
    assert not re.search(r"(?<!\\)[<\[]", prose)
    assert not re.search(r"^\s*(```|~~~)", prose, re.MULTILINE)


def test_the_page_shows_it_as_text(heard: Heard) -> None:
    """No element, no attribute and no address comes from outside; its policy lets nothing in besides."""
    page = heard.page
    for table in page.xpath("//template"):  # of pytest-html's own; scripts fill it, as another test shows
        table.drop_tree()
    assert not page.xpath("//img | //iframe | //object | //embed | //form | //base")
    assert len(page.xpath("//script")) == 1
    for element in page.iter():
        assert not [
            name for name in element.attrib if name.startswith("on") or name in ("formaction", "ping")
        ]
        assert not re.match(r"\s*(javascript|data|vbscript):", element.get("href") or "", re.IGNORECASE)
    assert not CONTROLS.search(heard.text("report.html"))
    for block in page.xpath("//section[@id='admin']//pre"):
        assert not re.search(r"alert\(|calc|forged", block.text_content())


def test_programs_read_what_they_should(heard: Heard) -> None:
    """JUnit and metrics can be parsed, and hold no more cases and samples than they should."""
    (suite,) = junitparser.JUnitXml.fromfile(str(heard.folder / "junit.xml"))
    assert suite.tests == len(json.loads(heard.text("report.json"))["checks"])
    assert (heard.folder / "junit.xml").stat().st_size < 200_000
    families = list(text_string_to_metric_families(heard.metrics.read_text(encoding="utf-8")))
    assert {sample.labels["profile"] for one in families for sample in one.samples} == {heard.demo}


def test_a_comparison_shows_it_as_text(heard: Heard, capsys: pytest.CaptureFixture[str]) -> None:
    """A change may be all hostile, too."""
    assert main(["diff", str(heard.ready), str(heard.folder)]) == 0
    out = capsys.readouterr().out
    assert not CONTROLS.search(out)
    assert not re.search(r"^\s*::|##\[", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) < 1000
