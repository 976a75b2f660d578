"""Which profiles a call of pytest is about, and why it may be about none."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from smtp_preflight.model import Verdict
from smtp_preflight.roster import LastWords, Roster, runs_for
from smtp_preflight.session import ProfileRun

ROOT = Path(__file__).parent.parent
DEMO = str(ROOT / "profiles/demo.toml")
SMALLEST = """
provider = "microsoft365"
mailbox = "alerts@contoso.com"
[oauth]
tenant = "contoso.com"
client_id = "6731de76-14a6-49ae-97bc-6eba6914391e"
client_secret = { env = "CONTOSO_SECRET" }
"""
READER = '[send]\nto = ["probe@contoso.com"]\n[delivery]\nmailbox = "probe@contoso.com"\nprofile = "reader"\n'


def call(*profiles: str, **options: Any) -> pytest.Config:
    """A call of pytest: as much of it as is read here."""
    unless_given: dict[str, Any] = {
        "fault": [],
        "until": None,
        "replay": None,
        "warnings_fail": False,
        "retry_transient": 0,
    }
    option = argparse.Namespace(profile=list(profiles), **(unless_given | options))
    return cast(pytest.Config, SimpleNamespace(option=option, getoption=vars(option).get))


def refusal(config: pytest.Config) -> tuple[str, ...]:
    with pytest.raises(pytest.UsageError) as caught:
        runs_for(config)
    return caught.value.args


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a profile; its path."""

    def write(name: str = "contoso", more: str = "") -> str:
        path = tmp_path / f"{name}.toml"
        path.write_text(f"{SMALLEST}\n{more}", encoding="utf-8")
        return str(path)

    return write


Write = Callable[..., str]


# --- profiles ----------------------------------------------------------------------------------------------


def test_every_profile_that_cannot_be_read_has_its_line(write: Write) -> None:
    """Whoever has three to mend learns of all three; none is asked about meanwhile."""
    first = write("first", "[smtp]\nport = 0\n")
    second = write("second", "[severity]\nno_such_code = 'notice'\n")
    one, other = refusal(call(first, write("third"), second))
    assert one.startswith(f"{first}: smtp.port: ")
    assert other.startswith(f"{second}: severity: found code 'no_such_code'; wanted ")


def test_a_profile_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = refusal(call("nobody"))
    assert line.startswith("nobody: found no such profile; wanted ")


def test_the_profile_that_reads_the_mailbox_stands_beside_it(write: Write) -> None:
    path = write("contoso", READER)
    write("reader")
    (run,) = runs_for(call(path)).values()
    assert run.profile.reader is not None
    assert run.profile.reader.name == "reader"


@pytest.mark.parametrize("name", ["contoso", "another"], ids=["itself", "missing"])
def test_a_reader_has_to_be_another_profile_that_is_there(name: str, write: Write) -> None:
    write("reader")
    path = write("contoso", READER.replace('"reader"', f'"{name}"'))
    (line,) = refusal(call(path))
    assert line.startswith(f"{path}: delivery.profile: found '{name}'; wanted ")
    assert "reader" in line.partition("wanted")[2]


def test_no_run_goes_further_than_its_profile(write: Write) -> None:
    """To look for the message, a profile has to say where."""
    (line,) = refusal(call(write(), until="delivery"))
    assert line.startswith("contoso: --until: found delivery; wanted ")


# --- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("starttls_not_ofered", "starttls_not_offered"),
        ("app_only_sp_not_registered_in_exchange", "with it, a profile that "),
    ],
    ids=["misspelt", "of an application"],
)
def test_a_fault_is_one_that_the_profile_would_notice(fault: str, told: str) -> None:
    (line,) = refusal(call(DEMO, fault=[fault]))
    assert line.startswith(f"demo: --fault: found {fault}; wanted ")
    assert told in line.partition("wanted")[2]


def test_a_fault_needs_a_lab(write: Write) -> None:
    (line,) = refusal(call(write(), fault=["starttls_not_offered"]))
    assert line == "contoso: --fault: found starttls_not_offered; wanted a profile with a lab, demo say"


# --- an old report -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [{"until": "auth"}, {"fault": ["starttls_not_offered"]}], ids=str)
def test_what_an_old_report_was_asked_cannot_be_chosen_again(option: dict[str, Any], tmp_path: Path) -> None:
    (line,) = refusal(call(replay=str(tmp_path / "report.json"), **option))
    assert line == f"--replay judges what was asked then: leave out --{next(iter(option))}"


def test_an_old_report_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (line,) = refusal(call(replay=str(tmp_path / "report.json")))
    assert line.startswith(str(tmp_path / "report.json"))


# --- last words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "told"), [(2, {"b", "c"}), (1, {"c"}), (4, {"a", "b", "c", "d"})])
def test_of_many_profiles_the_worst_are_told_of(most: int, told: set[str]) -> None:
    """All of a few; of more, those that are not ready before those that could not say."""
    roster = Roster(call(), cast("dict[str, ProfileRun]", {}))
    verdicts = {"a": Verdict.READY, "b": Verdict.INCOMPLETE, "c": Verdict.NOT_READY, "d": Verdict.READY}
    for name, verdict in verdicts.items():
        roster.last_words[name] = cast(LastWords, {"row": {"verdict": verdict}})
    assert roster.told_in_full(most) == told
