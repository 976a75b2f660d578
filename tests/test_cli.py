"""The command as its users meet it: what it prints, where it looks, how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight import __version__, cli
from smtp_preflight.cli.explain import explanation_lines
from smtp_preflight.cli.lab import LAB_PROFILES, profile_lines
from smtp_preflight.knowledge import entries
from smtp_preflight.lab import FAULTS, Lab
from smtp_preflight.model import Limits, SecretRef
from smtp_preflight.profile import load_profile, load_providers

ROOT = Path(__file__).parent.parent
LIMIT_S = 60  # for one command; what takes longer hangs
NOT_INHERITED = ("PYTEST_", "GITHUB_", "CI", "TF_BUILD", "DEMO_", "LAB_")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """What a command inherits: nothing of an outer pytest or of continuous integration."""
    return {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)} | more


def command(*args: str) -> list[str]:
    """The command's words."""
    return [sys.executable, "-m", "smtp_preflight.cli", *args]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command to its end, in an empty folder."""

    def run(*args: str, secrets: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*args),
            cwd=tmp_path,
            env=environment(**(secrets or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )

    return run


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The demonstration's profile, in the folder's own profiles/."""
    (tmp_path / "profiles").mkdir()
    return Path(shutil.copy(ROOT / "profiles" / "demo.toml", tmp_path / "profiles" / "demo.toml"))


def report(folder: Path, name: str = "demo") -> dict[str, Any]:
    """The report in the folder a command ran in."""
    read: dict[str, Any] = json.loads((folder / "reports" / name / "report.json").read_text("utf-8"))
    return read


# --- the command line --------------------------------------------------------------------------------------


