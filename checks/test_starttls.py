"""Stage starttls: can the connection be encrypted before anything is said?

Evidence: ``ehlo`` lists what is offered in the clear, ``starttls`` is the answer to STARTTLS. With implicit
TLS these checks are skipped.
"""

from smtp_preflight.diagnosis.greeting import remark_on_reply_time
from smtp_preflight.diagnosis.starttls import (
    why_auth_before_tls,
    why_starttls_not_accepted,
    why_starttls_not_offered,
)
from smtp_preflight.model import Ehlo, Seen, Stage, StartTls
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.STARTTLS


def test_starttls_is_offered(ehlo_accepted: Ehlo, seen: Seen, explain: Explain) -> None:
    """EHLO lists STARTTLS, and nothing on the way hides it (RFC 3207 section 4)."""
    assert ehlo_accepted.offers("STARTTLS"), explain(why_starttls_not_offered(seen))


def test_no_sign_in_is_offered_in_the_clear(ehlo_accepted: Ehlo, seen: Seen, explain: Explain) -> None:
    """AUTH is not advertised before TLS (RFC 4954 section 4)."""
    assert not ehlo_accepted.mechanisms, explain(why_auth_before_tls(seen))


def test_starttls_is_accepted(starttls: StartTls, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The answer to STARTTLS is 220 (RFC 3207 section 4)."""
    assert starttls.accepted, explain(why_starttls_not_accepted(seen))
    remark(remark_on_reply_time(seen, starttls, STAGE))


def test_nothing_follows_the_answer_in_the_clear(starttls: StartTls, seen: Seen, explain: Explain) -> None:
    """No byte stands between the 220 and the handshake (RFC 3207 section 6)."""
    assert not starttls.injected, explain(why_starttls_not_accepted(seen))
