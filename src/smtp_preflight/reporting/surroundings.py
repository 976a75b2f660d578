"""Where and with what a run was made: versions, the machine, its proxy, its addresses' family, its clock."""

from __future__ import annotations

import datetime as dt
import platform
import sys
from collections.abc import Iterator

import pytest

from smtp_preflight.model import Run
from smtp_preflight.reporting.asked import Asked, asked

_NAMES = {"openssl": "OpenSSL"}
_FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}


def environment(run: Run) -> dict[str, str]:
    """What the report was made with; what the run itself says of its machine comes first."""
    questions = asked(run)
    written_by = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return {
        "tool": run.tool,
        "knowledge of": run.knowledge,
        **({"knowledge of the recorded run": run.recorded_knowledge} if run.recorded_knowledge else {}),
        **({"replayed from": run.replayed_from} if run.replayed_from else {}),
        **{_NAMES.get(key, key): value for key, value in run.environment.items()},
        "HTTP proxy": ", ".join(sorted(_proxies(questions))) or "none was used",
        "connected over": _families(questions),
        "this machine's clock": _clock(run, questions),
        "written by": f"{written_by}, pytest {pytest.__version__}, {sys.implementation.name}",
    }


def _proxies(questions: tuple[Asked, ...]) -> set[str]:
    return {str((one.value.get("http") or {}).get("proxy", "")) for one in questions} - {""}


def _families(questions: tuple[Asked, ...]) -> str:
    """Over which family a connection to the mail server came about, and why not over the other."""
    told = dict(_told_of_families(questions))
    return ", ".join(f"{_FAMILIES[family]} ({words})" for family, words in told.items()) or "nothing"


def _told_of_families(questions: tuple[Asked, ...]) -> Iterator[tuple[str, str]]:
    for one in questions:
        if one.kind == "TcpConnects" and (attempts := one.value["attempts"]):
            connected = sum(attempt["outcome"] == "connected" for attempt in attempts)
            without = "" if one.value["routable"] else "; this machine has no route"
            yield one.value["family"], f"{connected} of {len(attempts)} addresses{without}"


def _clock(run: Run, questions: tuple[Asked, ...]) -> str:
    """How far it is ahead of the servers' (Date header, RFC 9110 section 6.6.1); they tell whole seconds."""
    offsets = [
        (run.started + dt.timedelta(seconds=one.ended_s) - dt.datetime.fromisoformat(date)).total_seconds()
        for one in questions
        if (date := (one.value.get("http") or {}).get("date"))
    ]
    if not offsets:
        return "no server told the time"
    widest = max(offsets, key=abs)
    if abs(widest) < 2:
        return "agrees with the servers', to the second"
    return f"{abs(widest):.0f} s {'ahead of' if widest > 0 else 'behind'} a server's"
