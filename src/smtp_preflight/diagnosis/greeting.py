"""Stage greeting: why the dialogue does not begin. Its steps are the greeting and both EHLOs."""

from __future__ import annotations

from smtp_preflight.diagnosis.comparisons import looked_at
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.model import Finding, Seen, SmtpStep, Stage


def why_not_greeted(seen: Seen) -> Finding:
    """No greeting came, it was no welcome, or EHLO was not accepted after it."""
    words = signs_of(seen).facts.get("greeting_seen", "nothing was read")
    return finding(seen, Stage.GREETING, facts={"seen": "\n".join((words, *looked_at(seen)))})


def remark_on_greeting_time(seen: Seen, step: SmtpStep) -> Finding | None:
    """The greeting came, late."""
    return _late(seen, step, seen.profile.limits.greeting_slow_s, "greeting", Stage.GREETING)


def remark_on_reply_time(seen: Seen, step: SmtpStep, stage: Stage) -> Finding | None:
    """A reply to EHLO, STARTTLS, AUTH, MAIL or RCPT came, late."""
    return _late(seen, step, seen.profile.limits.reply_slow_s, "reply", stage)


def _late(seen: Seen, step: SmtpStep, limit: float, what: str, stage: Stage) -> Finding | None:
    if step.took_s <= limit:
        return None
    words = f"{step.took_s:.1f} s; slow from {limit:g} s"
    return finding(
        seen,
        stage,
        "slow",
        subject=stage if what == "reply" else "",
        signs={"slow": what},
        facts={"seen": words},
    )
