"""Stage dns: why a name does not lead to an address."""

from __future__ import annotations

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import published, signs_of
from smtp_preflight.model import DnsAnswer, Finding, Published, Seen, Stage, SystemAddresses

HOST_SIGNS = ("host_dns", "bogus", "system")


def why_no_address(seen: Seen) -> Finding:
    """Neither DNS nor this machine's resolver has an address for the submission host."""
    facts = signs_of(seen).facts
    words = "\n".join(
        f"{label}: {answer}"
        for label, answer in (
            ("DNS", facts.get("dns_answer")),
            ("this machine's resolver", facts.get("system_answer")),
        )
        if answer
    )
    return finding(seen, Stage.DNS, *HOST_SIGNS, facts={"seen": words})


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
