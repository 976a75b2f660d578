"""What somebody has agreed to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Consent:
    """Who signed in, what they let the application do, and what the application wanted to see again."""

    user: str = ""  # empty: the mailbox of whoever the lab serves
    scope: str = ""  # as it was asked for
    nonce: str = ""
    offline: bool = True  # a refresh token comes with it
