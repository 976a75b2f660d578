"""The TOML of a profile and of what it extends, as text and tables; what a key may hold is not known here."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from smtp_preflight.profile.errors import Loc, ProfileError, dotted, one_of, quoted
from smtp_preflight.profile.references import SECRETS
from smtp_preflight.profile.values import STEM

_PLACE_IN_TOML = re.compile(r"(.*) \(at (line \d+, column \d+|end of document)\)")
_ATOMS = frozenset({*SECRETS, "on_rotation"})  # tables that are one value: a child's replaces its base's
_MOST_BYTES = 256 * 1024


@dataclass(frozen=True)
class _Document:
    """One TOML file as read."""

    path: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class Chain:
    """A profile's file and the files it extends, the nearest first."""

    documents: tuple[_Document, ...]

    def error(self, loc: Loc, found: str, wanted: str, *, words: str = "") -> ProfileError:
        """Say what is wrong at a key, naming the file that has it: the profile's own where none has."""
        holding = (one for one in self.documents if _holds(one.content, loc))
        file = str(next(holding, self.documents[0]).path)
        return ProfileError(file, dotted(loc), found, wanted, line=f"{file}: {words}" if words else "")

    def merged(self) -> dict[str, Any]:
        """What all files say together, the nearer file's word before the farther one's."""
        return reduce(_merged, (one.content for one in reversed(self.documents)))


def _holds(content: Any, loc: Loc) -> bool:
    for part in loc:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _merged(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in child.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and key not in _ATOMS
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def read(path: Path) -> Chain:
    """Read a profile and what it extends, base by base.

    Raises ProfileError for the first file that cannot be read, and for a circle.
    """
    documents = [_document(path)]
    while isinstance(base := documents[-1].content.get("extends"), str):
        documents.append(_base(base, documents))
    return Chain(tuple(documents))


def _base(base: str, documents: Sequence[_Document]) -> _Document:
    chain = Chain((documents[-1],))
    path = documents[-1].path.parent / f"{base}.toml"
    if not STEM.fullmatch(base) or not path.is_file():
        known = [name for name in names_in(documents[-1].path.parent) if name != documents[-1].path.stem]
        raise chain.error(("extends",), quoted(base), one_of(known, base))
    if path in [one.path for one in documents]:
        names = " → ".join([*(one.path.stem for one in documents), base])
        raise chain.error(("extends",), f"a circle ({names})", "a profile that does not lead back here")
    return _document(path)


def _document(path: Path) -> _Document:
    content = _toml(path)
    for loc in _with_control_characters(content):
        raise Chain((_Document(path, content),)).error(loc, "a control character", "text of one line")
    return _Document(path, _with_absolute_paths(content, path.parent))


def _toml(path: Path) -> dict[str, Any]:
    """Read TOML of a reasonable size; raises ProfileError with the place of what is wrong."""

    def error(found: str, wanted: str) -> ProfileError:
        return ProfileError(str(path), "", found, wanted)

    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise error(f"more than {_MOST_BYTES // 1024} KiB", "a profile")
        return tomllib.loads(content.decode("utf-8"))
    except OSError as problem:
        raise error(f"a file that cannot be read ({problem.strerror})", "a readable file") from None
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise error(f"bytes in line {line} that are not UTF-8", "a file saved as UTF-8") from None
    except tomllib.TOMLDecodeError as problem:
        place = _PLACE_IN_TOML.fullmatch(str(problem))
        where = f"at {place[2]} ({place[1]})" if place else f"({problem})"
        raise error(f"broken TOML {where}", "TOML, in which text stands in quotes") from None
    except (RecursionError, ValueError):  # too deep, or a number of thousands of digits
        raise error("TOML beyond all measure", "a profile") from None


def _with_control_characters(value: Any, loc: Loc = ()) -> Iterator[Loc]:
    """Find texts that would break out of one line of a report, a terminal or a protocol."""
    if isinstance(value, str) and any(unicodedata.category(one) in ("Cc", "Zl", "Zp") for one in value):
        yield loc
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _with_control_characters(key, (*loc, key))
            yield from _with_control_characters(inner, (*loc, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _with_control_characters(inner, (*loc, place))


def _with_absolute_paths(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make relative paths relative to the file they stand in, before another file takes them over."""

    def with_path(key: str, value: Any) -> Any:
        if key == "ca_file" or (key == "store" and value != "keyring"):
            return _absolute(value, folder)
        if key == "file":
            return _absolute(value, folder)
        if key in (*SECRETS, "passphrase") and isinstance(value, dict):
            return with_paths(value)
        return value

    def with_paths(table: dict[str, Any]) -> dict[str, Any]:
        return {key: with_path(key, value) for key, value in table.items()}

    tables = {key: content[key] for key in ("oauth", "tls") if isinstance(content.get(key), dict)}
    return {**content, **{key: with_paths(table) for key, table in tables.items()}}


def _absolute(value: Any, folder: Path) -> Any:
    """Return a path of the file as an absolute one; what is no path yet is left to be refused."""
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        return str(folder.absolute() / Path(value).expanduser())
    except RuntimeError:  # somebody's home that this machine does not know
        return str(folder.absolute() / value)


def names_in(folder: Path) -> list[str]:
    """The names of the profiles in a folder."""
    return sorted(path.stem for path in folder.glob("*.toml"))
