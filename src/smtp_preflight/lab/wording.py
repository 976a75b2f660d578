"""What the mail servers of the providers say, word for word.

A template may name server, front, stamp, date, unix, id, peer, user, sender, recipient and message_id. A line
break in it separates the lines of one reply (RFC 5321 section 4.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """One provider's replies; the defaults are those of a plain RFC 5321 server.

    Among the ``extensions`` STARTTLS also marks the place of AUTH, which takes its turn under TLS.
    """

    server: str = "smtp.lab.example"  # may name front
    greeting: str = "220 {server} ESMTP ready"
    hello: str = "{server}"
    size_bytes: int = 36_700_160
    extensions: tuple[str, ...] = ("PIPELINING", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME")
    mechanisms: tuple[str, ...] = ("PLAIN", "XOAUTH2", "OAUTHBEARER")
    starttls_ready: str = "220 2.0.0 Ready to start TLS"
    starttls_again: str = "503 5.5.1 TLS already active"
    starttls_pipelined: str = "501 5.5.4 No commands may follow STARTTLS"
    auth_ok: str = "235 2.7.0 Authentication successful"
    auth_failed: str = "535 5.7.8 Authentication credentials invalid"
    auth_challenges: bool = True  # a bearer token is refused by a 334 first (RFC 7628 section 3.2.2)
    auth_scope: str = ""  # what that challenge says is needed
    auth_status: str = ""  # and what is wrong; none: what the mechanism's inventor says
    auth_unknown: str = "504 5.5.4 Unrecognized authentication type"
    auth_undecodable: str = "501 5.5.2 Cannot decode response"
    auth_too_long: str = "500 5.5.6 Authentication exchange line is too long"
    auth_cancelled: str = "501 5.7.0 Authentication cancelled"
    auth_again: str = "503 5.5.1 Already authenticated"
    auth_needed: str = "530 5.7.0 Authentication required"
    basic_refused: str = "535 5.7.8 Authentication credentials invalid"
    mail_ok: str = "250 2.1.0 Ok"
    rcpt_ok: str = "250 2.1.5 Ok"
    data_ok: str = "354 End data with <CR><LF>.<CR><LF>"
    chunk_ok: str = "250 2.0.0 Ok"
    accepted: str = "250 2.0.0 Ok: queued as {id}"
    send_as_denied: str = ""  # empty: any sender is taken
    reset: str = "250 2.0.0 Ok"
    noop: str = "250 2.0.0 Ok"
    bye: str = "221 2.0.0 Bye"
    hello_first: str = "503 5.5.1 Send EHLO first"
    bad_sequence: str = "503 5.5.1 Bad sequence of commands"
    bad_arguments: str = "501 5.5.4 Invalid arguments"
    too_big: str = "552 5.3.4 Message size exceeds fixed limit"
    line_too_long: str = "500 5.5.2 Line too long"
    unknown: str = "500 5.5.2 Command unrecognized"


PLAIN = Wording()

EXCHANGE = Wording(
    server="{front}.labprd01.prod.outlook.com",
    greeting="220 {front}.outlook.office365.com Microsoft ESMTP MAIL Service ready at {date} [{id}]",
    hello="{front}.outlook.office365.com Hello [{peer}]",
    size_bytes=157_286_400,
    extensions=(
        "PIPELINING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "STARTTLS",
        "8BITMIME",
        "BINARYMIME",
        "CHUNKING",
        "SMTPUTF8",
    ),
    mechanisms=("LOGIN", "XOAUTH2"),
    starttls_ready="220 2.0.0 SMTP server ready",
    starttls_again="503 5.5.2 Only one STARTTLS command can be issued per session",
    auth_failed="535 5.7.3 Authentication unsuccessful [{server} {stamp} {id}]",
    auth_challenges=False,
    auth_unknown="504 5.7.4 Unrecognized authentication type [{server} {stamp} {id}]",
    auth_undecodable="501 5.5.124 Invalid XOAUTH2 auth data",
    auth_again="503 5.5.2 Already authenticated",
    auth_needed="530 5.7.57 Client not authenticated to send mail. [{server} {stamp} {id}]",
    basic_refused=(
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [{server} {stamp} {id}]"
    ),
    mail_ok="250 2.1.0 Sender OK",
    rcpt_ok="250 2.1.5 Recipient OK",
    data_ok="354 Start mail input; end with <CRLF>.<CRLF>",
    accepted="250 2.0.0 OK {message_id} [Hostname={server}]",
    send_as_denied=(
        "554 5.2.252 SendAsDenied; {user} not allowed to send as {sender}; "
        "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process "
        "message due to a permanent exception with message Cannot submit message. [Hostname={server}]"
    ),
    reset="250 2.0.0 Resetting",
    noop="250 2.0.0 OK",
    bye="221 2.0.0 Service closing transmission channel",
    hello_first="503 5.5.2 Send hello first [{server} {stamp} {id}]",
    bad_sequence="503 5.5.2 Bad sequence of commands",
    bad_arguments="501 5.5.4 Invalid arguments",
    too_big="552 5.3.4 Message size exceeds fixed maximum message size",
    unknown="500 5.3.3 Unrecognized command [{server} {stamp} {id}]",
)

GMAIL = Wording(
    greeting="220 smtp.gmail.com ESMTP {id} - gsmtp",
    hello="smtp.gmail.com at your service, [{peer}]",
    size_bytes=35_882_577,
    extensions=("8BITMIME", "STARTTLS", "ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8"),
    mechanisms=("LOGIN", "PLAIN", "XOAUTH2", "PLAIN-CLIENTTOKEN", "OAUTHBEARER", "XOAUTH"),
    starttls_again="454 5.5.1 STARTTLS may not be repeated {id} - gsmtp",
    starttls_pipelined=(
        "454 4.5.0 SMTP protocol violation, no commands allowed to pipeline after STARTTLS {id} - gsmtp"
    ),
    auth_ok="235 2.7.0 Accepted",
    auth_failed=(
        "535-5.7.8 Username and Password not accepted. For more information, go to\n"
        "535 5.7.8  https://support.google.com/mail/?p=BadCredentials {id} - gsmtp"
    ),
    auth_scope="https://mail.google.com/",
    auth_unknown="504 5.7.4 Unrecognized Authentication Type {id} - gsmtp",
    auth_undecodable="501 5.5.2 Cannot Decode response {id} - gsmtp",
    auth_again="503 5.7.0 No identity changes permitted {id} - gsmtp",
    auth_needed=(
        "530-5.7.0 Authentication Required. For more information, go to\n"
        "530 5.7.0  https://support.google.com/mail/?p=WantAuthError {id} - gsmtp"
    ),
    basic_refused=(
        "534-5.7.9 Application-specific password required. For more information, go to\n"
        "534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor {id} - gsmtp"
    ),
    mail_ok="250 2.1.0 OK {id} - gsmtp",
    rcpt_ok="250 2.1.5 OK {id} - gsmtp",
    data_ok="354 Go ahead {id} - gsmtp",
    accepted="250 2.0.0 OK  {unix} {id} - gsmtp",
    reset="250 2.1.5 Flushed {id} - gsmtp",
    noop="250 2.0.0 OK {id} - gsmtp",
    bye="221 2.0.0 closing connection {id} - gsmtp",
    hello_first="503 5.5.1 EHLO/HELO first. {id} - gsmtp",
    bad_sequence="503 5.5.1 Bad sequence of commands. {id} - gsmtp",
    bad_arguments="555 5.5.2 Syntax error, goodbye. {id} - gsmtp",
    unknown="502 5.5.1 Unrecognized command. {id} - gsmtp",
)
