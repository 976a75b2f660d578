"""How long a run takes, and what many profiles cost: ``make bench``. Looked at, never asserted.

``python tests/bench.py [ROUNDS [CROWD]]``; CROWD: so many profiles of one lab in one process, once, or 0.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from playwright.sync_api import sync_playwright

from smtp_preflight.cli.lab import profile_lines
from smtp_preflight.lab import Lab
from smtp_preflight.profile import load_profile, load_providers

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "profiles" / "demo.toml"
APPLICATION = ROOT / "profiles" / "demo-app.toml"
MANY, CROWD = 20, 1000
ROUNDS = 5
CROWD_LIMIT_S = 1800
FILES = ("report.html", "report.json", "junit.xml", "summary.md")


def main(rounds: int = ROUNDS, crowd: int = CROWD) -> None:
    """Measure each thing so many times, and show the shortest and the middle; then the crowd, once."""
    sys.stdout.write(f"{f'seconds, of {rounds} rounds':<44}{'min':>9}{'median':>9}\n")
    with tempfile.TemporaryDirectory(prefix="smtp-preflight-bench-") as folder:
        for what, measure in measures(Path(folder)):
            times = [measure() for _ in range(rounds)]
            sys.stdout.write(f"{what:<44}{min(times):>9.3f}{statistics.median(times):>9.3f}\n")
            sys.stdout.flush()
        if crowd:
            show_crowd(Path(folder), crowd)


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


# --- a crowd -----------------------------------------------------------------------------------------------


def show_crowd(folder: Path, profiles: int) -> None:
    """Time, memory and sizes of so many profiles at one lab, and how soon a browser shows the overview."""
    with Lab.start() as lab:
        profile = lab.overlay(load_profile(APPLICATION, load_providers()))
        secrets = {f"LAB_{key.upper()}": one.reveal() for key, one in lab.secrets().items()}
        text = "\n".join(profile_lines(profile))
        alone_mb = run_crowd(folder, "alone", text, 1, secrets)[1]
        took_s, peak_mb = run_crowd(folder, "crowd", text, profiles, secrets)
    reports = folder / "crowd-reports"
    show("profiles", profiles)
    show("of them ready", sum(is_ready(one) for one in reports.glob("*/report.json")))
    show("seconds", took_s)
    show("memory at its peak, MB", peak_mb)
    show("memory for each profile, MB", (peak_mb - alone_mb) / max(1, profiles - 1))
    for name in FILES:
        show(f"{name}, kB on average", statistics.mean(size_kb(one) for one in reports.glob(f"*/{name}")))
    show("index.html, kB", size_kb(reports / "index.html"))
    show("index.html in Chromium, seconds until it is shown", time_to_show(reports / "index.html"))


def show(what: str, value: float) -> None:
    """One line of the crowd's results."""
    sys.stdout.write(f"{what:<53}{value:>9.3f}\n")
    sys.stdout.flush()


def run_crowd(
    folder: Path, name: str, text: str, profiles: int, secrets: Mapping[str, str]
) -> tuple[float, float]:
    """Run so many copies of a profile; returns the seconds, and the most memory it had, in MB."""
    written = folder / name
    written.mkdir()
    paths = [written / f"tenant-{number:04}.toml" for number in range(profiles)]
    for path in paths:
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"--report-dir={folder / f'{name}-reports'}", *(f"--profile={path}" for path in paths)]
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **secrets},
        capture_output=True,
        text=True,
        timeout=CROWD_LIMIT_S,
        check=False,
    )
    took_s = time.perf_counter() - began
    if done.returncode not in (
        0,
        1,
    ):  # a lab this crowded may answer too late; the number of ready ones tells
        sys.exit(done.stdout[-5000:] + done.stderr)
    # The greatest of all children so far; the crowd comes last and is the greatest.
    return took_s, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def is_ready(report: Path) -> bool:
    """What a report's verdict is."""
    return bool(json.loads(report.read_text(encoding="utf-8"))["verdict"] != "not_ready")


def size_kb(path: Path) -> float:
    """Of a file."""
    return path.stat().st_size / 1000


def time_to_show(page: Path) -> float:
    """From the click to the last row laid out, the start of the browser not counted."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        window = browser.new_page()
        began = time.perf_counter()
        window.goto(page.as_uri())
        window.locator(".profiles tbody tr").last.bounding_box()
        took_s = time.perf_counter() - began
        browser.close()
    return took_s


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
