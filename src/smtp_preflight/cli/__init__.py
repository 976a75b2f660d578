"""The command ``smtp-preflight``: thin, one module per command; exit status as pytest's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from smtp_preflight import __version__
from smtp_preflight.cli import diff, explain, init, lab, login, suite, token
from smtp_preflight.cli.words import Parser

COMMANDS = (suite, init, login, token, lab, explain, diff)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status, or raises SystemExit for help and wrong usage."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # whoever read this has had enough; nothing is to be said at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> Parser:
    parser = Parser(prog="smtp-preflight", description="Will mail leave through SMTP with OAuth2?")
    parser.add_argument("--version", action="version", version=f"smtp-preflight {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add_to(commands)
    return parser
