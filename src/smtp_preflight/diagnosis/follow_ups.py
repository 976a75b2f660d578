"""Which harmless questions would tell more, once something has failed."""

from __future__ import annotations

from urllib.parse import urlsplit

from smtp_preflight.diagnosis.signs import is_address
from smtp_preflight.model import (
    DnsAnswer,
    PortCheck,
    Profile,
    Question,
    Seen,
    SystemAddresses,
    TcpConnects,
)


def follow_ups(seen: Seen) -> tuple[Question, ...]:
    """Questions from the table that separate the causes still open; none where all went well."""
    return (*_what_is_published(seen), *_what_else_connects(seen))


def _what_is_published(seen: Seen) -> tuple[Question, ...]:
    """This machine finds no address: is there none, or can it only not see it?"""
    host = seen.profile.smtp.host
    system = seen.get(SystemAddresses, host)
    if system is None or system.addresses or is_address(host):
        return ()
    return (Question(DnsAnswer, f"{host} A"), Question(DnsAnswer, f"{host} AAAA"))


def _what_else_connects(seen: Seen) -> tuple[Question, ...]:
    """No address of the host connects: is it this port, all mail, or the whole internet?"""
    connects = seen.every(TcpConnects)
    if any(one.connected for one in connects) or not any(one.attempts for one in connects):
        return ()
    places = (internet_place(seen.profile), other_place(seen.profile))
    return tuple(Question(PortCheck, place) for place in dict.fromkeys(places) if place)


def internet_place(profile: Profile) -> str:
    """Where HTTPS has to be open for anything to work: the token endpoint; nowhere behind a proxy."""
    if profile.proxy:
        return ""
    try:
        url = urlsplit(profile.oauth.token_endpoint)
        return f"{url.hostname}:{url.port or 443}" if url.hostname else ""
    except ValueError:  # the port is no number
        return ""


def other_place(profile: Profile) -> str:
    """Another submission port of the provider's, if it has one."""
    tried = profile.as_written.smtp.port
    return next((str(one) for one in profile.provider.endpoints if one.port != tried), "")
