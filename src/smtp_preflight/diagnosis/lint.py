"""What in a profile cannot work, by what the providers document. Predictions: the servers decide.

Each function holds one expectation of stage profile against the profile as it is written, and names the first
thing that does not fit: the cause it leads to, what was found, and what would be right.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from smtp_preflight.diagnosis.ends import End
from smtp_preflight.model import GrantType, Profile, Provider, SecretCheck

OPENID = frozenset({"offline_access", "openid", "profile", "email"})
SEVERAL_TENANTS = frozenset({"common", "organizations", "consumers"})
PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the id behind "consumers"
MICROSOFT = "microsoft365"
PERSONAL = "outlook_personal"
GOOGLE_MAIL = "https://mail.google.com/"
CLOUDS = {  # a word in a host name, and the national cloud it belongs to
    "microsoftonline.us": "US government",
    "office365.us": "US government",
    "apps.mil": "US government",
    "partner.microsoftonline.cn": "21Vianet",
    "chinacloudapi.cn": "21Vianet",
    "partner.outlook.cn": "21Vianet",
    "microsoftonline.com": "worldwide",
    "office365.com": "worldwide",
    "office.com": "worldwide",
}
_GRAPH = frozenset({"", "https://graph.microsoft.com"})  # a permission without a resource is Graph's
_POSTMAN = frozenset({"oauth.pstmn.io", "www.getpostman.com"})  # guides leave its address in profiles
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
KEY_FILES = {
    "certificate": "a certificate with its RSA key, in PEM or PKCS#12, and the passphrase where it is locked",
    "service_account": "the JSON file of a service account's key, as Google hands it out",
}
GOOGLE_CLIENT = ".apps.googleusercontent.com"
_GUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_ENTRA_CLIENT = re.compile(rf"{_GUID}|[0-9A-Fa-f]{{16}}")  # the second form is of personal accounts' old apps
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not fit: the code it is explained by, what stands there, what would be right."""

    code: str
    key: str
    found: str
    wanted: str


def problem_with_scope(profile: Profile) -> Problem | None:
    """The scope fits provider and grant: one resource, the mail permission, spelled as it is issued."""
    if not profile.oauth.scope or profile.oauth.grant is GrantType.ACCESS_TOKEN:
        return None
    if _is_google(profile):
        return _google_scope(profile)
    return _microsoft_scope(profile) if _is_microsoft(profile) else None


def _google_scope(profile: Profile) -> Problem | None:
    if GOOGLE_MAIL in profile.oauth.scope:
        return _google_offline(profile)
    if any(scope.rstrip("/") == GOOGLE_MAIL.rstrip("/") for scope in profile.oauth.scope):
        return _scope_problem("scope_invalid_or_malformed", profile, GOOGLE_MAIL)
    return _scope_problem("google_scope_not_full_mail", profile, GOOGLE_MAIL)


def _google_offline(profile: Profile) -> Problem | None:
    """At Google it is not the scope that asks for a refresh token; without consent there is one only once."""
    params = profile.oauth.authorize_params
    asked = params.get("access_type") == "offline" and "consent" in params.get("prompt", "").split()
    if asked or profile.oauth.grant is not GrantType.AUTHORIZATION_CODE:
        return None
    found = ", ".join(f"{key}={value}" for key, value in params.items()) or "nothing"
    wanted = "access_type=offline, prompt=consent"
    return Problem("offline_access_not_requested", "oauth.authorize_params", found, wanted)


def _microsoft_scope(profile: Profile) -> Problem | None:
    scopes = [scope for scope in profile.oauth.scope if scope not in OPENID]
    wanted = " ".join(profile.provider.scope.get(profile.oauth.grant, profile.oauth.scope))
    if any("," in scope for scope in scopes):
        return _scope_problem("scope_invalid_or_malformed", profile, wanted)
    if profile.oauth.grant is GrantType.CLIENT_CREDENTIALS:
        alone = len(profile.oauth.scope) == 1 and scopes and scopes[0].endswith("/.default")
        if not alone:
            return _scope_problem("scope_default_required", profile, wanted)
        foreign = _resource(scopes[0]) in _GRAPH
        return _scope_problem("token_wrong_audience", profile, wanted) if foreign else None
    resources = {_resource(scope) for scope in scopes}
    if len(resources) > 1:
        return _scope_problem("scope_mixes_resources", profile, wanted)
    if resources & _GRAPH:
        return _scope_problem("token_wrong_audience", profile, wanted)
    if not any(scope.endswith(("/SMTP.Send", "/.default")) for scope in scopes):
        return _scope_problem("token_missing_smtp_scope", profile, wanted)
    if profile.provider.renews_refresh_tokens and "offline_access" not in profile.oauth.scope:
        return _scope_problem("offline_access_not_requested", profile, wanted)
    return None


def _scope_problem(code: str, profile: Profile, wanted: str) -> Problem:
    return Problem(code, "oauth.scope", " ".join(profile.oauth.scope), wanted)


