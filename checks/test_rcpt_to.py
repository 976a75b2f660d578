"""Stage rcpt_to: does the server take mail for each recipient?

Evidence: ``rcpt_to`` is the answer to RCPT TO, one per recipient of the profile.
"""

from smtp_preflight.diagnosis.greeting import remark_on_reply_time
from smtp_preflight.diagnosis.submission import why_recipient_refused
from smtp_preflight.model import RcptTo, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.RCPT_TO


def test_recipient_is_accepted(rcpt_to: RcptTo, seen: Seen, explain: Explain, remark: Remark) -> None:
    """RCPT TO is accepted (RFC 5321 section 4.1.1.3)."""
    assert rcpt_to.accepted, explain(why_recipient_refused(seen, rcpt_to.recipient))
    remark(remark_on_reply_time(seen, rcpt_to, STAGE))
