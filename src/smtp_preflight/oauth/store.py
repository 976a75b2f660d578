"""Where refresh tokens are kept: one file per login, for its owner's eyes, replaced whole, one run at a time.

A login is a mailbox, a client and the token endpoint that issued its token; all three stand in the file and
are compared before use, so that a token never goes anywhere else. Needs POSIX file locks; elsewhere opening a
store is a `StoreProblem`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import platformdirs

from smtp_preflight.model import Profile
from smtp_preflight.oauth.daemon import in_daemon_thread
from smtp_preflight.secrets import Secret

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

KEYRING = "keyring"
SERVICE = "smtp-preflight"
MOST_BYTES = 256 * 1024
LOCK_PAUSE_S = 0.05
KEYRING_S = 10.0

_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class StoreProblem(Exception):
    """Why a token cannot be read or kept, and what would mend it; holds nothing of a token."""


@dataclass(frozen=True, slots=True)
class Login:
    """Whose token it is: issued by this endpoint, to this client, for this mailbox."""

    endpoint: str
    client_id: str
    mailbox: str

    @classmethod
    def of(cls, profile: Profile, endpoint: str) -> Login:
        """The login a profile describes; an address is the same in whatever case it is written."""
        return cls(endpoint, profile.oauth.client_id, profile.mailbox.lower())

    @property
    def name(self) -> str:
        """What its file is called, without ending."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.mailbox).strip("-")[:60]
        whose = "\n".join((self.endpoint, self.client_id, self.mailbox))
        return f"{slug or 'login'}-{sha256(whose)[:16]}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one login.

    token: what to redeem next; nothing where that is still the seed, which is kept by whoever gave it.
    seed_sha256: of the token the profile gave; empty where somebody signed in instead.
    """

    token: Secret | None
    seed_sha256: str = ""
    obtained_at: dt.datetime | None = None  # when somebody signed in
    last_used_at: dt.datetime | None = None
    rotated_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None  # as the provider has said, where it has


def sha256(text: str) -> str:
    """The digest in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


class Store(Protocol):
    """One login's place, locked for us as long as it is open."""

    async def read(self) -> Kept | None:
        """What is kept, or nothing yet; raises StoreProblem."""
        ...

    async def write(self, kept: Kept) -> None:
        """Replace what is kept; once it returns, that survives a crash. Raises StoreProblem."""
        ...


@contextlib.asynccontextmanager
async def opened(profile: Profile, endpoint: str, *, limit_s: float) -> AsyncIterator[Store]:
    """The place of a profile's login, locked against every other run on this machine.

    limit_s: how long to wait for another run that has it open. Whoever waited finds its successor token.
    Raises StoreProblem where it cannot be locked, or others could read it.
    """
    if fcntl is None:
        raise StoreProblem("the token store needs file locks as POSIX systems have them")
    login = Login.of(profile, endpoint)
    folder = folder_of(profile)
    with _words_of_the_system():
        _make_private(folder)
    async with _locked(folder / f"{login.name}.lock", limit_s):
        on_disk = FileStore(folder, login)
        yield KeyringStore(login, on_disk) if profile.oauth.store == KEYRING else on_disk


def folder_of(profile: Profile) -> Path:
    """Where files and locks are: the profile's folder, or the user's state folder."""
    if profile.oauth.store in ("", KEYRING):
        return platformdirs.user_state_path("smtp-preflight", appauthor=False) / "tokens"
    return Path(profile.oauth.store)


# --- files -------------------------------------------------------------------------------------------------


class FileStore:
    """One file, mode 0600, in a folder of mode 0700.

    Reading and writing block for a moment on purpose: between the answer that brought a token and the disk
    that has it, nothing can cancel us.
    """

    def __init__(self, folder: Path, login: Login) -> None:
        self._folder = folder
        self._login = login
        self.path = folder / f"{login.name}.json"

    async def read(self) -> Kept | None:
        """See `Store`; refuses a file that others can read, or that belongs to another login."""
        with _words_of_the_system():
            try:
                file = os.open(self.path, os.O_RDONLY | _OPEN)
            except FileNotFoundError:
                return None
            with os.fdopen(file, "rb") as source:
                _require_private(self.path, os.fstat(source.fileno()))
                content = source.read(MOST_BYTES + 1)
        return _decoded(content, self._login, str(self.path))

    async def write(self, kept: Kept) -> None:
        """See `Store`: written beside the file, put in its place at once, and the folder told to remember."""
        beside = self.path.with_suffix(".new")
        with _words_of_the_system():
            # We have the lock: whatever has this name was left by a run that died, and is not written into.
            beside.unlink(missing_ok=True)
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)
            with os.fdopen(file, "wb") as target:
                os.fchmod(target.fileno(), 0o600)
                target.write(_encoded(kept, self._login, str(self.path)))
                target.flush()
                os.fsync(target.fileno())
            beside.replace(self.path)
            _sync_folder(self._folder)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_private(folder, folder.stat())


