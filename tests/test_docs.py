"""``docs/causes/`` is what the knowledge says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from smtp_preflight.diagnosis.numbers import listed_numbers
from smtp_preflight.knowledge import entries

DOCS = Path(__file__).parent.parent / "docs"


def _load_generator() -> ModuleType:
    """The generator is a program beside what it writes, and no module of any package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _load_generator()
PAGES: dict[str, str] = generate.pages()


def test_the_pages_are_current() -> None:
    """Whoever changes the knowledge runs ``make docs``; no page is left of a cause that is no more."""
    written = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "causes").iterdir()}
    assert sorted(written) == sorted(PAGES)
    assert [name for name, text in PAGES.items() if written[name] != text] == []


def test_every_cause_has_a_page_that_is_found_by_stage() -> None:
    by_stage = set(re.findall(r"\]\((\w+)\.md\)", PAGES["README.md"]))
    assert by_stage - {"README"} == set(entries())
    assert set(entries()) <= {name.removesuffix(".md") for name in PAGES}


def test_every_number_and_every_enhanced_code_is_found() -> None:
    """All that the entries match on, in the order of numbers."""
    assert set(re.findall(r"\[AADSTS(\d+)\]", PAGES["aadsts-numbers.md"])) == listed_numbers()
    enhanced = {
        code for one in entries().values() for match in one.match for code in match.get("enhanced", ())
    }
    assert enhanced <= set(re.findall(r"^\| ([\d.]+) \|", PAGES["smtp-replies.md"], re.MULTILINE))
    numbers = [int(one) for one in re.findall(r"\[AADSTS(\d+)\]", PAGES["aadsts-numbers.md"])]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    linked = re.findall(r"\]\(([\w-]+\.md)\)", PAGES[name])
    assert set(linked) <= set(PAGES)


def test_a_page_says_what_a_report_says() -> None:
    """Cause, owner, remedy, an example, the administrator's commands and the day it was last verified."""
    page = PAGES["smtp_auth_disabled_mailbox.md"]
    parts = ["## What it means", "## What to do", "## For an administrator", "## How it looks", "## Sources"]
    assert [page.index(part) for part in parts] == sorted(page.index(part) for part in parts)
    assert "| Who can act | an administrator of the mail system |" in page
    assert re.search(r"Last verified \d{4}-\d\d-\d\d\.", page)
    assert "535 5.7.139" in page


def test_the_program_writes_them(tmp_path: Path) -> None:
    """And takes away what is no page of a cause any more."""
    copy = tmp_path / "generate.py"
    copy.write_text((DOCS / "generate.py").read_text("utf-8"), encoding="utf-8")
    (tmp_path / "causes").mkdir()
    (tmp_path / "causes" / "no_more.md").write_text("old", encoding="utf-8")
    subprocess.run([sys.executable, copy], check=True, capture_output=True, timeout=60)
    assert {path.name for path in (tmp_path / "causes").iterdir()} == set(PAGES)
