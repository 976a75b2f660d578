"""How a ``why_…`` and a ``remark_on_…`` come to their finding."""

from __future__ import annotations

from collections.abc import Mapping

from smtp_preflight.diagnosis.rank import rank
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.model import Finding, Seen, Stage


def finding(
    seen: Seen,
    stage: Stage,
    *only: str,
    subject: str = "",
    signs: Mapping[str, str] | None = None,
    facts: Mapping[str, str] | None = None,
) -> Finding:
    """The causes for what was seen at a stage.

    only: the signs of that stage the expectation is about; all of them where none is named.
    signs, facts: what the caller adds, because it concerns one recipient or address only.
    facts["seen"]: the raw words a report shows as what was seen.
    """
    everything = signs_of(seen)
    if only:
        everything = everything.only(stage, *only)
    causes = rank(everything.having(stage, signs or {}, facts), stage)
    if causes[0].code == "unexplained" and not subject:
        subject = stage  # what nobody can name at one stage is not what nobody can name at another
    return Finding(causes, subject)
