"""The enhanced status code that a provider sends with its words, for replies that lost it on the way.

Programs and logs often show a reply without its enhanced code (RFC 3463). The words below are each said with
one code only; sources: error-codes of Exchange Online
(learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online) and of Gmail
(support.google.com/a/answer/3726730).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# The reply codes, the words in lower case, and the enhanced code; the first that fits.
_SAID_WITH = (
    ("535", r"authentication unsuccessful, ", "5.7.139"),
    ("535", r"authentication unsuccessful", "5.7.3"),
    (
        "535",
        r"username and password not accepted|google\.com/mail/(answer/14257|\?p=badcred)",
        "5.7.8",
    ),
    ("535", r"#(mbr|auth)\d+", "5.7.0"),
    ("534", r"application-specific password required", "5.7.9"),
    ("534", r"log in (with|through|via) your web browser", "5.7.9"),
    ("530", r"client (was )?not authenticated", "5.7.57"),
    ("530", r"authentication required|must issue a starttls", "5.7.0"),
    ("550", r"basic authentication is not supported", "5.7.30"),
    (
        "454",
        r"too many login attempts|temporary (authentication failure|system problem)|tls not available",
        "4.7.0",
    ),
    ("451", r"temporary server error", "4.7.0"),
    ("421", r"tls 1\.0 and 1\.1 are not supported", "4.7.66"),
    ("421", r"service not (active|available)", "4.3.2"),
    ("421|451", r"(connection dropped|timeout - closing)", "4.4.2"),
    ("421", r"tls required for rcpt", "4.7.0"),
    ("421", r"rate limited because it is unauthenticated", "4.7.26"),
    ("421", r"spf authentication did not pass", "4.7.27"),
    ("421", r"dkim authentication did not pass", "4.7.30"),
    ("421", r"not aligned with either the authenticated", "4.7.32"),
    ("451", r"rate limited due to ip reputation", "4.7.650"),
    ("454", r"no commands allowed to pipeline", "4.5.0"),
    ("454", r"starttls may not be repeated", "5.5.1"),
    ("500", r"unrecognized command", "5.3.3"),
    ("555", r"syntax error", "5.5.2"),
    ("432", r"concurrent connections? limit|sender thread limit", "4.3.2"),
    ("430", r"mailbox logon failure", "4.2.0"),
    ("501", r"cannot decode", "5.5.2"),
    ("501", r"token will expire soon", "5.5.127"),
    ("501", r"invalid xoauth2 auth data", "5.5.124"),
    ("503", r"identity changes", "5.7.0"),
    ("504", r"unrecogni[sz]ed authentication type", "5.7.4"),
    ("55[04]", r"not allowed to send as|senddenied|sendasdenied", "5.2.252"),
    ("550", r"permissions? to send as this sender", "5.7.60"),
    ("55[024]", r"mailbox full; storedrv\.submission|mapiexception(\(?shutoff\)?)?quotaexceeded", "5.2.2"),
    ("550", r"bad outbound sender", "5.1.8"),
    ("550", r"daily limit for message recipients", "5.1.90"),
    ("550", r"daily (user )?sending (limit|quota)|smtp relay limit exceeded for user", "5.4.5"),
    ("550", r"tenant has exceeded threshold", "5.7.705"),
    ("550", r"traffic not accepted from this ip", "5.7.708"),
    ("550", r"unregistered domains", "5.7.750"),
    ("550", r"trial tenant has exceeded", "5.7.232"),
    ("550", r"tenant exceeded its daily limit|tenant external recipient rate limit", "5.7.233"),
    ("550", r"tenant recipient block policy", "5.7.703"),
    ("550", r"allowed[- ]senders list", "5.7.124"),
    ("550", r"tenantattribution", "5.7.64"),
    ("550", r"unable to relay recipient in non-accepted domain", "5.7.54"),
    ("550", r"does not pass dmarc", "5.7.509"),
    ("550", r"unauthenticated email from", "5.7.26"),
    ("550", r"meet the required authentication level", "5.7.515"),
    ("550", r"sender policy framework violation", "5.7.23"),
    ("550", r"spf authentication did not pass", "5.7.27"),
    ("550", r"does not have a ptr record", "5.7.25"),
    ("550", r"not sent over a tls connection", "5.7.29"),
    ("45[01]", r"starttls-not-supported", "4.7.321"),
    ("550", r"starttls-not-supported", "5.7.321"),
    ("550", r"certificate-expired", "5.7.322"),
    ("550", r"tlsa-invalid", "5.7.323"),
    ("550", r"dnssec-invalid", "5.7.324"),
    ("550", r"certificate-host-mismatch", "5.7.325"),
    ("550", r"rfc 5322 section 3\.6\.2", "5.7.512"),
    ("45[0-9]|550", r"too many recipients", "4.5.3"),
    ("55[0-9]", r"message size exceeds|exceeded size", "5.3.4"),
)

# Those that a pattern of codes above may mean, the most usual first.
_USUAL_CODES = (
    *("550", "554", "552", "451", "450", "421", "454", "432", "430", "452"),
    *("500", "501", "503", "504", "530", "534", "535", "555"),
)

STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")


def joined(lines: Sequence[str]) -> str:
    """A reply's lines as one; the enhanced code at the head of each (RFC 2034 section 4) is kept once."""
    first = STATUS.match(lines[0].strip()) if lines else None
    again = re.compile(rf"\s*{re.escape(first[1])}(?!\S)") if first else None
    rest = [again.sub("", line, count=1) if again else line for line in lines[1:]]
    return " ".join(" ".join([*lines[:1], *rest]).split())


def enhanced_by_words(code: str, text: str) -> str:
    """The enhanced code that belongs to such a reply; nothing where the words are nobody's in particular."""
    said = text.lower()
    for codes, words, enhanced in _SAID_WITH:
        if re.fullmatch(codes, code) and re.search(words, said):
            return enhanced
    return ""


def code_by_words(enhanced: str, text: str) -> str:
    """The reply code that an enhanced code and its words come with; its class's where they say none."""
    said = text.lower()
    known = [(codes, words) for codes, words, status in _SAID_WITH if status == enhanced]
    fitting = {codes for codes, words in known if re.search(words, said)} or {codes for codes, _ in known}
    if len(fitting) != 1:
        return "451" if enhanced.startswith("4") else "550"
    (codes,) = fitting
    return next(one for one in _USUAL_CODES if re.fullmatch(codes, one))
