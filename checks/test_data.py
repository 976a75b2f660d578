"""Stage data: is the message taken?

Evidence: ``data`` holds the server's last word on the one message of this run. Without ``[send]`` in the
profile there is none.
"""

from smtp_preflight.diagnosis.submission import remark_on_submission_time, why_message_refused
from smtp_preflight.model import DataExchange, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.DATA


def test_message_is_accepted(data: DataExchange, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The server accepts the message and the responsibility for it (RFC 5321 section 4.1.1.4)."""
    assert data.accepted, explain(why_message_refused(seen))
    remark(remark_on_submission_time(seen, data))
