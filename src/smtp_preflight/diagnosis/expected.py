"""What the profile leads one to expect of the identity provider's metadata."""

from __future__ import annotations

from urllib.parse import urlsplit

from smtp_preflight.model import Discovery, Profile

TEMPLATE = "{tenantid}"  # what Entra's /common and /organizations publish in the place of a tenant


def issuer_as_expected(profile: Profile, found: Discovery) -> bool:
    """The issuer is the one configured (RFC 8414 section 3.3), or of a host the preset lists.

    Entra names the tenant's id where its domain was asked for, and a template for several tenants.
    """
    issuer = found.metadata.get("issuer", "")
    wanted = profile.oauth.issuer
    if not wanted or issuer.rstrip("/") == wanted.rstrip("/"):
        return True
    return bool(profile.provider.issuer_hosts) and urlsplit(issuer).hostname in _hosts(profile)


def endpoints_as_expected(profile: Profile, found: Discovery) -> bool:
    """The published token endpoint is https, on the host of the issuer, of the one in use, or a preset's."""
    published = urlsplit(found.metadata.get("token_endpoint", ""))
    return published.scheme == "https" and published.hostname in _hosts(profile)


def _hosts(profile: Profile) -> frozenset[str | None]:
    oauth = profile.oauth
    own = (urlsplit(one).hostname for one in (oauth.issuer or oauth.discovery_uri, oauth.token_endpoint))
    return frozenset((*own, *profile.provider.issuer_hosts)) - {None}
