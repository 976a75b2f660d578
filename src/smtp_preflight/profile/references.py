"""Where a secret is kept: references as a file writes them, and as settings do. No secret is read here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from smtp_preflight.model import SecretRef
from smtp_preflight.profile.errors import quoted, wrong

SECRETS = (
    *("client_secret", "certificate", "certificate_passphrase", "federated", "service_account"),
    *("refresh_token", "access_token"),
)
"""The settings of ``[oauth]`` that refer to a secret."""

_ONLY_FOR = {"stdin": "access_token", "github": "federated"}
"""Places for one key alone."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VISIBLE = re.compile(r"[!-~]+")
_OF_WORDS = ("command", "keyring")  # references of several words, shown as a shell would read them


# --- in a file: { env = "NAME" } ---------------------------------------------------------------------------


def _secret_ref(value: object, info: ValidationInfo) -> SecretRef:
    return _reference(value, info.context, info.field_name)


def _reference(value: object, profile: object, key: str | None) -> SecretRef:
    """Read ``{ env = "NAME" }`` and its kin; what else stands there may be the secret, and is not shown."""
    variable = re.sub("[^A-Z0-9_]", "_", f"{profile}_{key}".upper())
    example = f'{{ env = "{variable}" }}'
    if not isinstance(value, dict):
        where = f"where it is kept, such as {example}, for profiles are shared and committed"
        raise wrong("the secret itself (not shown)", where)
    kinds = [kind for kind in _PLACES if _ONLY_FOR.get(kind, key) == key]
    if len(value) != 1:
        raise wrong(f"{len(value) or 'no'} places", f"one of {', '.join(kinds)}, such as {example}")
    ((kind, place),) = value.items()
    if kind not in kinds:
        raise wrong(f"the place {quoted(kind)}", f"one of {', '.join(kinds)}, such as {example}")
    read, wanted = _PLACES[kind]
    if (words := read(place)) is None:
        raise wrong(f"something else after {kind} (not shown)", wanted)
    return SecretRef(kind, words)


def _variable(place: object) -> tuple[str, ...] | None:
    return (place,) if isinstance(place, str) and _VARIABLE.fullmatch(place) else None


def _path(place: object) -> tuple[str, ...] | None:
    return (place,) if isinstance(place, str) and place else None


def _command(place: object) -> tuple[str, ...] | None:
    """Read a list of words, at least one, the first not empty."""
    if not isinstance(place, list) or not all(isinstance(word, str) for word in place):
        return None
    return tuple(place) if place and place[0] else None


def _audience(place: object) -> tuple[str, ...] | None:
    return (place,) if isinstance(place, str) and _VISIBLE.fullmatch(place) else None


def _service_and_user(place: object) -> tuple[str, ...] | None:
    words = _command(place)
    return words if words and len(words) == 2 else None


def _standard_input(place: object) -> tuple[str, ...] | None:
    return () if place is True else None


_PLACES: Mapping[str, tuple[Callable[[object], tuple[str, ...] | None], str]] = {
    "env": (_variable, 'the name of an environment variable, such as { env = "CONTOSO_CLIENT_SECRET" }'),
    "file": (_path, 'a path, such as { file = "~/secrets/contoso" }'),
    "command": (_command, 'a list of words, such as { command = ["op", "read", "op://mail/contoso"] }'),
    "keyring": (_service_and_user, 'service and user, such as { keyring = ["smtp-preflight", "contoso"] }'),
    "stdin": (_standard_input, "{ stdin = true }"),
    "github": (_audience, 'the audience of the token, such as { github = "api://AzureADTokenExchange" }'),
}


@dataclass(frozen=True, slots=True)
class CertificateRef:
    """Where a certificate with its private key is, and where the passphrase that opens it."""

    file: SecretRef
    passphrase: SecretRef | None = None


def _certificate_ref(value: object, info: ValidationInfo) -> CertificateRef:
    """Read ``{ file = "app.pfx", passphrase = { env = "NAME" } }``; a passphrase is not always needed."""
    if not isinstance(value, dict) or "passphrase" not in value:
        return CertificateRef(_secret_ref(value, info))
    place = {kind: words for kind, words in value.items() if kind != "passphrase"}
    passphrase = _reference(value["passphrase"], info.context, "certificate_passphrase")
    return CertificateRef(_secret_ref(place, info), passphrase)


def _rotation_command(value: object) -> tuple[str, ...]:
    """Read ``{ command = [...] }``."""
    words = _command(value["command"]) if isinstance(value, dict) and list(value) == ["command"] else None
    if words is None:
        raise wrong("something else (not shown)", 'a command, such as { command = ["keep-token"] }')
    return words


# --- the same for editors, as JSON Schema ------------------------------------------------------------------

_WORDS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_PLACE_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "env": {"type": "string", "pattern": f"^{_VARIABLE.pattern}$"},
    "file": {"type": "string", "minLength": 1},
    "command": _WORDS,
    "keyring": {**_WORDS, "minItems": 2, "maxItems": 2},
    "stdin": {"const": True},
    "github": {"type": "string", "pattern": f"^{_VISIBLE.pattern}$"},
}


def _places(key: str = "", **beside: Any) -> dict[str, Any]:
    """One of the places for a key; beside it stands at most what else is named."""
    places = {kind: one for kind, one in _PLACE_SCHEMAS.items() if _ONLY_FOR.get(kind, key) == key}
    return {
        "type": "object",
        "properties": {**places, **beside},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1 + len(beside),
    }


_COMMAND_SCHEMA = {
    "type": "object",
    "properties": {"command": _WORDS},
    "required": ["command"],
    "additionalProperties": False,
}

Ref = Annotated[SecretRef, BeforeValidator(_secret_ref), WithJsonSchema(_places())]
FederatedRef = Annotated[SecretRef, BeforeValidator(_secret_ref), WithJsonSchema(_places("federated"))]
AccessTokenRef = Annotated[SecretRef, BeforeValidator(_secret_ref), WithJsonSchema(_places("access_token"))]
Certificate = Annotated[
    CertificateRef,
    BeforeValidator(_certificate_ref),
    WithJsonSchema(_places("certificate", passphrase=_places("certificate_passphrase"))),
]
RotationCommand = Annotated[
    tuple[str, ...], BeforeValidator(_rotation_command), WithJsonSchema(_COMMAND_SCHEMA)
]


# --- in settings: env:NAME ---------------------------------------------------------------------------------


def ref_as_text(ref: SecretRef) -> str:
    """Write a reference on one line, its kind in front."""
    return f"{ref.kind}:{(shlex.join if ref.kind in _OF_WORDS else ''.join)(ref.place)}"


def ref_from_text(text: str) -> dict[str, Any]:
    """Take apart what ``ref_as_text`` has written, as pydantic wants the fields of a SecretRef."""
    kind, _, place = text.partition(":")
    try:
        words = shlex.split(place) if kind in _OF_WORDS else [place]
    except ValueError:  # somebody has edited the file; nothing reads the secret in a replay
        words = [place]
    return {"kind": kind, "place": words if place else []}
