"""Which national cloud a host belongs to, and that a profile keeps to one."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from smtp_preflight.diagnosis.lint.problem import Problem
from smtp_preflight.model import Profile

CLOUDS: Mapping[str, str] = {  # how a host's name ends, and the cloud it belongs to
    "microsoftonline.us": "US government",
    "office365.us": "US government",
    "apps.mil": "US government",
    "partner.microsoftonline.cn": "21Vianet",
    "chinacloudapi.cn": "21Vianet",
    "partner.outlook.cn": "21Vianet",
    "microsoftonline.de": "Germany, closed in 2021",
    "office.de": "Germany, closed in 2021",
    "microsoftonline.com": "worldwide",
    "office365.com": "worldwide",
    "office.com": "worldwide",
    "smtp-mail.outlook.com": "worldwide",
}


def cloud_of(host: str) -> str:
    """The national cloud of a host; empty: none of those known."""
    return next((cloud for word, cloud in CLOUDS.items() if host.lower().endswith(word)), "")


def problem_with_cloud(profile: Profile) -> Problem | None:
    """Sign-in, scope and mail host belong to one national cloud."""
    oauth = profile.oauth
    resources = (urlsplit(scope).hostname for scope in oauth.scope if "://" in scope)
    named = {
        "smtp.host": profile.smtp.host,
        "oauth.token_endpoint": urlsplit(oauth.token_endpoint).hostname or "",
        "oauth.authorize_endpoint": urlsplit(oauth.authorize_endpoint).hostname or "",
        "oauth.scope": next(resources, None) or "",
    }
    clouds = {key: cloud for key, host in named.items() if (cloud := cloud_of(host))}
    if len(set(clouds.values())) <= 1:
        return None
    found = ", ".join(f"{key}: {named[key]} ({cloud})" for key, cloud in clouds.items())
    return Problem("wrong_national_cloud", "oauth.token_endpoint", found, "hosts and scope of one cloud")
