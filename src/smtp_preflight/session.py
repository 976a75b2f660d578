"""One profile's way through a run: asked, closed, judged, reported."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from smtp_preflight import __version__
from smtp_preflight.evidence import (
    AskingThread,
    BadRecording,
    Evidence,
    Recorder,
    decode,
    encode,
)
from smtp_preflight.knowledge import knowledge_date
from smtp_preflight.ledger import CheckFrame, Ledger
from smtp_preflight.model import (
    Arrival,
    Change,
    CheckResult,
    Outcome,
    Profile,
    Question,
    Run,
    Seen,
    Setting,
    Severity,
    SinceLastReady,
    Stage,
    Until,
    Verdict,
    short,
)
from smtp_preflight.probes.questions import environment
from smtp_preflight.profile import STEM, ProfileError, load_providers, profile_from_settings, settings_of
from smtp_preflight.secrets import Secret, Wallet
from smtp_preflight.until_when import deadlines

SCHEMA = 1  # of report.json
_ADDED = {  # the stages that each ``--until`` adds to those before it
    Until.CONNECT: "profile dns tcp greeting starttls tls auth_offered discovery",
    Until.AUTH: "token refresh claims auth mailbox_access",
    Until.ENVELOPE: "mail_from rcpt_to",
    Until.SEND: "data",
    Until.DELIVERY: "delivery",
}
REACH: Mapping[Until, frozenset[Stage]] = {
    until: frozenset(Stage(name) for earlier in list(Until)[: number + 1] for name in _ADDED[earlier].split())
    for number, until in enumerate(Until)
}
MESSAGE_WAY = (
    *(Stage.DNS, Stage.TCP, Stage.GREETING, Stage.STARTTLS, Stage.TLS, Stage.AUTH_OFFERED),
    *(Stage.AUTH, Stage.MAIL_FROM, Stage.RCPT_TO, Stage.DATA, Stage.DELIVERY),
)


@dataclass(frozen=True, slots=True)
class Recording:
    """An old run, read back from its ``report.json``."""

    seen: Seen
    path: str
    knowledge: str
    until: Until
    duration_s: float
    selected: frozenset[str]
    complete: bool = True
    not_asked: frozenset[Stage] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)  # of the machine that asked
    settings: Mapping[str, Setting] = field(default_factory=dict)
    verdict: str = ""
    codes: tuple[str, ...] = ()  # what was found then to act on
    since_last_ready: SinceLastReady | None = None


class ProfileRun:
    """One profile in this run: its evidence is asked once, then its checks are judged against it."""

    def __init__(
        self,
        profile: Profile,
        *,
        until: Until,
        warnings_fail: bool = False,
        retries: int = 0,
        recording: Recording | None = None,
        signing_up: Profile | None = None,
    ) -> None:
        """Nothing is asked yet; signing_up: who has the account at a lab, where the profile has mistakes."""
        self.profile = profile
        self.signing_up = signing_up or profile
        self.until = until
        self.recording = recording
        self.called_for: dict[str, Stage] = {}
        self.selected: dict[str, CheckFrame] = {}
        self.whole = True  # nothing narrows the selection but what the profile sets up
        self.wants: list[Callable[[Profile], Iterable[Question]]] = []  # of the selected checks
        self._given: Mapping[str, Secret] = {}
        self._warnings_fail = warnings_fail
        self._retries = retries
        self._recorder: Recorder | None = None
        self._future: concurrent.futures.Future[Evidence] | None = None
        self._evidence: Evidence | None = None
        self._ledger: Ledger | None = None
        self._results: list[CheckResult] = []

    @property
    def judged(self) -> bool:
        """At least one check of this profile was to be judged here."""
        return bool(self.selected)

    @property
    def awaited(self) -> tuple[Question, ...]:
        """What is being asked at this moment."""
        return self._recorder.awaited if self._recorder and self._evidence is None else ()

    @property
    def started(self) -> bool:
        """Its asking has begun; a replay's was long ago."""
        return self._recorder is not None or self.recording is not None

    def enter_lab(self, profile: Profile, secrets: Mapping[str, Secret]) -> None:
        """Take the lab's endpoints for the profile's, and its secrets."""
        self.profile = profile
        self._given = secrets

    def start(self, thread: AskingThread) -> None:
        """Begin to ask; a replay has nothing to ask."""
        if self.started:
            return
        wallet = Wallet()
        for key, secret in self._given.items():
            wallet.put(key, secret)
        questions = dict.fromkeys(one for want in self.wants for one in want(self.profile))
        self._recorder = Recorder(self.profile, wallet, questions, retries=self._retries)
        self._future = thread.submit(self._recorder)

    def waiting(self, at_most_s: float) -> bool:
        """Wait for the evidence, no longer than this; whether it is still being gathered."""
        if self._future is None or self._evidence is not None:
            return False
        return not concurrent.futures.wait([self._future], timeout=at_most_s).done

    @property
    def evidence(self) -> Evidence:
        """The closed evidence; waits for it."""
        if self._evidence is None:
            if self.recording is not None:
                self._evidence = Evidence(self.recording.seen)
            else:
                assert self._future is not None, "start() comes first"
                self._evidence = self._future.result()
        return self._evidence

    @property
    def ledger(self) -> Ledger:
        """Where the findings are kept."""
        if self._ledger is None:
            self._ledger = Ledger(self.evidence.seen, warnings_fail=self._warnings_fail)
        return self._ledger

    def record(self, result: CheckResult, duration_s: float) -> CheckResult:
        """Keep what became of a check."""
        timed = replace(result, duration_s=round(duration_s, 4))
        self._results.append(timed)
        return timed

    def finish(self) -> Run:
        """What every report is written from; where the asking still goes on, it ends here."""
        evidence = self._evidence or self._interrupted()
        seen = evidence.seen
        ledger = self._ledger or Ledger(seen)
        complete = self._complete(seen)
        verdict = self._verdict(ledger, complete)
        recording = self.recording
        return Run(
            profile=self.profile.name,
            provider=self.profile.provider.name,
            tool=f"smtp-preflight {__version__}",
            knowledge=knowledge_date(),
            started=seen.started,
            duration_s=recording.duration_s if recording else _duration(seen),
            until=self.until,
            verdict=verdict,
            complete=complete,
            proven=self._proven(ledger, seen),
            not_asked=self._not_asked(),
            settings=settings_of(self.profile),
            findings=ledger.findings,
            checks=tuple(self._results),
            selected=tuple(self.selected),
            until_when=deadlines(seen),
            seen=seen,
            evidence=tuple(encode(seen)),
            replayed_from=recording.path if recording else None,
            recorded_knowledge=recording.knowledge if recording else None,
            recorded_codes=recording.codes if recording else (),
            since_last_ready=recording.since_last_ready if recording else None,
            environment=recording.environment if recording else environment(),
        )

    def _interrupted(self) -> Evidence:
        """What is known when the run ends before the evidence was closed."""
        if self.recording is not None:
            return self.evidence
        if self._future is None or self._recorder is None:
            return Evidence(Seen(self.profile, dt.datetime.now(dt.UTC), cut_short="interrupted"))
        if self._future.done() and not self._future.cancelled():
            return self._future.result()
        self._future.cancel()
        return self._recorder.evidence("interrupted")

    def _complete(self, seen: Seen) -> bool:
        judged = {one.id for one in self._results if one.outcome is not Outcome.ERROR}
        if self.recording is not None and not self.recording.complete:
            return False
        return self.whole and not seen.cut_short and set(self.called_for) <= judged

    def _verdict(self, ledger: Ledger, complete: bool) -> Verdict:
        outcomes = {one.outcome for one in self._results}
        if Outcome.FAILED in outcomes:
            return Verdict.NOT_READY
        if Outcome.ERROR in outcomes or not complete:
            return Verdict.INCOMPLETE
        warned = any(one.severity is Severity.WARNING or one.waived for one in ledger.findings)
        return Verdict.READY_WITH_WARNINGS if warned else Verdict.READY

    def _proven(self, ledger: Ledger, seen: Seen) -> Stage | None:
        """The last stage on the message's way of which everything judged holds, without a gap before it.

        What does not apply is no gap, nor is a mere warning, red though ``--warnings-fail`` may show it.
        """
        red = {one.id for one in ledger.findings if one.severity is Severity.ERROR and not one.waived}
        shown = {one.check for one in ledger.findings if one.id in red}
        reached: Stage | None = None
        for stage in MESSAGE_WAY:
            here = [one for one in self._results if one.stage is stage]
            outcomes = {one.outcome for one in here}
            if Outcome.ERROR in outcomes or any(one.blocked_by in red or one.id in shown for one in here):
                break
            if stage is Stage.DELIVERY and not any(one.found for one in seen.every(Arrival)):
                break  # a mailbox that could not be looked into proves nothing
            if outcomes & {Outcome.PASSED, Outcome.WARNED, Outcome.FAILED}:
                reached = stage
            elif not here and stage in self.called_for.values():
                break
        return reached

    def _not_asked(self) -> tuple[Stage, ...]:
        """Stages of which a check was not judged, and the message itself where the profile sends none."""
        judged = {one.id for one in self._results}
        missing = {stage for check, stage in self.called_for.items() if check not in judged}
        if self.profile.send is None:
            missing.add(Stage.DATA)
        if self.recording is not None:
            missing |= self.recording.not_asked
        return tuple(stage for stage in Stage if stage in missing)


