"""Credentials taken out of a pasted text before any of it is shown again.

Whoever pastes a transcript rarely looks what else is in it. Nothing here knows the values; it goes by their
form and by what stands before them, and withholds too much rather than too little.
"""

from __future__ import annotations

import base64
import binascii
import re

WITHHELD = "<withheld>"

_NAMES = (
    "client_secret|refresh_token|access_token|id_token|client_assertion|assertion|device_code|code_verifier"
    "|password|passwd|pwd|pass|authorization_code|auth_code|token|secret|api_?key|sig|signature|private_key"
)
_NAMED = re.compile(
    rf"((?<![\w-])[\"']?(?:{_NAMES})[\"']?\s*(?:=>|[=:])\s*)"
    r"(\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s\"'&,;}}\]]+)",
    re.IGNORECASE,
)
_CODE = re.compile(r"([?&\s]code=|[\"']code[\"']\s*:\s*[\"'])[^\s&\"']{16,}", re.IGNORECASE)
_AUTH = re.compile(
    r"(\bAUTH[ =]+[A-Z0-9-]+\s+|\bauth=(?:Bearer|Basic)\s+|\b(?:Bearer|Basic)\s+)"
    r"(?!realm|(?:authentication|authorization|auth|tokens?)\b)\S+",
    re.IGNORECASE,
)
_KEYS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_SHAPES = re.compile(
    r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*){0,3}"  # a JSON web token
    r"|\bya29\.[\w.-]+|\b1//[\w-]{10,}|\b4/[\w-]{20,}|\bGOCSPX-[\w-]+"  # Google
    r"|\bEw[A-C][\w+/=]{16,}|\b[01]\.A[\w.-]{16,}|\bM\.[CR]\d[\w.!*$-]{10,}"  # Microsoft
    r"|[\w.~-]{2,4}8Q~[\w.~-]{20,}"  # one of its client secrets
    r"|[A-Za-z0-9+/_~-]{60,}={0,2}"  # and whatever is as long and as dense
)
_CHALLENGE = re.compile(r"(?<!\d)334(?:[ -](.*))?$")
_LINE_OF_BASE64 = re.compile(r"(\s*(?:\S{1,40}[:>]\s*|[<>-]{1,3}\s*)*)([A-Za-z0-9+/]{4,}={0,2})\s*$")


def without_credentials(text: str) -> str:
    """The text with everything that may be a credential replaced; its lines stay its lines."""
    lines = _KEYS.sub(WITHHELD, text).split("\n")
    shown = [_answer(line) if _asked_for_credentials(lines, at) else line for at, line in enumerate(lines)]
    return "\n".join(_line(one) for one in shown)


def _asked_for_credentials(lines: list[str], at: int) -> bool:
    """The line before is a 334: what follows is the client's answer to it (RFC 4954 section 4)."""
    return (
        at > 0
        and bool(_CHALLENGE.search(lines[at - 1].rstrip()))
        and not re.match(r"\D*[245]\d\d[ -]", lines[at])
    )


def _answer(line: str) -> str:
    found = re.fullmatch(r"(\s*(?:\S{1,40}[:>]\s+|[<>-]{1,3}\s*)*)(\S.*)", line)
    return f"{found[1]}{WITHHELD}" if found else line


def _line(line: str) -> str:
    told = _CHALLENGE.search(line.rstrip())
    if told and _is_json(told[1] or ""):
        return line  # a server's challenge in JSON holds no credential
    if (found := _LINE_OF_BASE64.fullmatch(line)) and len(found[2]) >= 16:
        return f"{found[1]}{WITHHELD}"
    line = _AUTH.sub(rf"\1{WITHHELD}", line)
    line = _CODE.sub(rf"\1{WITHHELD}", line)
    line = _NAMED.sub(rf"\1{WITHHELD}", line)
    return _SHAPES.sub(WITHHELD, line)


def _is_json(coded: str) -> bool:
    try:
        return base64.b64decode(coded, validate=True).lstrip().startswith(b"{")
    except (binascii.Error, ValueError):
        return False
