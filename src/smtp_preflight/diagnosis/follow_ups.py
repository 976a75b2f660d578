"""Which harmless questions would tell more, once something has failed."""

from __future__ import annotations

from urllib.parse import urlsplit

from smtp_preflight.model import PortCheck, Profile, Question, Seen, TcpConnects


def follow_ups(seen: Seen) -> tuple[Question, ...]:
    """Questions from the table that separate the causes still open; none where all went well."""
    places = (internet_place(seen.profile), other_place(seen.profile)) if _nothing_connects(seen) else ()
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


def _nothing_connects(seen: Seen) -> bool:
    connects = seen.every(TcpConnects)
    return any(one.attempts for one in connects) and not any(one.connected for one in connects)
