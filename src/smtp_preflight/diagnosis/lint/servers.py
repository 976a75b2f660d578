"""Where the message is handed in: a host for submission, its port, and how TLS is begun there."""

from __future__ import annotations

import fnmatch
import re

from smtp_preflight.diagnosis.lint.problem import Problem
from smtp_preflight.model import Profile, Provider

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[?[0-9A-Fa-f:.]+\]?")


def problem_with_host(profile: Profile) -> Problem | None:
    """The host takes submissions that sign in with a token."""
    host = profile.smtp.host.lower()
    endpoints = profile.provider.endpoints
    if not _HOST.fullmatch(host):
        wanted = f"the name alone, {endpoints[0].host if endpoints else 'such as smtp.contoso.com'}"
        return Problem("host_name_wrong", "smtp.host", profile.smtp.host, wanted)
    if not endpoints or any(host == one.host for one in endpoints):
        return None
    kind = kind_of_host(profile.provider, host)
    if kind in ("", "accepted", "other_cloud"):
        return None
    found = f"{host} ({kind.replace('_', ' ')})"
    return Problem("wrong_submission_host", "smtp.host", found, str(endpoints[0]))


def kind_of_host(provider: Provider, host: str) -> str:
    """What the preset says of a host, in lower case, that is not its submission host; empty: nothing."""
    known = provider.legacy_hosts
    if host in known:
        return known[host]
    return next((kind for pattern, kind in known.items() if fnmatch.fnmatchcase(host, pattern)), "")


def problem_with_port(profile: Profile) -> Problem | None:
    """The provider offers submission on this port of this host."""
    ports = [one.port for one in profile.provider.endpoints if one.host == profile.smtp.host.lower()]
    if not ports or profile.smtp.port in ports or "endpoints" in profile.provider.unverified:
        return None
    return Problem("port_not_offered", "smtp.port", str(profile.smtp.port), " or ".join(map(str, ports)))


def problem_with_tls_mode(profile: Profile) -> Problem | None:
    """Port and TLS mode belong together (RFC 8314 section 3.3)."""
    usual = {587: "starttls", 25: "starttls", 465: "implicit"}.get(profile.smtp.port, profile.smtp.tls)
    if profile.smtp.tls == usual:
        return None
    return Problem("tls_mode_mismatch", "smtp.tls", f"{profile.smtp.tls} on port {profile.smtp.port}", usual)
