"""The gallery's page and its pictures belong together, and stay small; `make gallery` takes them anew."""

from __future__ import annotations

import importlib.util
import re
import struct
import zlib
from pathlib import Path
from types import ModuleType

import pytest

from smtp_preflight.lab import FAULTS

GALLERY = Path(__file__).parent.parent / "docs" / "gallery"
PAGE = (GALLERY / "README.md").read_text(encoding="utf-8")
MOST_BYTES = 150_000


def _load_maker() -> ModuleType:
    """The maker is a program beside what it makes, and no module of any package."""
    spec = importlib.util.spec_from_file_location("docs_gallery_make", GALLERY / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _load_maker()


def test_every_picture_stands_on_the_page_and_only_those() -> None:
    """One for each fault, and the healthy one; each with words for whoever does not see it."""
    shown = re.findall(r"^!\[Report of [\w-]+: .+\]\((\w+)\.png\)$", PAGE, re.MULTILINE)
    assert shown == ["healthy", *make.FAULTS]
    assert sorted(shown) == sorted(one.stem for one in GALLERY.glob("*.png"))


@pytest.mark.parametrize("fault", make.FAULTS)
def test_every_fault_can_be_had_by_the_command_above_its_picture(fault: str) -> None:
    """The lab of that demonstration can break it."""
    profile = make.FAULTS[fault]
    assert f"`pytest --profile={profile} --fault={fault}`" in PAGE
    lab = re.search(
        r'^lab\s*=\s*"(\w+)"', (make.ROOT / "profiles" / f"{profile}.toml").read_text(), re.MULTILINE
    )
    assert lab
    assert lab[1] in FAULTS[fault].provider


@pytest.mark.parametrize("picture", sorted(GALLERY.glob("*.png")), ids=lambda one: one.stem)
def test_a_picture_is_small(picture: Path) -> None:
    """The page is read over slow connections, too."""
    assert picture.stat().st_size < MOST_BYTES


def test_a_palette_makes_a_picture() -> None:
    """Two pixels, two colours: their places in the palette, row by row."""
    made = make.png({"width": 2, "height": 1, "palette": [[255, 255, 255], [0, 0, 0]], "pixels": "AAE="})
    assert made.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", made[16:24]) == (2, 1)
    content = made[made.index(b"IDAT") + 4 : -16]
    assert zlib.decompress(content) == b"\0\0\1"
