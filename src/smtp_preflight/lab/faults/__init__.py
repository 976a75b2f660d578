"""The faults of the lab: what can be broken.

A fault is a row: its code, where it shows, at which providers and in which profiles it can be, what it puts
the servers under (``Conditions``) and what it has somebody write into the profile. The rows stand in one
module per part of the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from smtp_preflight.lab.faults import connection, identity, mail, mailbox, names, profile
from smtp_preflight.lab.faults.fault import PROVIDERS, Fault

PARTS = (profile, names, connection, identity, mail, mailbox)
"""In the order of the mail's way."""

FAULTS: Mapping[str, Fault] = {row.name: row for part in PARTS for row in part.ROWS}


def faults_at(provider: str, names: Iterable[str]) -> tuple[Fault, ...]:
    """The faults of these names; raises ValueError for what a lab of this provider cannot be."""
    if provider not in PROVIDERS:
        raise ValueError(f"no lab for provider {provider!r}; there is one for {', '.join(PROVIDERS)}")
    return tuple(_fault_at(provider, name) for name in names)


def _fault_at(provider: str, name: str) -> Fault:
    if name not in FAULTS:
        near = "".join(f"; did you mean {one}?" for one in get_close_matches(name, FAULTS, 1))
        raise ValueError(f"unknown fault {name!r}: `smtp-preflight faults` lists those there are{near}")
    row = FAULTS[name]
    if provider not in row.provider:
        raise ValueError(f"{name} does not exist at {provider}; it does at {', '.join(row.provider)}")
    return row
