"""What a fault is, and at which providers there can be one."""

from __future__ import annotations

from dataclasses import dataclass

from smtp_preflight.lab.conditions import Conditions
from smtp_preflight.model import Stage

PROVIDERS = ("microsoft365", "outlook_personal", "google", "custom")
"""The providers whose manner a lab can take on."""

MICROSOFT = ("microsoft365", "outlook_personal")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can be broken."""

    code: str
    stage: Stage
    provider: tuple[str, ...]  # the providers at which it exists
    line: str
    conditions: Conditions
