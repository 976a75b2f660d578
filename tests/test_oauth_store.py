"""The token store: private, whole, one run at a time, and never for another login."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import keyring
import keyring.backend
import keyring.errors
import pytest

from smtp_preflight.model import OAuth, Profile, Provider, Smtp
from smtp_preflight.oauth import store as store_module
from smtp_preflight.oauth.store import KEYRING, Kept, Login, Store, StoreProblem, folder_of, opened
from smtp_preflight.secrets import Secret

ENDPOINT = "https://login.contoso.example/token"
CANARY = "0.canary-refresh-token"
NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)

T = TypeVar("T")


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile(
        name="contoso",
        provider=Provider("custom", "A server"),
        mailbox="Alerts@contoso.example",
        smtp=Smtp("smtp.contoso.example"),
        oauth=OAuth(client_id="our-client", store=str(tmp_path / "state" / "tokens")),
    )


def within(profile: Profile, work: Callable[[Store], Awaitable[T]], limit_s: float = 5) -> T:
    async def carry_out() -> T:
        async with opened(profile, ENDPOINT, limit_s=limit_s) as store:
            return await work(store)

    return asyncio.run(carry_out())


def read(profile: Profile) -> Kept | None:
    return within(profile, lambda store: store.read())


def write(profile: Profile, token: str | None = CANARY, **more: object) -> None:
    secret = Secret(token, "test") if token else None
    within(profile, lambda store: store.write(replace(Kept(secret), **more)))  # type: ignore[arg-type] # as given


def file_of(profile: Profile) -> Path:
    return Path(profile.oauth.store) / f"{Login.of(profile, ENDPOINT).name}.json"


# --- what is kept ------------------------------------------------------------------------------------------


def test_nothing_is_stored_before_something_is(profile):
    assert read(profile) is None


def test_everything_comes_back_as_it_was_kept(profile):
    write(profile, seed_sha256="ab", obtained_at=NOW, last_used_at=NOW, rotated_at=NOW, ends_at=NOW)
    kept = read(profile)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == CANARY
    assert replace(kept, token=None) == Kept(None, "ab", NOW, NOW, NOW, NOW)


def test_a_file_of_an_earlier_version_is_read(profile):
    """It says nothing of an end."""
    write(profile, obtained_at=NOW)
    content = json.loads(file_of(profile).read_text())
    del content["ends_at"]
    file_of(profile).write_text(json.dumps(content))
    kept = read(profile)
    assert kept is not None
    assert (kept.obtained_at, kept.ends_at) == (NOW, None)


def test_that_a_seed_was_used_is_kept_without_the_seed(profile):
    write(profile, None, seed_sha256="ab", last_used_at=NOW)
    assert read(profile) == Kept(None, "ab", None, NOW)
    assert json.loads(file_of(profile).read_text())["refresh_token"] is None


def test_a_token_shows_where_it_is_from_and_not_what_it_is(profile):
    write(profile)
    assert CANARY not in repr(read(profile))


def test_a_file_is_named_by_mailbox_and_by_what_the_token_is_bound_to(profile):
    """An address in other letters is the same one; another endpoint, client or mailbox is another login."""
    name = Login.of(profile, ENDPOINT).name
    assert name.startswith("alerts-contoso-example-")
    assert len(name) == len("alerts-contoso-example-") + 16
    assert Login.of(replace(profile, mailbox="alerts@Contoso.example"), ENDPOINT).name == name
    others = (
        Login.of(profile, ENDPOINT + "/2"),
        Login.of(replace(profile, oauth=replace(profile.oauth, client_id="other")), ENDPOINT),
        Login.of(replace(profile, mailbox="alerts@contoso-example"), ENDPOINT),
    )
    assert len({name, *(one.name for one in others)}) == 4


def test_a_mailbox_of_foreign_letters_still_names_a_file(profile):
    assert Login.of(replace(profile, mailbox="点@点"), ENDPOINT).name.startswith("login-")


def test_without_a_place_of_its_own_a_profile_keeps_tokens_in_the_users_state_folder(profile, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    at_home = replace(profile, oauth=replace(profile.oauth, store=""))
    assert folder_of(at_home).parts[-2:] == ("smtp-preflight", "tokens")
    assert folder_of(replace(profile, oauth=replace(profile.oauth, store=KEYRING))) == folder_of(at_home)


# --- for its owner's eyes ----------------------------------------------------------------------------------


def test_file_and_folder_are_private_whatever_the_umask(profile):
    old = os.umask(0)
    try:
        write(profile)
    finally:
        os.umask(old)
    assert stat.S_IMODE(file_of(profile).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_of(profile).parent.stat().st_mode) == 0o700


def test_a_file_that_others_can_read_is_refused_with_the_remedy(profile):
    write(profile)
    file_of(profile).chmod(0o640)
    with pytest.raises(StoreProblem) as problem:
        read(profile)
    assert str(problem.value) == f"{file_of(profile)} can be opened by others; chmod 600 '{file_of(profile)}'"


def test_a_folder_that_others_can_look_into_is_refused_with_the_remedy(profile):
    folder = Path(profile.oauth.store)
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(StoreProblem, match="can be opened by others; chmod 700 "):
        read(profile)


def test_what_belongs_to_somebody_else_is_refused(profile, monkeypatch):
    write(profile)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StoreProblem, match="belongs to another user"):
        read(profile)


def test_a_link_in_place_of_the_file_is_not_followed(profile, tmp_path):
    write(profile)
    file_of(profile).rename(tmp_path / "elsewhere.json")
    file_of(profile).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(StoreProblem, match=r"\.json: "):
        read(profile)


def test_a_folder_that_cannot_be_made_is_said(profile, tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StoreProblem, match="Not a directory"):
        read(profile)


def test_a_system_without_file_locks_is_said(profile, monkeypatch):
    monkeypatch.setattr(store_module, "fcntl", None)
    with pytest.raises(StoreProblem, match="needs file locks"):
        read(profile)


# --- whose it is, and what is left of it -------------------------------------------------------------------


@pytest.mark.parametrize("key", ["endpoint", "client_id", "mailbox"])
def test_the_token_of_another_login_is_refused_wherever_it_lies(profile, key):
    """A file that was copied or renamed must not send its token to another endpoint."""
    write(profile)
    content = json.loads(file_of(profile).read_text())
    file_of(profile).write_text(json.dumps({**content, key: "another"}))
    with pytest.raises(StoreProblem, match="another login") as problem:
        read(profile)
    assert CANARY not in str(problem.value)


@pytest.mark.parametrize(
    "change",
    [
        {"refresh_token": 5},
        {"refresh_token": ""},
        {"last_used_at": "yesterday"},
        {"last_used_at": 7},
        {"endpoint": None},
    ],
)
def test_a_file_with_something_else_in_it_is_damaged(profile, change):
    write(profile)
    content = json.loads(file_of(profile).read_text())
    file_of(profile).write_text(json.dumps({**content, **change}))
    with pytest.raises(StoreProblem, match=r"damaged|another login"):
        read(profile)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"endpoint', b"\xff", b"[" * 200_000])
def test_a_file_that_is_no_store_is_damaged(profile, content):
    write(profile)
    file_of(profile).write_bytes(content)
    with pytest.raises(StoreProblem, match="damaged; remove it and sign in again") as problem:
        read(profile)
    assert problem.value.__cause__ is None


def test_what_could_not_be_read_again_is_not_written(profile):
    write(profile)
    with pytest.raises(StoreProblem, match="too long"):
        write(profile, "a" * store_module.MOST_BYTES)
    kept = read(profile)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == CANARY


def test_what_lies_where_a_file_is_written_first_is_not_written_into(profile, tmp_path):
    """A second name of another file, say: that file stays as it is."""
    write(profile)
    other = tmp_path / "other"
    other.write_text("somebody's notes")
    os.link(other, file_of(profile).with_suffix(".new"))
    write(profile, "next")
    assert other.read_text() == "somebody's notes"


def test_what_a_dying_run_left_half_written_is_overwritten(profile):
    write(profile)
    beside = file_of(profile).with_suffix(".new")
    beside.write_text("half of it, and more than will be written now" * 1000)
    beside.chmod(0o644)
    write(profile, "next")
    kept = read(profile)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == "next"
    assert not beside.exists()
    assert stat.S_IMODE(file_of(profile).stat().st_mode) == 0o600


# --- one at a time -----------------------------------------------------------------------------------------

ROTATE = """
import asyncio, sys, time
from dataclasses import replace
from smtp_preflight.model import OAuth, Profile, Provider, Smtp
from smtp_preflight.oauth.store import Kept, opened
from smtp_preflight.secrets import Secret

