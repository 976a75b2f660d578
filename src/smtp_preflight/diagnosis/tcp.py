"""Stage tcp: why no connection comes about."""

from __future__ import annotations

from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.places import internet_place, other_place
from smtp_preflight.diagnosis.signs import families_tried, signs_of
from smtp_preflight.model import Finding, PortCheck, PortState, Profile, Seen, Stage, TcpConnects


def why_not_connected(seen: Seen) -> Finding:
    """An address of the submission host, or all of them, cannot be connected to."""
    signs = signs_of(seen)
    words = signs.facts.get("tcp_attempts", "nothing was tried")
    facts = {"seen": words}
    if signs.at(Stage.TCP).get("some_connect") == "yes":
        failing = sorted(one.family for one in families_tried(seen) if one.failed)
        return finding(seen, Stage.TCP, "some_connect", subject=",".join(failing), facts=facts)
    elsewhere = [str(one) for one in seen.every(PortCheck)]
    words = "; ".join([words, *elsewhere])
    return finding(seen, Stage.TCP, signs=_signs_of_ports(seen), facts={"seen": words, "tcp_attempts": words})


def _signs_of_ports(seen: Seen) -> dict[str, str]:
    """What other ports say: ``internet`` and ``other_port`` (open, closed), and ``port_known`` (yes, no)."""
    places = {"internet": internet_place(seen.profile), "other_port": other_place(seen.profile)}
    asked = {name: seen.get(PortCheck, place) for name, place in places.items()}
    told = {
        name: "open" if one.state is PortState.OPEN else "closed"
        for name, one in asked.items()
        if one is not None and one.state is not PortState.UNRESOLVED
    }
    return {**told, "port_known": "yes" if _is_known(seen.profile) else "no"} if told else {}


def _is_known(profile: Profile) -> bool:
    """The profile's port is one that the provider takes mail on."""
    return profile.as_written.smtp.port in {one.port for one in profile.provider.endpoints}


def remark_on_connect_time(seen: Seen, connects: TcpConnects) -> Finding | None:
    """A connection came about, late."""
    limit = seen.profile.limits.tcp_slow_s
    slow = [one for one in connects.connected if one.took_s > limit]
    if not slow:
        return None
    words = "; ".join(f"{one.address}: {one.took_s:.1f} s" for one in slow) + f"; slow from {limit:g} s"
    return finding(seen, Stage.TCP, "slow", signs={"slow": "tcp"}, facts={"seen": words})
