"""Write ``docs/profile.md`` from the schema of a profile: ``make docs``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from smtp_preflight.model import Limits, Thresholds
from smtp_preflight.profile import load_providers
from smtp_preflight.profile.schema import schema_text

PAGE = Path(__file__).parent / "profile.md"
KEYS = tomllib.loads((resources.files("smtp_preflight") / "profile" / "keys.toml").read_text("utf-8"))
DEFAULTS = {"limits": asdict(Limits()), "thresholds": asdict(Thresholds())}
HEAD = """<!-- Written by `make docs` from src/smtp_preflight/profile: change it there. -->

# A profile, key by key

A profile is a TOML file in `profiles/`, or anywhere. `smtp-preflight init` writes a first one with comments;
[profiles/templates](../profiles/templates/) has one for each way to send. Few keys are needed, for the preset
of a provider knows the rest; the report shows where each value came from. A key that is not on this page is
an error, which names the nearest one that is. Editors that know [the schema](profile.schema.json) complete
and check a profile whose first line names it, as those of `init` do.

Secrets are named, never written down: `{ env = "NAME" }`, `{ file = "path" }`,
`{ command = ["program", "argument"] }`, `{ keyring = ["service", "user"] }` ([tokens.md](tokens.md)). Run
only profiles you trust: a command that one names is run.
"""


def page() -> str:
    """The whole of ``docs/profile.md``."""
    schema = json.loads(schema_text(load_providers()))
    tables = {name: _table(one, schema) for name, one in schema["properties"].items()}
    own = {name: one for name, one in schema["properties"].items() if not tables[name]}
    parts = [HEAD, "## At the top", "", *_rows("file", own, schema)]
    for name, keys in tables.items():
        if keys:
            brackets = f"[[{name}]]" if schema["properties"][name].get("type") == "array" else f"[{name}]"
            parts += ["", f"## `{brackets}`", "", KEYS["file"][name], "", *_rows(name, keys, schema)]
    return "\n".join((*parts, ""))


def _table(one: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The keys of a table, or of each of a list of them; of a plain value none."""
    keys: Mapping[str, Any] = _followed(one.get("items", one), schema).get("properties", {})
    return keys


def _followed(one: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference leads to."""
    place = one.get("$ref") or next((part.get("$ref") for part in one.get("allOf", ())), None)
    return schema["definitions"][place.rpartition("/")[2]] if place else one


def _rows(table: str, keys: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Each key with what it is for, what it may be, and its default where that is a number."""
    yield from ("| key | what it is for |", "|---|---|")
    for key, one in keys.items():
        choices = _followed(one, schema).get("enum", ())
        listed = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
        default = DEFAULTS.get(table, {}).get(key)
        yield f"| `{key}` | {KEYS[table][key]}{listed}{f' Default: {default}.' if default else ''} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
