"""Stage dns: do the names lead somewhere?

Evidence: ``published`` is what DNS says of the submission host, ``system`` what this machine makes of it;
the latter is what gets connected to.
"""

from smtp_preflight.diagnosis.dns import remark_on_lookup_time, why_no_address, why_resolver_differs
from smtp_preflight.model import Published, Seen, Stage, SystemAddresses
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.DNS


def test_host_has_an_address(
    published: Published, system: SystemAddresses, seen: Seen, explain: Explain, remark: Remark
) -> None:
    """The submission host has an IPv4 or IPv6 address (RFC 5321 section 5)."""
    assert published.addresses or system.addresses, explain(why_no_address(seen))
    remark(remark_on_lookup_time(seen, published))


def test_this_machine_resolves_what_is_published(
    published: Published, resolved_here: SystemAddresses, seen: Seen, explain: Explain
) -> None:
    """What this machine resolves is what DNS says of the submission host."""
    assert set(resolved_here.addresses) <= set(published.addresses), explain(why_resolver_differs(seen))
