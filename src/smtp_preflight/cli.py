"""The command ``smtp-preflight``: thin, one function per command; exit status as pytest's."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import datetime as dt
import difflib
import importlib.util
import itertools
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

from smtp_preflight import __version__
from smtp_preflight.diagnosis.cases import causes_of_case
from smtp_preflight.diagnosis.excerpts import excerpt_of, looks_like_token, marks_in
from smtp_preflight.diagnosis.withheld import without_credentials
from smtp_preflight.knowledge import entries
from smtp_preflight.model import Cause, Endpoint, GrantType, Profile, Stage, short
from smtp_preflight.profile import ProfileError, find_profiles, load_profile, load_providers, settings_of
from smtp_preflight.reporting.explanation import cause_lines, entry_lines
from smtp_preflight.reporting.inert import printable
from smtp_preflight.secrets import Secret

USAGE_ERROR = 4  # pytest.ExitCode.USAGE_ERROR

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

MOST_PASTED = 1024 * 1024
MOST_OF_A_CASE = 1024 * 1024
TOKEN_PREFIX = 6  # characters of an opaque token that say whose and of which kind it is, and no more

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status, or raises SystemExit for help and wrong usage."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # whoever read this has had enough; nothing is to be said at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


# --- checking ----------------------------------------------------------------------------------------------


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
    """Explain a code, a number, a token, a reply or a whole transcript; or cases, one a line."""
    try:
        told = _told_by(args)
    except ProfileError as problem:
        return _refuse(f"explain: {printable(str(problem))}")
    if args.json:
        return _explain_lines(told)
    try:
        text = " ".join(args.text) or _pasted(sys.stdin)
    except OSError as problem:
        return _refuse(f"explain: give a CODE or a TEXT; {printable(str(problem))}")
    if not text.strip():
        return _refuse("explain: nothing to explain: give a CODE, a TEXT, or standard input")
    if text in entries():
        lines = explanation_lines(text)
    else:
        causes, quote, marks = _judged(text, told)
        if _is_only_a_word(text, causes, marks):
            return _refuse(f"explain: {_unknown(text)}")
        lines = cause_lines(causes, quote, marks)
    for line in lines:
        _say(line)
    return 0


def explanation_lines(code: str) -> Iterator[str]:
    """The entry of a known code; what only a run could fill in stays ``<name>``."""
    return entry_lines(entries()[code], {})


def _unknown(code: str) -> str:
    near = difflib.get_close_matches(code, entries(), n=3, cutoff=0.4)
    found = f"; nearest: {', '.join(near)}" if near else ", and none is near"
    return f"unknown code {printable(short(code, 60))}{found}"


def _is_only_a_word(text: str, causes: Sequence[Cause], marks: Mapping[str, str]) -> bool:
    """One word that says nothing of a failure: a code that was mistyped, most likely."""
    return len(text.split()) == 1 and not marks and [one.code for one in causes] == ["unexplained"]


def _told_by(args: argparse.Namespace) -> dict[str, Any]:
    """What the options say of provider, stage, grant and set-up, in the form of a case."""
    told: dict[str, Any] = {"context": {}}
    if args.profile:
        (path,) = find_profiles([args.profile], Path("profiles"))
        told |= case_of_profile(load_profile(path, load_providers()))
    named = {"provider": args.provider, "stage": args.stage, "grant": args.grant}
    return told | {key: value for key, value in named.items() if value}


def case_of_profile(profile: Profile) -> dict[str, Any]:
    """What a profile says of a set-up, in the form of a case."""
    return {
        "provider": profile.provider.name,
        "grant": str(profile.oauth.grant),
        "context": {
            "server": str(Endpoint(profile.smtp.host, profile.smtp.port)),
            "tls_mode": profile.smtp.tls,
            "sasl_user": profile.mailbox,
            "scope": " ".join(profile.oauth.scope),
            "token_endpoint": profile.oauth.token_endpoint,
            "client_id": profile.oauth.client_id,
        },
    }


def _judged(text: str, told: Mapping[str, Any]) -> tuple[tuple[Cause, ...], str, dict[str, str]]:
    """The causes of a token or a text, what of it was judged, and what else is to be told of it."""
    case = dict(told)
    if looks_like_token(text):
        case["observed"], quote, marks = _token_case(text)
    else:
        found = excerpt_of(text)
        quote, marks = without_credentials("\n".join(found.quote)), marks_in(text)
        case["observed"] = found.observed
        case["stage"] = told.get("stage") or found.stage
        case["context"] = {**found.context, **told["context"]}
    return causes_of_case(case, load_providers()), quote, marks


def _token_case(text: str) -> tuple[dict[str, Any], str, dict[str, str]]:
    """The claims of a pasted token, or how one begins that cannot be read; nothing of it is shown."""
    from smtp_preflight.oauth.tokens import read_token  # its libraries are slow to load, and rarely needed

    now = dt.datetime.now(dt.UTC)
    token = read_token(Secret(text.strip(), "stdin"), observed_at=now, clean=str)
    shown = f"a token of {token.length} characters"
    if token.opaque or token.problem:
        prefix = text.strip()[:TOKEN_PREFIX]
        return {"claims": {"opaque": True, "prefix": prefix, "dots": text.count(".")}}, f"{shown}, opaque", {}
    claims = dict(token.claims) | dict.fromkeys(token.other_claims, True)
    for name in ("exp", "nbf", "iat"):
        if (at := token.time(name)) is not None:
            claims[f"{name}_in_seconds"] = (at - now).total_seconds()
    told = {name: " ".join(sorted(token.values(name))) for name in ("aud", "scp", "roles", "tid", "appid")}
    told |= {
        "user": token.user,
        "expires": f"{token.expires_at:%Y-%m-%d %H:%M:%S} UTC" if token.expires_at else "",
    }
    return {"claims": claims}, shown, {name: value for name, value in told.items() if value}


def _explain_lines(told: Mapping[str, Any]) -> int:
    """One case a line in, its causes a line out; a line that is none is told of, the others are answered.

    told: what the options say, for the cases that do not say it themselves.
    """
    presets, status = load_providers(), 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            case = _case_of(line)
        except ValueError as problem:
            status = _refuse(f"explain: line {number}: {printable(str(problem))}")
            continue
        causes = causes_of_case({**told, **case}, presets)
        named = [{"code": one.code, "certainty": str(one.certainty)} for one in causes]
        _say(json.dumps({"id": case.get("id"), "causes": named}))
    return status


def _case_of(line: bytes) -> dict[str, Any]:
    """The case on a line; ValueError says what it is instead, and nothing of what it holds."""
    if len(line) > MOST_OF_A_CASE:
        raise ValueError(f"longer than {MOST_OF_A_CASE} bytes")
    try:
        case = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(case, dict) or not isinstance(case.get("observed"), dict):
        raise ValueError("found no JSON object with an object 'observed'")
    return case


def _pasted(stream: TextIO) -> str:
    """Standard input, bounded; nothing where somebody sits at it, who has not been asked for anything."""
    if stream is None or stream.isatty():
        return ""
    content = stream.buffer.read(MOST_PASTED)
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return content.decode(encoding, "replace")


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

    command = _command(commands, "explain", explain, "say what a failure means, who can act, and what to do")
    command.add_argument(
        "text",
        nargs="*",
        metavar="TEXT_OR_CODE",
        help="a cause's CODE, an AADSTS number, a server's reply; without it, standard input: a transcript, "
        "a bounce, an answer in JSON, an access token",
    )
    command.add_argument("--provider", choices=(*load_providers(), "other", "any"), metavar="NAME")
    command.add_argument("--stage", choices=tuple(Stage), metavar="STAGE")
    command.add_argument("--grant", choices=(*GrantType, "ropc"), metavar="GRANT")
    command.add_argument("--profile", metavar="NAME_OR_PATH", help="the set-up it happened in")
    command.add_argument(
        "--json",
        action="store_true",
        help="cases on standard input, their causes on standard output, each a line",
    )
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
