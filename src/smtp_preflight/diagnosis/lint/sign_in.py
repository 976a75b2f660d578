"""Where somebody signs in, in which way, and where the sign-in page leads back to."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from smtp_preflight.diagnosis.lint.clouds import cloud_of
from smtp_preflight.diagnosis.lint.problem import PERSONAL, Problem, is_google, is_microsoft
from smtp_preflight.model import GrantType, Profile

SEVERAL_TENANTS = frozenset({"common", "organizations", "consumers"})
PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the id behind "consumers"
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PLACEHOLDER = re.compile(r"(your[-_]?)?tenant([-_]?(id|name))?|null|none|[0-]+|x[x-]+", re.IGNORECASE)
_POSTMAN = frozenset({"oauth.pstmn.io", "www.getpostman.com"})  # guides leave its address in profiles
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_OF_A_REDIRECT = 256  # characters, at Entra


def problem_with_tenant(profile: Profile) -> Problem | None:
    """The tenant is one, and fits the kind of account and the grant."""
    tenant, grant = profile.oauth.tenant, profile.oauth.grant
    if not (is_microsoft(profile) and tenant):
        return None
    if not _TENANT.fullmatch(tenant) or _PLACEHOLDER.fullmatch(tenant):
        return Problem("wrong_tenant_id", "oauth.tenant", tenant, "the tenant's id or one of its domains")
    if profile.provider.name == PERSONAL:
        fits = tenant.lower() in ("consumers", "common", PERSONAL_TENANT)
        wanted = "consumers"
    else:
        shared = tenant.lower() in SEVERAL_TENANTS
        alone = shared and grant is GrantType.CLIENT_CREDENTIALS
        fits = tenant.lower() not in ("consumers", PERSONAL_TENANT) and not alone
        wanted = "the tenant's id or one of its domains"
    return None if fits else Problem("wrong_tenant_endpoint_for_account", "oauth.tenant", tenant, wanted)


def problem_with_grant(profile: Profile) -> Problem | None:
    """The provider offers this way to a token."""
    offered = profile.provider.grants
    if not offered or profile.oauth.grant in offered:
        return None
    code = "google_flow_not_allowed" if is_google(profile) else "wrong_tenant_endpoint_for_account"
    return Problem(code, "oauth.grant", profile.oauth.grant, ", ".join(offered))


def problem_with_sign_in_addresses(profile: Profile) -> Problem | None:
    """At Microsoft, page and token endpoint are those of version 2.0, and of one tenant."""
    named = {
        key: urlsplit(url)
        for key in ("authorize_endpoint", "token_endpoint")
        if (url := getattr(profile.oauth, key)) and cloud_of(urlsplit(url).hostname or "")
    }
    for key, parts in named.items():
        if "/oauth2/v2.0/" not in parts.path:
            wanted = parts.path.replace("/oauth2/", "/oauth2/v2.0/")
            return Problem("wrong_tenant_endpoint_for_account", f"oauth.{key}", parts.path, wanted)
    tenants = {key: parts.path.split("/")[1].lower() for key, parts in named.items()}
    one_cloud = len({cloud_of(parts.hostname or "") for parts in named.values()}) == 1
    by_page = profile.oauth.grant is GrantType.AUTHORIZATION_CODE
    if len(set(tenants.values())) <= 1 or not (one_cloud and by_page):
        return None
    found = ", ".join(f"{key}: {tenant}" for key, tenant in tenants.items())
    return Problem("wrong_tenant_endpoint_for_account", "oauth.token_endpoint", found, "one tenant in both")


def problem_with_redirect(profile: Profile) -> Problem | None:
    """The redirect URI is one that the provider registers."""
    uri = profile.oauth.redirect_uri
    if not uri:
        return None
    parts = urlsplit(uri)
    if uri.startswith("urn:ietf:wg:oauth:2.0:oob"):
        code = "google_flow_not_allowed" if is_google(profile) else "redirect_uri_mismatch"
        return Problem(code, "oauth.redirect_uri", uri, "http://127.0.0.1")
    wanted = _instead_of(parts) or (_instead_at_entra(profile, uri, parts) if is_microsoft(profile) else "")
    return Problem("redirect_uri_mismatch", "oauth.redirect_uri", uri, wanted) if wanted else None


def _instead_of(parts: SplitResult) -> str:
    """What nobody registers, by what would be right; empty: it will do (RFC 6749 3.1.2, RFC 8252 7.3)."""
    if parts.hostname in _POSTMAN:
        return "the application's own address"
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        return "https, or http on 127.0.0.1"
    return "no fragment (#…)" if parts.fragment else ""


def _instead_at_entra(profile: Profile, uri: str, parts: SplitResult) -> str:
    """What Entra does not register, by what would be right (learn.microsoft.com, reply-url)."""
    if parts.hostname == "::1":
        return "http://localhost or http://127.0.0.1, for [::1] cannot be registered"
    if len(uri) > _MOST_OF_A_REDIRECT:
        return f"{_MOST_OF_A_REDIRECT} characters at most"
    admits_personal = profile.oauth.tenant.lower() in ("common", "consumers", PERSONAL_TENANT)
    refused = parts.query and admits_personal
    return "no query (?…), as the application admits personal accounts" if refused else ""
