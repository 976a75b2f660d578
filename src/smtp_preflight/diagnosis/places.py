"""Where else one can look once something has failed, by the profile alone."""

from __future__ import annotations

from urllib.parse import urlsplit

from smtp_preflight.model import Endpoint, Profile


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


def service(place: Endpoint) -> str:
    """A service as the subject of a question: host, port and how TLS is begun there."""
    return f"{place} {place.tls}"


def over_https(profile: Profile) -> str:
    """Where tokens are asked for, to see the certificate that is shown there."""
    place = internet_place(profile)
    return f"{place} https" if place else ""


def in_the_other_mode(profile: Profile) -> str:
    """The same port, with TLS begun the other way."""
    smtp = profile.smtp
    other = "implicit" if smtp.tls == "starttls" else "starttls"
    return service(Endpoint(smtp.host, smtp.port, other))


def preset_service(profile: Profile) -> str:
    """The provider's own submission service, where the profile has another one."""
    smtp = profile.as_written.smtp
    written = (smtp.host.lower().rstrip("."), smtp.port)
    if any((one.host, one.port) == written for one in profile.provider.endpoints):
        return ""
    return service(profile.provider.endpoints[0]) if profile.provider.endpoints else ""


def mailbox_tenant(profile: Profile) -> str:
    """The domain under which the mailbox's tenant can be found; nothing where that was asked already.

    Only where the identity provider keeps its tenants apart by a part of the address, as Entra does.
    """
    oauth, domain = profile.oauth, profile.mailbox.rpartition("@")[2].lower()
    by_tenant = "/{tenant}/" in profile.provider.oauth.get("discovery_uri", "")
    known = by_tenant and f"/{oauth.tenant}/" in oauth.discovery_uri
    return domain if known and domain != oauth.tenant.lower() else ""
