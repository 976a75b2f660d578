"""``profiles/NAME.toml`` over a provider's preset over the defaults: a ``Profile``, and its settings.

What cannot be read as a profile is a ``ProfileError`` of one line: file, key, what was found, what would be
right. What can be read but will not work is none of this room's business: stage profile finds it.

The way through, each module using those before it: ``errors`` → ``references``, ``values`` → ``tables`` →
``files`` → ``parsing`` → ``settings`` → ``assembly`` → ``loading``. ``presets`` stands alone; ``schema``
describes the tables to editors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smtp_preflight.profile.errors import ProfileError
    from smtp_preflight.profile.loading import find_profiles, load_profile
    from smtp_preflight.profile.presets import load_providers
    from smtp_preflight.profile.settings import profile_from_settings, settings_of
    from smtp_preflight.profile.values import STEM, ascii_address

__all__ = [
    "STEM",
    "ProfileError",
    "ascii_address",
    "find_profiles",
    "load_profile",
    "load_providers",
    "profile_from_settings",
    "settings_of",
]

_MODULES = {
    "STEM": "values",
    "ProfileError": "errors",
    "ascii_address": "values",
    "find_profiles": "loading",
    "load_profile": "loading",
    "load_providers": "presets",
    "profile_from_settings": "settings",
    "settings_of": "settings",
}


def __getattr__(name: str) -> Any:
    """Load a name's module with its first use: whoever needs the presets only does not wait for pydantic."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
