"""The command ``smtp-preflight``: thin, one function per command; exit status as pytest's."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import itertools
import json
import shlex
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from smtp_preflight import __version__
from smtp_preflight.knowledge import entries
from smtp_preflight.model import Profile, short
from smtp_preflight.profile import load_profile, load_providers, settings_of
from smtp_preflight.reporting.inert import printable
from smtp_preflight.reporting.terminal import WIDTH
from smtp_preflight.reporting.wording import WHO
from smtp_preflight.secrets import Secret

USAGE_ERROR = int(pytest.ExitCode.USAGE_ERROR)

LAB_PROFILES = {  # who signs up at a lab of each provider
    "microsoft365": "demo.toml",
    "outlook_personal": "demo-outlook.toml",
    "google": "demo-gmail.toml",
    "custom": "templates/custom.toml",
}
# Settings that the file of a lab's profile leaves out: some are no keys of a file, and a lab's limits are too
# short for a mail client in somebody's hands.
NOT_IN_A_FILE = ("lab", "written.", "limits.", "oauth.discovery_uri", "oauth.token_info_uri")
LOOK_EVERY_S = 0.2

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status, or raises SystemExit for help and wrong usage."""
    args = _parser().parse_args(argv)
    return int(args.run(args))


# --- checking ----------------------------------------------------------------------------------------------


def check(args: argparse.Namespace) -> int:
    """Run the checks for profiles."""
    return _pytest(*(f"--profile={name}" for name in args.names), *args.options)


def replay(args: argparse.Namespace) -> int:
    """Judge an old run again."""
    return _pytest(f"--replay={args.file}", *args.options)


def _pytest(*arguments: str) -> int:
    """Call pytest on the suite, with the suite's own settings; whatever stands in this folder has no say."""
    root = suite_root()
    settings = ("-p", "smtp_preflight.plugin", "-c", str(root / "pyproject.toml"), f"--rootdir={root}")
    # pytest would remember failures beside its settings, where an installed package is not to be written to.
    cache = ("-o", f"cache_dir={Path.cwd() / '.pytest_cache'}")
    return int(pytest.main([*settings, *cache, str(root / "checks"), *arguments]))


def suite_root() -> Path:
    """Where pyproject.toml, conftest.py, checks/ and profiles/ are: in the package, or around its source."""
    package = Path(__file__).resolve().parent
    packaged = package / "suite"
    return packaged if packaged.is_dir() else package.parent.parent


# --- the lab -----------------------------------------------------------------------------------------------


