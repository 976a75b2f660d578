"""Which product opens encrypted connections, told by the issuer of the certificate that it shows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources


def inspector_in(text: str) -> str:
    """The product that is named as an issuer, or in words about one; empty where none is."""
    return next((name for name, pattern in _inspectors().items() if pattern.search(text)), "")


@cache
def _inspectors() -> Mapping[str, re.Pattern[str]]:
    tables = tomllib.loads((resources.files(__package__) / "inspectors.toml").read_text(encoding="utf-8"))
    rows = (row for table in tables.values() for row in table.items())
    return {name: re.compile(pattern, re.IGNORECASE) for name, pattern in rows}
