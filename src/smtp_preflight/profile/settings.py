"""A profile as reports carry it, one value per dotted key, and back again for a replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from smtp_preflight.model import Profile, Provider, SecretRef, Setting
from smtp_preflight.profile.errors import ProfileError, dotted, one_of, quoted
from smtp_preflight.profile.references import SECRETS, ref_as_text, ref_from_text

_SECTIONS = ("smtp", "oauth", "expect", "send", "delivery", "imap", "pop", "limits", "thresholds")
PLAIN_KEYS: Mapping[str, str] = {
    "mailbox": "mailbox",
    "lab": "lab",
    "dns.servers": "dns_servers",
    "tls.ca_file": "ca_file",
    "http.proxy": "proxy",
    "severity": "severity",
    "waivers": "waivers",
}
"""Keys whose values stand in the profile itself, and the attribute that holds each."""

_WRITTEN = "written."
_PROFILES = TypeAdapter(Profile)


def settings_of(profile: Profile) -> dict[str, Setting]:
    """Lay a profile out as one value per dotted key, sorted; an empty value is left out.

    Of a profile that a lab has taken over, what its file says stands under ``written.…`` where it differs
    (null: the file says nothing of it).
    """
    settings = _settings(profile)
    if profile.written:
        written = _settings(profile.written)
        changed = [key for key in {*settings, *written} if settings.get(key) != written.get(key)]
        settings |= {f"{_WRITTEN}{key}": written.get(key, Setting(None, "default")) for key in changed}
    return dict(sorted(settings.items()))


def _settings(profile: Profile) -> dict[str, Setting]:
    return {key: Setting(value, profile.origins.get(key, "default")) for key, value in flat(profile).items()}


def flat(profile: Profile) -> dict[str, Any]:
    """Every value that is not empty, as JSON can hold it."""
    values: dict[str, Any] = {"provider": profile.provider.name}
    values |= {key: getattr(profile, attribute) for key, attribute in PLAIN_KEYS.items()}
    for name in _SECTIONS:
        if section := getattr(profile, name):
            values |= {f"{name}.{one.name}": getattr(section, one.name) for one in fields(section)}
    return {key: _plain(value) for key, value in values.items() if value not in (None, "", (), {})}


def _plain(value: Any) -> Any:
    return ref_as_text(value) if isinstance(value, SecretRef) else to_jsonable_python(value)


def profile_from_settings(
    name: str, settings: Mapping[str, Setting], providers: Mapping[str, Provider]
) -> Profile:
    """Build the profile that ``settings_of`` has laid out; keys of a newer version are passed over.

    Raises ProfileError for settings that no profile can be built from.
    """
    own = {key: one for key, one in settings.items() if not key.startswith(_WRITTEN)}
    changed = {key.removeprefix(_WRITTEN): one for key, one in settings.items() if key.startswith(_WRITTEN)}
    profile = _built(name, own, providers)
    if not changed:
        return profile
    written = {key: one for key, one in {**own, **changed}.items() if one.value is not None}
    return replace(profile, written=_built(name, written, providers))


def _built(name: str, settings: Mapping[str, Setting], providers: Mapping[str, Provider]) -> Profile:
    values = {key: one.value for key, one in settings.items()}
    provider = str(values.get("provider"))
    if provider not in providers:
        raise ProfileError(name, "provider", quoted(provider), one_of(list(providers)))
    content = {attribute: values[key] for key, attribute in PLAIN_KEYS.items() if key in values}
    content |= {section: inner for section in _SECTIONS if (inner := _section_from(section, values))}
    content |= {"name": name, "provider": providers[provider]}
    content |= {"origins": {key: one.origin for key, one in settings.items()}}
    try:
        return _PROFILES.validate_python(content)
    except ValidationError as problem:
        loc = problem.errors(include_url=False)[0]["loc"]
        raise ProfileError(name, dotted(loc), "an unreadable setting", "one as a run writes it") from None


def _section_from(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the values of a section, references to secrets taken apart."""
    prefix = f"{section}."
    inner = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    refs = {key: ref_from_text(str(inner[key])) for key in SECRETS if key in inner}
    return {**({"host": ""} if section == "smtp" else {}), **inner, **refs}
