"""Stage greeting: is it a mail server, and does it speak to us?

Evidence: ``greeting`` is the server's first reply, ``hello`` the answer to the first EHLO.
"""

from smtp_preflight.diagnosis.greeting import (
    remark_on_greeting_time,
    remark_on_reply_time,
    why_not_greeted,
)
from smtp_preflight.model import Ehlo, Seen, SmtpGreeting, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.GREETING


def test_what_answers_is_a_mail_server(greeting: SmtpGreeting, seen: Seen, explain: Explain) -> None:
    """The first bytes are a reply of SMTP, not of a proxy, SSH or TLS (RFC 5321 section 4.2)."""
    assert greeting.is_smtp, explain(why_not_greeted(seen))


def test_server_greets_with_220(greeting: SmtpGreeting, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The server welcomes this client in time (RFC 5321 section 4.3.1)."""
    assert greeting.accepted, explain(why_not_greeted(seen))
    remark(remark_on_greeting_time(seen, greeting))


def test_ehlo_is_accepted(hello: Ehlo, seen: Seen, explain: Explain, remark: Remark) -> None:
    """EHLO and the name we give in it are accepted (RFC 5321 section 4.1.1.1)."""
    assert hello.accepted, explain(why_not_greeted(seen))
    remark(remark_on_reply_time(seen, hello, STAGE))
