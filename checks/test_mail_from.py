"""Stage mail_from: may this user send as this sender?

Evidence: ``mail_from`` is the answer to MAIL FROM.
"""

from smtp_preflight.diagnosis.greeting import remark_on_reply_time
from smtp_preflight.diagnosis.submission import why_sender_refused
from smtp_preflight.model import MailFrom, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.MAIL_FROM


def test_sender_is_accepted(mail_from: MailFrom, seen: Seen, explain: Explain, remark: Remark) -> None:
    """MAIL FROM is accepted (RFC 5321 section 4.1.1.2)."""
    assert mail_from.accepted, explain(why_sender_refused(seen))
    remark(remark_on_reply_time(seen, mail_from, STAGE))
