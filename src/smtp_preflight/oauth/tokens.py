"""What may be known of an access token: its shape, and those of its claims that diagnosis needs."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from smtp_preflight.model import APPLICATION, AccessToken
from smtp_preflight.oauth.http import inert
from smtp_preflight.secrets import Secret

CLAIMS = frozenset(
    (
        *("aud", "iss", "tid", *APPLICATION, "appidacr", "azpacr", "exp", "nbf", "iat"),
        *("scp", "scope", "roles"),
        *("upn", "unique_name", "preferred_username", "email", "oid", "idtyp", "ver", "app_displayname"),
    )
)
"""The claims that are kept with their values; of the others only the names."""

MOST_TEXT = 300
MOST_VALUES = 100
MOST_NAMES = 50

Clean = Callable[[str], str]
"""Takes every known secret out of a text."""

Scalar = str | int | float | bool


def read_token(
    token: Secret, *, observed_at: dt.datetime, clean: Clean, expires_in_s: int | None = None
) -> AccessToken:
    """Read a bearer token without believing it; what is no JWT is opaque, which is no fault.

    A token that begins like a signed JWT and cannot be read has a ``problem``, as has one with characters
    that no bearer token may have (RFC 6750 section 2.1).
    """
    value = token.reveal()
    header, claims, problem = _decoded(value) if _looks_like_a_jwt(value) else ({}, {}, "")
    return AccessToken(
        observed_at=observed_at,
        length=len(value),
        fingerprint=fingerprint(token),
        opaque=not _looks_like_a_jwt(value),
        header=_kept_of_header(header, clean),
        claims={
            name: kept
            for name, found in claims.items()
            if name in CLAIMS and (kept := _kept(found, clean)) is not None
        },
        other_claims=tuple(sorted(_text(name, clean) for name in claims if name not in CLAIMS)[:MOST_NAMES]),
        expires_in_s=expires_in_s,
        problem=_odd_characters(value) or problem,
    )


def fingerprint(token: Secret) -> str:
    """The first 12 hex digits of its SHA-256: enough to tell two tokens apart, and nothing else."""
    return hashlib.sha256(token.reveal().encode()).hexdigest()[:12]


def header_of(token: Secret) -> Mapping[str, Any] | None:
    """The token's header, unverified; nothing where it is no JWT that can be read."""
    value = token.reveal()
    header, _, problem = _decoded(value) if _looks_like_a_jwt(value) else ({}, {}, "opaque")
    return None if problem else header


def _looks_like_a_jwt(value: str) -> bool:
    """A JSON object in base64url comes first; five parts would be an encrypted one (RFC 7516 section 3.1)."""
    first = re.match(r"[\w-]+(?=\.)", value, re.ASCII)
    if not first or value.count(".") == 4:
        return False
    try:
        return base64.urlsafe_b64decode(first[0] + "=" * (-len(first[0]) % 4)).startswith(b"{")
    except binascii.Error:
        return False


def _decoded(value: str) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """Header, claims, and why they cannot be read."""
    try:
        found = jwt.decode_complete(value, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError) as problem:
        return {}, {}, f"it cannot be decoded: {type(problem).__name__}"
    return found["header"], found["payload"], ""


def _kept_of_header(header: Mapping[str, Any], clean: Clean) -> Mapping[str, Any]:
    named = {name: _text(header[name], clean) for name in ("alg", "kid", "typ") if name in header}
    return {**named, "nonce": True} if "nonce" in header else named


def _kept(value: object, clean: Clean) -> Scalar | list[str] | None:
    """A claim's value as evidence can hold it; nothing where a claim has no business being that."""
    if isinstance(value, list):
        return [_text(one, clean) for one in value[:MOST_VALUES] if isinstance(one, str)]
    if isinstance(value, str):
        return _text(value, clean)
    if isinstance(value, bool) or (isinstance(value, (int, float)) and math.isfinite(value)):
        return value
    return None


def _text(value: object, clean: Clean) -> str:
    return inert(clean(str(value)))[:MOST_TEXT]


def _odd_characters(value: str) -> str:
    """What a bearer token must not have in it, and gets by copying it from a terminal or a JSON file."""
    if re.search(r"[\r\n]", value):
        return "it has a line break in it"
    if re.search(r"\s", value):
        return "it has a blank in it"
    if re.search("[\"'“”]", value):
        return "it has a quotation mark in it"
    return "" if value.isascii() and value.isprintable() else "it has a character that no token has"
