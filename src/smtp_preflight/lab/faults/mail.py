"""Faults from AUTH to the end of the message."""

from __future__ import annotations

from smtp_preflight.lab.conditions import Conditions, MailConditions
from smtp_preflight.lab.faults.fault import MICROSOFT, Fault
from smtp_preflight.model import Stage

ROWS = (
    Fault(
        "smtp_auth_disabled_mailbox",
        Stage.AUTH,
        ("microsoft365",),
        "client submission is switched off for the mailbox",
        Conditions(
            mail=MailConditions(
                auth_refusal="535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for "
                "the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. "
                "[{server} {stamp} {id}]"
            )
        ),
    ),
    Fault(
        "send_as_denied",
        Stage.DATA,
        MICROSOFT,
        "the mailbox may log in, but not send as the sender",
        Conditions(mail=MailConditions(send_as_granted=False)),
    ),
)
