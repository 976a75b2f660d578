"""``check`` and ``replay``: pytest on the suite, from any folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from smtp_preflight.cli.words import Commands, Parser, declare


def add_to(commands: Commands) -> None:
    """Declare the commands."""
    command = declare(commands, "check", check, "run the checks for profiles; reports go to reports/")
    command.add_argument(
        "names", nargs="+", metavar="NAME_OR_PATH", help="profiles/NAME.toml, a path to a .toml, or 'all'"
    )
    _add_pytest_options(command, "-m tls, --until=auth, -k, -x, …")

    command = declare(commands, "replay", replay, "judge an old run again, without a network")
    command.add_argument("file", metavar="FILE", help="its report.json")
    _add_pytest_options(command, "-m tls, -k, -x, --report-dir=DIR, …")


def _add_pytest_options(command: Parser, examples: str) -> None:
    options = command.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="…",
        help=f"what follows is pytest's: {examples}",
    )
    options.required = False  # or argparse names it among what is missing


def check(args: argparse.Namespace) -> int:
    """Run the checks for profiles."""
    return _pytest(*(f"--profile={name}" for name in args.names), *args.options)


def replay(args: argparse.Namespace) -> int:
    """Judge an old run again."""
    return _pytest(f"--replay={args.file}", *args.options)


def _pytest(*arguments: str) -> int:
    """Call pytest on the suite, with the suite's own settings; whatever stands in this folder has no say."""
    import pytest  # slow to load, and needed here only

    root = suite_root()
    settings = ("-p", "smtp_preflight.plugin", "-c", str(root / "pyproject.toml"), f"--rootdir={root}")
    # pytest would remember failures beside its settings, where an installed package is not to be written to.
    remembers = not any(one.endswith("no:cacheprovider") for one in arguments)
    cache = (
        ("-o", f"cache_dir={Path.cwd() / '.pytest_cache'}") if remembers else ()
    )  # who forgets knows no place
    return int(pytest.main([*settings, *cache, str(root / "checks"), *arguments]))


def suite_root() -> Path:
    """Where pyproject.toml, conftest.py, checks/ and profiles/ are: in the package, or around its source."""
    package = Path(__file__).resolve().parent.parent
    packaged = package / "suite"
    return packaged if packaged.is_dir() else package.parent.parent
