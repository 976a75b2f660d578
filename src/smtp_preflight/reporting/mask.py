"""``--mask-addresses``: the same report without anybody's name in it, for public places.

Each e-mail address becomes ``user1@its.domain``, the same one wherever it occurs, so that a masked report
still shows who is the same person, and replays to the same codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import quote

from smtp_preflight.model import Run, Setting

T = TypeVar("T")

MASKED = "e-mail addresses"
"""Stands in the environment of a run whose addresses were masked, and so in its ``report.json``."""

_AT = r"(?:@|%40)"
_DOMAIN = r"(?:[\w-]+(?:\.[\w-]+)*|\[[\w.:]+\])"
_LOCAL = r"[\w.+#~-]+(?:'[\w.+#~-]+)*"  # in running text; a setting may hold a stranger one
_LIVE = r"(?i:live\.com#)"  # what Microsoft puts before a personal account's address in some claims
_WHOLE = re.compile(rf'{_LIVE}?((?:[^\s@<>"]+|"[^"\n]+")@{_DOMAIN})')


def masked(report: dict[str, Any]) -> dict[str, Any]:
    """A ``report.json`` with every address masked, keys and check ids included."""
    return masked_like(report, report.get("settings"))


def masked_run(run: Run) -> Run:
    """The same for a run, so that every format is written from it; codes and outcomes stay."""
    return masked_like(run, run.settings)


def told_masked(run: Run) -> Run:
    """The run with a note of its masking among what is said of its environment, for every report of it."""
    note = {MASKED: "masked: each local part has a name instead"}
    return replace(run, environment={**run.environment, **note})


def masked_like(whole: T, settings: object) -> T:
    """Mask everything; the settings' addresses come first, and are known however strange they are."""
    known = dict.fromkeys(
        found[1].casefold() for text in _texts(settings) if (found := _WHOLE.fullmatch(text))
    )
    masked: T = _changed(whole, _Mask(list(known)))
    return masked


class _Mask:
    """Gives every address its name, and finds addresses inside longer texts."""

    def __init__(self, known: list[str]) -> None:
        self._names: dict[str, str] = {}
        self._meant: dict[str, str] = {}  # an address as it may be written -> the address
        for address in known:
            self._name(address)
            self._meant |= dict.fromkeys(_spellings(address), address)
        by_length = sorted(self._meant, key=len, reverse=True)
        written = "|".join(map(re.escape, by_length)) or "(?!)"
        self._pattern = re.compile(
            rf"(?<![\w.+-])(?P<known>(?i:{written}))(?![\w-]|\.\w)"
            rf"|(?:{_LIVE}(?={_LOCAL}{_AT}))?(?P<local>{_LOCAL}|\"[^\"\n]+\")(?P<at>{_AT})(?P<domain>{_DOMAIN})"
        )

    def __call__(self, text: str) -> str:
        return self._pattern.sub(self._replaced, text) if "@" in text or "%40" in text else text

    def _replaced(self, found: re.Match[str]) -> str:
        if known := found["known"]:
            name = self._name(self._meant.get(known.casefold(), known.casefold()))
            return name.replace("@", "%40") if "@" not in known else name
        before = found[0][: found.start("local") - found.start()]
        name = self._name(f"{found['local']}@{found['domain']}".casefold())
        return before + name.replace("@", found["at"])

    def _name(self, address: str) -> str:
        domain = address.rpartition("@")[2]
        return self._names.setdefault(address, f"user{len(self._names) + 1}@{domain}")


def _spellings(address: str) -> Iterator[str]:
    """How an address is written in texts, in pytest's ids and in URLs."""
    for written in (address, address.encode("unicode_escape").decode("ascii"), quote(address, safe="")):
        yield written.casefold()


def _texts(value: object) -> Iterator[str]:
    """Every text within the settings, of a report or of a run, in their order."""
    match value:
        case str():
            yield value
        case Setting():
            yield from _texts(value.value)
        case Mapping():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a value with every text in it changed; enums, dates and numbers stay what they are."""
    match value:
        case Enum():
            return value
        case str():
            return change(value)
        case Mapping():
            return {_changed(key, change): _changed(inner, change) for key, inner in value.items()}
        case list() | tuple() | frozenset():
            return type(value)(_changed(inner, change) for inner in value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return replace(
                value, **{one.name: _changed(getattr(value, one.name), change) for one in fields(value)}
            )
        case _:
            return value
