"""Stages profile and claims predict, servers decide (product.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from smtp_preflight.diagnosis.submission import why_not_authenticated
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.model import AuthExchange, Finding, Grant, Seen, Stage


class Standing(StrEnum):
    """What became of something that was read off the profile or the token."""

    FACT = "fact"  # no prediction: it was seen to happen
    CONFIRMED = "confirmed"  # it happened, and the refusal names this cause first
    REFUTED = "refuted"  # it did not happen, or the refusal has another named cause
    UNDECIDED = "undecided"  # the server was not asked


PREDICTING = frozenset({Stage.PROFILE, Stage.TOKEN, Stage.CLAIMS})  # a wrong clock shows at token

Decision = Finding | bool | None  # nothing where the server was not asked, true where it accepted


def _of_token_endpoint(seen: Seen) -> Decision:
    grant = seen.get(Grant)
    if grant is None or grant.http is None:
        return None
    return grant.granted or why_not_granted(seen)


def _of_mail_server(seen: Seen) -> Decision:
    auth = seen.get(AuthExchange)
    if auth is None:
        return None
    return auth.accepted or why_not_authenticated(seen)


# Who decides what is predicted: the server of this stage.
DECISIONS: Mapping[Stage, Callable[[Seen], Decision]] = {
    Stage.TOKEN: _of_token_endpoint,
    Stage.AUTH: _of_mail_server,
}


def standing(code: str, decided_by: Stage | None, stage: Stage, seen: Seen) -> Standing:
    """Whether what a check at this stage shows is a fact, or a prediction and what became of it."""
    if decided_by is None or stage not in PREDICTING or stage.place >= decided_by.place:
        return Standing.FACT
    decision = DECISIONS[decided_by](seen)
    if decision is None:
        return Standing.UNDECIDED
    if isinstance(decision, Finding):
        return Standing.CONFIRMED if decision.code in (code, "unexplained") else Standing.REFUTED
    return Standing.REFUTED
