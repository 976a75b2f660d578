"""Stage auth: does the mail server accept the token?

Evidence: ``auth`` is the AUTH exchange; a 334 challenge has been decoded and answered.
"""

from smtp_preflight.diagnosis.greeting import remark_on_reply_time
from smtp_preflight.diagnosis.submission import why_not_authenticated
from smtp_preflight.model import AuthExchange, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.AUTH


def test_token_is_accepted(auth: AuthExchange, seen: Seen, explain: Explain, remark: Remark) -> None:
    """AUTH with the token ends in 235 (RFC 4954 section 6)."""
    assert auth.accepted, explain(why_not_authenticated(seen))
    remark(remark_on_reply_time(seen, auth, STAGE))
