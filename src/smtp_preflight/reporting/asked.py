"""What was asked, in the order of time: for the time line, the stages' times and the transcript."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from smtp_preflight.model import Question, ReportedFinding, Run, Stage
from smtp_preflight.reporting.inert import printable
from smtp_preflight.reporting.wording import told

# Observation -> what a reader calls it, and the stage whose time it is.
KINDS: Mapping[str, tuple[str, Stage]] = {
    "SecretCheck": ("secret", Stage.PROFILE),
    "DnsAnswer": ("DNS", Stage.DNS),
    "SystemAddresses": ("addresses of", Stage.DNS),
    "NameServers": ("each name server for", Stage.DNS),
    "MailExchangers": ("mail servers of", Stage.DNS),
    "SpfTree": ("SPF of", Stage.DNS),
    "DkimKeys": ("DKIM keys of", Stage.DNS),
    "DmarcWalk": ("DMARC of", Stage.DNS),
    "MtaSts": ("MTA-STS of", Stage.DNS),
    "TlsReporting": ("TLS reporting of", Stage.DNS),
    "TcpConnects": ("connect", Stage.TCP),
    "PortCheck": ("connect", Stage.TCP),
    "ServiceCheck": ("a look at", Stage.TCP),
    "SmtpGreeting": ("greeting", Stage.GREETING),
    "Ehlo": ("EHLO", Stage.GREETING),
    "StartTls": ("STARTTLS", Stage.STARTTLS),
    "TlsHandshake": ("TLS handshake", Stage.TLS),
    "Discovery": ("metadata of the identity provider", Stage.DISCOVERY),
    "Keys": ("keys of the identity provider", Stage.DISCOVERY),
    "Grant": ("token request", Stage.TOKEN),
    "SignatureCheck": ("signature of the token", Stage.CLAIMS),
    "TokenInfo": ("token info", Stage.CLAIMS),
    "AuthExchange": ("AUTH", Stage.AUTH),
    "MailFrom": ("MAIL FROM", Stage.MAIL_FROM),
    "RcptTo": ("RCPT TO", Stage.RCPT_TO),
    "DataExchange": ("DATA", Stage.DATA),
    "ReaderGrant": ("token request of profile", Stage.DELIVERY),
    "Arrival": ("the message in", Stage.DELIVERY),
    "MailboxLogin": ("login to", Stage.MAILBOX_ACCESS),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with its times, in seconds since the run began."""

    kind: str
    what: str
    stage: Stage | None  # None: of a kind that this version does not know
    began_s: float
    took_s: float
    peer: str
    follow_up: bool
    value: Mapping[str, Any]

    @property
    def ended_s(self) -> float:
        """When the answer was there."""
        return self.began_s + self.took_s


@dataclass(frozen=True, slots=True)
class Spoken:
    """One line of the transcript."""

    at_s: float  # since the run began
    who: str  # C: we, S: the server, -: what happened to the connection
    text: str
    marked: bool = False  # where the cause shows
    about: str = ""  # the question it answers, where the text does not tell


def waiting_line(questions: Iterable[Question], width: int) -> str:
    """What is awaited, in words, for a terminal of this many columns."""
    names = {f"{KINDS.get(one.kind.__name__, (one.kind.__name__,))[0]} {one.subject}" for one in questions}
    return printable(f"  waiting for: {', '.join(sorted(name.strip() for name in names))}")[:width]


def asked(run: Run) -> tuple[Asked, ...]:
    """Everything that was asked, the earliest first."""
    found = (_asked(entry, run.started) for entry in run.evidence)
    return tuple(sorted(found, key=lambda one: (one.began_s, one.ended_s)))


def _asked(entry: Mapping[str, Any], started: dt.datetime) -> Asked:
    kind, subject = entry["kind"], entry["subject"]
    label, stage = KINDS.get(kind, (kind, None))
    if kind == "Ehlo" and entry["value"].get("encrypted"):
        stage = Stage.TLS  # asked again because of TLS
    began = dt.datetime.fromisoformat(entry["asked_at"])
    return Asked(
        kind=kind,
        what=f"{label} {subject}".rstrip(),
        stage=stage,
        began_s=max(0.0, (began - started).total_seconds()),
        took_s=float(entry["took_s"]),
        peer=entry["peer"],
        follow_up=bool(entry["follow_up"]),
        value=entry["value"],
    )


def span_s(questions: tuple[Asked, ...]) -> float:
    """From the run's start to the last answer; never zero, for lengths are drawn as parts of it."""
    return max((one.ended_s for one in questions), default=0.0) or 1e-6


def stage_times(run: Run) -> dict[Stage, float]:
    """Seconds during which each stage was waiting for an answer; what ran side by side counts once."""
    questions = asked(run)
    return {
        stage: _together([one for one in questions if one.stage is stage])
        for stage in Stage
        if any(one.stage is stage for one in questions)
    }


def _together(questions: list[Asked]) -> float:
    """The length of all intervals laid over each other; they come sorted by their beginning."""
    total, reached = 0.0, 0.0
    for one in questions:
        total += max(0.0, one.ended_s - max(one.began_s, reached))
        reached = max(reached, one.ended_s)
    return total


# --- the transcript ----------------------------------------------------------------------------------------


def transcript(run: Run) -> tuple[Spoken, ...]:
    """Every line that was said, HTTP in one line a message, those marked in which the first cause shows."""
    steps = [(one, lines) for one in asked(run) if (lines := tuple(_lines(one)))]
    marks = _marks(steps, next(iter(told(run)), None))
    spoken = [
        replace(line, marked=(number, place) in marks)
        for number, (_, lines) in enumerate(steps)
        for place, line in enumerate(lines)
    ]
    # Added up times differ in digits that no clock has; what is equal keeps the order of the steps.
    return tuple(sorted(spoken, key=lambda one: round(one.at_s, 4)))


def _lines(question: Asked) -> Iterator[Spoken]:
    """The lines of a dialogue; their own clock begins with the connection, so that it is set by the first."""
    lines = question.value.get("lines") or ()
    first = lines[0]["at_s"] if lines else 0.0
    for line in lines:
        yield Spoken(question.began_s + line["at_s"] - first, line["who"], line["text"])
    if http := question.value.get("http"):
        yield Spoken(question.began_s, "C", f"{http['method']} {http['url']}")
        yield Spoken(question.ended_s, *_http_answer(http, question.value), about=question.what)


def _http_answer(http: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[str, str]:
    if http["status"] is None:
        return "-", f"{http['failure']} {http['detail']}".rstrip()
    error = value.get("error") or ""
    return "S", f"HTTP {http['status']} {error['error'] if isinstance(error, Mapping) else error}".rstrip()


def _marks(
    steps: list[tuple[Asked, tuple[Spoken, ...]]], finding: ReportedFinding | None
) -> set[tuple[int, int]]:
    """Which lines show the cause, as numbers of step and line: those quoted in it, else its stage's last."""
    if finding is None:
        return set()
    quoted = {line.strip() for line in finding.seen.splitlines()} - {""}
    found = [
        {(number, place) for place, line in enumerate(lines) if line.text.strip() in quoted}
        for number, (_, lines) in enumerate(steps)
    ]
    best = max(found, key=len, default=set())
    if best:
        return best
    of_stage = [
        (number, _telling(lines)) for number, (one, lines) in enumerate(steps) if one.stage is finding.stage
    ]
    return set(of_stage[-1:])


def _telling(lines: tuple[Spoken, ...]) -> int:
    """The line that says most of a step: what first happened to the connection, else the last one."""
    return next((place for place, line in enumerate(lines) if line.who == "-"), len(lines) - 1)
