"""``diff``: what two runs were told differently."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from smtp_preflight.cli.words import Commands, declare, refuse, say
from smtp_preflight.evidence import BadRecording
from smtp_preflight.model import Change, Verdict
from smtp_preflight.reporting import json
from smtp_preflight.reporting.diff import changes
from smtp_preflight.reporting.inert import printable
from smtp_preflight.reporting.wording import LABELS, VERDICTS, change_words
from smtp_preflight.session import Recording, read_recording


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = declare(commands, "diff", diff, "say what two runs were told differently")
    for name in ("old", "new"):
        command.add_argument(name, metavar=name.upper(), help="a report.json, or the folder that holds one")


def diff(args: argparse.Namespace) -> int:
    """Compare two reports; whether they differ is no matter of the exit status."""
    try:
        old, new = (_read(Path(one)) for one in (args.old, args.new))
    except BadRecording as problem:
        return refuse(f"diff: {printable(str(problem))}")
    for line in _lines(old, new):
        say(printable(line))
    return 0


def _read(path: Path) -> Recording:
    return read_recording(path / json.NAME if path.is_dir() else path)


def _lines(old: Recording, new: Recording) -> Iterator[str]:
    yield f"old: {_head(old)}"
    yield f"new: {_head(new)}"
    found = changes(old, new)
    if old.codes != new.codes:
        yield change_words(Change(None, "found", ", ".join(old.codes), ", ".join(new.codes)))
    for one in found:
        yield f"{LABELS[one.stage] if one.stage else 'Judged by'}: {change_words(one)}"
    if not found:
        yield "nothing of what was asked both times has changed"


def _head(one: Recording) -> str:
    verdict = VERDICTS[Verdict(one.verdict)] if one.verdict in list(Verdict) else "no verdict"
    return f"{one.seen.profile.name}, {one.seen.started:%Y-%m-%d %H:%M} UTC: {verdict}"
