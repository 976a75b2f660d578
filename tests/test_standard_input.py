"""An access token on standard input: read once, for every profile, whatever pytest does with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
CANARY = "canary-access-token-of-many-characters"
LIMIT_S = 60
PROFILE = """
provider = "custom"
mailbox = "{name}@contoso.com"
[smtp]
host = "smtp.contoso.com"
[oauth]
grant = "access_token"
access_token = {{ stdin = true }}
"""


@pytest.fixture
def profiles(tmp_path: Path) -> tuple[str, ...]:
    """Two profiles that name the same standard input."""
    for name in ("first", "second"):
        (tmp_path / f"{name}.toml").write_text(PROFILE.format(name=name))
    return tuple(f"--profile={tmp_path / name}.toml" for name in ("first", "second"))


def checks_of(reports: Path, *options: str, given: bytes | None) -> dict[str, dict[str, Any]]:
    """What became of "each secret can be read", by profile; given: standard input, none being closed."""
    command = [sys.executable, "-m", "pytest", "-k", "secret_is_there", f"--report-dir={reports}", *options]
    ours = ("PYTEST_", "GITHUB_")  # of the tests, not of the run
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    stdin: dict[str, Any] = {"input": given} if given is not None else {"preexec_fn": lambda: os.close(0)}
    done = subprocess.run(
        command, cwd=ROOT, env=inherited, capture_output=True, timeout=LIMIT_S, check=False, **stdin
    )
    told: bytes = done.stdout + done.stderr
    assert CANARY.encode() not in told, told
    found = {}
    for file in reports.glob("*/report.json"):
        assert CANARY not in file.read_text()
        found[file.parent.name] = json.loads(file.read_text())
    return found


def outcomes(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: report["checks"][0]["outcome"] for name, report in found.items()}


@pytest.mark.parametrize("options", [(), ("-s",), ("-n", "2")], ids=" ".join)
def test_every_profile_gets_what_stands_there(
    options: tuple[str, ...], profiles: tuple[str, ...], tmp_path: Path
) -> None:
    """While pytest captures, while it does not, and in workers of xdist that share one standard input."""
    found = checks_of(tmp_path / "reports", *profiles, *options, given=f"{CANARY}\n".encode())
    assert outcomes(found) == {"first": "passed", "second": "passed"}
    evidence = [one["value"] for one in found["first"]["evidence"] if one["kind"] == "SecretCheck"]
    assert [one["length"] for one in evidence] == [len(CANARY)]


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        ((), b"", "standard input is empty"),
        (("-n", "1"), b"", "standard input is empty"),
        ((), None, "standard input cannot be read"),
        ((), b"v" * 70000, "standard input is larger than 64 KiB"),
    ],
    ids=["empty", "empty, for a worker", "closed", "too large"],
)
def test_where_nothing_stands_there_each_profile_says_so(
    options: tuple[str, ...], given: bytes | None, words: str, profiles: tuple[str, ...], tmp_path: Path
) -> None:
    found = checks_of(tmp_path / "reports", *profiles, *options, given=given)
    assert outcomes(found) == {"first": "failed", "second": "failed"}
    assert all(words in report["findings"][0]["seen"] for report in found.values())
