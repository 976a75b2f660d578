"""Stage dns: whether the profile's name servers say the same, and what they say where they do not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.model import Finding, NameServers, Profile, Seen, ServerAnswer, Stage


def servers_agree(profile: Profile, asked: NameServers) -> bool:
    """All of them have addresses for the host, or none; and they have one in common.

    Large providers give each asker other addresses, so of a preset's own host it is enough that these are
    public everywhere, or nowhere: an internal zone or a filter shows even so.
    """
    each = [_addresses(one) for one in asked.settled]
    if not any(each):
        return True
    if profile.as_written.smtp.host.lower() in {one.host for one in profile.provider.endpoints}:
        return all(each) and len({_all_public(one) for one in each}) == 1
    return bool(frozenset.intersection(*each))


def why_servers_disagree(seen: Seen) -> Finding:
    """The name servers listed in the profile give different answers."""
    asked = seen.get(NameServers, seen.profile.smtp.host)
    lines = [f"{one.server}: {_words(one)}" for one in asked.each] if asked else []
    signs, facts = {"dns_servers": "disagree"}, {"seen": "\n".join(lines)}
    return finding(seen, Stage.DNS, "dns_servers", signs=signs, facts=facts)


def _addresses(one: ServerAnswer) -> frozenset[str]:
    return frozenset(one.published.addresses)


def _all_public(addresses: Iterable[str]) -> bool:
    return all(ipaddress.ip_address(one).is_global for one in addresses)


def _words(one: ServerAnswer) -> str:
    return ", ".join(one.published.addresses) or one.published.status
