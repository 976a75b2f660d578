"""Fetch Jenkins' junit-10.xsd, which pytest's source package carries for its own tests; by way of pip."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PYTEST = "8.3.4"
MEMBER = f"pytest-{PYTEST}/testing/example_scripts/junit-10.xsd"
LIMIT_S = 120


def fetch(target: Path) -> None:
    """Write the schema; raises CalledProcessError or TimeoutExpired where no registry can be reached."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-binary", "pytest", f"pytest=={PYTEST}"),
    ]
    calm = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}  # pip has its own
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, cwd=folder, env=calm, check=True, timeout=LIMIT_S)
        with tarfile.open(next(Path(folder).glob("pytest-*.tar.gz"))) as package:
            found = package.extractfile(MEMBER)
            assert found is not None, f"{MEMBER} is not in the package"
            target.write_bytes(found.read())


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
