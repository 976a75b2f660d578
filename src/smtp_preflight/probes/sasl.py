"""A bearer token in SASL: what the client says, and what a server's refusal means; for SMTP, IMAP and POP."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from smtp_preflight.model import short
from smtp_preflight.probes.stream import printable
from smtp_preflight.secrets import Secret

MECHANISMS = ("XOAUTH2", "OAUTHBEARER")  # the one to prefer first
CHALLENGE_KEYS = 20

Clean = Callable[[str], str]


def bearer_response(mechanism: str, user: str, token: Secret, *, host: str, port: int) -> Secret:
    """The client's message in base64: Google's and Microsoft's XOAUTH2, or RFC 7628 section 3.1."""
    bearer = f"auth=Bearer {token.reveal()}"
    if mechanism == "OAUTHBEARER":
        authzid = user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 section 4
        plain = f"n,a={authzid},\x01host={host}\x01port={port}\x01{bearer}\x01\x01"
    else:
        plain = f"user={user}\x01{bearer}\x01\x01"
    return Secret(base64.b64encode(plain.encode()).decode("ascii"), "sasl_response")


def acknowledgement(mechanism: str) -> str:
    """The answer to a refusal that was explained: a lone %x01 (RFC 7628 section 3.2.3), or an empty line."""
    return "AQ==" if mechanism == "OAUTHBEARER" else ""


def decoded_challenge(challenge: bytes, clean: Clean) -> tuple[Mapping[str, str], str]:
    """A challenge as its JSON members, or as text where it is something else; bounded and safe to keep."""
    try:
        plain = base64.b64decode(challenge, validate=True)
    except (binascii.Error, ValueError):
        return {}, short(_shown(challenge, clean))
    try:
        members = json.loads(plain)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        return {}, short(_shown(plain, clean))
    kept = list(members.items())[:CHALLENGE_KEYS]
    return {_kept(key, clean): _kept(value, clean) for key, value in kept}, ""


def _kept(value: Any, clean: Clean) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return short(printable(clean(text)))


def _shown(text: bytes, clean: Clean) -> str:
    return printable(clean(text.decode("utf-8", "backslashreplace")))
