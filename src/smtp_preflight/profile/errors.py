"""The one line that says what is wrong with a profile, and how values and places are named in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from pydantic_core import PydanticCustomError

from smtp_preflight.model import short

Loc = tuple[str | int, ...]
"""Where a value stands in a file: keys, and places in lists."""

_ALSO_CALLED: Mapping[str, str] = {
    "gmail": "google",
    "hotmail": "outlook_personal",
    "office365": "microsoft365",
    "m365": "microsoft365",
    "outlook": "outlook_personal",
}


class ProfileError(Exception):
    """A profile that cannot be read, in one line."""

    def __init__(self, file: str, key: str, found: str, wanted: str, *, line: str = "") -> None:
        self.file = file
        self.key = key
        self.found = found
        self.wanted = wanted
        where = f"{file}: {key}" if key else file
        self.line = line or f"{where}: found {found}; wanted {wanted}"
        super().__init__(self.line)


def wrong(found: str, wanted: str) -> PydanticCustomError:
    """Refuse a value; the words travel beside the message, because pydantic would fill in its braces."""
    return PydanticCustomError("profile", "wrong", {"found": found, "wanted": wanted})


def dotted(loc: Loc) -> str:
    """Write a place as the reader would: ``waivers[0].until``."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[\w-]+", part) else quoted(part))
    return text


def quoted(value: str) -> str:
    """Show a text in quotes, bounded."""
    return repr(short(value, 60))


def shown(value: object) -> str:
    """Name a value of the wrong kind in few words."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
        case int() if abs(value) > 10**18:
            return "an enormous number"
        case _:
            return str(value)


def one_of(words: Sequence[str], word: str = "") -> str:
    """List what is known, a screenful at most, and which of it comes nearest to the word."""
    near = [_ALSO_CALLED[word]] if word in _ALSO_CALLED else difflib.get_close_matches(word, words, 1)
    listed = ", ".join(words[:30]) + (f" and {len(words) - 30} more" if len(words) > 30 else "")
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"one of {listed}{hint}" if words else "one that exists"
