"""JSON Schema of a profile's file, by which editors complete and check it: from the tables, never by hand."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from smtp_preflight.profile.tables import TABLES, File


class _Generator(GenerateJsonSchema):
    """Leaves out what TOML cannot say (null), and what an editor need not know: defaults, Python's names."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def profile_schema(providers: Iterable[str]) -> dict[str, Any]:
    """The schema of one file; a file that extends another may leave to it what else is required.

    providers: the names of the presets.
    """
    schema = File.model_json_schema(
        ref_template="#/definitions/{model}", schema_generator=_Generator, mode="validation"
    )
    definitions, keys = schema["$defs"], schema["properties"]
    for one in definitions.values():
        one.pop("title")
        one.pop("description", None)  # of the class, not of the key
    for key, words in descriptions().items():
        table, _, name = key.rpartition(".")
        properties = definitions[TABLES[table].__name__]["properties"] if table else keys
        properties[name] = _described(properties[name], words)
    for key in ("provider", "lab"):
        keys[key]["enum"] = sorted(providers)
    keys["severity"]["additionalProperties"] = False
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",  # the newest that TOML editors agree on
        "$id": "urn:smtp-preflight:profile:1",
        "title": "A profile of smtp-preflight",
        "type": "object",
        "anyOf": [{"required": schema["required"]}, {"required": ["extends"]}],
        "properties": keys,
        "additionalProperties": False,
        "definitions": definitions,
    }


def _described(schema: Mapping[str, Any], words: str) -> dict[str, Any]:
    """With a description; until draft 2019-09 whatever stands beside a reference is passed over."""
    return {**({"allOf": [schema]} if "$ref" in schema else schema), "description": words}


def schema_text(providers: Iterable[str]) -> str:
    """The schema as a file, ``docs/profile.schema.json`` for one."""
    return json.dumps(profile_schema(providers), indent=2, ensure_ascii=False) + "\n"


@cache
def descriptions() -> Mapping[str, str]:
    """What each key is for, by its dotted name; in ``keys.toml``, ``[file]`` holds those of no table."""
    text = (resources.files("smtp_preflight") / "profile" / "keys.toml").read_text("utf-8")
    tables = tomllib.loads(text)
    inside = {f"{table}.{key}": words for table, keys in tables.items() for key, words in keys.items()}
    return {key.removeprefix("file."): words for key, words in inside.items()}
