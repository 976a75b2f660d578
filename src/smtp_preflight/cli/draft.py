"""A profile's first draft: the template that comes nearest, with somebody's own values, its comments kept."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from smtp_preflight.cli.suite import suite_root
from smtp_preflight.model import GrantType, Provider, SecretRef

_TABLE = re.compile(r"\[(\w+)\]( *#.*)?")
_VALUE = r'(?:"[^"]*"|\[[^\]]*\]|\{[^}]*\}|[\w-]+)'  # of those that templates have
_PAIR = re.compile(rf"(\w+) *= (?P<value>{_VALUE}) *(?P<comment>#.*)?")
_VARIABLE = re.compile(r"\b[A-Z]+_(CLIENT_SECRET|REFRESH_TOKEN)\b")
_EXAMPLE_MAILBOXES = re.compile(r"\bsomebody@(outlook|gmail|yahoo)\.com\b")
_EXAMPLE_DOMAIN = re.compile(r"\bcontoso\.com\b")

Values = Mapping[str, str | None]
"""TOML values by dotted key; None: not known, so that the template's line becomes a comment."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a profile is made of.

    name: the profile's. schema: where editors find the schema, as seen from the profile.
    """

    name: str
    mailbox: str
    provider: Provider
    grant: GrantType
    values: Values
    schema: str

    @property
    def text(self) -> str:
        """The profile's file."""
        path = suite_root() / "profiles" / "templates" / f"{self._template}.toml"
        header, _, body = self._with_own_examples(path.read_text("utf-8")).partition("\n\n")
        lines = (*self._header(header), "", *_filled(body.splitlines(), self.values))
        return "".join(f"{line}\n" for line in (f"#:schema {self.schema}", *lines))

    @property
    def _template(self) -> str:
        provider = self.provider.name
        if provider == "custom":
            return "custom"
        if provider.startswith("google"):
            return "workspace" if self.grant is GrantType.JWT_BEARER else "gmail"
        if provider == "outlook_personal":
            return "outlook"
        if not provider.startswith("microsoft365"):
            return "yahoo"
        return "contoso" if self.grant is GrantType.CLIENT_CREDENTIALS else "contoso-delegated"

    @staticmethod
    def _header(header: str) -> Sequence[str]:
        """The template's paragraphs without the one on copying, which is done."""
        _, _, told = header.partition("\n")  # behind the line on the schema
        title, _, *notes = told.split("\n#\n")
        return "\n#\n".join((title.replace("Template: ", "", 1), *notes)).splitlines()

    def _with_own_examples(self, text: str) -> str:
        """The comments show what this reader would write."""
        text = _VARIABLE.sub(lambda found: variable(self.name, found[1]), text)
        text = text.replace('"contoso"', as_toml(self.name))
        text = _EXAMPLE_MAILBOXES.sub(lambda _: self.mailbox, text)
        return _EXAMPLE_DOMAIN.sub(lambda _: self.mailbox.rpartition("@")[2], text)


def variable(name: str, key: str) -> str:
    """The environment variable in which a profile's secret is usually kept."""
    words = re.sub(r"[^A-Z0-9]", "_", f"{name}_{key}".upper())
    return words if words[0].isalpha() else f"_{words}"


def _filled(lines: Sequence[str], values: Values) -> Iterator[str]:
    """The body with each value in the place of its example, and tables that it lacks at its end."""
    left = {key: value for key, value in values.items() if value is not None}
    for table, inside in _by_table(lines):
        yield from _filled_table(table, inside, values)
        left = {key: value for key, value in left.items() if _table_of(key) != table}
    for table in dict.fromkeys(map(_table_of, left)):
        own = {key: value for key, value in left.items() if _table_of(key) == table}
        yield from ("", f"[{table}]", *(f"{_name_of(key)} = {value}" for key, value in own.items()))


def _by_table(lines: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """The lines of each table, its head among them; first those before any, which belong to no name."""
    heads = {place: head[1] for place, line in enumerate(lines) if (head := _TABLE.fullmatch(line))}
    yield "", lines[: min(heads)]
    for start, end in itertools.pairwise((*heads, len(lines))):
        yield heads[start], lines[start:end]


def _filled_table(table: str, lines: Sequence[str], values: Values) -> Iterator[str]:
    """One table; values that no line of it has follow its last one."""
    own = {_name_of(key): value for key, value in values.items() if _table_of(key) == table}
    pairs = {place: pair for place, line in enumerate(lines) if (pair := _PAIR.fullmatch(line))}
    for place, line in enumerate(lines):
        pair = pairs.get(place)
        yield _line(pair, own.pop(pair[1])) if pair and pair[1] in own else line
        if place == max(pairs):
            yield from (f"{key} = {value}" for key, value in own.items() if value is not None)


def _table_of(key: str) -> str:
    return key.rpartition(".")[0]


def _name_of(key: str) -> str:
    return key.rpartition(".")[2]


def _line(pair: re.Match[str], value: str | None) -> str:
    """One line with its value, and the comment behind it where it was, if it can stay there."""
    if value is None:
        return f"# {pair[0]}"
    start = pair[0][: pair.start("value")] + value
    return f"{start.ljust(pair.start('comment') - 1)} {pair['comment']}" if pair["comment"] else start


def as_toml(value: object) -> str:
    """A text, or a list of texts: the same in JSON and in TOML."""
    return json.dumps(value, ensure_ascii=False)


def ref_as_toml(ref: SecretRef) -> str:
    """Where a secret is kept, as a profile says it."""
    if not ref.place:
        return f"{{ {ref.kind} = true }}"
    place = list(ref.place) if ref.kind in ("command", "keyring") else ref.place[0]
    return f"{{ {ref.kind} = {as_toml(place)} }}"