def faults(args: argparse.Namespace) -> int:
    """List what can be broken in a lab."""
    from smtp_preflight.lab import FAULTS  # the servers are loaded where they are needed only

    rows = [
        (one.code, str(one.stage), "all" if set(one.provider) == {*LAB_PROFILES} else ", ".join(one.provider))
        for one in FAULTS.values()
    ]
    heads = ("CODE", "STAGE", "PROVIDERS")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = ("WHAT IS BROKEN", *(one.line for one in FAULTS.values()))
    for row, line in zip((heads, *rows), lines, strict=True):
        _say("  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), line)))
    return 0


def lab(args: argparse.Namespace) -> int:
    """Keep a lab running until Ctrl-C: the profile for it on stdout, all else on stderr."""
    from smtp_preflight.lab import Lab  # the servers are loaded where they are needed only

    if importlib.util.find_spec("trustme") is None:
        return _refuse("lab: trustme is not installed: pip install 'smtp-preflight[lab]'")
    try:
        running = Lab.start(args.provider, args.fault)
    except ValueError as problem:
        return _refuse(f"lab: {problem}")
    # Ended by a service manager as by Ctrl-C, so that the lab's folder goes with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), running:
        signed_up = load_profile(suite_root() / "profiles" / LAB_PROFILES[args.provider], load_providers())
        profile = running.overlay(signed_up)
        for line in profile_lines(profile):
            _say(line)
        for line in _how_to_use(profile, running.secrets()):
            _tell(line)
        for event in _as_they_come(running.log):
            _tell(printable(f"{event.server}: {event.what}"))
    return 0


def profile_lines(profile: Profile) -> Iterator[str]:
    """A profile file for a lab: what the lab and its own file say; presets and defaults fill in the rest."""
    secrets = {f"oauth.{key}": f'{{ env = "{_variable(key)}" }}' for key in profile.oauth.secrets()}
    tables: dict[str, list[str]] = {"": []}
    for key, setting in settings_of(profile).items():
        if setting.origin in ("profile", "lab") and not key.startswith(NOT_IN_A_FILE):
            table, _, name = key.rpartition(".")
            # Strings, numbers and lists of them are the same in JSON and in TOML.
            value = secrets.get(key) or json.dumps(setting.value, ensure_ascii=False)
            tables.setdefault(table, []).append(f"{name} = {value}")
    for table, lines in tables.items():
        yield from (("", f"[{table}]") if table else ())
        yield from lines


def _how_to_use(profile: Profile, secrets: Mapping[str, Secret]) -> Iterator[str]:
    """What to do with the profile; its secrets in plain text, for they are made up and end with the lab."""
    yield ""
    yield "The profile above goes to profiles/lab.toml. Its secrets are made up for this lab and end with it:"
    for key in profile.oauth.secrets():
        yield f"export {_variable(key)}={shlex.quote(secrets[key].reveal())}"
    smtp = profile.smtp
    yield f"Then: smtp-preflight check lab. Other clients find {smtp.host}:{smtp.port} at 127.0.0.1."
    yield "What the servers are asked is shown below. Ctrl-C ends them."


def _variable(key: str) -> str:
    return f"LAB_{key.upper()}"


def _as_they_come(log: Sequence[T]) -> Iterator[T]:
    """The entries of a list that others append to; without an end."""
    for place in itertools.count():
        while place >= len(log):
            time.sleep(LOOK_EVERY_S)
        yield log[place]


# --- explaining --------------------------------------------------------------------------------------------


def explain(args: argparse.Namespace) -> int:
    """Print what is known of a cause."""
    if args.code not in entries():
        near = difflib.get_close_matches(args.code, entries(), n=3, cutoff=0.4)
        found = f"; nearest: {', '.join(near)}" if near else ", and none is near"
        return _refuse(f"explain: unknown code {printable(short(args.code, 60))}{found}")
    for line in explanation_lines(args.code):
        _say(line)
    return 0


def explanation_lines(code: str) -> Iterator[str]:
    """The entry of a known code; what only a run could fill in stays ``<name>``."""
    entry = entries()[code]
    yield from _wrapped(f"{code}: {entry.filled(entry.title, {})}")
    yield ""
    yield from _wrapped(entry.filled(entry.meaning, {}))
    yield ""
    yield f"Who can act: {WHO[entry.who]}"
    for number, step in enumerate(entry.remedy, 1):
        yield from _wrapped(entry.filled(step, {}), first=f"{number}. ")
    yield ""
    yield "References:"
    yield from (f"- {one}" for one in entry.references)


def _wrapped(text: str, first: str = "") -> Iterable[str]:
    """Lines of a paragraph; nothing that is to be copied is cut."""
    rest = " " * len(first)
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


# --- the command line --------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with pytest's status for wrong usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="smtp-preflight", description="Will mail leave through SMTP with OAuth2?")
    parser.add_argument("--version", action="version", version=f"smtp-preflight {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = _command(commands, "check", check, "run the checks for profiles; reports go to reports/")
    command.add_argument(
        "names", nargs="+", metavar="NAME_OR_PATH", help="profiles/NAME.toml, a path to a .toml, or 'all'"
    )
    _add_pytest_options(command)

    command = _command(commands, "replay", replay, "judge an old run again, without a network")
    command.add_argument("file", metavar="FILE", help="its report.json")
    _add_pytest_options(command)

    _command(commands, "faults", faults, "list what can be broken in a lab")

    command = _command(commands, "lab", lab, "keep a lab running, and print a profile for it")
    command.add_argument("--provider", choices=LAB_PROFILES, default="microsoft365")
    command.add_argument("--fault", metavar="CODE", help="break one thing; see `smtp-preflight faults`")

    command = _command(commands, "explain", explain, "say what a cause means, who can act, and what to do")
    command.add_argument("code", metavar="CODE")
    return parser


def _command(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    line: str,
) -> _Parser:
    command = commands.add_parser(name, help=line, description=line, allow_abbrev=False)
    command.set_defaults(run=run)
    return command


def _add_pytest_options(command: argparse.ArgumentParser) -> None:
    options = command.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="…",
        help="what follows is pytest's: -m tls, --until=auth, -k, -x, …",
    )
    options.required = False  # or argparse names it among what is missing


def _refuse(line: str) -> int:
    _tell(f"smtp-preflight {line}")
    return USAGE_ERROR


def _say(line: str) -> None:
    """Write a line of what was asked for; at once, for a lab's reader waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tell(line: str) -> None:
    """Write a line beside it."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
