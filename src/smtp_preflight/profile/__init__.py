"""``profiles/NAME.toml`` over a provider's preset over the defaults: a ``Profile``, and its settings.

What cannot be read as a profile is a ``ProfileError`` of one line: file, key, what was found, what would be
right. What can be read but will not work is none of this room's business: stage profile finds it.

The way through, each module using those before it: ``errors`` → ``references``, ``values`` → ``tables`` →
``files`` → ``parsing`` → ``settings`` → ``assembly`` → ``loading``. ``presets`` stands alone; ``schema``
describes the tables to editors.
"""

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
