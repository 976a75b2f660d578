"""Where a rotated refresh token goes beside the store: to the command that the profile names for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from smtp_preflight.oauth.daemon import in_daemon_thread
from smtp_preflight.secrets import Secret

LIMIT_S = 10.0


CI = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID")
"""Variables by which the services that build and test say that it is them."""


def passing_machine() -> bool:
    """Whether this machine is there for one job only, and what is stored on it gone afterwards."""
    return any(os.environ.get(name, "").lower() not in ("", "0", "false") for name in CI)


class RotationProblem(Exception):
    """Why the command did not take the token; nothing of what it wrote."""


async def hand_on(command: tuple[str, ...], token: Secret, environment: Mapping[str, str]) -> None:
    """Run the command with the token, and nothing else, on its standard input.

    environment: what it inherits.
    Bounded to 10 s, after which it is killed. What it writes is not looked at. Raises RotationProblem.
    """
    await in_daemon_thread(lambda: _run(command, token, environment), raises=(RotationProblem,))


def _run(command: tuple[str, ...], token: Secret, environment: Mapping[str, str]) -> None:
    name = f"on_rotation command {command[0]}"
    try:
        done = subprocess.run(  # noqa: S603 - words of the profile's author, run without a shell
            command,
            env=environment,
            input=token.reveal().encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RotationProblem(f"{name} did not end within {LIMIT_S:g} s") from None
    except OSError as problem:
        raise RotationProblem(f"{name} cannot be started: {problem.strerror}") from None
    if done.returncode:
        raise RotationProblem(f"{name} ended with exit status {done.returncode}")
