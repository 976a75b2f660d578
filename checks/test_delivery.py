"""Stage delivery: does the message arrive, and as it was sent?

Evidence: ``delivery_login`` is the login that looks for the message, ``arrival`` what it found in the
mailbox, ``message`` the message as it lies there. Without ``[delivery]`` in the profile there is none.
"""

from smtp_preflight.diagnosis.delivery import (
    can_be_looked_into,
    is_from_sender,
    remark_on_delivery_time,
    why_not_arrived,
    why_not_looked_into,
    why_not_proven,
    why_outside_inbox,
    why_sender_rewritten,
)
from smtp_preflight.model import Arrival, FoundMessage, MailboxLogin, Profile, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.DELIVERY


def test_mailbox_can_be_looked_into(
    delivery_login: MailboxLogin | None, seen: Seen, explain: Explain
) -> None:
    """The login that the profile names opens the recipient's mailbox over IMAP."""
    assert can_be_looked_into(delivery_login), explain(why_not_looked_into(seen))


def test_message_arrives(arrival: Arrival, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The message is in the mailbox within the time allowed."""
    assert arrival.found, explain(why_not_arrived(seen))
    remark(remark_on_delivery_time(seen, arrival))


def test_message_is_in_the_inbox(message: FoundMessage, seen: Seen, explain: Explain) -> None:
    """The message lies in INBOX, not in the folder for junk."""
    assert message.in_inbox, explain(why_outside_inbox(seen, message))


def test_receiver_sees_who_sent_it(
    method: str, judged_message: FoundMessage, seen: Seen, explain: Explain
) -> None:
    """The receiver's Authentication-Results say that SPF, DKIM and DMARC pass (RFC 8601 section 2.7)."""
    assert judged_message.result_of(method) == "pass", explain(why_not_proven(seen, judged_message, method))


def test_sender_is_not_rewritten(
    message: FoundMessage, profile: Profile, seen: Seen, explain: Explain
) -> None:
    """From is the address that the message was sent with."""
    assert is_from_sender(message, profile.sender), explain(why_sender_rewritten(seen, message))
