"""What somebody else says of a failure, read without believing its form: anything may stand anywhere."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_TEXT = 20_000
MOST_ITEMS = 100
MOST_NUMBER = 10**15  # the largest that a float and its text hold digit by digit

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_URL = re.compile(r"https?://[\w.-]+(?::\d{1,5})?(?:/[\w/.~%+{}-]*)?(?:[?#]\S*)?|urn:[\w:.-]+", re.ASCII)
_ADDRESS = re.compile(r"[^\s@<>()\"',;:]+@[^\s@<>()\"',;:]+")
_NUMBER = re.compile(r"-?\d{1,12}(?:\.\d{1,6})?", re.ASCII)
_YES = frozenset({"yes", "true", "on", "1"})
_NO = frozenset({"no", "false", "off", "0"})


def words(value: object) -> str:
    """A JSON scalar as one line of text, HTML's escapes undone; of anything else nothing."""
    if isinstance(value, str):
        return " ".join(html.unescape(value[:MOST_TEXT]).split())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and abs(value) < MOST_NUMBER:
        return f"{value:.15g}"
    return ""


def table(value: object) -> Mapping[str, Any]:
    """The JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def several(value: object) -> tuple[str, ...]:
    """The texts of a JSON list, or the words of one text."""
    if isinstance(value, list):
        return tuple(one for item in value[:MOST_ITEMS] if (one := words(item)))
    return tuple(words(value).split())


@dataclass(frozen=True, slots=True)
class Said:
    """The facts that come with a failure, each under whatever name it was given.

    Names are looked up in the order of the arguments; the first that holds something fit is taken.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """One of the names is there, be it as null."""
        return any(name in self.facts for name in names)

    def text(self, *names: str) -> str:
        """As one line of text."""
        return next((found for name in names if (found := words(self.facts.get(name)))), "")

    def everything(self, *names: str) -> str:
        """All that stands under these names, lists included, as one text."""
        return " ".join(one for name in names for one in several(self.facts.get(name)))

    def number(self, *names: str) -> float | None:
        """As a number, be it written as text."""
        return next((found for name in names if (found := _number(self.facts.get(name))) is not None), None)

    def flag(self, *names: str) -> bool | None:
        """As yes or no."""
        for name in names:
            said = words(self.facts.get(name)).lower()
            if said in _YES or said in _NO:
                return said in _YES
        return None

    def values(self, *names: str) -> tuple[str, ...]:
        """As a list of words; nothing where none of the names is there."""
        return next((found for name in names if (found := several(self.facts.get(name)))), ())

    def address(self, *names: str) -> str:
        """The first mail address that stands there, in lower case."""
        found = (_ADDRESS.search(words(self.facts.get(name))) for name in names)
        return next((one[0].lower() for one in found if one), "")

    def url(self, *names: str) -> str:
        """The first that begins like a URL which nothing stumbles over; what follows it is left out."""
        return next((found for name in names if (found := url_in(words(self.facts.get(name))))), "")

    def endpoint(self, *names: str) -> tuple[str, str]:
        """Host and port, each empty where it is not said; words that are no host name are nothing."""
        for name in names:
            host, _, port = words(self.facts.get(name)).partition(":")
            if _HOST.fullmatch(host) and ("." in host or host.lower() == "localhost"):
                return host.lower(), port if port.isdecimal() else ""
        return "", ""


def url_in(text: str) -> str:
    """The URL at the beginning of a text, or nothing."""
    found = _URL.match(text)
    return found[0] if found else ""


def _number(value: object) -> float | None:
    found = _NUMBER.fullmatch(words(value)) if not isinstance(value, bool) else None
    return float(found[0]) if found else None


def every_text(value: object, depth: int = 4) -> Iterator[str]:
    """All texts in a JSON value, bounded in depth and number."""
    if isinstance(value, str):
        yield words(value)
    elif depth and isinstance(value, (list, dict)):
        items = list(value.values() if isinstance(value, dict) else value)
        for item in items[:MOST_ITEMS]:
            yield from every_text(item, depth - 1)
