"""Text made fit to be shown."""

from __future__ import annotations


def short(value: object, most: int = 300) -> str:
    """Text made fit for one line of a report: bounded, and what was cut said so."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more characters)"
