"""What every expectation on a profile speaks of: a problem, and whose profile it is."""

from __future__ import annotations

from dataclasses import dataclass

from smtp_preflight.model import Profile

MICROSOFT = "microsoft365"
PERSONAL = "outlook_personal"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not fit: the code it is explained by, what stands there, what would be right."""

    code: str
    key: str
    found: str
    wanted: str


def is_microsoft(profile: Profile) -> bool:
    """Microsoft 365 in one of its clouds, or a personal account."""
    return profile.provider.name.startswith(MICROSOFT) or profile.provider.name == PERSONAL


def is_google(profile: Profile) -> bool:
    """Gmail or Google Workspace."""
    return profile.provider.name.startswith("google")
