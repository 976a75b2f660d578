"""Which harmless questions would tell more, once something has failed.

None of them logs in where that could count against an account, sends, consents or revokes.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtp_preflight.diagnosis.mailbox_logins import reading_permission
from smtp_preflight.diagnosis.numbers import NO_SUCH_TENANT
from smtp_preflight.diagnosis.places import (
    in_the_other_mode,
    internet_place,
    mailbox_tenant,
    other_place,
    over_https,
    preset_service,
)
from smtp_preflight.diagnosis.signs import AFTER_TLS, is_address
from smtp_preflight.model import (
    AuthExchange,
    Discovery,
    DkimKeys,
    DmarcWalk,
    DnsAnswer,
    DnsStatus,
    Ehlo,
    Failure,
    Grant,
    MailboxLogin,
    MailboxProtocol,
    MailExchangers,
    PortCheck,
    Question,
    Seen,
    ServiceCheck,
    SmtpGreeting,
    SpfTree,
    SystemAddresses,
    TcpConnects,
    TlsFailure,
    TlsHandshake,
)


def follow_ups(seen: Seen) -> tuple[Question, ...]:
    """Questions from the table that separate the causes still open; none where all went well."""
    return (
        *_what_is_published(seen),
        *_whether_names_are_known(seen),
        *_what_else_connects(seen),
        *_how_tls_is_begun(seen),
        *_what_else_is_distrusted(seen),
        *_where_tokens_are_taken(seen),
        *_whose_tenant(seen),
        *_what_the_mailbox_says(seen),
    )


def _what_is_published(seen: Seen) -> tuple[Question, ...]:
    """This machine finds no address: is there none, or can it only not see it?"""
    host = seen.profile.smtp.host
    system = seen.get(SystemAddresses, host)
    if system is None or system.addresses or is_address(host):
        return ()
    return (Question(DnsAnswer, f"{host} A"), Question(DnsAnswer, f"{host} AAAA"))


def _whether_names_are_known(seen: Seen) -> tuple[Question, ...]:
    """A name of the sender's domain is denied: does this name server know names of the internet at all?"""
    host = seen.profile.smtp.host
    denied = any(one.status is DnsStatus.NXDOMAIN for one in _missing(seen))
    if not denied or is_address(host):
        return ()
    asked = (
        Question(SystemAddresses, host),
        Question(DnsAnswer, f"{host} A"),
        Question(DnsAnswer, f"{host} AAAA"),
    )
    return tuple(one for one in asked if seen.get(one.kind, one.subject) is None)


def _missing(seen: Seen) -> Iterator[DnsAnswer]:
    """The answers by which something is missing that a sender's domain publishes."""
    yield from (one.mx for one in seen.every(MailExchangers))
    yield from (one.own.answer for one in seen.every(SpfTree))
    for keys in seen.every(DkimKeys):
        yield from () if keys.published else keys.answers
    for walk in seen.every(DmarcWalk):
        yield from () if walk.published else walk.answers


def _what_else_connects(seen: Seen) -> tuple[Question, ...]:
    """No address of the host connects: is it this port, all mail, or the whole internet?"""
    connects = seen.every(TcpConnects)
    if any(one.connected for one in connects) or not any(one.attempts for one in connects):
        return ()
    places = (internet_place(seen.profile), other_place(seen.profile))
    return tuple(Question(PortCheck, place) for place in dict.fromkeys(places) if place)


def _how_tls_is_begun(seen: Seen) -> tuple[Question, ...]:
    """Nothing that can be understood comes: does the port want TLS at once, or only after STARTTLS?"""
    by_starttls = seen.profile.smtp.tls == "starttls"
    silent = _greets_strangely(seen) if by_starttls else _shakes_no_hands(seen)
    return _look_at(in_the_other_mode(seen.profile)) if silent else ()


def _greets_strangely(seen: Seen) -> bool:
    greeting = seen.get(SmtpGreeting)
    if greeting is None or greeting.reply is not None:
        return False
    return greeting.failure is not Failure.NOT_SMTP or greeting.looks_like == "tls"


def _shakes_no_hands(seen: Seen) -> bool:
    tls = seen.get(TlsHandshake)
    if tls is None or tls.completed:
        return False
    return tls.failure not in (TlsFailure.VERIFY, TlsFailure.VERSION) and not tls.ca_problem


def _what_else_is_distrusted(seen: Seen) -> tuple[Question, ...]:
    """The certificate comes from nobody who is trusted: is that so of all, or of the mail server's only?"""
    tls = seen.get(TlsHandshake)
    if tls is None or tls.leaf is None or tls.issuer_trusted or tls.ca_problem:
        return ()
    return _look_at(over_https(seen.profile))


def _where_tokens_are_taken(seen: Seen) -> tuple[Question, ...]:
    """The host offers no login with a token: does the provider's own submission service?"""
    ehlo = seen.get(Ehlo, AFTER_TLS)
    if ehlo is None or not ehlo.accepted or ehlo.bearer_mechanisms:
        return ()
    return _look_at(preset_service(seen.profile))


def _look_at(subject: str) -> tuple[Question, ...]:
    return (Question(ServiceCheck, subject),) if subject else ()


def _whose_tenant(seen: Seen) -> tuple[Question, ...]:
    """The tenant asked does not exist: which one does the mailbox's domain belong to?"""
    discovery, grant = seen.get(Discovery), seen.get(Grant)
    told = {
        *(discovery.error_codes if discovery else ()),
        *(grant.error.codes if grant and grant.error else ()),
    }
    domain = mailbox_tenant(seen.profile)
    return (Question(Discovery, domain),) if domain and told & NO_SUCH_TENANT else ()


def _what_the_mailbox_says(seen: Seen) -> tuple[Question, ...]:
    """SMTP refuses the token without a reason: is the token at fault, or SMTP switched off?

    Asked only where the token may read mail, once, and never where the server counts logins.
    """
    auth, place = seen.get(AuthExchange), seen.profile.place_of("imap")
    if auth is None or auth.reply is None or auth.reply.code != 535 or not place:
        return ()
    counted = "too many" in auth.reply.text.lower()
    may_read = reading_permission(seen, MailboxProtocol.IMAP) == "present"
    return (Question(MailboxLogin, place),) if may_read and not counted else ()
