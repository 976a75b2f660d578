"""The JSON Schema of profiles says what the tables say: editors take what we take, and refuse the rest."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import pytest

from smtp_preflight.model import GrantType
from smtp_preflight.profile import load_providers
from smtp_preflight.profile.schema import descriptions, profile_schema, schema_text
from smtp_preflight.profile.tables import TABLES, File

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "docs" / "profile.schema.json"
SCHEMA = profile_schema(load_providers())
SHIPPED = sorted((ROOT / "profiles").rglob("*.toml"))
BAD = sorted((ROOT / "tests" / "bad_profiles").glob("*.toml"))
LEFT_TO_US = {
    # no TOML at all, which every editor says
    *("toml_broken", "toml_ends_early", "toml_twice"),
    # what other files say
    *("extends_back", "extends_broken", "extends_in_a_circle", "extends_itself", "extends_misspelt"),
    # what is needed depends on the provider or the grant
    *("client_id_missing", "custom_delivery_without_imap", "custom_imap_without_host"),
    *("custom_pop_without_host", "custom_without_endpoint", "custom_without_host", "delivery_without_send"),
    # shapes beyond a pattern; JSON knows neither dates nor what is no number
    *("name_server_bad_port", "name_server_is_name", "endpoint_bad_port", "control_character_in_list"),
    *("recipients_twice", "params_with_secret", "date_is_text", "date_with_time", "limit_not_a_number"),
}


def read(path: Path) -> Any:
    """A file as TOML editors hand it to their schema validator: times as text."""
    return as_json(tomllib.loads(path.read_text("utf-8")))


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    return value.isoformat() if isinstance(value, dt.date | dt.time) else value


def accepted(content: Any) -> bool:
    return bool(jsonschema.Draft7Validator(SCHEMA).is_valid(content))


def test_the_published_schema_is_current() -> None:
    """Whoever changes a table runs ``make docs``."""
    assert PUBLISHED.read_text("utf-8") == schema_text(load_providers())


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_every_key_is_described_and_no_other() -> None:
    inside = {f"{table}.{key}" for table, model in TABLES.items() for key in model.model_fields}
    assert set(descriptions()) == {*File.model_fields, *inside}


def test_each_key_has_its_own_words() -> None:
    """Also where two tables have the same keys, as ``[imap]`` and ``[pop]`` have."""
    for key, words in descriptions().items():
        table, _, name = key.rpartition(".")
        inside = SCHEMA["definitions"][TABLES[table].__name__] if table else SCHEMA
        assert inside["properties"][name]["description"] == words


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_profile_is_accepted(path: Path) -> None:
    assert list(jsonschema.Draft7Validator(SCHEMA).iter_errors(read(path))) == []


@pytest.mark.parametrize(
    "path", [one for one in SHIPPED if one.parent.name == "templates"], ids=lambda path: path.stem
)
def test_every_template_leads_editors_to_the_schema(path: Path) -> None:
    place = path.read_text("utf-8").splitlines()[0].removeprefix("#:schema ")
    assert (path.parent / place).resolve() == PUBLISHED


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_an_editor_refuses_what_a_run_would(path: Path) -> None:
    """All but what a schema cannot say, which is listed."""
    try:
        content = read(path)
    except ValueError:
        assert path.stem in LEFT_TO_US
    else:
        assert accepted(content) == (path.stem in LEFT_TO_US)


@pytest.mark.parametrize("key", ["provider", "lab"])
def test_the_presets_are_offered(key: str) -> None:
    assert SCHEMA["properties"][key]["enum"] == sorted(load_providers())


def test_the_grants_are_offered() -> None:
    assert SCHEMA["definitions"]["GrantType"]["enum"] == list(GrantType)


def test_what_a_base_says_need_not_be_said_again() -> None:
    assert accepted({"extends": "contoso", "mailbox": "alerts@fabrikam.com"})
    assert not accepted({"mailbox": "alerts@fabrikam.com"})
