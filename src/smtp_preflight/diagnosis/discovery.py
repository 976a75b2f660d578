"""Stage discovery: why the identity provider's metadata cannot be relied on."""

from __future__ import annotations

from urllib.parse import urlsplit

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.model import Discovery, Finding, Grant, Keys, Seen, Stage

METADATA = ("discovery", "http_failure", "http_status", "is_json", "error", "aadsts", "mailbox_tenant")


def why_not_discovered(seen: Seen) -> Finding:
    """The metadata cannot be fetched, or do not say what they should.

    Where the token request ended in the same way at the same host, before it left, it is one cause: the way
    to that host.
    """
    if _host_is_out_of_reach(seen):
        return why_not_granted(seen)
    facts = signs_of(seen).facts
    words = facts.get("discovery_seen", "not asked")
    return finding(
        seen, Stage.DISCOVERY, *METADATA, facts={"seen": f"{words}\nissuer: {facts.get('issuer')}"}
    )


def _host_is_out_of_reach(seen: Seen) -> bool:
    found, grant = seen.get(Discovery), seen.get(Grant)
    if found is None or grant is None or grant.http is None or grant.http.sent:
        return False
    same_host = urlsplit(found.http.url).netloc == urlsplit(grant.http.url).netloc
    return same_host and found.http.failure is not None and found.http.failure == grant.http.failure


def why_no_keys(seen: Seen) -> Finding:
    """The signing keys cannot be fetched; nor can they where there are not even metadata."""
    found = seen.get(Discovery)
    if found is not None and not found.readable:
        return why_not_discovered(seen)
    return finding(
        seen, Stage.DISCOVERY, "keys", facts={"seen": signs_of(seen).facts.get("keys_seen", "not asked")}
    )


def remark_on_discovery_time(seen: Seen, answer: Discovery | Keys) -> Finding | None:
    """The metadata or the keys came, late."""
    limit = seen.profile.limits.http_slow_s
    if answer.took_s <= limit:
        return None
    words = f"{answer.http.url}: {answer.took_s:.1f} s; slow from {limit:g} s"
    return finding(seen, Stage.DISCOVERY, "slow", signs={"slow": "discovery"}, facts={"seen": words})
