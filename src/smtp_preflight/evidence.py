"""Asking, and what came of it: a recorder asks and closes the evidence, a replay reads it back.

A live run is a recording followed by its own replay (product.md section 3): checks meet `Evidence` only, and
cannot tell which it was.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar, overload

import pydantic

from smtp_preflight.diagnosis.auth_offered import why_no_bearer_offered
from smtp_preflight.diagnosis.delivery import why_not_looked_into
from smtp_preflight.diagnosis.discovery import why_no_keys, why_not_discovered
from smtp_preflight.diagnosis.dns import why_no_address
from smtp_preflight.diagnosis.follow_ups import follow_ups
from smtp_preflight.diagnosis.greeting import why_not_greeted
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.profile import why_any_secret_unavailable
from smtp_preflight.diagnosis.starttls import why_no_tls_begun
from smtp_preflight.diagnosis.submission import (
    why_message_refused,
    why_no_recipient_accepted,
    why_not_authenticated,
    why_sender_refused,
)
from smtp_preflight.diagnosis.tcp import why_not_connected
from smtp_preflight.diagnosis.tls import why_not_verified
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.model import (
    Arrival,
    AuthExchange,
    DataExchange,
    Ehlo,
    Finding,
    Grant,
    Keys,
    MailboxLogin,
    MailFrom,
    Observation,
    Profile,
    Question,
    RcptTo,
    SecretCheck,
    Seen,
    SignatureCheck,
    SmtpGreeting,
    Stage,
    StartTls,
    TcpConnects,
    TlsHandshake,
    TokenInfo,
    public_fields,
)
from smtp_preflight.outcome import Blocked, NotAsked
from smtp_preflight.probes.questions import (
    AFTER_TLS,
    BEFORE_TLS,
    DIALOGUE,
    ROWS,
    Asking,
    closure,
    is_transient,
    needs_of,
    wanted_pause_s,
)
from smtp_preflight.secrets import Wallet

T = TypeVar("T", bound=Observation)
FOLLOW_UP_ROUNDS = 2
SIDE_BY_SIDE = 32  # profiles asked at the same time
RETRY_PAUSE_S = 2.0  # before the first retry; twice as long before each further one
GOODBYE_S = 2.5  # for QUIT and closing, after the last question


def _why_no_safe_ehlo(seen: Seen) -> Finding:
    """The second EHLO waits for a verified handshake and, with implicit TLS, for the greeting under it."""
    tls = seen.get(TlsHandshake)
    return why_not_greeted(seen) if tls and tls.verified else why_not_verified(seen)


def _why_no_starttls(seen: Seen) -> Finding:
    """STARTTLS waits for an EHLO that lists it; one that was refused lists nothing."""
    ehlo = seen.get(Ehlo, BEFORE_TLS)
    return why_no_tls_begun(seen) if ehlo and ehlo.accepted else why_not_greeted(seen)


def _granted(seen: Seen) -> bool:
    grant = seen.get(Grant)
    return grant is not None and grant.granted


def _message_accepted(seen: Seen) -> bool:
    sent = seen.get(DataExchange)
    return sent is not None and sent.accepted


def _why_no_token_request(seen: Seen) -> Finding:
    """A secret is missing, or the endpoint was left to metadata that name none to be trusted."""
    there = all(one.resolved for one in seen.every(SecretCheck))
    return why_not_discovered(seen) if there else why_any_secret_unavailable(seen)


def _bearer_offered(seen: Seen) -> bool:
    ehlo = seen.get(Ehlo, AFTER_TLS)
    return ehlo is not None and bool(ehlo.bearer_for(seen.profile.smtp.mechanism))


def _why_no_mechanism(seen: Seen) -> Finding:
    ehlo = seen.get(Ehlo, AFTER_TLS)
    return why_no_bearer_offered(seen) if ehlo and ehlo.accepted else why_not_greeted(seen)


# Why a question was not asked although all it needs was answered.
WHY_NOT_ASKED: Mapping[type[Observation], Callable[[Seen], Finding]] = {
    TcpConnects: why_no_address,
    SmtpGreeting: lambda seen: why_not_verified(seen) if seen.get(TlsHandshake) else why_not_connected(seen),
    Ehlo: lambda seen: _why_no_safe_ehlo(seen) if seen.get(TlsHandshake) else why_not_greeted(seen),
    StartTls: _why_no_starttls,
    TlsHandshake: lambda seen: why_no_tls_begun(seen) if seen.get(StartTls) else why_not_connected(seen),
    Keys: why_not_discovered,
    Grant: _why_no_token_request,
    SignatureCheck: lambda seen: why_no_keys(seen) if _granted(seen) else why_not_granted(seen),
    TokenInfo: why_not_granted,
    AuthExchange: lambda seen: why_not_granted(seen) if _bearer_offered(seen) else _why_no_mechanism(seen),
    MailFrom: why_not_authenticated,
    RcptTo: why_sender_refused,
    DataExchange: why_no_recipient_accepted,
    MailboxLogin: lambda seen: why_not_looked_into(seen) if _granted(seen) else why_not_granted(seen),
    Arrival: lambda seen: why_not_looked_into(seen) if _message_accepted(seen) else why_message_refused(seen),
}


class ProbeBroken(Exception):
    """A probe raised what it should have recorded: our own fault, never dressed up as a mail problem."""

    def __init__(self, kind: str, told: str) -> None:
        super().__init__(f"{kind} broke:\n{told}")


class Evidence:
    """Everything that was seen of one profile; closed."""

    def __init__(self, seen: Seen, broken: Mapping[Question, str] | None = None) -> None:
        self.seen = seen
        self._broken = broken or {}

    @overload
    def __getitem__(self, key: type[T]) -> T: ...
    @overload
    def __getitem__(self, key: tuple[type[T], str]) -> T: ...
    def __getitem__(self, key: type[T] | tuple[type[T], str]) -> T:
        """The answer to a question; raises Blocked with the cause where it could not be asked."""
        kind, subject = key if isinstance(key, tuple) else (key, "")
        found = self.seen.get(kind, subject)
        if found is None:
            question = Question(kind, subject)
            raise self._absence(question, on_the_way=ROWS[kind].on_the_way) from None
        return found

    def _absence(self, question: Question, *, on_the_way: bool) -> Exception:
        """Why a question has no answer: what it needs has none either, or did not leave it to be asked."""
        if question in self._broken:
            return ProbeBroken(str(question), self._broken[question])
        row, seen = ROWS[question.kind], self.seen
        may_ask = row.may_ask(seen, question.subject)
        for need in () if may_ask else needs_of(question, seen.profile):
            if need not in seen.answers:
                return self._absence(need, on_the_way=on_the_way)
        if not may_ask:
            return Blocked(WHY_NOT_ASKED[question.kind](seen), on_the_way=on_the_way)
        if seen.cut_short == "run_limit":
            return Blocked(_why_cut_short(seen), on_the_way=on_the_way)
        return NotAsked(f"{question} was not asked")


Subjects = str | Callable[[Profile, Mapping[str, Any]], Iterable[str]]
F = TypeVar("F", bound=Callable[..., Any])


def asks(kind: type[Observation], subjects: Subjects = "") -> Callable[[F], F]:
    """Mark a fixture with the question it hands on, so that the recorder knows what a check needs.

    subjects: the question's subject, or a function of the profile and the check's parameters.
    """

    def questions(parameters: Mapping[str, Any], profile: Profile) -> tuple[Question, ...]:
        named = (subjects,) if isinstance(subjects, str) else subjects(profile, parameters)
        return tuple(Question(kind, subject) for subject in named)

    def mark(fixture: F) -> F:
        fixture.__asks__ = (*getattr(fixture, "__asks__", ()), questions)  # type: ignore[attr-defined] # ours
        return fixture

    return mark


def _why_cut_short(seen: Seen) -> Finding:
    words = f"the run's limit of {seen.profile.limits.run_s:g} s was reached"
    return finding(
        seen, Stage.PROFILE, "cut_short", signs={"cut_short": seen.cut_short}, facts={"seen": words}
    )


class Recorder:
    """Asks what the selected checks need of one profile, concurrently, and closes the evidence."""

    def __init__(
        self, profile: Profile, wallet: Wallet, questions: Iterable[Question], *, retries: int = 0
    ) -> None:
        self.profile = profile
        self._retries = retries
        self.started = dt.datetime.now(dt.UTC)
        self._questions = tuple(questions)
        self._answers: dict[Question, Observation] = {}
        self._broken: dict[Question, str] = {}
        self._follow_ups: set[Question] = set()
        self._wallet = wallet
        self._awaited: dict[Question, None] = {}
        self._asking = Asking(profile, wallet, self._seen)

    @property
    def awaited(self) -> tuple[Question, ...]:
        """What is being asked at this moment."""
        return tuple(self._awaited)

    def evidence(self, cut_short: str = "") -> Evidence:
        """What is known so far, closed."""
        return Evidence(self._seen(cut_short), dict(self._broken))

    async def record(self) -> Evidence:
        """Ask, follow up, say goodbye; never longer than the profile's limit for a run."""
        cut_short = ""
        try:
            async with asyncio.timeout(self._run_limit_s()) as limit:
                await self._ask(closure(self._questions, self.profile))
                await self._try_again(limit)
                await self._follow_up()
        except TimeoutError:
            cut_short = "run_limit"
        except asyncio.CancelledError:
            self._asking.abort()
            raise
        await self._say_goodbye()
        return self.evidence(cut_short)

    def _run_limit_s(self) -> float:
        return self.profile.limits.run_s + (self.profile.delivery.within_s if self.profile.delivery else 0)

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._asking.close()
        except TimeoutError:
            self._asking.abort()

    async def _try_again(self, limit: asyncio.Timeout) -> None:
        """Ask again what failed for the moment and has no effect; never a token that may be spent.

        What would have to wait beyond the run's limit stays as it is.
        """
        for attempt in range(self._retries):
            again = self._to_be_asked_again()
            wanted_s = (wanted_pause_s(self._answers[question]) for question in again)
            pause_s = max((RETRY_PAUSE_S * 2**attempt, *wanted_s))
            if not again or pause_s >= _left_s(limit):
                return
            await asyncio.sleep(pause_s)
            if any(question.kind in DIALOGUE for question in again):
                self._asking.hang_up_for_good()
            for question in again:
                del self._answers[question]
            await self._ask(closure(self._questions, self.profile))

    def _to_be_asked_again(self) -> set[Question]:
        """What failed for the moment.

        A step of the SMTP dialogue needs its connection from the start, so all of them are asked anew; not
        once a byte of the message has left, nor for one family of addresses where the other connects.
        """
        again = {question for question, answer in self._answers.items() if is_transient(answer)}
        if any(isinstance(one, TcpConnects) and one.connected for one in self._answers.values()):
            again = {question for question in again if question.kind is not TcpConnects}
        dialogue = {question for question in self._answers if question.kind in DIALOGUE}
        if self._message_left():
            return again - dialogue
        return again | dialogue if again & dialogue else again

    def _message_left(self) -> bool:
        return any(isinstance(one, DataExchange) and one.body_sent for one in self._answers.values())

    async def _follow_up(self) -> None:
        for _ in range(FOLLOW_UP_ROUNDS):
            more = [one for one in follow_ups(self._seen()) if one not in self._answers]
            if not more:
                return
            self._follow_ups.update(more)
            await self._ask(closure(tuple(more), self.profile))

    async def _ask(self, questions: tuple[Question, ...]) -> None:
        asked: dict[Question, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            for question in questions:
                asked[question] = group.create_task(self._answer(question, asked))

    async def _answer(self, question: Question, asked: Mapping[Question, asyncio.Task[None]]) -> None:
        if question in self._answers or not await self._ready(question, asked):
            return
        self._awaited[question] = None
        try:
            self._answers[question] = await ROWS[question.kind].ask(self._asking, question.subject)
        except Exception:
            # The one place that catches what no probe expected: kept as text, because a traceback's frames
            # hold secrets, and raised anew as ProbeBroken where the answer is looked at.
            self._broken[question] = self._wallet.redact(traceback.format_exc())
        finally:
            del self._awaited[question]

    async def _ready(self, question: Question, asked: Mapping[Question, asyncio.Task[None]]) -> bool:
        """Wait for what a question needs; whether it may then be asked."""
        row = ROWS[question.kind]
        waiting = {asked[need] for need in needs_of(question, self.profile)}
        while waiting:
            enough = asyncio.FIRST_COMPLETED if row.any_need else asyncio.ALL_COMPLETED
            _, waiting = await asyncio.wait(waiting, return_when=enough)
            if row.any_need and row.may_ask(self._seen(), question.subject):
                return True
        return row.may_ask(self._seen(), question.subject)

    def _seen(self, cut_short: str = "") -> Seen:
        return Seen(
            self.profile, self.started, dict(_as_asked(self._answers)), frozenset(self._follow_ups), cut_short
        )


def _left_s(limit: asyncio.Timeout) -> float:
    """How long until the limit, in seconds."""
    end = limit.when()
    assert end is not None  # a run always has one
    return end - asyncio.get_running_loop().time()


class AskingThread:
    """The one event loop of a process, in a daemon thread; profiles are asked on it side by side."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._room = asyncio.Semaphore(SIDE_BY_SIDE)
        self._thread = threading.Thread(target=self._loop.run_forever, name="asking", daemon=True)
        self._thread.start()

    def submit(self, recorder: Recorder) -> Future[Evidence]:
        """Begin to record; cancelling the future closes the recorder's sockets."""
        return asyncio.run_coroutine_threadsafe(self._in_turn(recorder), self._loop)

    async def _in_turn(self, recorder: Recorder) -> Evidence:
        async with self._room:
            return await recorder.record()

    def stop(self) -> None:
        """End the loop; what was still asked is cancelled."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result(timeout=GOODBYE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GOODBYE_S)
        self._loop.close()

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


# --- observations as plain data ----------------------------------------------------------------------------


class BadRecording(Exception):
    """A file is no report of ours, or was altered: file, what was found, what would be right."""


_ADAPTERS: dict[type[Observation], pydantic.TypeAdapter[Any]] = {}


def _adapter(kind: type[Observation]) -> pydantic.TypeAdapter[Any]:
    """Built when first needed; building one takes milliseconds."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = pydantic.TypeAdapter(kind)
    return _ADAPTERS[kind]


def encode(seen: Seen) -> list[dict[str, Any]]:
    """The answers as ``report.json`` holds them, in the order in which they were asked."""
    return [
        _encoded(question, answer, question in seen.follow_ups)
        for question, answer in _as_asked(seen.answers)
    ]


def _as_asked(answers: Mapping[Question, Observation]) -> list[tuple[Question, Observation]]:
    """In the order in which they were asked, whenever each was answered: a replay knows no other."""
    return sorted(answers.items(), key=lambda item: (item[1].asked_at, str(item[0])))


def _encoded(question: Question, answer: Observation, follow_up: bool) -> dict[str, Any]:
    value = _adapter(question.kind).dump_python(answer, mode="json")
    return {
        "kind": question.kind.__name__,
        "subject": question.subject,
        "asked_at": value["asked_at"],
        "took_s": value["took_s"],
        "peer": value["peer"],
        "follow_up": follow_up,
        "value": {name: value[name] for name in public_fields(answer)},
    }


def decode(entries: Iterable[Mapping[str, Any]]) -> tuple[dict[Question, Observation], frozenset[Question]]:
    """The inverse of ``encode``: the answers, and which were follow-ups; raises BadRecording."""
    kinds = {kind.__name__: kind for kind in ROWS}
    answers: dict[Question, Observation] = {}
    follow_ups: set[Question] = set()
    for entry in entries:
        try:
            if entry["kind"] not in kinds:
                raise BadRecording(f"evidence: kind {entry['kind']!r} is not known here")
            kind = kinds[entry["kind"]]
            shared = {key: entry[key] for key in ("asked_at", "took_s", "peer")}
            question = Question(kind, entry["subject"])
            answers[question] = _adapter(kind).validate_python({**shared, **entry["value"]}, strict=False)
        except KeyError as problem:
            raise BadRecording(f"an entry of evidence lacks {problem}") from None
        except TypeError:
            raise BadRecording("an entry of evidence is not as a run writes it") from None
        except pydantic.ValidationError as problem:
            first = problem.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise BadRecording(f"evidence {entry['kind']}: {place}: {first['msg']}") from None
        if entry.get("follow_up"):
            follow_ups.add(question)
    return answers, frozenset(follow_ups)
