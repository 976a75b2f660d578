"""What every command has: how it is declared, how it speaks, how it refuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn, TypeAlias

USAGE_ERROR = 4  # pytest.ExitCode.USAGE_ERROR


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with pytest's status for wrong usage."""

    def error(self, message: str) -> NoReturn:
        """Say it, and end."""
        self.exit(USAGE_ERROR, f"{self.prog}: {message}\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def declare(commands: Commands, name: str, run: Callable[[argparse.Namespace], int], line: str) -> Parser:
    """Add a command that ``run`` carries out, returning its exit status; ``line`` is its help."""
    command = commands.add_parser(name, help=line, description=line, allow_abbrev=False)
    command.set_defaults(run=run)
    return command


def refuse(line: str) -> int:
    """Say in one line what is wrong with how a command was called; returns the status for that."""
    tell(f"smtp-preflight {line}")
    return USAGE_ERROR


def say(line: str) -> None:
    """Write a line of what was asked for; at once, for a lab's reader waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def tell(line: str) -> None:
    """Write a line beside it, to standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
