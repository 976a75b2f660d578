"""A run is frugal: one token, one connection, one sign-in, one message, however many checks there are."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

# Has the run's labs write down what their servers were asked; a command by its first word.
DIARY = """
import json, os
from pathlib import Path

from smtp_preflight.lab import Lab

begin, labs = Lab.start.__func__, []

def start(kind, *args):
    labs.append(begin(kind, *args))
    return labs[-1]

Lab.start = classmethod(start)

def pytest_unconfigure(config):
    seen = [[event.server, event.what] for lab in labs for event in lab.log]
    Path(os.environ["DIARY"]).write_text(json.dumps(seen))
"""


@pytest.mark.parametrize("profile", ["demo", "demo-app", "demo-gmail"])
def test_a_run_signs_in_once(profile: str, run_suite: Any, tmp_path: Path) -> None:
    """By what the servers have seen: providers limit connections, logins, messages and tokens."""
    diary = tmp_path / "diary.json"
    done = run_suite(f"--profile={profile}", plugin=DIARY, environment={"DIARY": str(diary)})
    assert done.status == 0, done.stdout
    seen = json.loads(diary.read_text(encoding="utf-8"))
    said = Counter(what.split()[0] for server, what in seen if server == "smtp")
    once = {"STARTTLS", "AUTH", "MAIL", "DATA", "QUIT"}
    assert {command: said[command] for command in once} == dict.fromkeys(once, 1)
    tokens = [
        what for server, what in seen if server == "http" and what.startswith("POST") and "/token" in what
    ]
    assert len([one for one in tokens if "tokeninfo" not in one]) == 1
