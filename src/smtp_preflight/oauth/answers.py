"""What a token endpoint says: a grant (RFC 6749 section 5.1) or a refusal (section 5.2), whatever came."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smtp_preflight.model import OAuthError
from smtp_preflight.oauth.http import inert
from smtp_preflight.oauth.tokens import Clean
from smtp_preflight.secrets import Secret, Wallet

MOST_DESCRIPTION = 2000
MOST_WORD = 200
MOST_SCOPES = 100
MOST_CODES = 20
LONGEST_LIFE_S = 10**9
"""Some thirty years; a token that claims to last longer says nothing."""

_AADSTS = re.compile(r"AADSTS(\d{1,10})\b", re.ASCII)


@dataclass(frozen=True, slots=True)
class Granted:
    """A token answer that holds an access token."""

    access_token: Secret
    token_type: str = ""
    expires_in_s: int | None = None
    scope: tuple[str, ...] | None = None
    refresh_token: Secret | None = None
    refresh_expires_in_s: int | None = None  # of the refresh token that is good now, where it has an end


def granted_by(answer: Mapping[str, Any], wallet: Wallet) -> Granted | None:
    """What was granted; nothing where there is no access token in it.

    The wallet has the tokens, as ``access_token`` and ``refresh_token_issued``, before it is asked to redact
    the other words of the answer: they might repeat them.
    """
    access_token, refresh_token = _secret(answer, "access_token"), _secret(answer, "refresh_token")
    if access_token is None:
        return None
    wallet.put("access_token", access_token)
    if refresh_token:
        wallet.put("refresh_token_issued", refresh_token)
    return Granted(
        access_token=access_token,
        token_type=_word(answer, "token_type", wallet.redact),
        expires_in_s=_seconds(answer.get("expires_in")),
        scope=_scope(answer.get("scope"), wallet.redact),
        refresh_token=refresh_token,
        refresh_expires_in_s=_refresh_life_s(answer),
    )


def error_of(answer: Mapping[str, Any], clean: Clean) -> OAuthError | None:
    """What was refused, and the provider's own marks in it, be they members or words of the description."""
    error = _word(answer, "error", clean)
    if not error:
        return None
    text = " ".join(_text(answer, "error_description").split())
    return OAuthError(
        error=error,
        description=_shown(text, clean, MOST_DESCRIPTION),
        codes=codes_in(answer, text),
        suberror=_word(answer, "suberror", clean) or _word(answer, "error_subtype", clean),  # Google's name
        trace_id=_word(answer, "trace_id", clean) or _named(text, r"Trace ID: ([0-9a-fA-F-]{36})"),
        correlation_id=_word(answer, "correlation_id", clean)
        or _named(text, r"Correlation ID: ([0-9a-fA-F-]{36})"),
        timestamp=_word(answer, "timestamp", clean)
        or _named(text, r"Timestamp: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ)"),
    )


def codes_in(answer: Mapping[str, Any], text: str) -> tuple[str, ...]:
    """AADSTS numbers, those of the member first, each once."""
    numbers = [str(one) for one in _items(answer.get("error_codes")) if _is_code(one)]
    return tuple(dict.fromkeys([*numbers, *_AADSTS.findall(text)]))[:MOST_CODES]


def _is_code(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**10


def _items(value: object) -> Iterable[object]:
    return value[:MOST_CODES] if isinstance(value, list) else ()


def _secret(answer: Mapping[str, Any], name: str) -> Secret | None:
    """A token of the answer; what is no text that could be sent again is none."""
    value = _text(answer, name)
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold and UTF-8 cannot
        return None
    return Secret(value, f"granted:{name}") if value else None


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def _word(answer: Mapping[str, Any], name: str, clean: Clean) -> str:
    return _shown(_text(answer, name), clean, MOST_WORD)


def _shown(text: str, clean: Clean, most: int) -> str:
    return inert(clean(text))[:most]


def _named(text: str, pattern: str) -> str:
    found = re.search(pattern, text, re.ASCII)
    return found[1] if found else ""


def _seconds(value: object) -> int | None:
    """``expires_in``, which some send as text; nothing where it is no number of seconds."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,10}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= LONGEST_LIFE_S else None


def _refresh_life_s(answer: Mapping[str, Any]) -> int | None:
    """No member of any RFC: the first is Google's and Entra's, the second Keycloak's, 0 being without end."""
    stated = (_seconds(answer.get(name)) for name in ("refresh_token_expires_in", "refresh_expires_in"))
    return next((seconds for seconds in stated if seconds), None)


def _scope(value: object, clean: Clean) -> tuple[str, ...] | None:
    """The scopes granted: words in one text (RFC 6749 section 3.3), or a list as some have it."""
    if isinstance(value, str):
        words = value.split()
    elif isinstance(value, list):
        words = [one for one in value if isinstance(one, str)]
    else:
        return None
    return tuple(_shown(word, clean, MOST_WORD) for word in words[:MOST_SCOPES])