def ended(*args: str) -> int:
    """The exit status of a command in this process."""
    try:
        return cli.main(args)
    except SystemExit as end:
        return int(end.code or 0)


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--version") == 0
    assert capsys.readouterr().out == f"smtp-preflight {__version__}\n"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "COMMAND"),
        (("chek",), "chek"),
        (("check",), "required: NAME_OR_PATH\n"),
        (("check", "--until=auth", "contoso"), "--until=auth"),
        (("replay",), "FILE"),
        (("lab", "--provider=aol"), "microsoft365"),
        (("lab", "--fault=starttls_not_ofered"), "did you mean starttls_not_offered?"),
        (("lab", "--provider=google", "--fault=send_as_denied"), "does not exist at google"),
        (("explain",), "CODE"),
        (("explain", "client_secret_rong"), "client_secret_wrong"),
        (("explain", "\x1b[31m\n"), r"unknown code \u{1b}[31m"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_line(
    args: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 4, nothing on stdout, and a line that names the command and what would be right."""
    assert ended(*args) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("smtp-preflight")
    assert told in err


def test_a_lab_without_its_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has installed the checks only is told what to install."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert ended("lab") == 4
    told = "smtp-preflight lab: trustme is not installed: pip install 'smtp-preflight[lab]'\n"
    assert capsys.readouterr() == ("", told)


def test_a_run_in_a_lab_without_its_extra_is_one_line(
    changed_suite: Callable[[str], Any],
) -> None:
    """The demonstration says what to install, too, and is no breakdown of pytest's."""
    with changed_suite("import sys; sys.modules['trustme'] = None") as suite:
        runs = [suite("--profile=demo"), suite("--profile=demo", "--fault=mfa_required")]
    for one in runs:
        assert one.status == 4
        assert one.usage == ["demo: lab: trustme is not installed: pip install 'smtp-preflight[lab]'"]


@pytest.mark.parametrize("folder", ["docs", "src"])
def test_where_no_checks_are_it_is_said_where_they_are(folder: str) -> None:
    """From another folder no paths were given, so none can be left out."""
    done = pytest_in(ROOT / folder)
    assert done.returncode == 4
    assert f"run pytest in {ROOT}, or from any folder `smtp-preflight check`" in done.stderr
    assert "leave out the paths" not in done.stderr


def test_paths_beside_the_checks_are_to_be_left_out() -> None:
    done = pytest_in(ROOT, "docs")
    assert done.returncode == 4
    assert "leave out the paths, or name checks/" in done.stderr


def pytest_in(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pytest", "--profile=demo", "-p", "no:cacheprovider", *args]
    return subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def test_help_on_replay_names_only_what_replay_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """How far to go was decided when the questions were asked."""
    assert ended("replay", "--help") == 0
    assert "--until" not in capsys.readouterr().out
    assert ended("check", "--help") == 0
    assert "--until=auth" in capsys.readouterr().out


# --- what is known -----------------------------------------------------------------------------------------


def test_faults_are_listed_with_stage_and_provider(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, in columns."""
    assert ended("faults") == 0
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split("  ")[0] == "CODE"
    assert [line.split()[:2] for line in lines] == [[one.code, one.stage] for one in FAULTS.values()]
    assert all(line.endswith(f"  {one.line}") for line, one in zip(lines, FAULTS.values(), strict=True))
    by_code = {line.split()[0]: line for line in lines}
    assert "  all  " in by_code["starttls_not_offered"]
    assert "  microsoft365, outlook_personal  " in by_code["send_as_denied"]


def test_a_code_is_explained_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    """Title, meaning, who can act, the remedy's steps, references: the words of its entry."""
    entry = entries()["client_secret_wrong"]
    assert ended("explain", entry.code) == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert words.startswith(f"client_secret_wrong: {entry.title} {entry.meaning}")
    assert "Who can act: the owner of the application's registration" in out
    steps = [f"{number}. {step}" for number, step in enumerate(entry.steps({}), 1)]
    assert [step for step in steps if step not in words] == []
    assert all(f"- {one}\n" in out for one in entry.references)


def test_no_explanation_shows_a_placeholder() -> None:
    """What only a run could fill in stands as `<name>`; braces are left to curl's `%{name}`."""
    lines = [line for code in entries() for line in explanation_lines(code)]
    assert [line for line in lines if re.search(r"(?<!%)\{[a-z_]+\}", line)] == []


# --- checks ------------------------------------------------------------------------------------------------


def test_check_runs_the_suite_from_any_folder(run: Run, demo: Path, tmp_path: Path) -> None:
    """A NAME is looked up in ./profiles; reports and pytest's memory stay in this folder."""
    done = run("check", "demo")
    assert done.returncode == 0, done.stdout
    assert report(tmp_path)["verdict"] == "ready"
    assert f"rootdir: {ROOT}\n" in done.stdout
    assert {one.name for one in tmp_path.iterdir()} == {"profiles", "reports", ".pytest_cache"}


def test_options_after_the_names_are_pytest_s(run: Run, demo: Path, tmp_path: Path) -> None:
    """Selection, and options of ours."""
    done = run("check", "demo", "-m", "greeting or tls", "--until=connect", "--report-dir=elsewhere")
    assert done.returncode == 0
    written = json.loads((tmp_path / "elsewhere/demo/report.json").read_text("utf-8"))
    assert written["until"] == "connect"
    assert {one["stage"] for one in written["checks"]} == {"greeting", "tls"}


def test_pytest_may_be_told_to_remember_nothing(run: Run, demo: Path, tmp_path: Path) -> None:
    done = run("check", "demo", "-k", "test_tcp", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / ".pytest_cache").exists()


def test_pytest_s_help_is_within_reach(run: Run) -> None:
    """Help asked for after a name is pytest's, with our options; no profile is read for it."""
    done = run("check", "nobody", "--help")
    assert done.returncode == 0
    assert "SMTP with OAuth2:" in done.stdout


def test_settings_of_this_folder_have_no_say(run: Run, demo: Path, tmp_path: Path) -> None:
    """Another project's pytest.ini and conftest.py are not read."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text("raise SystemExit('read')\n", encoding="utf-8")
    assert run("check", "demo", "-k", "test_tcp").returncode == 0


def test_a_replay_ends_as_its_run_did(run: Run, demo: Path, tmp_path: Path) -> None:
    """Exit 1 for the same code, without the profile's file."""
    assert run("check", str(demo), "--fault=starttls_not_offered").returncode == 1
    demo.unlink()
    done = run("replay", "reports/demo/report.json")
    assert done.returncode == 1
    codes = [[one["code"] for one in report(tmp_path, name)["checks"]] for name in ("demo", "demo-replay")]
    assert codes[0] == codes[1]
    assert "starttls_not_offered" in codes[0]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("check", "nobody"), "nobody: found no such profile"),
        (("check", "nobody.toml"), "nobody.toml: found no such profile"),
        (("replay", "nothing.json"), "nothing.json: cannot be read"),
    ],
)
def test_what_is_not_there_is_one_line(args: tuple[str, ...], told: str, run: Run) -> None:
    """Exit 4, as of pytest itself."""
    done = run(*args)
    assert done.returncode == 4
    assert told in done.stderr
    assert len([line for line in done.stderr.splitlines() if line]) == 1


# --- the lab -----------------------------------------------------------------------------------------------


class KeptLab:
    """A running `smtp-preflight lab`: the profile it printed in a file, and the secrets it told."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.file = folder / "lab.toml"
        with self.file.open("w") as stdout:
            self.process = subprocess.Popen(
                command("lab", *options),
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                # A shell has whatever it starts in the background ignore Ctrl-C, and that is inherited.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.secrets = self._told_secrets()
        self.profile = tomllib.loads(self.file.read_text(encoding="utf-8"))

    def _told_secrets(self) -> dict[str, str]:
        assert self.process.stderr is not None
        secrets = {}
        for line in self.process.stderr:
            if found := re.fullmatch(r"export (LAB_\w+)=(.*)\n", line):
                secrets[found[1]] = found[2].strip("'")
            if "Ctrl-C" in line:
                break
        return secrets

    def ended_by(self, number: int) -> str:
        """Send a signal, and return what was said since."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=LIMIT_S)[1]


@pytest.fixture
def keep_lab(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., KeptLab]:
    """Keep a lab until the test ends."""

    def keep(*options: str) -> KeptLab:
        kept = KeptLab(tmp_path, *options)
        request.addfinalizer(kept.process.communicate)
        request.addfinalizer(kept.process.kill)
        return kept

    return keep


def test_a_lab_can_be_checked(keep_lab: Callable[..., KeptLab], run: Run) -> None:
    """With its profile as it stands, and the secrets exported; what its servers are asked is shown."""
    kept = keep_lab()
    done = run("check", "lab.toml", secrets=kept.secrets)
    assert done.returncode == 0, done.stdout
    assert "\nsmtp: EHLO" in kept.ended_by(signal.SIGINT)


def test_a_lab_tells_its_secrets_beside_the_profile(keep_lab: Callable[..., KeptLab]) -> None:
    """The profile says where the secrets are; what they are is told on stderr, to be exported."""
    kept = keep_lab()
    named = kept.profile["oauth"]
    assert named["client_secret"] == {"env": "LAB_CLIENT_SECRET"}
    assert named["refresh_token"] == {"env": "LAB_REFRESH_TOKEN"}
    assert set(kept.secrets) == {"LAB_CLIENT_SECRET", "LAB_REFRESH_TOKEN"}
    assert not [value for value in kept.secrets.values() if value in kept.file.read_text("utf-8")]


@pytest.mark.parametrize("provider", LAB_PROFILES)
def test_every_lab_has_its_profile(provider: str, tmp_path: Path) -> None:
    """Read back, the file says the same of the servers as the lab does; whatever a file can say."""
    path = tmp_path / "lab.toml"
    with Lab.start(provider) as lab:
        signed_up = load_profile(ROOT / "profiles" / LAB_PROFILES[provider], load_providers())
        profile = lab.overlay(signed_up)
        path.write_text("\n".join(profile_lines(profile)), encoding="utf-8")
        read = load_profile(path, load_providers())
    assert (read.provider, read.mailbox, read.send) == (profile.provider, profile.mailbox, profile.send)
    assert (read.smtp, read.dns_servers, read.ca_file) == (profile.smtp, profile.dns_servers, profile.ca_file)
    kept: dict[str, Any] = {key: SecretRef("env", (f"LAB_{key.upper()}",)) for key in profile.oauth.secrets()}
    kept["token_info_uri"] = read.oauth.token_info_uri  # no key of a file: the preset's, or none
    assert read.oauth == replace(profile.oauth, **kept)
    assert (read.lab, read.limits) == ("", Limits())


def test_a_lab_can_have_one_thing_broken(keep_lab: Callable[..., KeptLab], run: Run, tmp_path: Path) -> None:
    """The check against it finds what was broken."""
    kept = keep_lab("--fault=certificate_expired")
    assert run("check", "lab.toml", secrets=kept.secrets).returncode == 1
    assert "certificate_expired" in [one["code"] for one in report(tmp_path, "lab")["checks"]]


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    ids=["Ctrl-C", "service manager", "closed terminal"],
)
def test_a_lab_leaves_nothing_behind(number: int, keep_lab: Callable[..., KeptLab]) -> None:
    """Ended, it says no more, exits 0, and its folder is gone."""
    kept = keep_lab()
    folder = Path(kept.profile["tls"]["ca_file"]).parent
    assert folder.is_dir()
    assert kept.ended_by(number) == ""
    assert kept.process.returncode == 0
    assert not folder.exists()
