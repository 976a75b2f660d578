"""Stage dns: why a name does not lead to an address."""

from __future__ import annotations

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import published, signs_of
from smtp_preflight.model import DnsAnswer, DnsStatus, Finding, Published, Seen, Stage, SystemAddresses

HOST_SIGNS = ("host_dns", "bogus", "system", "other_names")


def why_no_address(seen: Seen) -> Finding:
    """Neither DNS nor this machine's resolver has an address for the submission host."""
    facts = signs_of(seen).facts
    named = facts["found_name_servers"]
    words = "\n".join(
        f"{label}: {answer}"
        for label, answer in (
            (f"the profile's name servers ({named})" if named else "DNS", facts.get("dns_answer")),
            ("this machine's resolver", facts.get("system_answer")),
        )
        if answer
    )
    return finding(seen, Stage.DNS, *HOST_SIGNS, facts={"seen": words})


def knows_internet_names(seen: Seen) -> bool:
    """The name server that was asked knows the names of the internet, by all that was seen.

    One that denies a host that the provider is known to have, or a host beside the one where tokens are asked
    for, knows some network's own names only: its "no such name" says nothing of any other name either.
    """
    signs = signs_of(seen).at(Stage.DNS)
    denied = signs.get("host_dns") == DnsStatus.NXDOMAIN and "system" in signs
    return not denied or not (signs["host_known"] == "yes" or signs.get("other_names") == "unresolved")


def why_resolver_differs(seen: Seen) -> Finding:
    """What this machine resolves is not what DNS says."""
    return why_no_address(seen)


def remark_on_lookup_time(seen: Seen, answer: DnsAnswer | Published) -> Finding | None:
    """The name server answered, late."""
    limit = seen.profile.limits.dns_slow_s
    if answer.took_s <= limit:
        return None
    words = f"{answer.took_s:.1f} s; slow from {limit:g} s"
    return finding(seen, Stage.DNS, "slow", signs={"slow": "dns"}, facts={"seen": words})


def host_is_known(seen: Seen) -> bool:
    """DNS or this machine's own resolver has an address for the submission host."""
    found, system = published(seen), seen.get(SystemAddresses, seen.profile.smtp.host)
    return bool((found and found.addresses) or (system and system.addresses))
