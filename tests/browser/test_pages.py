"""Reports and overview as Chromium shows them: wide, narrow, dark, on paper, with and without scripts."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

NODE = Path(__file__).parent.parent / "node"
VALIDATOR = NODE / "node_modules" / "html-validate" / "bin" / "html-validate.mjs"
NAMES = ("healthy", "failing", "overview", "overview_failing")
REPORTS = ("healthy", "failing")
LIMIT_S = 60

Visit = Callable[..., Page]

every_page = pytest.mark.parametrize("name", NAMES)
every_report = pytest.mark.parametrize("name", REPORTS)
with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no_scripts"])


def opened(page: Page) -> Page:
    """The page with everything unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    return page


@every_page
@with_and_without_scripts
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_is_never_scrolled_sideways(visit: Visit, name: str, scripts: bool, width: int) -> None:
    """What is wider than the window scrolls within itself; everything unfolded, too."""
    page = visit(name, width=width, java_script_enabled=scripts)
    if scripts:
        opened(page)
    root = page.locator("html")
    assert root.evaluate("(root) => root.scrollWidth") <= width
    assert page.locator("h1").is_visible()


@every_page
def test_a_page_asks_nothing_of_anybody(visit: Visit, pages: Mapping[str, Path], name: str) -> None:
    """One file, no request beyond it, no complaint of the browser: its policy permits what it has."""
    page = visit(name)
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda problem: told.append(str(problem)))
    page.reload()
    opened(page)
    assert {one.partition("?")[0] for one in asked} == {pages[name].as_uri()}
    assert told == []


def test_without_scripts_the_cause_comes_first(visit: Visit) -> None:
    """Verdict, cause, who can act and the remedy stand on the first screen."""
    page = visit("failing", java_script_enabled=False)
    assert page.locator("h1").inner_text() == "Not ready"
    for one in ("h1", "#cause h2", "#cause .facts", "#cause .remedy li >> nth=0"):
        box = page.locator(one).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900, one


@every_report
def test_without_scripts_every_check_is_there(visit: Visit, pages: Mapping[str, Path], name: str) -> None:
    """The plain table shows them all, and pytest-html's own says what it needs."""
    page = visit(name, java_script_enabled=False)
    checks = json.loads(pages[name].with_name("report.json").read_text(encoding="utf-8"))["checks"]
    assert page.locator("#checks tbody tr:not(.group)").count() == len(checks)
    page.locator("#table summary").click()
    assert page.locator("#table noscript p").is_visible()


@every_report
def test_with_scripts_pytest_html_draws_its_table(visit: Visit, pages: Mapping[str, Path], name: str) -> None:
    """It is closed until somebody opens it; a filter hides what it names."""
    page = visit(name)
    checks = json.loads(pages[name].with_name("report.json").read_text(encoding="utf-8"))["checks"]
    rows = page.locator("#results-table tbody")
    assert not page.locator("#results-table").is_visible()
    page.locator("#table summary").click()
    assert rows.count() == len(checks)
    page.locator("input[data-test-result=passed]").uncheck()
    passed = sum(one["outcome"] in ("passed", "warned") for one in checks)
    assert rows.count() == len(checks) - passed


@every_page
def test_the_links_within_a_page_lead_somewhere(visit: Visit, name: str) -> None:
    """Each entry of the navigation brings its section into view."""
    page = visit(name, java_script_enabled=False)
    for link in page.locator("nav a").all():
        link.click()
        target = page.locator(str(link.get_attribute("href")))
        assert target.evaluate("(one) => one.getBoundingClientRect().top < window.innerHeight")


@pytest.mark.parametrize("name", ["overview", "overview_failing"])
def test_the_overview_leads_to_each_report(visit: Visit, name: str) -> None:
    """A profile's link opens the report that has its name."""
    for number in range(visit(name).locator(".profiles tbody a").count()):
        page = visit(name, java_script_enabled=False)
        link = page.locator(".profiles tbody a").nth(number)
        profile = link.inner_text()
        link.click()
        assert page.locator("header .eyebrow").inner_text().startswith(f"{profile} ·")


@every_page
def test_dark_and_light_are_the_reader_s_choice(visit: Visit, name: str) -> None:
    """Paper and ink change places."""

    def lightness(page: Page, what: str) -> int:
        colour = page.evaluate(f"getComputedStyle(document.documentElement).{what}")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    for scheme, brighter, darker in (
        ("light", "backgroundColor", "color"),
        ("dark", "color", "backgroundColor"),
    ):
        page = visit(name, color_scheme=scheme)
        assert lightness(page, brighter) > lightness(page, darker) + 400


@every_page
@pytest.mark.parametrize(("paper", "width"), [("A4", 672), ("Letter", 695)])
def test_a_page_can_be_printed(visit: Visit, name: str, paper: str, width: int) -> None:
    """Nothing is cut off at the edge or folded away, and ink is dark even for who reads in the dark.

    width: of the sheet within its margins, in pixels.
    """
    page = visit(name, width=width, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("html").evaluate("(root) => root.scrollWidth") <= width
    for hidden in page.locator("nav, #table").all():
        assert not hidden.is_visible()
    for folded in page.locator("main section:not(#table) > details > :nth-child(2)").all():
        assert folded.evaluate("(one) => one.getBoundingClientRect().height") > 0
    assert page.evaluate("getComputedStyle(document.documentElement).color") == "rgb(0, 0, 0)"
    printed = page.pdf(format=paper)
    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 30


@every_page
@pytest.mark.parametrize(("scheme", "rules"), [("light", []), ("dark", ["color-contrast"])])
def test_a_page_is_accessible(visit: Visit, axe: str, name: str, scheme: str, rules: list[str]) -> None:
    """axe-core finds nothing serious or critical, everything unfolded and pytest-html's table drawn.

    rules: those to look for, where it is not all of them: the dark differs in colour only.
    """
    page = opened(visit(name, color_scheme=scheme, bypass_csp=True))  # it is the checker that the policy bars
    page.evaluate(axe)
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = page.evaluate("(options) => axe.run(options)", options)["violations"]
    assert [told(one) for one in found if one["impact"] in ("serious", "critical")] == []


def told(violation: Mapping[str, Any]) -> str:
    """What a rule objects to, and where."""
    places = ", ".join(str(node["target"][0]) for node in violation["nodes"][:5])
    return f"{violation['id']}: {violation['help']}: {places}"


def test_the_pages_are_valid_html(needed: Callable[[str], str], pages: Mapping[str, Path]) -> None:
    """By html-validate's rules, those for accessibility among them."""
    if not VALIDATOR.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("html-validate is not installed: make test")
    config, files = NODE / ".htmlvalidate.json", map(str, pages.values())
    done = subprocess.run(
        [needed("node"), str(VALIDATOR), "--config", str(config), "--formatter", "text", *files],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
