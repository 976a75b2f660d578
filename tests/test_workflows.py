"""The workflows: what linters say of them, and what their steps do when they are run as GitHub runs them."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
BIN = Path(sys.executable).parent
STEP_LIMIT_S = 120

UNSET_SECRET = """
provider = "microsoft365"
mailbox = "alerts@contoso.example"
[oauth]
tenant = "contoso.onmicrosoft.com"
client_id = "6731de76-14a6-49ae-97bc-6eba6914391e"
grant = "client_credentials"
client_secret = { env = "CONTOSO_CLIENT_SECRET" }
"""


def steps(workflow: str) -> Iterator[Mapping[str, Any]]:
    """Every step of a workflow's jobs."""
    read = YAML(typ="safe").load(ROOT / ".github/workflows" / workflow)
    for job in read["jobs"].values():
        yield from job["steps"]


def commands(workflow: str) -> list[str]:
    return [step["run"] for step in steps(workflow) if "run" in step]


def shell(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: its shell and options, its variables, the virtual environment first."""
    variables = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_WORKSPACE": str(folder),
        "RUNNER_TEMP": str(folder),
        **environment,
    }
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(
        bash, cwd=folder, env=variables, capture_output=True, text=True, timeout=STEP_LIMIT_S, check=False
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_in_a_workflow_can_be_abused(path: Path) -> None:
    """Pinned actions, least permissions, no credentials left behind, nothing foreign in a shell."""
    done = subprocess.run(
        [BIN / "zizmor", "--offline", "--no-progress", "--color=never", path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_workflows_are_what_github_reads() -> None:
    schema = ["--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run(
        [BIN / "check-jsonschema", *schema, *WORKFLOWS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def check_step() -> str:
    """What the schedule runs for a profile."""
    (script,) = [one for one in commands("health-check.yml") if "smtp-preflight" in one]
    return script


def test_a_scheduled_check_leaves_reports_and_a_summary(tmp_path: Path) -> None:
    done = shell(check_step(), tmp_path, PROFILE=str(ROOT / "profiles/demo.toml"))
    assert done.returncode == 0, done.stdout
    assert "# demo: ready" in (tmp_path / "summary").read_text(encoding="utf-8")
    written = {path.name for path in (tmp_path / "reports/demo").iterdir() if path.is_file()}
    assert written == {"report.html", "report.json", "junit.xml", "summary.md"}


def test_what_the_schedule_installs_is_what_it_runs(tmp_path: Path) -> None:
    """The step that installs, in a virtual environment of its own; its dependencies are those of this one."""
    venv.create(tmp_path / "venv", with_pip=True)
    (install,) = [one for one in commands("health-check.yml") if "pip install" in one]
    environment = {
        "PATH": f"{tmp_path / 'venv/bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that the build takes what is there
    }
    done = shell(f"cd '{ROOT}'\n{install}", tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    (tmp_path / "profiles").mkdir()
    shutil.copy(ROOT / "profiles/demo.toml", tmp_path / "profiles/contoso.toml")
    done = shell(f"command -v smtp-preflight\n{check_step()}", tmp_path, PROFILE="contoso", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(str(tmp_path / "venv/bin"))
    assert (tmp_path / "reports/contoso/report.html").is_file()


def test_a_scheduled_check_that_fails_says_so_where_github_shows_it(tmp_path: Path) -> None:
    """A secret that the environment lacks is empty there: a finding, with reports, and an annotation."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "contoso.toml").write_text(UNSET_SECRET, encoding="utf-8")
    done = shell(
        f"{check_step()} -k test_secret_is_there", tmp_path, PROFILE="contoso", CONTOSO_CLIENT_SECRET=""
    )
    assert done.returncode == 1, done.stdout
    assert "secret_unavailable" in (tmp_path / "summary").read_text(encoding="utf-8")
    assert "::error" in done.stdout
    assert (tmp_path / "reports/contoso/report.html").is_file()


def test_reports_are_kept_after_a_failure_too() -> None:
    (upload,) = [one for one in steps("health-check.yml") if "upload-artifact" in one.get("uses", "")]
    assert upload["if"] == "${{ !cancelled() }}"
    assert upload["with"]["path"] == "reports/"


# --- .ci/run -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """What the script said of its end, and what it had others do."""

    returncode: int
    did: list[str]


@pytest.fixture
def continuous_integration(tmp_path: Path) -> Callable[..., Done]:
    """The workflow's one step; programs that change a machine only write down how they were called."""
    (tmp_path / ".ci").mkdir()
    for name in ("run", "packages"):
        shutil.copy(ROOT / ".ci" / name, tmp_path / ".ci" / name)
    log, programs = tmp_path / "log", tmp_path / "programs"
    programs.mkdir()

    def run(target: str = "", fails: int = 0) -> Done:
        """target: what make cannot do, as many times as it fails."""
        for name in ("apt-get", "dpkg", "make"):
            (programs / name).write_text(
                f"#!/bin/bash\n"
                f"echo {name} $* >> '{log}'\n"
                f"[[ $1 != '{target}' ]] || (( $(grep -c 'make {target}' '{log}') > {fails} ))\n"
            )
            (programs / name).chmod(0o755)
        (script,) = commands("ci.yml")
        done = shell(script, tmp_path, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
        return Done(done.returncode, log.read_text(encoding="utf-8").splitlines())

    return run


def test_continuous_integration_installs_all_that_the_tests_need(
    continuous_integration: Callable[..., Done],
) -> None:
    done = continuous_integration()
    (install,) = [one for one in done.did if one.startswith("apt-get install")]
    assert {"postfix", "dovecot-imapd", "bind9", "chromium"} <= set(install.split())
    assert "#" not in install
    assert any(one.startswith("apt-get download -qq exim4") for one in done.did)


def test_continuous_integration_lints_tests_and_counts_lines(
    continuous_integration: Callable[..., Done],
) -> None:
    """Each warning is an error there and nowhere else: a user's run must not fail over our deprecations."""
    done = continuous_integration()
    made = [one for one in done.did if one.startswith("make")]
    assert done.returncode == 0
    assert [one.split()[1] for one in made] == ["lint", "test", "coverage"]
    assert "-W error" in made[1]


@pytest.mark.parametrize(
    ("target", "fails", "passes"),
    [("lint", 1, False), ("test", 1, True), ("test", 2, False), ("coverage", 1, False)],
)
def test_continuous_integration_fails_over_tests_that_fail_twice(
    target: str, fails: int, passes: bool, continuous_integration: Callable[..., Done]
) -> None:
    assert (continuous_integration(target, fails).returncode == 0) is passes


# --- the examples of docs/ci.md ----------------------------------------------------------------------------


def example(start: str) -> str:
    """The block of docs/ci.md that begins so."""
    page = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    (found,) = [one for one in re.findall(r"^```\w+\n(.*?)^```$", page, re.M | re.S) if one.startswith(start)]
    return str(found)


@pytest.fixture
def mail_folder(tmp_path: Path) -> Path:
    """A folder with a profile `contoso`, which a lab answers, and a virtual environment."""
    (tmp_path / "profiles").mkdir()
    shutil.copy(ROOT / "profiles/demo.toml", tmp_path / "profiles/contoso.toml")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(BIN)
    return tmp_path


def test_the_example_for_gitlab_is_what_gitlab_reads(tmp_path: Path) -> None:
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(example("# .gitlab-ci.yml"), encoding="utf-8")
    schema = ["--builtin-schema", "vendor.gitlab-ci"]
    done = subprocess.run([BIN / "check-jsonschema", *schema, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_example_for_gitlab_leaves_reports(mail_folder: Path) -> None:
    job = YAML(typ="safe").load(example("# .gitlab-ci.yml"))["check-mail"]
    install, *checks = job["script"]
    assert install == "pip install --quiet ."  # tried with the workflow's own, above
    done = shell("\n".join(checks), mail_folder, PROFILE="contoso", GITLAB_CI="true")
    assert done.returncode == 0, done.stdout
    assert list(mail_folder.glob(job["artifacts"]["reports"]["junit"]))


def test_the_line_for_cron_leaves_reports_and_metrics(mail_folder: Path) -> None:
    *_, command = example("17 5 ").split(maxsplit=5)
    command = command.replace("/srv/mail", str(mail_folder)).replace("/var/lib", str(mail_folder))
    assert "%" not in command  # which cron would take for the end of the line
    done = subprocess.run(
        ["sh", "-c", command], env={"HOME": str(mail_folder)}, cwd="/", timeout=STEP_LIMIT_S
    )
    assert done.returncode == 0, (mail_folder / "last-run.txt").read_text()
    metrics = (mail_folder / "node_exporter/smtp_preflight.prom").read_text(encoding="utf-8")
    assert 'smtp_preflight_verdict{profile="contoso",provider="microsoft365",verdict="ready"} 1.0' in metrics


def test_the_service_for_systemd_leaves_reports(mail_folder: Path) -> None:
    """Its state is elsewhere than its profiles, whose folder it may not write to."""
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string(example("# /etc/systemd/system/smtp-preflight@.service"))
    service, state = unit["Service"], mail_folder / "state"
    command = service["ExecStart"].replace("/srv/mail", str(mail_folder)).replace("%i", "contoso")
    done = shell(command.replace("%S", str(state)), mail_folder)
    assert done.returncode == 0, done.stdout
    assert (state / "smtp-preflight/reports/contoso/report.html").is_file()
    assert not (mail_folder / ".pytest_cache").exists()
