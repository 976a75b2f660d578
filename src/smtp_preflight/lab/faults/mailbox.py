"""Faults of the message's way after it was accepted, and of reading the mailbox."""

from __future__ import annotations

from typing import Any

from smtp_preflight.lab.conditions import (
    DRIP,
    HANG_UP,
    MAILBOX_HOST,
    SILENCE,
    CertificateTerms,
    Conditions,
    MailboxConditions,
    Port,
)
from smtp_preflight.lab.faults.fault import PROVIDERS, Fault, Need
from smtp_preflight.model import Stage

_LATE_S = 5.0  # of the six seconds that a minute is in a lab
_SHORT_S = 1.0

LOOKS_FOR_MESSAGE = Need(
    "looks for the message in its own mailbox",
    lambda profile: profile.delivery is not None and not profile.delivery.profile,
)
# So the check of delivery is the first that meets what is wrong with reading.
ALSO_CHECKS_IMAP = Need(
    "looks for the message in its own mailbox, with `check = true` under [imap]",
    lambda profile: LOOKS_FOR_MESSAGE.met(profile) and profile.imap.check,
)
LOOKS_WITHOUT_CHECKING = Need(
    "looks for the message, and has no `check = true` under [imap]",
    lambda profile: profile.delivery is not None and not profile.imap.check,
)


def _mailbox(**changes: Any) -> Conditions:
    return Conditions(mailbox=MailboxConditions(**changes))


_ON_THE_WAY = tuple(
    Fault(code, Stage.DELIVERY, PROVIDERS, line, _mailbox(**changes), way, needs=(LOOKS_FOR_MESSAGE,))
    for code, way, line, changes in (
        ("delivery_not_confirmed", "", "an accepted message never arrives", {"delivers": False}),
        ("delivery_slow", "", "an accepted message arrives late", {"late_s": _LATE_S}),
        ("delivered_to_junk", "", "the message lands in the folder for junk", {"to_junk": True}),
        (
            "delivery_bounced",
            "",
            "a server further on refuses the message, and does not say why",
            {"bounce": "554 5.0.0 Transaction failed"},
        ),
        (
            "recipient_rejected",
            "bounce",
            "a server further on knows no such recipient",
            {"bounce": "550 5.1.1 The email account that you tried to reach does not exist"},
        ),
        (
            "dmarc_alignment_failure",
            "bounce",
            "a server further on refuses the message by the domain's DMARC policy",
            {"bounce": "550 5.7.26 Unauthenticated email is not accepted due to domain's DMARC policy"},
        ),
        (
            "dmarc_alignment_failure",
            "",
            "the receiver finds nothing to prove that the message is from its domain",
            {"results": {"spf": "fail", "dkim": "fail", "dmarc": "fail"}},
        ),
        (
            "spf_fails_at_receiver",
            "",
            "the receiver finds the sending server not named by the domain",
            {"results": {"spf": "softfail"}},
        ),
        (
            "dkim_fails_at_receiver",
            "",
            "the receiver finds the signature broken",
            {"results": {"dkim": "fail"}},
        ),
        (
            "from_rewritten_by_provider",
            "",
            "the provider puts another address into From",
            {"author": "relay@lab.example"},
        ),
    )
)

_READING = (
    Fault(
        "mailbox_server_unreachable",
        Stage.DELIVERY,
        PROVIDERS,
        "nothing listens where the mailbox is read",
        _mailbox(imap_port=Port.CLOSED),
        needs=(ALSO_CHECKS_IMAP,),
    ),
    Fault(
        "mailbox_server_untrusted",
        Stage.DELIVERY,
        PROVIDERS,
        "the certificate of the server for reading has ended",
        _mailbox(imap_certificate=CertificateTerms(name=MAILBOX_HOST, begins_days=-93, ends_days=-3)),
        needs=(ALSO_CHECKS_IMAP,),
    ),
    Fault(
        "not_a_mailbox_server",
        Stage.DELIVERY,
        PROVIDERS,
        "the server for reading answers in another protocol",
        _mailbox(instead={"CAPABILITY": "220 mail.lab.example ESMTP"}),
        needs=(ALSO_CHECKS_IMAP,),
    ),
    Fault(
        "mailbox_server_no_answer",
        Stage.DELIVERY,
        PROVIDERS,
        "the login to the mailbox is never answered",
        _mailbox(instead={"AUTHENTICATE": SILENCE}),
        needs=(ALSO_CHECKS_IMAP,),
        limits={"reply_s": _SHORT_S},
    ),
    Fault(
        "mailbox_server_no_answer",
        Stage.DELIVERY,
        PROVIDERS,
        "the answer to the login never comes to an end",
        _mailbox(instead={"AUTHENTICATE": DRIP}),
        way="drips",
        needs=(ALSO_CHECKS_IMAP,),
        limits={"reply_s": _SHORT_S},
    ),
    Fault(
        "mailbox_server_no_answer",
        Stage.DELIVERY,
        PROVIDERS,
        "the server for reading hangs up on the login",
        _mailbox(instead={"AUTHENTICATE": HANG_UP}),
        way="hangs_up",
        needs=(ALSO_CHECKS_IMAP,),
    ),
    Fault(
        "mailbox_bearer_not_offered",
        Stage.DELIVERY,
        PROVIDERS,
        "the server for reading takes passwords only",
        _mailbox(bearer_offered=False),
        needs=(ALSO_CHECKS_IMAP,),
    ),
    Fault(
        "mailbox_protocol_disabled",
        Stage.DELIVERY,
        PROVIDERS,
        "IMAP is switched off for the mailbox",
        _mailbox(imap_enabled=False),
        needs=(ALSO_CHECKS_IMAP,),
    ),
    Fault(
        "mailbox_server_busy",
        Stage.DELIVERY,
        PROVIDERS,
        "the mailbox is open at too many programs already",
        _mailbox(imap_busy=True),
        needs=(ALSO_CHECKS_IMAP,),
    ),
    Fault(
        "mailbox_token_refused",
        Stage.DELIVERY,
        PROVIDERS,
        "the token allows reading, and is refused",
        _mailbox(imap_token_refused=True),
        needs=(ALSO_CHECKS_IMAP,),
    ),
    Fault(
        "delivery_check_unavailable",
        Stage.DELIVERY,
        PROVIDERS,
        "the mailbox cannot be opened by the login that only has to look for the message",
        _mailbox(imap_token_refused=True),
        needs=(LOOKS_WITHOUT_CHECKING,),
    ),
    Fault(
        "delivery_check_unavailable",
        Stage.DELIVERY,
        PROVIDERS,
        "the mailbox opens, and looking into it is never answered",
        _mailbox(instead={"SEARCH": SILENCE}),
        way="silent",
        needs=(LOOKS_FOR_MESSAGE,),
        limits={"reply_s": _SHORT_S},
    ),
)

ROWS = (*_ON_THE_WAY, *_READING)