def read_recording(path: Path) -> Recording:
    """Read a ``report.json`` back, to judge it again without network, secrets or profile file.

    Raises BadRecording where the file is no report of ours, of another schema, or was altered.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["schema"] != SCHEMA:
            raise BadRecording(f"schema: found {report['schema']!r}; wanted {SCHEMA}")
        if not STEM.fullmatch(report["profile"]):  # it names the folder of the reports
            raise BadRecording(f"profile: found {report['profile']!r}; wanted the name of a profile")
        settings = {key: Setting(one["value"], one["from"]) for key, one in report["settings"].items()}
        profile = profile_from_settings(report["profile"], settings, load_providers())
        answers, follow_ups = decode(report["evidence"])
        started = dt.datetime.fromisoformat(report["started"]).astimezone(dt.UTC)
        seen = Seen(profile, started, answers, follow_ups, report["cut_short"])
        return Recording(
            seen=seen,
            path=str(path),
            knowledge=report["knowledge"],
            until=Until(report["until"]),
            duration_s=float(report["duration_s"]),
            selected=frozenset(report["selected"]),
            complete=bool(report.get("complete", report.get("verdict") != Verdict.INCOMPLETE)),
            not_asked=frozenset(map(Stage, report.get("not_asked", ()))),
            environment={str(key): str(value) for key, value in report.get("environment", {}).items()},
            settings=settings,
            verdict=str(report.get("verdict", "")),
            codes=tuple(_codes(report.get("findings", ()))),
            since_last_ready=_since(report.get("since_last_ready")),
        )
    except OSError as problem:
        raise BadRecording(f"{path}: cannot be read: {problem.strerror}; wanted a report.json") from None
    except ProfileError as problem:
        raise BadRecording(f"{path}: settings: {problem}") from None
    except BadRecording as problem:
        raise BadRecording(f"{path}: {problem}") from None
    except (KeyError, ValueError, TypeError, AttributeError) as problem:
        told = f"lacks {problem}" if isinstance(problem, KeyError) else short(problem)
        raise BadRecording(f"{path}: not a report.json of this suite: {told}") from None


def _codes(findings: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """The causes that an old report names, notices left out."""
    return dict.fromkeys(str(one["code"]) for one in findings if one["severity"] != Severity.NOTICE)


def _since(told: Mapping[str, Any] | None) -> SinceLastReady | None:
    """What an old report says has changed; a replay has no history of its own."""
    if told is None:
        return None
    found = (
        Change(Stage(one["stage"]) if one["stage"] else None, one["what"], one["before"], one["after"])
        for one in told["changes"]
    )
    return SinceLastReady(dt.datetime.fromisoformat(told["started"]).astimezone(dt.UTC), tuple(found))


def _duration(seen: Seen) -> float:
    """From the start to the last answer, in seconds."""
    ends: Iterable[dt.datetime] = (one.observed_at for one in seen.answers.values())
    return round((max(ends, default=seen.started) - seen.started).total_seconds(), 3)
