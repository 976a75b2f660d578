"""``docs/faults.md`` is what the lab can break, and what it cannot."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from smtp_preflight.knowledge import entries
from smtp_preflight.lab import FAULTS

DOCS = Path(__file__).parent.parent / "docs"


def _load_generator() -> ModuleType:
    """The generator is a program beside what it writes, and no module of any package."""
    spec = importlib.util.spec_from_file_location("docs_generate_faults", DOCS / "generate_faults.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _load_generator()


def test_the_page_is_current() -> None:
    """Whoever changes the faults runs ``make docs``."""
    assert (DOCS / "faults.md").read_text(encoding="utf-8") == generate.page()


def test_every_cause_has_a_fault_or_a_reason_why_not() -> None:
    shown, not_shown = {one.code for one in FAULTS.values()}, set(generate.not_shown())
    assert shown | not_shown == set(entries())
    assert shown & not_shown == set()
