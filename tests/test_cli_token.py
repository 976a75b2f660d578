"""``smtp-preflight token``: what a token says and until when everything lasts, and never the token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from smtp_preflight import cli
from smtp_preflight.cli import token as command
from smtp_preflight.cli.lab import LAB_PROFILES, profile_lines
from smtp_preflight.lab import Lab
from smtp_preflight.model import GrantType, Profile
from smtp_preflight.oauth.store import Kept, opened
from smtp_preflight.profile import load_profile, load_providers
from smtp_preflight.secrets import Secret

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Ended:
    """How the command ended, and what it said."""

    status: int
    stdout: str
    stderr: str


class Setup:
    """A running lab, a profile file for it, and the command in that folder."""

    def __init__(
        self,
        lab: Lab,
        provider: str,
        folder: Path,
        patch: pytest.MonkeyPatch,
        said: pytest.CaptureFixture[str],
    ) -> None:
        signed_up = load_profile(ROOT / "profiles" / LAB_PROFILES[provider], load_providers())
        self.lab = lab
        self.folder = folder
        self.patch = patch
        self.said = said
        self.profile = lab.overlay(signed_up)
        self.write(self.profile)

    def write(self, profile: Profile) -> None:
        (self.folder / "lab.toml").write_text("\n".join(profile_lines(profile)), encoding="utf-8")

    def signed_in(self) -> None:
        """Turn the profile into one of a person, whose sign-in is stored already."""
        oauth = replace(self.profile.oauth, grant=GrantType.AUTHORIZATION_CODE, refresh_token=None)
        profile = replace(self.profile, oauth=oauth)
        self.write(profile)

        async def keep() -> None:
            async with opened(profile, oauth.token_endpoint, limit_s=1) as store:
                await store.write(Kept(Secret(self.lab.secrets()["refresh_token"].reveal(), "test")))

        asyncio.run(keep())

    def __call__(self, name: str = "lab.toml") -> Ended:
        """Carry the command out; nothing it says may hold a secret, or a token."""
        secrets = {f"LAB_{key.upper()}": one.reveal() for key, one in self.lab.secrets().items()}
        for key, one in secrets.items():
            self.patch.setenv(key, one)
        self.patch.delenv("CI", raising=False)
        self.patch.chdir(self.folder)
        status = cli.main(["token", name])
        ended = Ended(status, *self.said.readouterr())
        said = ended.stdout + ended.stderr
        assert [one for one in secrets.values() if one in said] == []
        assert not re.search(r"eyJ[\w-]{20}|ya29\.\w{20}|EwB\w{20}|1//\w{20}", said)
        return ended


@pytest.fixture
def set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Setup]]:
    """Start a lab of a provider, with something broken if wanted."""
    running: list[Lab] = []

    def start(provider: str = "microsoft365", *faults: str) -> Setup:
        running.append(Lab.start(provider, *faults))
        return Setup(running[-1], provider, tmp_path, monkeypatch, capsys)

    yield start
    for lab in running:
        lab.stop()


def words(text: str) -> str:
    return " ".join(text.split())


def test_claims_scope_ages_and_ends_are_said(set_up: Callable[..., Setup]) -> None:
    """Everything that may be known of a token, and until when it and all else lasts."""
    done = set_up()()
    assert done.status == 0, done.stdout + done.stderr
    said = words(done.stdout)
    assert re.search(r"Access token \(\d+ characters, fingerprint [0-9a-f]{12}\)", said)
    assert "permissions SMTP.Send" in said
    assert "scope granted" in said
    assert re.search(r" exp \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", said)
    assert re.search(r" aud https://outlook\.office", said)
    assert "taken from the profile's reference" in said
    assert "a new one came, and is kept" in said
    ends = said.partition("Until when")[2]
    assert "access token" in ends
    assert "refresh token" in ends
    assert "server certificate" in ends


def test_a_rotated_token_is_stored_as_a_run_does(set_up: Callable[..., Setup]) -> None:
    """The second time the successor is redeemed."""
    setup = set_up()
    assert setup().status == 0
    second = words(setup().stdout)
    assert "taken from the store" in second
    assert "last used" in second


def test_of_an_opaque_token_the_answer_is_told(set_up: Callable[..., Setup]) -> None:
    """It has no claims to show; what was granted with it is known all the same."""
    done = set_up("google")()
    assert done.status == 0, done.stdout + done.stderr
    said = words(done.stdout)
    assert re.search(r"Access token \(\d+ characters, opaque, fingerprint", said)
    assert "permissions https://mail.google.com/" in said


def test_what_a_sign_in_has_stored_is_redeemed(set_up: Callable[..., Setup]) -> None:
    setup = set_up()
    setup.signed_in()
    done = setup()
    assert done.status == 0, done.stdout + done.stderr
    assert "taken from the store" in words(done.stdout)


def test_without_a_sign_in_it_says_which_command_to_run(set_up: Callable[..., Setup]) -> None:
    setup = set_up()
    oauth = replace(setup.profile.oauth, grant=GrantType.AUTHORIZATION_CODE, refresh_token=None)
    setup.write(replace(setup.profile, oauth=oauth))
    done = setup()
    assert done.status == 1
    assert "sign_in_needed" in done.stdout
    assert "`smtp-preflight login lab`" in words(done.stdout)


def test_a_successor_that_could_not_be_kept_is_an_error(set_up: Callable[..., Setup]) -> None:
    """The token is told of all the same: it was granted."""
    setup = set_up()
    assert setup().status == 0
    (kept,) = Path(setup.profile.oauth.store).glob("*.json")
    kept.with_suffix(".new").mkdir()  # stands where the next one is written
    done = setup()
    assert done.status == 1
    assert "a new one came, and is not kept" in words(done.stdout)
    assert "refresh_token_not_kept" in done.stdout.partition("Until when")[2]


def test_an_application_has_no_refresh_token_to_tell_of(set_up: Callable[..., Setup]) -> None:
    setup = set_up()
    oauth = replace(
        setup.profile.oauth,
        grant=GrantType.CLIENT_CREDENTIALS,
        refresh_token=None,
        scope=("https://outlook.office365.com/.default",),
    )
    setup.write(replace(setup.profile, oauth=oauth))
    done = setup()
    assert done.status == 0, done.stdout + done.stderr
    assert "permissions SMTP.SendAsApp" in words(done.stdout)
    assert "Refresh token" not in done.stdout


def test_ctrl_c_is_one_line(set_up: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    setup = set_up()
    monkeypatch.setattr(command, "Wallet", interrupt)
    done = setup()
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == "smtp-preflight token: interrupted\n"


def test_a_refusal_is_explained(set_up: Callable[..., Setup]) -> None:
    setup = set_up("microsoft365", "client_secret_expired")
    done = setup()
    assert done.status == 1
    assert "client_secret_expired" in done.stdout
    assert "Who can act" in done.stdout


def test_a_secret_that_is_missing_is_explained(set_up: Callable[..., Setup], tmp_path: Path) -> None:
    setup = set_up()
    path = tmp_path / "lab.toml"
    path.write_text(path.read_text("utf-8").replace("LAB_CLIENT_SECRET", "NOT_SET_ANYWHERE"), "utf-8")
    done = setup()
    assert done.status == 1
    assert "NOT_SET_ANYWHERE" in done.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [("nobody", "nobody: found no such profile"), ("all", "all: found several profiles")],
)
def test_wrong_usage_is_one_line(set_up: Callable[..., Setup], name: str, told: str) -> None:
    done = set_up()(name)
    assert (done.status, done.stdout) == (4, "")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_profile_of_a_lab_is_one_line(set_up: Callable[..., Setup], tmp_path: Path) -> None:
    """Its lab would end with the command."""
    setup = set_up()
    (tmp_path / "demo.toml").write_text((ROOT / "profiles/demo.toml").read_text("utf-8"), "utf-8")
    done = setup("demo.toml")
    assert done.status == 4
    assert "lab of its own" in done.stderr
