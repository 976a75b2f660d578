"""Secrets: where they are kept, how they are read, and how they stay out of everything that is shown.

A profile holds references (``SecretRef``); ``resolve`` turns one into a ``Secret``, which shows its origin
and never its value. A profile's ``Wallet`` keeps what was resolved or granted, and takes it out of foreign
text.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import quote, quote_plus

from smtp_preflight.model import SecretRef

MOST_BYTES = 64 * 1024
"""More than this is no secret but the wrong file, or a command that does not stop."""

SHORTEST_REDACTED = 6
"""Characters; shorter values would black out ordinary words."""

PIECE_CHARS = 16
"""As much of a secret as no other text has by chance."""

MARK_CHARS = 6
MARK_EVERY = PIECE_CHARS - MARK_CHARS + 1

REDACTED = "<redacted>"


class SecretProblem(Exception):
    """Why a secret could not be read, in words that hold nothing of its content."""


class Secret:
    """A value that only ``reveal`` shows; whatever prints, formats or serialises it gets its origin."""

    __slots__ = ("_value", "origin")

    _value: str
    origin: str

    def __init__(self, value: str, origin: str) -> None:
        object.__setattr__(self, "_value", value)
        object.__setattr__(self, "origin", origin)

    def reveal(self) -> str:
        """Return the value, for the wire and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return f"<Secret {self.origin}>"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Secret does not change; {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Secret does not change; {name} cannot be deleted")

    def __getstate__(self) -> NoReturn:
        # pickle and copy both ask for the state: neither may get at the value.
        raise TypeError("a Secret cannot be pickled or copied")


# --- reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Terms:
    """How long reading may take, and what a command inherits."""

    limit_s: float
    environment: Mapping[str, str] | None


def resolve(
    ref: SecretRef,
    *,
    limit_s: float = 10,
    binary: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Secret:
    """Read the secret a reference names; blocks, for ``limit_s`` seconds at most.

    binary: what is no text, a PKCS#12 file say, becomes its base64 instead of a problem.
    environment: what a command inherits (see `inherited`); without it, all that we have.
    One trailing line end is taken off, as editors and commands add it; anything else is part of the value.
    Raises SecretProblem where nothing can be read, or nothing is in it.
    """
    if ref.kind not in _READERS:
        raise SecretProblem(f"{ref} can only be read while its lab runs")
    terms = _Terms(limit_s, environment)
    found = _within(limit_s, lambda: _READERS[ref.kind](ref.place, terms))
    value = _without_line_end(found if isinstance(found, str) else _text(found, ref, binary))
    if not value:
        raise SecretProblem(f"{_named(ref)} is empty")
    if not _is_unicode(value):
        raise SecretProblem(f"{_named(ref)} is not UTF-8 text")
    return Secret(value, f"{ref.kind}:{ref.place[0]}" if ref.kind == "command" else str(ref))


def _named(ref: SecretRef) -> str:
    """Name a reference in a sentence; of a command its first word, for the others may be private."""
    words = {
        "env": "environment variable {0}",
        "file": "file {0}",
        "command": "the output of command {0}",
        "keyring": "the keyring's entry for {0}",
        "stdin": "standard input",
    }
    return words[ref.kind].format(*ref.place)


def _within(limit_s: float, read: Callable[[], str | bytes]) -> str | bytes:
    """Run ``read`` in a daemon thread: a keyring that asks its user, or an idle pipe, cannot be cancelled."""
    values: list[str | bytes] = []
    problems: list[SecretProblem] = []

    def work() -> None:
        try:
            values.append(read())
        except SecretProblem as problem:
            problems.append(problem)

    thread = threading.Thread(target=work, name="secret", daemon=True)
    thread.start()
    thread.join(limit_s)
    if problems:
        raise SecretProblem(str(problems[0])) from None
    if thread.is_alive():
        raise SecretProblem(f"no answer within {limit_s:g} s")
    if not values:
        raise RuntimeError("reading a secret broke; the traceback of its thread says where")
    return values[0]


def _from_env(place: tuple[str, ...], _terms: _Terms) -> str:
    value = os.environ.get(place[0])
    if value is None:
        raise SecretProblem(f"environment variable {place[0]} is not set")
    return value


def _from_file(place: tuple[str, ...], _terms: _Terms) -> bytes:
    try:
        with Path(place[0]).open("rb") as file:
            return _bounded(file, f"file {place[0]}")
    except FileNotFoundError:
        raise SecretProblem(f"file {place[0]} does not exist") from None
    except OSError as problem:
        raise SecretProblem(f"file {place[0]} cannot be read: {problem.strerror}") from None


def inherited(refs: Iterable[SecretRef]) -> dict[str, str]:
    """The environment as a child process gets it: without the variables that hold these secrets.

    They are meant for us. A child may print its environment, and whoever may look at the child can read it.
    """
    ours = {ref.place[0] for ref in refs if ref.kind == "env"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _from_command(place: tuple[str, ...], terms: _Terms) -> bytes:
    """Run the command with nothing to read; what it writes to its standard error is not looked at."""
    name = f"command {place[0]}"
    try:
        process = subprocess.Popen(  # noqa: S603 - words of the profile's author, run without a shell
            place,
            env=terms.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise SecretProblem(f"{name} does not exist") from None
    except OSError as problem:
        raise SecretProblem(f"{name} cannot be started: {problem.strerror}") from None
    output = _output(process, f"the output of {name}", terms.limit_s)
    if process.returncode:
        raise SecretProblem(f"{name} ended with exit status {process.returncode}")
    return output


def _output(process: subprocess.Popen[bytes], name: str, limit_s: float) -> bytes:
    """Read all that a process writes; kill it when that is too much, or takes too long."""
    assert process.stdout is not None
    # A second later than whoever waits for us, so that it is always they who say why.
    alarm = threading.Timer(limit_s + 1, process.kill)
    alarm.daemon = True
    alarm.start()
    with process:
        try:
            return _bounded(process.stdout, name)
        except SecretProblem:
            process.kill()
            raise
        finally:
            process.stdout.close()
            process.wait()
            alarm.cancel()


def _from_keyring(place: tuple[str, ...], _terms: _Terms) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise SecretProblem("keyring is not installed: pip install 'smtp-preflight[keyring]'") from None
    service, user = place
    try:
        value = keyring.get_password(service, user)
    except KeyringError as problem:
        raise SecretProblem(f"the keyring cannot be read: {type(problem).__name__}") from None
    if value is None:
        raise SecretProblem(f"the keyring has no entry for {service}, user {user}")
    return value


def _from_stdin(_place: tuple[str, ...], _terms: _Terms) -> bytes:
    return STANDARD_INPUT.read()


class StandardInput:
    """Everything on standard input, which can be read only once, for whoever asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: IO[bytes] | None = None
        self._outcome: bytes | SecretProblem | None = None

    def take_from(self, source: IO[bytes]) -> None:
        """Read this, when it is asked for, instead of ``sys.stdin``; a test runner takes that away."""
        self._source = source

    def read(self) -> bytes:
        """What stands there; raises SecretProblem, to everybody the same."""
        with self._lock:
            if self._outcome is None:
                self._outcome = self._read()
        if isinstance(self._outcome, SecretProblem):
            raise SecretProblem(str(self._outcome))
        return self._outcome

    def read_within(self, limit_s: float) -> bytes:
        """The same, for whoever cannot wait longer."""
        found = _within(limit_s, self.read)
        assert isinstance(found, bytes)  # for the type checker; text comes from other places
        return found

    def _read(self) -> bytes | SecretProblem:
        if self._source is None and sys.stdin is None:
            return SecretProblem("there is no standard input")
        try:
            return _bounded(self._source or sys.stdin.buffer, "standard input")
        except (OSError, ValueError):  # what pytest puts there raises the first, a closed one the second
            return SecretProblem("standard input cannot be read")
        except SecretProblem as problem:
            return problem


STANDARD_INPUT = StandardInput()


_READERS: Mapping[str, Callable[[tuple[str, ...], _Terms], str | bytes]] = {
    "env": _from_env,
    "file": _from_file,
    "command": _from_command,
    "keyring": _from_keyring,
    "stdin": _from_stdin,
}


def _bounded(source: IO[bytes], name: str) -> bytes:
    content = source.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SecretProblem(f"{name} is larger than {MOST_BYTES // 1024} KiB")
    return content


def _text(content: bytes, ref: SecretRef, binary: bool) -> str:
    """Decode UTF-8; a byte order mark, as some editors write it, is no part of the value."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if binary:
            return base64.b64encode(content).decode()
        raise SecretProblem(f"{_named(ref)} is not UTF-8 text") from None


def _without_line_end(value: str) -> str:
    return value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value


def _is_unicode(value: str) -> bool:
    """Whether it can be sent: bytes in the environment that are not UTF-8 arrive as lone surrogates."""
    return not any("\ud800" <= one <= "\udfff" for one in value)


# --- keeping -----------------------------------------------------------------------------------------------


class Wallet:
    """The secrets of one profile while it runs, by the profile's oauth keys; in memory and nowhere else."""

    __slots__ = ("_forms", "_pattern", "_pieces", "_secrets")

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._pieces = _Pieces()

    def put(self, key: str, secret: Secret) -> None:
        """Hold a secret; one that it replaces stays redacted."""
        self._secrets[key] = secret
        value = secret.reveal()
        for form in _forms(value) if len(value) >= SHORTEST_REDACTED else ():
            if _travels(value) and len(form) >= PIECE_CHARS:
                self._pieces.add(form)
            else:
                self._forms.add(form)
                self._pattern = None

    def get(self, key: str) -> Secret | None:
        """Return the secret held under the key, if there is one."""
        return self._secrets.get(key)

    def redact(self, text: str) -> str:
        """Replace every value that was ever held here, however it is encoded, by ``<redacted>``.

        Of tokens and passwords every piece of 16 characters or more, too: whoever echoes one may cut it.
        """
        if self._forms and self._pattern is None:  # compiled when first needed: that takes its time
            longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        whole = self._pattern.sub(REDACTED, text) if self._pattern else text
        return self._pieces.hidden_in(whole)

    def __repr__(self) -> str:
        return f"<Wallet {', '.join(sorted(self._secrets)) or 'empty'}>"


def _travels(value: str) -> bool:
    """Whether it is a token or a password; a key file holds public words as well, and is never sent."""
    return not re.search(r"[\s{}]", value)


class _Pieces:
    """Finds whatever 16 characters in a row a text shares with a secret.

    A secret leaves a mark, six characters, at every eleventh place, so that a piece holds at least one. Only
    around the marks that a text shows is it compared in full.
    """

    __slots__ = ("_marks", "_secrets")

    def __init__(self) -> None:
        self._secrets = ""  # behind one another
        self._marks: set[str] = set()

    def add(self, secret: str) -> None:
        """Look for pieces of this from now on."""
        if secret not in self._secrets:
            self._secrets += f"\0{secret}"
            self._marks.update(secret[at : at + MARK_CHARS] for at in range(0, len(secret), MARK_EVERY))

    def hidden_in(self, text: str) -> str:
        """The text with every stretch replaced that is made of such pieces."""
        secret = bytearray(len(text))
        for at in range(len(text)):
            if text[at : at + MARK_CHARS] in self._marks:
                for start in self._pieces_around(at, text):
                    secret[start : start + PIECE_CHARS] = b"\1" * PIECE_CHARS
        if not any(secret):
            return text
        stretches = itertools.groupby(zip(text, secret, strict=True), key=lambda pair: pair[1])
        return "".join(REDACTED if hide else "".join(char for char, _ in pairs) for hide, pairs in stretches)

    def _pieces_around(self, mark: int, text: str) -> Iterator[int]:
        """Where pieces begin that hold the mark."""
        for start in range(max(0, mark - MARK_EVERY + 1), min(mark, len(text) - PIECE_CHARS) + 1):
            if text[start : start + PIECE_CHARS] in self._secrets:
                yield start


def _forms(value: str) -> set[str]:
    """Every shape in which a value can come back: as it is, in a URL, in JSON, in base64."""
    percent = {quote(value, safe=""), quote(value), quote_plus(value)}
    lower = {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), one) for one in percent}
    in_base64 = set(_base64_forms(value.encode()))
    in_base64url = {form.translate(str.maketrans("+/", "-_")) for form in in_base64}
    return {value, json.dumps(value)[1:-1], *percent, *lower, *in_base64, *in_base64url}


def _base64_forms(value: bytes) -> Iterator[str]:
    """Its base64 alone, and wherever it may begin inside a larger whole, as in ``Basic`` and ``XOAUTH2``.

    Three bytes become four characters, so there are three alignments; at the edges of a larger whole the
    characters that also hold bits of a neighbour are left out.
    """
    yield base64.b64encode(value).rstrip(b"=").decode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + value).decode()
        inner = encoded[(before * 4 + 2) // 3 : (before + len(value)) // 3 * 4]
        if len(inner) >= SHORTEST_REDACTED:
            yield inner