folder, count, pause_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
profile = Profile(name="contoso", provider=Provider("custom", "A server"), mailbox="alerts@contoso.example",
                  smtp=Smtp("smtp"), oauth=OAuth(client_id="our-client", store=folder))

async def rotate():
    async with opened(profile, "https://login.contoso.example/token", limit_s=30) as store:
        kept = await store.read() or Kept(Secret("0", "test"))
        number = int(kept.token.reveal())
        await asyncio.sleep(pause_s)
        await store.write(replace(kept, token=Secret(str(number + 1), "test")))

for _ in range(count):
    asyncio.run(rotate())
    print("stored", flush=True)
"""


def rotating(profile: Profile, count: int, pause_s: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", ROTATE, profile.oauth.store, str(count), str(pause_s)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_never_start_from_the_same_token(profile):
    """Each reads, waits, and writes the successor; were they to overlap, one number would be lost."""
    both = [rotating(profile, 8, 0.005) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert errors == ["", ""]
    kept = read(profile)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == "16"


def test_a_run_that_is_killed_loses_nothing_that_was_stored_and_leaves_no_lock(profile):
    process = rotating(profile, 100_000, 0)
    stored = 0
    assert process.stdout is not None
    while stored < 20:
        stored += process.stdout.readline() == "stored\n"
    process.send_signal(signal.SIGKILL)
    stored += process.communicate(timeout=60)[0].count("stored")
    kept = read(profile)
    assert kept is not None
    assert kept.token is not None
    assert int(kept.token.reveal()) in (stored, stored + 1)


def test_two_runs_of_one_process_wait_for_each_other_too(profile):
    order: list[str] = []

    async def run(name: str) -> None:
        async with opened(profile, ENDPOINT, limit_s=5):
            order.append(name)
            await asyncio.sleep(0.1)
            order.append(name)

    async def both() -> None:
        await asyncio.gather(run("a"), run("b"))

    asyncio.run(both())
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_waiting_for_another_run_has_an_end(profile):
    async def twice() -> None:
        async with opened(profile, ENDPOINT, limit_s=1), opened(profile, ENDPOINT, limit_s=0.1):
            raise AssertionError("both have it")

    with pytest.raises(StoreProblem, match=r"another run has had .*\.lock locked for 0.1 s"):
        asyncio.run(twice())


def test_whoever_gives_up_waiting_leaves_the_lock_as_it_was(profile):
    async def give_up() -> None:
        async with opened(profile, ENDPOINT, limit_s=5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1), opened(profile, ENDPOINT, limit_s=60):
                    pass
        async with opened(profile, ENDPOINT, limit_s=0.1) as store:
            assert await store.read() is None

    asyncio.run(give_up())


def test_a_lock_that_cannot_be_had_at_all_is_said(profile, monkeypatch):
    class Unlockable:
        LOCK_EX = LOCK_NB = 0

        @staticmethod
        def flock(_file: int, _how: int) -> None:
            raise OSError(37, "No locks available")

    monkeypatch.setattr(store_module, "fcntl", Unlockable)
    with pytest.raises(StoreProblem, match="No locks available"):
        read(profile)


# --- the keyring -------------------------------------------------------------------------------------------


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory; ``trouble`` is done before each answer."""

    priority = 1

    def __init__(self, trouble: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.trouble = trouble

    def get_password(self, service: str, username: str) -> str | None:
        self.trouble()
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.trouble()
        self.held[service, username] = password


@pytest.fixture
def by_keyring(profile, monkeypatch, tmp_path) -> Profile:
    monkeypatch.setattr(store_module, "folder_of", lambda _profile: tmp_path / "state")
    changed: Profile = replace(profile, oauth=replace(profile.oauth, store=KEYRING))
    return changed


@pytest.fixture
def use_keyring():
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


def test_the_keyring_keeps_what_a_file_would(by_keyring, use_keyring, tmp_path):
    use_keyring(MemoryKeyring())
    assert read(by_keyring) is None
    write(by_keyring, seed_sha256="ab", last_used_at=NOW)
    kept = read(by_keyring)
    assert kept is not None
    assert kept.token is not None
    assert (kept.token.reveal(), kept.seed_sha256, kept.last_used_at) == (CANARY, "ab", NOW)
    assert CANARY.encode() not in b"".join(one.read_bytes() for one in (tmp_path / "state").iterdir())


def test_a_locked_keyring_is_said_without_its_words(by_keyring, use_keyring):
    def locked() -> None:
        raise keyring.errors.KeyringLocked(f"nobody knows what stands here: {CANARY}")

    use_keyring(MemoryKeyring(locked))
    with pytest.raises(StoreProblem, match="the keyring does not answer: KeyringLocked") as problem:
        read(by_keyring)
    assert CANARY not in str(problem.value)


def test_a_keyring_that_waits_for_its_user_is_given_up(by_keyring, use_keyring, monkeypatch):
    monkeypatch.setattr(store_module, "KEYRING_S", 0.1)
    use_keyring(MemoryKeyring(lambda: time.sleep(2)))
    with pytest.raises(StoreProblem, match="the keyring does not answer: TimeoutError"):
        read(by_keyring)


def test_a_token_that_the_keyring_did_not_take_is_not_lost(by_keyring, use_keyring, monkeypatch):
    """It is on disk before the keyring is asked, and goes from there once the keyring has it."""
    monkeypatch.setattr(store_module, "KEYRING_S", 0.1)
    use_keyring(MemoryKeyring(lambda: time.sleep(2)))
    with pytest.raises(StoreProblem, match="TimeoutError"):
        write(by_keyring, seed_sha256="ab", last_used_at=NOW)
    use_keyring(MemoryKeyring())
    kept = read(by_keyring)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == CANARY


def test_a_keyring_that_is_not_installed_is_said(by_keyring, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(StoreProblem, match="keyring is not installed"):
        read(by_keyring)
