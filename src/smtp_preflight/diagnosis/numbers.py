"""AADSTS numbers as a sign."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from smtp_preflight.knowledge import entries

NONE = "none"
NO_SUCH_TENANT = frozenset({"90002", "900023", "50128"})


def aadsts_sign(numbers: Iterable[str]) -> str:
    """The numbers, separated by blanks; where no entry knows any of them, ``none`` stands with them.

    So an answer with an unlisted number is explained as far as its OAuth error goes.
    """
    found = tuple(dict.fromkeys(numbers))
    return " ".join(found if listed_numbers() & set(found) else (*found, NONE))


@cache
def listed_numbers() -> frozenset[str]:
    """Every AADSTS number that leads to an entry."""
    patterns = (pattern for entry in entries().values() for pattern in entry.match)
    return frozenset(number for pattern in patterns for number in pattern.get("aadsts", ())) - {NONE}
