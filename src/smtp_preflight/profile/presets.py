"""The packaged presets, ``providers/*.toml``: each file a ``Provider``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib import resources
from typing import Any

from smtp_preflight.model import Endpoint, GrantType, Provider, RefreshLimit, Retirement

_KEYS = frozenset(one.name for one in fields(Provider))
_PARTS: Mapping[str, Any] = {
    **dict.fromkeys(("endpoints", "imap", "pop"), Endpoint),
    "refresh_limits": RefreshLimit,
    "retirements": Retirement,
}
_DELEGATED = (GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE, GrantType.REFRESH_TOKEN)


@cache
def load_providers() -> Mapping[str, Provider]:
    """Read the packaged presets, by name, in the order of the names."""
    folder = resources.files("smtp_preflight") / "providers"
    files = {
        file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")
    }
    return {name: _provider(name, tomllib.loads(files[name].read_text("utf-8"))) for name in sorted(files)}


def _provider(name: str, content: Mapping[str, Any]) -> Provider:
    """Turn a preset's file into a Provider; keys for its readers (``verified``) are passed over."""
    oauth = _flat_templates(content.get("oauth", {}))
    scope = _scope_by_grant(content.get("scope", {}))
    made = {**content, "name": name, "oauth": oauth, "scope": scope}
    return Provider(**{key: _built(key, value) for key, value in made.items() if key in _KEYS})


def _built(key: str, value: Any) -> Any:
    """A value of a preset as the model has it. That the files are of this form, the tests see to."""
    if isinstance(value, list):
        return tuple(_built(key, one) for one in value)
    return _PARTS[key](**value) if key in _PARTS else value


def _flat_templates(oauth: Mapping[str, Any]) -> dict[str, str]:
    """Endpoint templates by key; parameters of the authorization request as ``authorize_params.NAME``."""
    params = oauth.get("authorize_params", {})
    endpoints = {key: value for key, value in oauth.items() if key != "authorize_params"}
    return {**endpoints, **{f"authorize_params.{key}": value for key, value in params.items()}}


def _scope_by_grant(scope: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """A preset's ``delegated`` scope stands for the three grants in which a user signs in."""
    shared = {grant.value: tuple(scope["delegated"]) for grant in _DELEGATED if "delegated" in scope}
    return {**shared, **{grant: tuple(words) for grant, words in scope.items() if grant != "delegated"}}
