"""``lab`` and ``faults``: the embedded lab, kept running for any mail client."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import shlex
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from smtp_preflight.cli.suite import suite_root
from smtp_preflight.cli.words import Commands, declare, refuse, say, tell
from smtp_preflight.model import GrantType, Profile
from smtp_preflight.profile import load_profile, load_providers, settings_of
from smtp_preflight.reporting.inert import printable
from smtp_preflight.secrets import Secret

LAB_PROFILES = {  # who signs up at a lab of each provider
    "microsoft365": "demo.toml",
    "outlook_personal": "demo-outlook.toml",
    "google": "demo-gmail.toml",
    "google_workspace": "demo-workspace.toml",
    "custom": "templates/custom.toml",
}
# Settings that the file of a lab's profile leaves out: some are no keys of a file, and a lab's limits are too
# short for a mail client in somebody's hands.
NOT_IN_A_FILE = ("lab", "written.", "limits.", "oauth.discovery_uri", "oauth.token_info_uri")
LOOK_EVERY_S = 0.2
ENDS = {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}  # not every system has terminals to lose
BY_SIGN_IN = (GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE)

T = TypeVar("T")


def add_to(commands: Commands) -> None:
    """Declare the commands."""
    declare(commands, "faults", faults, "list what can be broken in a lab")

    command = declare(commands, "lab", lab, "keep a lab running, and print a profile for it")
    command.add_argument("--provider", choices=LAB_PROFILES, default="microsoft365")
    command.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="CODE",
        help="break one thing; see `smtp-preflight faults`; repeatable",
    )
    command.add_argument(
        "--grant",
        choices=BY_SIGN_IN,
        help="print a profile whose user has yet to sign in, by `smtp-preflight login`",
    )
    command.add_argument(
        "--rotation",
        choices=("none", "strict"),
        default="",
        help="none: no refresh token is replaced; strict: a replaced one that comes again ends the sign-in; "
        "without the option, as the provider does it",
    )


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
        say("  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), line)))
    return 0


def lab(args: argparse.Namespace) -> int:
    """Keep a lab running until Ctrl-C: the profile for it on stdout, all else on stderr."""
    from smtp_preflight.lab import Lab, missing_extra  # the servers are loaded where they are needed only
    from smtp_preflight.lab.conditions import ROTATIONS

    if missing := missing_extra():
        return refuse(f"lab: {missing}")
    signed_up = load_profile(suite_root() / "profiles" / LAB_PROFILES[args.provider], load_providers())
    if args.grant and not signed_up.oauth.client_id:
        return refuse(f"lab: no user signs in with the lab's profile of {args.provider}, a service account's")
    try:
        running = Lab.start(args.provider, *args.fault, under=ROTATIONS[args.rotation])
    except ValueError as problem:
        return refuse(f"lab: {problem}")
    # Ended by a service manager, or with its terminal, as by Ctrl-C, so that the lab's folder goes with it.
    for ends in ENDS:
        signal.signal(ends, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), running:
        profile = running.overlay(_yet_to_sign_in(signed_up, args.grant) if args.grant else signed_up)
        for line in profile_lines(profile):
            say(line)
        for line in _how_to_use(profile, running.secrets()):
            tell(line)
        for event in _as_they_come(running.log):
            tell(printable(f"{event.server}: {event.what}"))
    return 0


def _yet_to_sign_in(profile: Profile, grant: str) -> Profile:
    """The same profile for a user who was given nothing, and signs in."""
    return replace(profile, oauth=replace(profile.oauth, grant=GrantType(grant), refresh_token=None))


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
    if profile.oauth.grant in BY_SIGN_IN:
        yield "Sign in: smtp-preflight login lab. There is no password. A browser will warn of the page: its"
        yield f"certificate is by a private authority, {profile.ca_file}."
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
