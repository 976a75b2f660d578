"""Stage tcp: why no connection comes about."""

from __future__ import annotations

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.model import Finding, Seen, Stage, TcpConnects


def why_not_connected(seen: Seen) -> Finding:
    """An address of the submission host, or all of them, cannot be connected to."""
    signs = signs_of(seen)
    facts = {"seen": signs.facts.get("tcp_attempts", "nothing was tried")}
    if signs.at(Stage.TCP).get("some_connect") == "yes":
        failed = {one.address for each in seen.every(TcpConnects) for one in each.failed}
        return finding(seen, Stage.TCP, "some_connect", subject=",".join(sorted(failed)), facts=facts)
    return finding(seen, Stage.TCP, facts=facts)


def remark_on_connect_time(seen: Seen, connects: TcpConnects) -> Finding | None:
    """A connection came about, late."""
    limit = seen.profile.limits.tcp_slow_s
    slow = [one for one in connects.connected if one.took_s > limit]
    if not slow:
        return None
    words = "; ".join(f"{one.address}: {one.took_s:.1f} s" for one in slow) + f"; slow from {limit:g} s"
    return finding(seen, Stage.TCP, "slow", signs={"slow": "tcp"}, facts={"seen": words})
