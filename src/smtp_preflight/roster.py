"""The profiles of this process: read for a call of pytest, asked, and reported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import pytest

from smtp_preflight.evidence import AskingThread, BadRecording
from smtp_preflight.knowledge import entries
from smtp_preflight.model import Profile, Until
from smtp_preflight.profile import ProfileError, find_profiles, load_profile, load_providers
from smtp_preflight.reporting import github, publish, terminal
from smtp_preflight.reporting.mask import masked_run
from smtp_preflight.reporting.metrics import Sample, samples_of, write_metrics
from smtp_preflight.session import ProfileRun, read_recording

PROFILES = Path("profiles")


class LastWords(TypedDict):
    """What is left of a profile's run when its worker is gone: plain data, for it may cross processes."""

    summary: list[str]
    annotations: list[str]
    metrics: list[Sample]


class Roster:
    """The profiles of this process, and the thread that asks about them."""

    def __init__(self, config: pytest.Config, runs: Mapping[str, ProfileRun]) -> None:
        self.runs = runs
        self.config = config
        self.last_words: dict[str, LastWords] = {}
        self._thread: AskingThread | None = None
        self._labs: list[Any] = []

    def start(self, run: ProfileRun) -> ProfileRun:
        """Begin to ask about a profile, once."""
        if run.recording is None:
            self._thread = self._thread or AskingThread()
            if run.profile.lab and run.profile.written is None:
                self._enter_lab(run)
            run.start(self._thread)
        return run

    def _enter_lab(self, run: ProfileRun) -> None:
        from smtp_preflight.lab import Lab  # the servers are needed, and installed, for lab profiles only

        lab = Lab.start(run.profile.lab, self.config.getoption("fault"))
        self._labs.append(lab)
        run.enter_lab(lab.overlay(run.profile), lab.secrets())

    def report(self, run: ProfileRun) -> None:
        """Write the reports of a profile, and keep its last words for the terminal."""
        finished = run.finish()
        if self.config.option.mask_addresses:
            finished = masked_run(finished)
        place = publish(finished, Path(self.config.option.report_dir))
        self.last_words[run.profile.name] = {
            "summary": terminal.summary_lines(finished, place),
            "annotations": github.annotations(finished) if os.environ.get("GITHUB_ACTIONS") == "true" else [],
            "metrics": samples_of(finished),
        }

    def write_metrics(self) -> None:
        """Write the metrics of all profiles, where that was asked for."""
        if self.config.option.metrics:
            samples = [one for words in self.last_words.values() for one in words["metrics"]]
            write_metrics(samples, Path(self.config.option.metrics))

    def stop(self) -> None:
        """Leave nothing behind."""
        if self._thread is not None:
            self._thread.stop()
        for lab in self._labs:
            lab.stop()


def runs_for(config: pytest.Config) -> dict[str, ProfileRun]:
    """The profiles that a call of pytest is about; raises UsageError (exit 4) for what is none."""
    return _replayed(config) if config.option.replay else _loaded(config)


def _loaded(config: pytest.Config) -> dict[str, ProfileRun]:
    """The profiles named by ``--profile``; every bad one gets its line."""
    names = config.option.profile
    if not names:
        known = ", ".join(sorted(one.stem for one in PROFILES.glob("*.toml"))) or "none yet"
        raise pytest.UsageError(f"name a profile: pytest --profile=NAME (in profiles/: {known})")
    providers = load_providers()
    problems: list[str] = []
    runs: dict[str, ProfileRun] = {}
    try:
        paths = find_profiles(names, PROFILES)
    except ProfileError as problem:
        raise pytest.UsageError(str(problem)) from None
    for path in paths:
        try:
            profile = load_profile(path, providers)
            _check_codes(profile, path)
            runs[profile.name] = _run_for(config, profile)
        except ProfileError as problem:
            problems.append(str(problem))
    if problems:
        raise pytest.UsageError(*problems)
    return runs


def _check_codes(profile: Profile, path: Path) -> None:
    """Every code that the profile waives or weighs is one that can be found."""
    for key, codes in (
        ("severity", profile.severity),
        ("waivers", [one.code for one in profile.waivers]),
    ):
        for code in codes:
            if code not in entries():
                raise ProfileError(str(path), key, f"code {code!r}", "a cause code that knowledge explains")


def _run_for(config: pytest.Config, profile: Profile) -> ProfileRun:
    """The run of one profile, as the options want it."""
    fault = config.option.fault
    if fault and not profile.lab:
        raise ProfileError(profile.name, "--fault", fault, "a profile with a lab, demo say")
    if fault:
        from smtp_preflight.lab import FAULTS  # only lab profiles need the servers

        able = sorted(code for code, one in FAULTS.items() if profile.lab in one.provider)
        if fault not in able:
            raise ProfileError(profile.name, "--fault", fault, f"one of {', '.join(able)}")
    until = Until(config.option.until) if config.option.until else profile.furthest
    if list(Until).index(until) > list(Until).index(profile.furthest):
        raise ProfileError(
            profile.name, "--until", until, f"{profile.furthest} at most, as the profile is set up"
        )
    return ProfileRun(
        profile,
        until=until,
        warnings_fail=config.option.warnings_fail,
        retries=config.option.retry_transient,
    )


def _replayed(config: pytest.Config) -> dict[str, ProfileRun]:
    """The one profile of an old report; what it was asked cannot be chosen again."""
    for option in ("until", "fault"):
        if config.getoption(option):
            raise pytest.UsageError(f"--replay judges what was asked then: leave out --{option}")
    path = Path(config.option.replay)
    try:
        recording = read_recording(path)
    except BadRecording as problem:
        raise pytest.UsageError(str(problem)) from None
    profile = recording.seen.profile
    if config.option.profile not in ([], [profile.name]):
        raise pytest.UsageError(
            f"{path}: holds profile {profile.name}, not {', '.join(config.option.profile)}"
        )
    run = ProfileRun(
        profile, until=recording.until, warnings_fail=config.option.warnings_fail, recording=recording
    )
    return {profile.name: run}
