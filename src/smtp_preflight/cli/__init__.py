"""The command ``smtp-preflight``: thin, one module per command; exit status as pytest's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

from smtp_preflight import __version__
from smtp_preflight.cli.words import Parser

# Each command, and the module that has it.
COMMANDS = {
    **dict.fromkeys(("check", "replay"), "suite"),
    **{name: name for name in ("init", "login", "token")},
    **dict.fromkeys(("lab", "faults"), "lab"),
    **{name: name for name in ("explain", "diff")},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status, or raises SystemExit for help and wrong usage."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = _parser(_modules(words)).parse_args(words)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # whoever read this has had enough; nothing is to be said at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _modules(words: Sequence[str]) -> Iterable[str]:
    """The one module of the command that is called, for the others' libraries are slow to load; else all."""
    named = COMMANDS.get(words[0]) if words else None
    return (named,) if named else dict.fromkeys(COMMANDS.values())


def _parser(modules: Iterable[str]) -> Parser:
    parser = Parser(prog="smtp-preflight", description="Will mail leave through SMTP with OAuth2?")
    parser.add_argument("--version", action="version", version=f"smtp-preflight {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in modules:
        import_module(f"{__name__}.{name}").add_to(commands)
    return parser
