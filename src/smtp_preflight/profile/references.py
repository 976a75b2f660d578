"""Where a secret is kept: references as a file writes them, and as settings do. No secret is read here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from smtp_preflight.model import SecretRef
from smtp_preflight.profile.errors import quoted, wrong

SECRETS = ("client_secret", "certificate", "federated", "service_account", "refresh_token", "access_token")
"""The keys of ``[oauth]`` that refer to a secret."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_WORDS = ("command", "keyring")  # references of several words, shown as a shell would read them


# --- in a file: { env = "NAME" } ---------------------------------------------------------------------------


def _secret_ref(value: object, info: ValidationInfo) -> SecretRef:
    """Read ``{ env = "NAME" }`` and its kin; what else stands there may be the secret, and is not shown."""
    variable = re.sub("[^A-Z0-9_]", "_", f"{info.context}_{info.field_name}".upper())
    example = f'{{ env = "{variable}" }}'
    if not isinstance(value, dict):
        where = f"where it is kept, such as {example}, for profiles are shared and committed"
        raise wrong("the secret itself (not shown)", where)
    kinds = [kind for kind in _PLACES if kind != "stdin" or info.field_name == "access_token"]
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
}


def _rotation_command(value: object) -> tuple[str, ...]:
    """Read ``{ command = [...] }``."""
    words = _command(value["command"]) if isinstance(value, dict) and list(value) == ["command"] else None
    if words is None:
        raise wrong("something else (not shown)", 'a command, such as { command = ["keep-token"] }')
    return words


Ref = Annotated[SecretRef, BeforeValidator(_secret_ref)]
RotationCommand = Annotated[tuple[str, ...], BeforeValidator(_rotation_command)]


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
