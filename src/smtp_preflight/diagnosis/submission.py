"""Stages auth, mail_from, rcpt_to and data: what the server does not take, and why."""

from __future__ import annotations

from dataclasses import replace

from smtp_preflight.diagnosis.comparisons import same_token_at_mailbox
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import reply_signs, signs_of, words_of
from smtp_preflight.knowledge import entry
from smtp_preflight.model import AuthExchange, DataExchange, Failure, Finding, RcptTo, Seen, Stage

NO_WORD = frozenset({Failure.TIMEOUT, Failure.CLOSED, Failure.RESET, Failure.TLS})
DIALOGUE = ("failure", "text", "mechanism")  # the signs of how AUTH itself went


def why_not_authenticated(seen: Seen) -> Finding:
    """The server refused the token, asked for something else, or hung up.

    Where it said nothing at all, what is in the token explains nothing either.
    """
    auth = seen.get(AuthExchange)
    only = DIALOGUE if auth and auth.failure in NO_WORD and not auth.challenge else ()
    words = (signs_of(seen).facts.get("auth_seen", "not asked"), *same_token_at_mailbox(seen))
    return finding(seen, Stage.AUTH, *only, facts={"seen": "\n".join(words)})


def why_sender_refused(seen: Seen) -> Finding:
    """MAIL FROM was not accepted."""
    return finding(
        seen, Stage.MAIL_FROM, facts={"seen": signs_of(seen).facts.get("mail_from_seen", "not asked")}
    )


def why_recipient_refused(seen: Seen, recipient: str) -> Finding:
    """RCPT TO was not accepted for this recipient.

    Servers may keep a refusal of client, login or sender until a recipient is named (Postfix, by
    ``smtpd_delay_reject``); it is about all recipients alike, hence one finding for them all.
    """
    step = seen.get(RcptTo, recipient)
    if step is None:
        return finding(seen, Stage.RCPT_TO, subject=recipient)
    facts = {"seen": words_of(step), "recipient": recipient}
    told = finding(seen, Stage.RCPT_TO, subject=recipient, signs=reply_signs(step), facts=facts)
    return told if _about_recipient(told.causes[0].code) else replace(told, subject="")


def why_no_recipient_accepted(seen: Seen) -> Finding:
    """Every recipient was refused; the first one's reason stands for all."""
    return why_recipient_refused(seen, seen.profile.recipients[0])


def why_message_refused(seen: Seen) -> Finding:
    """The message was not accepted, or what became of it is unknown."""
    return finding(seen, Stage.DATA, facts={"seen": signs_of(seen).facts.get("data_seen", "not asked")})


def _about_recipient(code: str) -> bool:
    return code == "unexplained" or entry(code).stage is Stage.RCPT_TO


def remark_on_submission_time(seen: Seen, data: DataExchange) -> Finding | None:
    """The message was accepted, late."""
    limit = seen.profile.limits.data_slow_s
    if data.took_s <= limit:
        return None
    words = f"{data.took_s:.1f} s; slow from {limit:g} s"
    return finding(seen, Stage.DATA, "slow", signs={"slow": "data"}, facts={"seen": words})
