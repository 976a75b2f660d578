"""Stage delivery: what became of the message after it was accepted."""

from __future__ import annotations

import re

from smtp_preflight.diagnosis.mailbox_access import fault_of_token, why_mailbox_not_opened
from smtp_preflight.diagnosis.mailbox_logins import login_words
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.model import (
    Arrival,
    Bounce,
    Finding,
    FoundMessage,
    MailboxLogin,
    ReaderGrant,
    Seen,
    Stage,
)

METHODS = ("spf", "dkim", "dmarc")
FAILS = {  # the sign of each that fails
    "spf": {"spf_result": "fail"},
    "dkim": {"dkim_result": "fail"},
    "dmarc": {"dmarc": "fail"},
}
NOTHING_SAID = frozenset({"", "none", "neutral", "temperror", "bestguesspass"})


# --- looking -----------------------------------------------------------------------------------------------


def can_be_looked_into(login: MailboxLogin | None) -> bool:
    """There is a login that may open the mailbox, and it did."""
    return login is not None and login.opened


def why_not_looked_into(seen: Seen) -> Finding:
    """The mailbox could not be opened, or looking into it ended early.

    Where the profile wants this very login to work (``[imap] check``), the reason itself is the finding, and
    the check of that login meets it again.
    """
    login = seen.get(MailboxLogin, seen.profile.delivery_login)
    if login and (fault := fault_of_token(seen, login)):
        return fault
    its_own = seen.profile.delivery_login == seen.profile.place_of("imap")
    if login and not login.opened and its_own and seen.profile.imap.check:
        return why_mailbox_not_opened(seen, seen.profile.delivery_login)
    return finding(
        seen,
        Stage.DELIVERY,
        "delivery",
        signs={"delivery": "unavailable"},
        facts={"seen": _why_unavailable(seen, login)},
    )


def _why_unavailable(seen: Seen, login: MailboxLogin | None) -> str:
    delivery = seen.profile.delivery
    reader = seen.get(ReaderGrant, delivery.profile) if delivery else None
    if login and not login.opened:
        return login_words(seen, login)
    if arrival := _watched(seen):
        return f"{arrival.mailbox}: {arrival.trouble or 'looked into'}: {arrival.reply}".rstrip(": ")
    if reader and not reader.granted:
        return f"profile {reader.profile}: {_why_no_token(reader)}"
    if delivery and not seen.profile.delivery_login:
        return f"{delivery.mailbox} is not the mailbox of this login, {seen.profile.mailbox}"
    return "not asked"


def _why_no_token(reader: ReaderGrant) -> str:
    grant = reader.grant
    if grant is None:
        return reader.problem
    told = grant.error.description or grant.error.error if grant.error else grant.problem
    return told or "no token was granted"


def _watched(seen: Seen) -> Arrival | None:
    """What was seen of the mailbox that the message was sent to."""
    delivery = seen.profile.delivery
    return seen.get(Arrival, delivery.mailbox.lower()) if delivery else None


# --- arriving ----------------------------------------------------------------------------------------------


def why_not_arrived(seen: Seen) -> Finding:
    """A bounce came instead, nothing came, or nobody could go on looking."""
    bounce = next((one.bounce for one in seen.every(Arrival) if one.bounce), None)
    if bounce:
        return _why_bounced(seen, bounce)
    arrival = _watched(seen)
    if arrival is None or arrival.trouble:
        return why_not_looked_into(seen)
    after = f"{arrival.missing_after_s:.0f} s after it was accepted, the last of {arrival.looks} looks"
    words = f"not in {arrival.mailbox} {after}"
    return finding(seen, Stage.DELIVERY, "delivery", signs={"delivery": "missing"}, facts={"seen": words})


def _why_bounced(seen: Seen, bounce: Bounce) -> Finding:
    """By the words of the server that refused it, as if it had said them to us."""
    signs = {"delivery": "bounced", "text": bounce.diagnostic}
    if found := re.match(r"([245]\d\d)[ -]", bounce.diagnostic):
        signs["smtp_code"] = found[1]
        signs["text"] = bounce.diagnostic[4:]
    if bounce.status:
        signs["enhanced"] = bounce.status
    words = "\n".join(filter(None, (bounce.recipient, bounce.status, bounce.diagnostic)))
    facts = {"seen": words, "recipient": bounce.recipient}
    return finding(seen, Stage.DELIVERY, "delivery", signs=signs, facts=facts)


def remark_on_delivery_time(seen: Seen, arrival: Arrival) -> Finding | None:
    """The message arrived, and was still missing after half of the time allowed."""
    limit = seen.profile.delivery.within_s / 2 if seen.profile.delivery else 0
    if arrival.missing_after_s <= limit:
        return None
    words = f"still missing after {arrival.missing_after_s:.1f} s; slow from {limit:g} s"
    return finding(seen, Stage.DELIVERY, "slow", signs={"slow": "delivery"}, facts={"seen": words})


# --- as it lies in the mailbox -----------------------------------------------------------------------------


def why_outside_inbox(seen: Seen, message: FoundMessage) -> Finding:
    """It lies in another folder than INBOX."""
    words = f"folder {message.folder}\n{message.authentication_results}".rstrip()
    return finding(seen, Stage.DELIVERY, "delivery", signs={"delivery": "junk"}, facts={"seen": words})


def says_something_of(message: FoundMessage, method: str) -> bool:
    """The receiver came to a result; within one organisation many look at nothing."""
    return message.result_of(method) not in NOTHING_SAID


def why_not_proven(seen: Seen, message: FoundMessage, method: str) -> Finding:
    """The receiver does not see that the message is from this domain.

    Where DMARC fails, that is the reason for all three: it fails when both others do not prove anything.
    """
    first = "dmarc" if _failed(message, "dmarc") else method
    facts = {"seen": message.authentication_results}
    return finding(seen, Stage.DELIVERY, "delivery", signs=FAILS[first], facts=facts)


def _failed(message: FoundMessage, method: str) -> bool:
    return says_something_of(message, method) and message.result_of(method) != "pass"


def why_sender_rewritten(seen: Seen, message: FoundMessage) -> Finding:
    """From is not the one the message was sent with."""
    words = f"From: {message.author}\nsent with: {seen.profile.sender}"
    return finding(seen, Stage.DELIVERY, "from", signs={"from": "rewritten"}, facts={"seen": words})


def is_from_sender(message: FoundMessage, sender: str) -> bool:
    """The address in From is the one the message was sent with; of a local part nobody minds the case."""
    return message.author.lower() == sender.lower()
