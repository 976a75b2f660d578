"""The profiles of this process: read for a call of pytest, asked, and reported."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import pytest

from smtp_preflight.evidence import AskingThread, BadRecording
from smtp_preflight.knowledge import entries
from smtp_preflight.model import Profile, Provider, Run, SinceLastReady, Until, Verdict
from smtp_preflight.profile import ProfileError, find_profiles, load_profile, load_providers
from smtp_preflight.profile.errors import one_of
from smtp_preflight.reporting import github, history, publish, terminal
from smtp_preflight.reporting.diff import since
from smtp_preflight.reporting.mask import MASKED, masked_like, masked_run, told_masked
from smtp_preflight.reporting.metrics import Sample, samples_of, write_metrics
from smtp_preflight.reporting.overview import FEWEST, FILE, Row, row_of, write_overview
from smtp_preflight.session import ProfileRun, read_recording

PROFILES = Path("profiles")


class LastWords(TypedDict):
    """What is left of a profile's run when its worker is gone: plain data, for it may cross processes."""

    summary: list[str]
    annotations: list[str]
    metrics: list[Sample]
    row: Row


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

        lab = Lab.start(run.profile.lab, *self.config.option.fault)
        self._labs.append(lab)
        run.enter_lab(lab.overlay(run.signing_up), lab.secrets())

    def report(self, run: ProfileRun) -> None:
        """Write the reports of a profile, and keep its last words for the terminal."""
        finished, folder = run.finish(), Path(self.config.option.report_dir)
        if self.config.option.mask_addresses:
            finished = told_masked(masked_run(finished))
        if run.recording is None:
            finished = replace(finished, since_last_ready=_since_last_ready(finished, folder))
        place = publish(finished, folder)
        self.last_words[run.profile.name] = {
            "summary": terminal.summary_lines(finished, place),
            "annotations": github.annotations(finished) if os.environ.get("GITHUB_ACTIONS") == "true" else [],
            "metrics": samples_of(finished),
            "row": row_of(finished, place),
        }

    def write_metrics(self) -> None:
        """Write the metrics of all profiles, where that was asked for."""
        if self.config.option.metrics:
            samples = [one for words in self.last_words.values() for one in words["metrics"]]
            write_metrics(samples, Path(self.config.option.metrics))

    def told_in_full(self, most: int) -> set[str]:
        """The profiles to tell of at the end: all of a few; of more, the first that are not ready."""
        if len(self.last_words) <= most:
            return set(self.last_words)
        verdicts = {name: words["row"]["verdict"] for name, words in self.last_words.items()}
        worst_first = (Verdict.NOT_READY, Verdict.INCOMPLETE)
        found = (name for worst in worst_first for name, one in verdicts.items() if one == worst)
        return set(itertools.islice(found, most))

    @property
    def overview(self) -> Path | None:
        """Where the overview is, or is to be; nothing where there are too few profiles for one."""
        return Path(self.config.option.report_dir) / FILE if len(self.last_words) >= FEWEST else None

    def write_overview(self) -> None:
        """Write the overview of all profiles, where there are several."""
        if self.overview is not None:
            write_overview([words["row"] for words in self.last_words.values()], self.overview.parent)

    def stop(self) -> None:
        """Leave nothing behind."""
        if self._thread is not None:
            self._thread.stop()
        for lab in self._labs:
            lab.stop()


def _since_last_ready(run: Run, folder: Path) -> SinceLastReady | None:
    """What has changed since the last ready run; nothing where none is kept that can still be read."""
    for path in history.ready_before(run, folder):
        try:
            recording = read_recording(path)
        except BadRecording:
            continue  # of a version before, or altered: an older one may do
        if MASKED in {*recording.environment, *run.environment}:
            return since(masked_like(recording, recording.settings), masked_like(run, run.settings))
        return since(recording, run)
    return None


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
            profile = _with_reader(load_profile(path, providers), path, providers)
            _check_codes(profile, path)
            runs[profile.name] = _run_for(config, profile)
        except ProfileError as problem:
            problems.append(str(problem))
    if problems:
        raise pytest.UsageError(*problems)
    return runs


def _with_reader(profile: Profile, path: Path, providers: Mapping[str, Provider]) -> Profile:
    """With the profile whose login reads the mailbox, which stands beside it."""
    if profile.delivery is None or not profile.delivery.profile:
        return profile
    name = profile.delivery.profile
    reader = path.parent / f"{name}.toml"
    if not reader.is_file() or name == profile.name:
        known = sorted(one.stem for one in path.parent.glob("*.toml") if one.stem != profile.name)
        raise ProfileError(str(path), "delivery.profile", repr(name), one_of(known, name))
    return replace(profile, reader=load_profile(reader, providers))


def _check_codes(profile: Profile, path: Path) -> None:
    """Every code that the profile waives or weighs is one that can be found."""
    for key, codes in (
        ("severity", profile.severity),
        ("waivers", [one.code for one in profile.waivers]),
    ):
        for code in codes:
            if code not in entries():
                near = difflib.get_close_matches(code, entries(), 1)
                hint = f"; did you mean {near[0]}?" if near else "; `docs/causes` lists them"
                wanted = f"a cause code that knowledge explains{hint}"
                raise ProfileError(str(path), key, f"code {code!r}", wanted)


def _run_for(config: pytest.Config, profile: Profile) -> ProfileRun:
    """The run of one profile, as the options want it."""
    if profile.lab:
        _check_extra(profile)
    for fault in config.option.fault:
        _check_fault(profile, fault)
    until = Until(config.option.until) if config.option.until else profile.furthest
    if list(Until).index(until) > list(Until).index(profile.furthest):
        raise ProfileError(
            profile.name, "--until", until, f"{profile.furthest} at most, as the profile is set up"
        )
    return ProfileRun(
        _mistaken(profile, config.option.fault),
        until=until,
        warnings_fail=config.option.warnings_fail,
        retries=config.option.retry_transient,
        signing_up=profile,
    )


def _mistaken(profile: Profile, faults: Sequence[str]) -> Profile:
    """The profile with what these faults have somebody write into it: it decides which checks there are."""
    if not faults:
        return profile
    from smtp_preflight.lab import mistaken  # only lab profiles need the servers

    return mistaken(profile, faults)


def _check_extra(profile: Profile) -> None:
    """What a lab needs is installed; whoever checks their own servers only may do without."""
    from smtp_preflight.lab import missing_extra  # only lab profiles need the servers

    if missing := missing_extra():
        raise ProfileError(profile.name, "lab", "", "", line=f"{profile.name}: lab: {missing}")


def _check_fault(profile: Profile, name: str) -> None:
    """This can be broken in the lab of this profile, and the profile would notice."""
    if not profile.lab:
        raise ProfileError(profile.name, "--fault", name, "a profile with a lab, demo say")
    from smtp_preflight.lab import FAULTS  # only lab profiles need the servers

    able = sorted(one for one, row in FAULTS.items() if profile.lab in row.provider)
    if name not in able:
        raise ProfileError(profile.name, "--fault", name, one_of(able, name))
    if lacking := FAULTS[name].lacks(profile):
        raise ProfileError(profile.name, "--fault", name, f"with it, a profile that {lacking}")


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
