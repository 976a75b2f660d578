"""Profiles with other settings than their files have: somebody's mistakes, and what a lab puts instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from smtp_preflight.model import Profile

_PLAIN = {"dns.servers": "dns_servers", "tls.ca_file": "ca_file", "http.proxy": "proxy"}
"""Keys whose values stand in the profile itself, under another name."""


def with_settings(profile: Profile, settings: Mapping[str, Any], origin: str) -> Profile:
    """The profile with these settings: keys as in its file, values as in the model.

    origin: whose they are, as reports say it.
    """
    for key, value in settings.items():
        section, _, name = _PLAIN.get(key, key).rpartition(".")
        changed = replace(getattr(profile, section), **{name: value}) if section else value
        profile = replace(profile, **{section or name: changed})
    return replace(profile, origins={**profile.origins, **dict.fromkeys(settings, origin)})
