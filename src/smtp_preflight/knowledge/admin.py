"""What an administrator of Microsoft 365 can run for a cause: PowerShell to be read first, never run by us.

The commands stand in ``admin_microsoft365.toml``: how it is now, the smallest change, how to verify it, and
how to take it back.
"""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from smtp_preflight.knowledge import powershell

WIDTH = 100
LOOK = "# How it is now"  # the line before the commands that only look
CHANGE = "# The change"  # the line before the commands that change something
_TRUSTEE = re.compile(r"-Identity '\{(\w+)\}' -Trustee '\{(\w+)\}'")
_PARTS = {"look": LOOK, "change": CHANGE, "verify": "# To verify", "undo": "# To take it back"}


def admin_block(code: str, provider: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """The lines of PowerShell for a cause, with the user's values; none where nothing is to be run.

    provider: the id of the preset; only Microsoft 365 and its clouds have such commands.
    values: from the profile and the claims alone. One that has not the form of its kind is left out, and
        ``<what to fill in>`` stands for it.
    """
    known = _table()
    cause, connect = known["causes"].get(code), known["modules"]
    if cause is None or provider not in connect["exchange"] or _gives_nothing(cause, values):
        return ()
    module = cause.get("module", "exchange")
    commands = (powershell.filled(line, values) for line in _parts(cause))
    return (*_head(code, cause, values), "", connect[module][provider], *commands)


def _gives_nothing(cause: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    """Whether the change would give an account a right on itself, which it has."""
    pairs = (found.groups() for line in cause["change"] for found in _TRUSTEE.finditer(line))
    whom = ([powershell.quotable(name, values).lower() for name in pair] for pair in pairs)
    return any(owner and owner == trustee for owner, trustee in whom)


def codes_with_a_block() -> frozenset[str]:
    """The causes for which there is something to run."""
    return frozenset(_table()["causes"])


def _head(code: str, cause: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[str]:
    yield from _comment(f"{code}: {cause['about']}")
    yield from _comment("For review by an administrator. Nobody has run this; read each line before you do.")
    if any("'{oid}'" in line for part in _PARTS for line in cause[part]):
        yield "#"
        yield from _comment(powershell.filled(_table()["object_ids"]["text"], values))


def _parts(cause: Mapping[str, Any]) -> Iterator[str]:
    for part, title in _PARTS.items():
        yield from ("", title, *cause[part])


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


@cache
def _table() -> Mapping[str, Any]:
    file = resources.files(__package__) / "admin_microsoft365.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
