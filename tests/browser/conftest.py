"""Chromium without a window, and the pages it is shown: reports of real runs, and the overview of several."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

FAULT = "smtp_auth_disabled_mailbox"
AXE = Path(__file__).parent.parent / "node" / "node_modules" / "axe-core" / "axe.min.js"

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def pages(run_suite: Any) -> Mapping[str, Path]:
    """A healthy report, one with a cause, an administrator's block and blocked checks, and both overviews."""
    healthy = run_suite("--profile=demo", "--profile=demo-delivery")
    failing = run_suite("--profile=demo", "--profile=demo-app", f"--fault={FAULT}", "--mask-addresses")
    assert (healthy.status, failing.status) == (0, 1), healthy.stdout + failing.stdout
    return {
        "healthy": healthy.folder / "demo-delivery" / "report.html",
        "failing": failing.folder / "demo" / "report.html",
        "overview": healthy.folder / "index.html",
        "overview_failing": failing.folder / "index.html",
    }


# For a module, not the session: while Playwright runs its event loop, no other test can have one.
@pytest.fixture(scope="module")
def chromium(needed: Callable[[str], str]) -> Iterator[Browser]:
    """One browser for a module; without one its tests are skipped, and fail in continuous integration."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needed("chromium"))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, pages: Mapping[str, Path]) -> Iterator[Visit]:
    """Open a page by its name, in a window of its own; options are those of Playwright's ``new_context``."""
    contexts: list[BrowserContext] = []

    def open_page(name: str, *, width: int = 1280, **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.goto(pages[name].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker's source; it comes from npm."""
    if not AXE.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("axe-core is not installed: make test")
    return AXE.read_text(encoding="utf-8")
