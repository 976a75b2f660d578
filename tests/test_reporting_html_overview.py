"""``index.html`` shows many profiles at a glance, whoever ran them; one alone has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lxml.html  # type: ignore[import-untyped] # ships no types
import pytest

from smtp_preflight.plugin import MOST_IN_FULL
from smtp_preflight.reporting.overview import Row, overview_lines, write_overview

HOSTILE = "<script>alert(1)</script>\u202e::error::\x1b[31m"


def row(profile: str, verdict: str = "ready", code: str = "", **changes: Any) -> Row:
    """A row made by hand."""
    made: dict[str, Any] = {
        "profile": profile,
        "link": f"{profile}/report.html",
        "provider": "Microsoft 365",
        "started": "2026-11-20T07:00:00+00:00",
        "took_s": 1.5,
        "verdict": verdict,
        "stages": {"dns": "passed", "auth": "failed" if code else "passed"},
        "code": code,
        "title": f"About {code}" if code else "",
        "who": "an administrator of the mail system" if code else "",
    }
    whole: Row = made | changes  # type: ignore[assignment] # the keys are those above
    return whole


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Any]:
    """The overview of some rows, read."""

    def make(*rows: Row) -> Any:
        return lxml.html.document_fromstring(write_overview(rows, tmp_path).read_text(encoding="utf-8"))

    return make


Page = Callable[..., Any]


def words(element: Any) -> str:
    """The text of an element, its cells apart."""
    return " ".join(" ".join(element.itertext()).split())


def test_profiles_are_grouped_by_verdict_the_worst_first(page: Page) -> None:
    """Each group says how many it has, and the navigation leads to it."""
    document = page(
        row("c"),
        row("b", "not_ready", "spf_missing"),
        row("a"),
        row("d", "ready_with_warnings"),
        row("e", "incomplete"),
    )
    assert [words(one) for one in document.iterfind(".//h2")] == [
        "Not ready (1)",
        "Incomplete (1)",
        "Ready, with warnings (1)",
        "Ready (2)",
        "Causes",
    ]
    assert words(document.find(".//h1")) == "5 profiles"
    assert [words(one) for one in document.xpath("//section[@id='ready']//tbody/tr/th")] == ["a", "c"]
    ids = document.xpath("//@id")
    assert all(one.lstrip("#") in ids for one in document.xpath("//nav//@href"))


def test_each_profile_says_what_became_of_each_stage(page: Page) -> None:
    """In words; stages that no profile has are left out, and what one does not have is said."""
    document = page(
        row("a", "not_ready", "spf_missing"), row("b", stages={"dns": "passed", "data": "not asked"})
    )
    heads = document.xpath("//section[@id='not-ready']//thead//th")
    assert [words(one) for one in heads] == ["Profile", "DNS", "AUTH", "DATA", "Cause"]
    cells = document.xpath("//section[@id='not-ready']//tbody/tr/*")
    assert [words(one) for one in cells] == [
        "a",
        "passed",
        "failed",
        "not called for",
        "About spf_missing spf_missing",
    ]
    assert [words(one) for one in document.xpath("//section[@id='ready']//tbody/tr/*")] == [
        "b",
        "passed",
        "not called for",
        "not asked",
    ]
    assert document.xpath("//section[@id='ready']//a/@href") == ["b/report.html"]


def test_causes_are_counted(page: Page) -> None:
    """The most frequent first, each with who can act."""
    rows = [row(str(number), "not_ready", code) for number, code in enumerate(("b", "c", "b", "a"))]
    table = page(*rows).xpath("//table[@class='causes']/tbody/tr")
    assert [words(one) for one in table] == [
        "b 2 About b an administrator of the mail system",
        "a 1 About a an administrator of the mail system",
        "c 1 About c an administrator of the mail system",
    ]
    assert not page(row("a"), row("b")).xpath("//*[@id='causes']")


def test_hostile_text_stays_text(page: Page, tmp_path: Path) -> None:
    """A title may hold what a server has said."""
    document = page(row("a", "not_ready", "x", title=HOSTILE), row("b"))
    assert not document.xpath("//script")
    source = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "\x1b" not in source
    assert "\u202e" not in source


def test_a_thousand_profiles_stay_a_small_page(page: Page, tmp_path: Path) -> None:
    """Under a megabyte, with every stage."""
    stages = dict.fromkeys(("profile", "dns", "tcp", "greeting", "starttls", "tls", "auth_offered"), "passed")
    stages |= dict.fromkeys(
        ("discovery", "token", "refresh", "claims", "auth", "mail_from", "rcpt_to"), "passed"
    )
    page(*(row(f"tenant-{number}", "not_ready", "spf_missing", stages=stages) for number in range(1000)))
    assert (tmp_path / "index.html").stat().st_size < 1_000_000


def test_the_terminal_is_told_in_two_lines() -> None:
    """How many of each verdict, and where the page is."""
    rows = [row("a"), row("b", "not_ready", "x"), row("c")]
    assert overview_lines(rows, Path("reports/index.html")) == [
        "1 not ready; 2 ready",
        "Overview: reports/index.html",
    ]


# --- as its users run it -----------------------------------------------------------------------------------


def test_several_profiles_have_an_overview(run_suite: Any, tmp_path: Path) -> None:
    """Whatever worker they ran in; of many the terminal tells of those in full that are not ready."""
    demo = (Path(__file__).parent.parent / "profiles" / "demo-app.toml").read_text(encoding="utf-8")
    wrong = demo.replace(
        "client_secret =", 'scope = ["https://graph.microsoft.com/.default"]\nclient_secret ='
    )
    names = [f"tenant-{number}" for number in range(MOST_IN_FULL + 1)]
    for name in names:
        (tmp_path / f"{name}.toml").write_text(wrong if name == names[-1] else demo, encoding="utf-8")
    done = run_suite(*(f"--profile={tmp_path / name}.toml" for name in names), "-n", "2", "-m", "profile")
    links = lxml.html.parse(str(done.folder / "index.html")).xpath("//table[@class='profiles']//a/@href")
    assert sorted(links) == sorted(f"{name}/report.html" for name in names)
    assert all((done.folder / one).is_file() for one in links)
    assert f"Overview: {done.folder / 'index.html'}" in done.stdout
    told = [name for name in names if f"smtp-preflight: {name} =" in done.stdout]
    assert names[-1] in told
    assert len(told) == MOST_IN_FULL


def test_one_profile_has_no_overview(run_suite: Any) -> None:
    """Its report is all there is to say."""
    done = run_suite("--profile=demo-app", "-m", "profile")
    assert not (done.folder / "index.html").exists()
    assert "Overview" not in done.stdout
    assert json.loads((done.folder / "demo-app" / "report.json").read_text(encoding="utf-8"))["schema"] == 1