def _require_private(path: Path, found: os.stat_result) -> None:
    """Refuse what anybody else owns or can look into."""
    if found.st_uid != os.geteuid():
        raise StoreProblem(f"{path} belongs to another user; give [oauth] store a folder of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise StoreProblem(f"{path} can be opened by others; chmod {mode} '{path}'")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _words_of_the_system() -> Iterator[None]:
    """Turn what the system says into a StoreProblem; it names paths and never content."""
    try:
        yield
    except OSError as problem:
        raise StoreProblem(f"{problem.filename or 'the token store'}: {problem.strerror}") from problem


# --- the keyring -------------------------------------------------------------------------------------------


class KeyringStore:
    """The system's keyring, where it holds the same text as a file would; it may ask its user first.

    It answers when it likes, and Ctrl-C does not wait for it. So a token goes to a private file first, which
    is removed once the keyring has it; what stands there is newer than what the keyring holds.
    """

    def __init__(self, login: Login, meanwhile: FileStore) -> None:
        self._login = login
        self._meanwhile = meanwhile

    async def read(self) -> Kept | None:
        """See `Store`."""
        if (newer := await self._meanwhile.read()) is not None:
            return newer
        found = await _ask_keyring("get_password", SERVICE, self._login.name)
        return _decoded(found.encode(), self._login, "the keyring's entry") if found else None

    async def write(self, kept: Kept) -> None:
        """See `Store`."""
        text = _encoded(kept, self._login, "the keyring's entry").decode()
        await self._meanwhile.write(kept)
        await _ask_keyring("set_password", SERVICE, self._login.name, text)
        with _words_of_the_system():
            self._meanwhile.path.unlink(missing_ok=True)


async def _ask_keyring(function: str, *arguments: str) -> Any:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise StoreProblem("keyring is not installed: pip install 'smtp-preflight[keyring]'") from None
    try:
        async with asyncio.timeout(KEYRING_S):
            return await in_daemon_thread(
                lambda: getattr(keyring, function)(*arguments), raises=(KeyringError,)
            )
    except (KeyringError, TimeoutError) as problem:
        # Without its words: nobody knows what a backend puts into them.
        raise StoreProblem(f"the keyring does not answer: {type(problem).__name__}") from None


# --- what stands in it -------------------------------------------------------------------------------------

_TIMES = ("obtained_at", "last_used_at", "rotated_at", "ends_at")
_LATER_ADDED = frozenset({"ends_at"})  # files of an earlier version have none


def _encoded(kept: Kept, login: Login, place: str) -> bytes:
    times = {name: getattr(kept, name) for name in _TIMES}
    content = {
        "endpoint": login.endpoint,
        "client_id": login.client_id,
        "mailbox": login.mailbox,
        "refresh_token": kept.token.reveal() if kept.token else None,
        "seed_sha256": kept.seed_sha256,
        **{name: time.isoformat() if time else None for name, time in times.items()},
    }
    encoded = json.dumps(content, indent=1).encode()
    if len(encoded) > MOST_BYTES:
        raise StoreProblem(f"{place}: the token is too long to be kept")
    return encoded


def _decoded(content: bytes, login: Login, place: str) -> Kept:
    try:
        found = json.loads(content)
        whose = Login(found["endpoint"], found["client_id"], found["mailbox"])
        kept = Kept(
            token=_secret(found["refresh_token"]),
            seed_sha256=str(found["seed_sha256"]),
            **{name: _time(found[name]) for name in _TIMES if name in found or name not in _LATER_ADDED},
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreProblem(f"{place} was damaged; remove it and sign in again") from None
    if whose != login:
        raise StoreProblem(f"{place} holds the token of another login; remove it and sign in again")
    return kept


def _secret(value: object) -> Secret | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise TypeError("not a token")
    return Secret(value, "store")


def _time(value: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(value).astimezone(dt.UTC) if value else None


# --- one at a time -----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _locked(path: Path, limit_s: float) -> AsyncIterator[None]:
    """Hold the lock on a file that is only there for it; the system lets go when a process dies.

    The file stays: whoever removed it would let two runs lock two files of one name.
    """
    with _words_of_the_system():
        lock = os.open(path, os.O_RDWR | os.O_CREAT | _OPEN, 0o600)
    try:
        await _wait_for(lock, path, limit_s)
        yield
    finally:
        os.close(lock)


async def _wait_for(lock: int, path: Path, limit_s: float) -> None:
    give_up_at = time.monotonic() + limit_s
    while not _taken(lock):
        if time.monotonic() > give_up_at:
            raise StoreProblem(f"another run has had {path} locked for {limit_s:g} s")
        await asyncio.sleep(LOCK_PAUSE_S)


def _taken(lock: int) -> bool:
    assert fcntl is not None  # `opened` has looked
    with _words_of_the_system(), contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