def _resource(scope: str) -> str:
    """What stands before the permission; nothing before a bare one."""
    return scope.rpartition("/")[0].rstrip("/").lower()


def problem_with_tenant(profile: Profile) -> Problem | None:
    """The tenant is one, and fits the kind of account and the grant."""
    tenant, grant = profile.oauth.tenant, profile.oauth.grant
    if not (_is_microsoft(profile) and tenant):
        return None
    if not _TENANT.fullmatch(tenant) or tenant.lower() in ("null", "none", "tenant", "tenant_id"):
        return Problem("wrong_tenant_id", "oauth.tenant", tenant, "the tenant's id or one of its domains")
    if profile.provider.name == PERSONAL:
        fits = tenant.lower() in ("consumers", "common", PERSONAL_TENANT)
        wanted = "consumers"
    else:
        shared = tenant.lower() in SEVERAL_TENANTS
        fits = tenant.lower() != "consumers" and not (shared and grant is GrantType.CLIENT_CREDENTIALS)
        wanted = "the tenant's id or one of its domains"
    return None if fits else Problem("wrong_tenant_endpoint_for_account", "oauth.tenant", tenant, wanted)


def problem_with_grant(profile: Profile) -> Problem | None:
    """The provider offers this way to a token."""
    offered = profile.provider.grants
    if not offered or profile.oauth.grant in offered:
        return None
    code = "google_flow_not_allowed" if _is_google(profile) else "wrong_tenant_endpoint_for_account"
    return Problem(code, "oauth.grant", profile.oauth.grant, ", ".join(offered))


def problem_with_host(profile: Profile) -> Problem | None:
    """The host takes submissions that sign in with a token."""
    host = profile.smtp.host.lower()
    if any(host == one.host for one in profile.provider.endpoints) or not profile.provider.endpoints:
        return None
    kind = kind_of_host(profile.provider, host)
    if kind in ("", "accepted", "other_cloud"):
        return None
    wanted = str(profile.provider.endpoints[0])
    return Problem("wrong_submission_host", "smtp.host", f"{host} ({kind.replace('_', ' ')})", wanted)


def kind_of_host(provider: Provider, host: str) -> str:
    """What the preset says of a host, in lower case, that is not its submission host; empty: nothing."""
    known = provider.legacy_hosts
    if host in known:
        return known[host]
    return next((kind for pattern, kind in known.items() if fnmatch.fnmatchcase(host, pattern)), "")


def problem_with_port(profile: Profile) -> Problem | None:
    """The provider offers submission on this port of this host."""
    ports = [one.port for one in profile.provider.endpoints if one.host == profile.smtp.host.lower()]
    if not ports or profile.smtp.port in ports:
        return None
    return Problem("port_not_offered", "smtp.port", str(profile.smtp.port), " or ".join(map(str, ports)))


def problem_with_tls_mode(profile: Profile) -> Problem | None:
    """Port and TLS mode belong together (RFC 8314 section 3.3)."""
    usual = {587: "starttls", 25: "starttls", 465: "implicit"}.get(profile.smtp.port, profile.smtp.tls)
    if profile.smtp.tls == usual:
        return None
    return Problem("tls_mode_mismatch", "smtp.tls", f"{profile.smtp.tls} on port {profile.smtp.port}", usual)


def problem_with_client(profile: Profile) -> Problem | None:
    """A confidential client has a credential, a public one has none (RFC 6749 section 2.1)."""
    oauth = profile.oauth
    if oauth.grant in (GrantType.ACCESS_TOKEN, GrantType.JWT_BEARER):
        return None
    credential = oauth.client_secret or oauth.certificate or oauth.federated
    if oauth.client_type == "public" and credential and not profile.provider.client_secret_required:
        return Problem("public_client_sent_secret", "oauth.client_type", "public, with a secret", "no secret")
    alone = oauth.grant is GrantType.CLIENT_CREDENTIALS and problem_with_grant(profile) is None
    if oauth.client_type == "public" and alone:  # which only confidential ones may (RFC 6749 section 4.4)
        found = f"public, with grant {oauth.grant}"
        return Problem("client_secret_missing", "oauth.client_type", found, "confidential, with a credential")
    if credential is None and (
        oauth.client_type == "confidential" or profile.provider.client_secret_required
    ):
        wanted = "client_secret, certificate or federated"
        return Problem(
            "client_secret_missing", "oauth.client_type", f"{oauth.client_type}, no secret", wanted
        )
    return None


def problem_with_client_id(profile: Profile) -> Problem | None:
    """The client id has the form of those that the provider gives out."""
    client_id = profile.oauth.client_id
    if not client_id or profile.oauth.grant in (GrantType.ACCESS_TOKEN, GrantType.JWT_BEARER):
        return None
    if _is_google(profile):
        fits, wanted = client_id.endswith(GOOGLE_CLIENT), f"an id that ends in {GOOGLE_CLIENT}"
    elif _is_microsoft(profile):
        fits, wanted = bool(_ENTRA_CLIENT.fullmatch(client_id)), "the Application (client) ID, a GUID"
    else:
        return None
    return None if fits else Problem("client_id_wrong", "oauth.client_id", client_id, wanted)


