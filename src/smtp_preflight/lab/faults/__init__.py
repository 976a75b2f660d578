"""The faults of the lab: what can be broken, one thing at a time.

A fault is a row: its code, where it shows, at which providers it exists, and the ``Conditions`` it puts the
servers under. The rows stand in one module per part of the way.
"""

from __future__ import annotations

from collections.abc import Mapping

from smtp_preflight.lab.conditions import Conditions
from smtp_preflight.lab.faults import connection, identity, mail
from smtp_preflight.lab.faults.fault import PROVIDERS, Fault

FAULTS: Mapping[str, Fault] = {row.code: row for part in (connection, identity, mail) for row in part.ROWS}


def conditions_for(provider: str, fault: str | None) -> Conditions:
    """Return what the servers are to do; raises ValueError for what a lab cannot be."""
    if provider not in PROVIDERS:
        raise ValueError(f"no lab for provider {provider!r}; there is one for {', '.join(PROVIDERS)}")
    if fault is None:
        return Conditions()
    if fault not in FAULTS:
        raise ValueError(f"unknown fault {fault!r}; known are {', '.join(FAULTS)}")
    row = FAULTS[fault]
    if provider not in row.provider:
        raise ValueError(f"{fault} does not exist at {provider}; it does at {', '.join(row.provider)}")
    return row.conditions
