"""The wheel holds all that `smtp-preflight check` needs: it is built, installed elsewhere, and run there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtp_preflight import __version__
from smtp_preflight.cli.lab import LAB_PROFILES

ROOT = Path(__file__).parent.parent
LIMIT_S = 60
PROFILES = ("profiles/demo*.toml", "profiles/templates/*.toml")
EXAMPLES = {
    "smtp_preflight/py.typed",
    "smtp_preflight/providers/microsoft365.toml",
    "smtp_preflight/knowledge/token.toml",
    "smtp_preflight/reporting/report.html.template",
    "smtp_preflight/suite/pyproject.toml",
    "smtp_preflight/suite/conftest.py",
    "smtp_preflight/suite/checks/test_tls.py",
    *(f"smtp_preflight/suite/profiles/{name}" for name in LAB_PROFILES.values()),
}
# Coverage would count the installed copy as other files; an outer pytest's options are not the command's; and
# warnings as errors are for our own code, not for pip.
NOT_INHERITED = ("COVERAGE_", "PYTEST_", "PYTHON", "PIP_", "GITHUB_", "CI", "TF_BUILD", "DEMO_")


def run(*command: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)}
    return subprocess.run(
        command,
        cwd=folder,
        env=inherited | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )


def pip(*args: str | Path) -> None:
    """Call pip without a network."""
    done = run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"),
        *args,
        "--no-index",
        folder=ROOT,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ROOT, "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed: a folder that comes before this tree wherever Python looks."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", wheel, "--no-deps", f"--target={folder}")
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with a copy of profiles/demo.toml, and nothing else."""
    shutil.copy(ROOT / "profiles" / "demo.toml", tmp_path)
    return tmp_path


def travelling() -> Iterator[tuple[str, Path]]:
    """What must travel: its place in the wheel, and its file here."""
    source = ROOT / "src"
    for path in (source / "smtp_preflight").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(source).as_posix(), path
    for pattern in (*("pyproject.toml", "conftest.py", "checks/*.py"), *PROFILES):
        for path in ROOT.glob(pattern):
            yield f"smtp_preflight/suite/{path.relative_to(ROOT).as_posix()}", path


def test_wheel_holds_presets_knowledge_templates_and_checks(wheel: Path) -> None:
    """Byte for byte; among them the suite's settings, which so have one source."""
    files = dict(travelling())
    assert set(files) >= EXAMPLES
    with zipfile.ZipFile(wheel) as archive:
        assert sorted(set(files) - set(archive.namelist())) == []
        assert [name for name, path in files.items() if archive.read(name) != path.read_bytes()] == []


def test_wheel_holds_nothing_of_ours_alone(wheel: Path) -> None:
    """No tests, no reports, no profile but demonstrations and templates; the licence stands beside."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    assert {one.partition("-")[0] for one in top} == {"smtp_preflight"}
    suite = {name.split("/")[2] for name in names if name.startswith("smtp_preflight/suite/")}
    assert suite == {"pyproject.toml", "conftest.py", "checks", "profiles"}
    profiles = [name.split("/")[3:] for name in names if name.startswith("smtp_preflight/suite/profiles/")]
    assert [one for one in profiles if one[0] != "templates" and not one[0].startswith("demo")] == []
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_installed_command_runs_the_packaged_checks(installed: Path, empty: Path) -> None:
    """From a folder with a profile and nothing else, everything is green, and the report is written there."""
    done = run(
        installed / "bin" / "smtp-preflight", "check", "demo.toml", folder=empty, PYTHONPATH=str(installed)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"rootdir: {installed / 'smtp_preflight' / 'suite'}\n" in done.stdout
    report = json.loads((empty / "reports/demo/report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "ready"
    assert {one["outcome"] for one in report["checks"]} <= {"passed", "skipped"}
    assert [one["id"] for one in report["checks"]] == report["selected"]
    assert {one["id"].partition("::")[0] for one in report["checks"]} <= {
        path.name for path in (installed / "smtp_preflight/suite/checks").iterdir()
    }
    assert not list(installed.rglob(".pytest_cache"))


def test_installed_package_is_the_one_that_runs(installed: Path, empty: Path) -> None:
    """These tests mean something: Python takes the package from the wheel, not from this tree."""
    asked = "import smtp_preflight; print(smtp_preflight.__file__)"
    done = run(sys.executable, "-c", asked, folder=empty, PYTHONPATH=str(installed))
    assert done.stdout == f"{installed / 'smtp_preflight' / '__init__.py'}\n"


def test_version_is_that_of_the_metadata() -> None:
    """It stands in two places, which agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