def problem_with_sign_in_addresses(profile: Profile) -> Problem | None:
    """At Microsoft, page and token endpoint are those of version 2.0, and of one tenant."""
    named = {
        key: urlsplit(url)
        for key in ("authorize_endpoint", "token_endpoint")
        if (url := getattr(profile.oauth, key)) and _cloud_of(urlsplit(url).hostname or "")
    }
    for key, parts in named.items():
        if "/oauth2/v2.0/" not in parts.path:
            wanted = parts.path.replace("/oauth2/", "/oauth2/v2.0/")
            return Problem("wrong_tenant_endpoint_for_account", f"oauth.{key}", parts.path, wanted)
    tenants = {key: parts.path.split("/")[1].lower() for key, parts in named.items()}
    one_cloud = len({_cloud_of(parts.hostname or "") for parts in named.values()}) == 1
    by_page = profile.oauth.grant is GrantType.AUTHORIZATION_CODE
    if len(set(tenants.values())) <= 1 or not (one_cloud and by_page):
        return None
    found = ", ".join(f"{key}: {tenant}" for key, tenant in tenants.items())
    return Problem("wrong_tenant_endpoint_for_account", "oauth.token_endpoint", found, "one tenant in both")


def problem_with_secret(check: SecretCheck) -> Problem | None:
    """A secret has the shape of one: no quotes or blanks around it, no id in its place, no whole file."""
    wanted = "the secret's value alone"
    if check.unusable:
        return Problem("credential_unusable", f"oauth.{check.key}", check.unusable, KEY_FILES[check.key])
    if check.key in KEY_FILES:
        return None
    if check.quoted or check.blank_edges:
        code = "refresh_token_invalid" if check.key == "refresh_token" else "client_secret_wrong"
        return Problem(code, f"oauth.{check.key}", "quotes or blanks around it", wanted)
    if check.key != "client_secret":
        return None
    if check.looks_like_guid:
        return Problem("client_secret_wrong", "oauth.client_secret", "the shape of an id", wanted)
    if check.looks_like_json:
        return Problem("client_secret_wrong", "oauth.client_secret", "a JSON document", wanted)
    return None


def problem_with_redirect(profile: Profile) -> Problem | None:
    """The redirect URI is one that providers register (RFC 8252 section 7.3)."""
    uri = profile.oauth.redirect_uri
    if not uri:
        return None
    parts = urlsplit(uri)
    if uri.startswith("urn:ietf:wg:oauth:2.0:oob"):
        code = "google_flow_not_allowed" if _is_google(profile) else "redirect_uri_mismatch"
        return Problem(code, "oauth.redirect_uri", uri, "http://127.0.0.1")
    if parts.hostname in _POSTMAN:
        return Problem("redirect_uri_mismatch", "oauth.redirect_uri", uri, "the application's own address")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        return Problem("redirect_uri_mismatch", "oauth.redirect_uri", uri, "https, or http on 127.0.0.1")
    if parts.fragment:
        return Problem("redirect_uri_mismatch", "oauth.redirect_uri", uri, "no fragment (#…)")
    return None


def problem_with_cloud(profile: Profile) -> Problem | None:
    """Sign-in, scope and mail host belong to one national cloud."""
    resources = (urlsplit(scope).hostname for scope in profile.oauth.scope if "://" in scope)
    named = {
        "smtp.host": profile.smtp.host,
        "oauth.token_endpoint": urlsplit(profile.oauth.token_endpoint).hostname or "",
        "oauth.scope": next(resources, None) or "",
    }
    clouds = {key: cloud for key, host in named.items() if (cloud := _cloud_of(host))}
    if len(set(clouds.values())) <= 1:
        return None
    found = ", ".join(f"{key}: {named[key]} ({cloud})" for key, cloud in clouds.items())
    return Problem("wrong_national_cloud", "oauth.token_endpoint", found, "hosts and scope of one cloud")


def _cloud_of(host: str) -> str:
    return next((cloud for word, cloud in CLOUDS.items() if host.lower().endswith(word)), "")


def problem_with_end_date(end: End | None, today: dt.date) -> Problem | None:
    """The application's secret or certificate has not ended."""
    if end is None or end.day >= today:
        return None
    key = "oauth.secret_expires" if end.based_on == "profile" else "oauth.certificate"
    return Problem("client_secret_expired", key, end.day.isoformat(), "a day to come")


def _is_microsoft(profile: Profile) -> bool:
    return profile.provider.name.startswith(MICROSOFT) or profile.provider.name == PERSONAL


def _is_google(profile: Profile) -> bool:
    return profile.provider.name.startswith("google")
