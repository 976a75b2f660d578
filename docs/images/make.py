"""Make ``report.png``: the first screen of the report that the README's second command leaves.

Run by hand, where Chromium is installed: ``python docs/images/make.py``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FAULT = "smtp_auth_disabled_mailbox"
SCREEN = {"width": 1100, "height": 820}


def report(folder: Path) -> Path:
    """The HTML report of a run with one thing broken."""
    suite = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--quiet"]
    asked = ["--profile=demo", f"--fault={FAULT}", f"--report-dir={folder}"]
    # It ends with 1, for it is red.
    subprocess.run([*suite, *asked], cwd=ROOT, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    return folder / "demo" / "report.html"


def main() -> None:
    """Take the picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = report(Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with browser:
            screen = browser.new_page(viewport=SCREEN, color_scheme="light")
            screen.goto(page.as_uri())
            screen.screenshot(path=HERE / "report.png")


if __name__ == "__main__":
    main()
