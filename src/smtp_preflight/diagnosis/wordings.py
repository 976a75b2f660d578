"""The enhanced status code that a provider sends with its words, for replies that lost it on the way.

Programs and logs often show a reply without its enhanced code (RFC 3463). The words below are each said with
one code only; sources: error-codes of Exchange Online
(learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online) and of Gmail
(support.google.com/a/answer/3726730).
"""

from __future__ import annotations

import re

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
    ("421", r"(connection dropped|timeout - closing)", "4.4.2"),
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
    ("550", r"rfc 5322 section 3\.6\.2", "5.7.512"),
    ("45[0-9]|550", r"too many recipients", "4.5.3"),
    ("55[0-9]", r"message size exceeds|exceeded size", "5.3.4"),
)


def enhanced_by_words(code: str, text: str) -> str:
    """The enhanced code that belongs to such a reply; nothing where the words are nobody's in particular."""
    said = text.lower()
    for codes, words, enhanced in _SAID_WITH:
        if re.fullmatch(codes, code) and re.search(words, said):
            return enhanced
    return ""
