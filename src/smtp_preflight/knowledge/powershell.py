"""Values that stand in a PowerShell command: only those that have the form of what they should be.

The commands are shown to somebody with an administrator's rights, so a value that could end its quotes, hide
itself or turn the reading direction never gets into one: its name stands there instead, to be filled in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Plain ASCII throughout: PowerShell takes typographic quotes for quotes (about_Quoting_Rules).
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL}){{1,9}}"
_ADDRESS = rf"[A-Za-z0-9._%+'-]{{1,64}}@{_DOMAIN}"
_GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_KINDS = {
    "mailbox": _ADDRESS,
    "sender": _ADDRESS,
    "recipient": _ADDRESS,
    "token_user": _ADDRESS,
    "login": rf"{_ADDRESS}|{_GUID}",
    "client_id": _GUID,
    "oid": _GUID,
    "tenant": rf"{_GUID}|{_DOMAIN}",
}
_LABELS = {
    "client_id": "application (client) id",
    "login": "user name, or object id of the enterprise application, that logs in",
    "oid": "object id of the enterprise application",
    "token_user": "user name of the one who logs in",
}
_QUOTED = re.compile(r"'\{(\w+)\}'")


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with every ``'{name}'`` as a quoted value, or ``'<what to fill in>'`` in its place."""
    return _QUOTED.sub(lambda found: f"'{_inert(found[1], values)}'", text)


def quotable(name: str, values: Mapping[str, str]) -> str:
    """The value of this name, where it has the form of its kind; otherwise nothing."""
    value = values.get(name, "")
    return value if re.fullmatch(_KINDS.get(name, r"(?!)"), value) else ""


def _inert(name: str, values: Mapping[str, str]) -> str:
    value = quotable(name, values)
    return value.replace("'", "''") if value else f"<{_LABELS.get(name, name.replace('_', ' '))}>"
