"""How long a run takes: ``make bench``, or ``python tests/bench.py [ROUNDS]``. Looked at, never asserted."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from smtp_preflight.lab import Lab

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "profiles" / "demo.toml"
MANY = 20
ROUNDS = 5


def main(rounds: int = ROUNDS) -> None:
    """Measure each thing so many times, and show the shortest and the middle of them."""
    sys.stdout.write(f"{f'seconds, of {rounds} rounds':<44}{'min':>9}{'median':>9}\n")
    with tempfile.TemporaryDirectory(prefix="smtp-preflight-bench-") as folder:
        for what, measure in measures(Path(folder)):
            times = [measure() for _ in range(rounds)]
            sys.stdout.write(f"{what:<44}{min(times):>9.3f}{statistics.median(times):>9.3f}\n")
            sys.stdout.flush()


def measures(folder: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """What is measured; each measurement returns seconds."""
    yield "Lab.start", time_lab_start
    yield "pytest --profile=demo, the whole process", partial(time_suite, folder, DEMO)
    copies = [Path(shutil.copy(DEMO, folder / f"demo-{number}.toml")) for number in range(MANY)]
    yield f"{MANY} profiles, a lab each, in one process", partial(time_suite, folder, *copies)


def time_lab_start() -> float:
    """Until every server listens; ending them is not counted."""
    began = time.perf_counter()
    with Lab.start():
        return time.perf_counter() - began


def time_suite(folder: Path, *profiles: Path) -> float:
    """From the start of Python to its end; a run that fails is shown instead of timed."""
    options = [f"--report-dir={folder / 'reports'}", "-p", "no:cacheprovider"]
    options += [f"--profile={path}" for path in profiles]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    took_s = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return took_s


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
