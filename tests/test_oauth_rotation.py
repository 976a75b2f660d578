"""A rotated token goes to the command's standard input, and nothing of it anywhere else."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from smtp_preflight.oauth import rotation
from smtp_preflight.oauth.daemon import in_daemon_thread
from smtp_preflight.oauth.rotation import RotationProblem, hand_on
from smtp_preflight.secrets import Secret

CANARY = "0.canary-rotated-token"


def run(*command: str) -> None:
    asyncio.run(hand_on(command, Secret(CANARY, "test"), {"GIVEN": "this and nothing else"}))


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *arguments)


def test_the_token_is_all_that_stands_on_standard_input(tmp_path: Path):
    program = (
        "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read() + repr(sys.argv[2:]))"
    )
    run(*python(program, str(tmp_path / "kept"), "--name", "x"))
    assert (tmp_path / "kept").read_text() == f"{CANARY}['--name', 'x']"


def test_the_command_inherits_what_it_is_given(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CONTOSO_CLIENT_SECRET", CANARY)
    program = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(repr(dict(os.environ)))"
    run(*python(program, str(tmp_path / "seen")))
    assert "this and nothing else" in (tmp_path / "seen").read_text()
    assert CANARY not in (tmp_path / "seen").read_text()


def test_what_the_command_writes_is_not_shown(capfd):
    run(*python("import sys; sys.stderr.write(sys.stdin.read()); print('hello')"))
    assert capfd.readouterr() == ("", "")


def test_a_command_that_reads_nothing_is_fine_too():
    run(*python("pass"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (python("raise SystemExit(3)"), r"ended with exit status 3$"),
        (("/nowhere/at/all",), r"^on_rotation command /nowhere/at/all cannot be started: No such file"),
    ],
)
def test_a_command_that_fails_is_said(command, words):
    with pytest.raises(RotationProblem, match=words) as problem:
        run(*command)
    assert CANARY not in str(problem.value)


def test_a_command_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(rotation, "LIMIT_S", 0.3)
    with pytest.raises(RotationProblem, match=r"did not end within 0.3 s"):
        run(*python("import time; time.sleep(60)"))


def test_work_that_breaks_in_its_thread_does_not_hang_its_caller(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _told: None)

    def broken() -> None:
        raise KeyError("a defect of ours")

    with pytest.raises(RuntimeError, match="work in a thread broke"):
        asyncio.run(in_daemon_thread(broken, raises=(OSError,)))
