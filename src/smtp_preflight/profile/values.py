"""What a single value of a file may be: pydantic types for the tables, refusing in our own words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from smtp_preflight.model import GrantType
from smtp_preflight.profile.errors import quoted, wrong
from smtp_preflight.profile.references import SECRETS

STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What a profile may be called: its name becomes a folder of reports and a part of test ids."""

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)*")
_CODE = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST_S = 3600


def ascii_address(value: str) -> str:
    """One mail address, its domain in A-labels; empty where it is none."""
    local, _, domain = value.rpartition("@")
    address = f"{local}@{_ascii(domain)}"
    return address if _ADDRESS.fullmatch(address) else ""


def _address(value: str) -> str:
    """Accept one mail address; a domain of other letters becomes its A-label form."""
    if not (address := ascii_address(value)):
        raise wrong(quoted(value), "one mail address, such as alerts@contoso.com")
    return address


def _ascii(host: str) -> str:
    """Return a host in A-labels (RFC 5890); what cannot be one stays as it is, for stage profile to find."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _distinct(values: list[str]) -> list[str]:
    """Accept each address once: a check and its finding are known by it."""
    folded = [value.lower() for value in values]
    for value in folded:
        if folded.count(value) > 1:
            raise wrong(f"{quoted(value)} twice", "each recipient once")
    return values


def _public_params(value: dict[str, str]) -> dict[str, str]:
    """Accept what a browser's address bar may show."""
    for key in value:
        if key in SECRETS or "password" in key:
            raise wrong(f"a secret under {key} (not shown)", "parameters that anybody may see")
    return value


def _grant(value: object) -> object:
    """Name the grant that will not do, and why; of any other, the list says what there is."""
    if value in ("password", "ropc"):
        raise wrong(
            f"{quoted(str(value))}, the password grant",
            f"one of {', '.join(GrantType)}; RFC 9700 forbids handing a password to a program, and Microsoft "
            "refuses it to personal accounts and wherever a second factor is asked for",
        )
    return value


def _words(value: object) -> object:
    """A scope may be written as RFC 6749 section 3.3 sends it: words in one text."""
    return value.split() if isinstance(value, str) else value


def _fitting(
    fits: Callable[[str], object], wanted: str, shown: Callable[[str], str] = quoted
) -> AfterValidator:
    """Accept a text that fits, as it is; refuse another by what is wanted instead."""

    def accept(value: str) -> str:
        if not fits(value):
            raise wrong(shown(value), wanted)
        return value

    return AfterValidator(accept)


def _url(*schemes: str) -> AfterValidator:
    """Accept a URL of one of these schemes that names a host and no user."""
    wanted = f"{' or '.join(f'{one}://' for one in schemes)} and a host, without user and password"
    return _fitting(lambda value: _is_url(value, schemes), wanted, _url_shown)


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        has_place = bool(parts.hostname) and parts.port != 0  # reading a port out of range raises
    except ValueError:
        return False
    return has_place and parts.scheme in schemes and "@" not in parts.netloc and " " not in value


def _url_shown(value: str) -> str:
    return "a URL with a user in it (not shown)" if "@" in value else quoted(value)


def _is_name_server(value: str) -> bool:
    """Whether this is ``address`` or ``address:port`` (an IPv6 address with a port in brackets)."""
    split = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?", value) or re.fullmatch(r"([^:]+):(\d{1,5})", value)
    address, port = split.groups() if split else (value, None)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return port is None or 1 <= int(port) <= 65535


def _text_like(pattern: str) -> WithJsonSchema:
    """What an editor is told of a text whose whole has to fit."""
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


Text = Annotated[
    str, _fitting(str.strip, "at least one word", lambda _: "an empty text"), _text_like(r".*\S.*")
]
Code = Annotated[
    str,
    _fitting(_CODE.fullmatch, "a code in snake_case, such as dmarc_missing"),
    _text_like(_CODE.pattern),
]
Stem = Annotated[
    str, _fitting(STEM.fullmatch, "the name of a profile, such as contoso"), _text_like(STEM.pattern)
]
Address = Annotated[str, AfterValidator(_address), _text_like(r"[^@\s]+@[^@\s]+")]
Recipients = Annotated[list[Address], Field(min_length=1, max_length=100), AfterValidator(_distinct)]
Host = Annotated[str, AfterValidator(_ascii)]
Port = Annotated[int, Field(ge=1, le=65535)]
NameServer = Annotated[
    str,
    _fitting(_is_name_server, "an address or address:port, such as 192.0.2.53 or [2001:db8::53]:5353"),
]
Grant = Annotated[GrantType, Field(strict=False), BeforeValidator(_grant)]
# Secrets are sent to it, and only over TLS.
EndpointUrl = Annotated[str, _url("https"), _text_like(r"https://[^@\s]+")]
ProxyUrl = Annotated[str, _url("http", "https"), _text_like(r"https?://[^@\s]+")]
Scope = Annotated[
    list[str],
    BeforeValidator(_words),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
]
PublicParams = Annotated[dict[str, str], AfterValidator(_public_params)]
Seconds = Annotated[float, Field(gt=0, le=_LONGEST_S)]
Count = Annotated[int, Field(ge=0, le=36500)]
