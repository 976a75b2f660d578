"""How a finding meets pytest: a check explains, remarks, or is blocked."""

from __future__ import annotations

from collections.abc import Callable

from smtp_preflight.model import Finding


class Blocked(Exception):
    """What a check needs could not be asked, and this is why.

    on_the_way: the question is one that the message has to pass (connection to DATA, the token request),
    so that its cause is red even where it is only a warning.
    """

    def __init__(self, finding: Finding, *, on_the_way: bool = True) -> None:
        super().__init__(finding.id)
        self.finding = finding
        self.on_the_way = on_the_way


class NotAsked(Exception):
    """The asking ended before this question: the run was interrupted or is a recording that was."""


Explain = Callable[[Finding], str]  # called only where the assertion fails; gives the failure its causes
Remark = Callable[[Finding | None], None]  # for an expectation that holds, but not for long
