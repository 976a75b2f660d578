"""What two runs of a profile were told differently: addresses, certificate, capabilities, claims and more.

A run is read as a set of named lines, and two sets are compared. Lines that differ each time (a token's
times, a queue id) are not among them, nor is what became of the mail: findings tell that.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from smtp_preflight.model import (
    AccessToken,
    Change,
    Discovery,
    DkimKeys,
    DmarcWalk,
    DnsAnswer,
    Ehlo,
    Grant,
    MailExchangers,
    MtaSts,
    Observation,
    Question,
    Run,
    SecretCheck,
    Seen,
    Setting,
    SinceLastReady,
    SpfTree,
    Stage,
    SystemAddresses,
    TlsHandshake,
    TlsReporting,
    TokenInfo,
    short,
)
from smtp_preflight.reporting.asked import KINDS

MOST_CHANGES = 40
MOST_OF_A_VALUE = 200  # characters
SLOWER_BY_S, TIMES_SLOWER = 1.0, 3.0  # what is less is noise; in both directions
OTHER_LIFE = 2.0  # Microsoft draws the life of a token between 60 and 90 minutes
FRESH_CLAIMS = frozenset({"exp", "iat", "nbf", "expires_in", "aio", "uti"})  # of each token anew
SHORT_LIVED = frozenset({"access_token", "federated"})  # of another length each time

Place = tuple[Stage | None, str]  # a line's stage and name


class Told(Protocol):
    """A run, or one read back: as much of it as is compared."""

    @property
    def seen(self) -> Seen:
        """What was asked, and what came back."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What the profile said."""

    @property
    def knowledge(self) -> str:
        """The date of the knowledge that judged it."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the machine that asked."""


def since(ready: Told, run: Run) -> SinceLastReady:
    """What has changed since a ready run."""
    cause = next((one.stage for one in run.red), None)
    return SinceLastReady(ready.seen.started, changes(ready, run, cause)[:MOST_CHANGES])


def changes(old: Told, new: Told, cause: Stage | None = None) -> tuple[Change, ...]:
    """Everything told differently: what shows shortly before the cause first, what shows after it later."""
    found = [*_settings(old, new), *_answers(old.seen, new.seen), *_judges(old, new)]
    return tuple(sorted(found, key=lambda one: _suspicion(one.stage, cause)))


def _suspicion(stage: Stage | None, cause: Stage | None) -> tuple[int, int]:
    if stage is None:
        return 2, 0
    if cause is None:
        return 0, stage.place
    return int(stage.place > cause.place), abs(cause.place - stage.place)


def _differences(before: Mapping[Place, str], after: Mapping[Place, str]) -> Iterator[Change]:
    for stage, what in dict.fromkeys((*before, *after)):
        was, is_now = before.get((stage, what), ""), after.get((stage, what), "")
        if was != is_now:
            yield Change(stage, what, short(was, MOST_OF_A_VALUE), short(is_now, MOST_OF_A_VALUE))


# --- the profile, and who judges ---------------------------------------------------------------------------

_STAGE_OF: Mapping[str, Stage] = {  # the first word of a setting -> where it has its effect
    "smtp": Stage.TCP,
    "dns": Stage.DNS,
    "tls": Stage.TLS,
    "oauth": Stage.TOKEN,
    "http": Stage.TOKEN,
    "expect": Stage.CLAIMS,
    "mailbox": Stage.AUTH,
    "send": Stage.RCPT_TO,
    "delivery": Stage.DELIVERY,
    "imap": Stage.MAILBOX_ACCESS,
    "pop": Stage.MAILBOX_ACCESS,
}


def _settings(old: Told, new: Told) -> Iterator[Change]:
    """Those of the profile and its preset; a lab makes up its own each time."""
    made_up = {key for one in (old, new) for key, value in one.settings.items() if value.origin == "lab"}
    return _differences(_setting_lines(old, made_up), _setting_lines(new, made_up))


def _setting_lines(told: Told, made_up: set[str]) -> dict[Place, str]:
    return {
        (_STAGE_OF.get(key.partition(".")[0], Stage.PROFILE), f"setting {key}"): _in_order(one.value)
        for key, one in told.settings.items()
        if key not in made_up
    }


def _judges(old: Told, new: Told) -> Iterator[Change]:
    """The knowledge, and the machine; where one of the two does not say a thing, nothing is compared."""
    both = [name for name in old.environment if name in new.environment]
    for name in both:
        yield from _differences({(None, name): old.environment[name]}, {(None, name): new.environment[name]})
    yield from _differences({(None, "knowledge"): old.knowledge}, {(None, "knowledge"): new.knowledge})


# --- the answers -------------------------------------------------------------------------------------------

# What a lab makes up at each start: its ports, its authority's number, its keys.
_MADE_UP = re.compile(r"(?<=:)\d+(?=/)|(?<=#)\S{16}|(?<=p=)[\w+/=]+")


def _answers(old: Seen, new: Seen) -> Iterator[Change]:
    """Of what was asked both times."""
    for question, after in new.answers.items():
        before = old.answers.get(question)
        if before is None or question in old.follow_ups | new.follow_ups:
            continue
        was, is_now = _named(question, before, new), _named(question, after, new)
        if was and is_now:  # without an answer there is nothing to compare; the finding tells of it
            yield from _differences(was, is_now)
        yield from _paces(question, before, after)


def _named(question: Question, answer: Observation, seen: Seen) -> dict[Place, str]:
    stage, name = _place(question)
    lines = ((line, _MADE_UP.sub("…", text) if seen.profile.lab else text) for line, text in _lines(answer))
    return {(stage, f"{name}: {line}" if line else name): text for line, text in lines}


def _place(question: Question) -> tuple[Stage | None, str]:
    label, stage = KINDS.get(question.kind.__name__, (question.kind.__name__, None))
    if question.kind is Ehlo:
        stage = Stage.AUTH_OFFERED  # what it offers matters there
    return stage, f"{label} {question.subject}".rstrip()


def _lines(answer: Observation) -> Iterator[tuple[str, str]]:
    """An answer as lines, their names empty where it has but one; none where it says nothing that lasts."""
    match answer:
        case SecretCheck(resolved=True):
            yield from _secret(answer)
        case DnsAnswer(settled=True):
            yield "", _list(answer.records) or str(answer.status)
        case SystemAddresses():
            yield "", _list(answer.addresses) or answer.error
        case Ehlo(accepted=True):
            yield from ((f"offers {name}", _list(words) or "yes") for name, words in answer.keywords.items())
        case TlsHandshake():
            yield from _certificate(answer)
        case Discovery(readable=True):
            yield from answer.metadata.items()
        case Grant(token=AccessToken() as token):
            yield from _token(answer, token)
        case TokenInfo():
            yield from _claims(answer.claims)
        case _:
            yield from _published(answer)


def _secret(answer: SecretCheck) -> Iterator[tuple[str, str]]:
    if answer.key not in SHORT_LIVED:
        yield "length", str(answer.length)
    if answer.ends:
        yield "last day", f"{answer.ends:%Y-%m-%d}"


def _certificate(answer: TlsHandshake) -> Iterator[tuple[str, str]]:
    """The server's own, by what a reader compares; a new one has another last day."""
    if answer.leaf is None:
        return
    yield "issuer", answer.leaf.issuer
    yield "certificate", f"{answer.leaf.subject}, until {answer.leaf.not_after:%Y-%m-%d}"
    yield "names", _list(answer.leaf.names)
    yield "version", answer.version


def _token(answer: Grant, token: AccessToken) -> Iterator[tuple[str, str]]:
    yield "readable", "no" if token.opaque else "yes"
    yield from _claims(token.claims)
    if token.other_claims:
        yield "other claims", _list(token.other_claims)
    if answer.scope_granted is not None:
        yield "scope granted", _list(answer.scope_granted)
    if answer.http and answer.http.proxy:
        yield "proxy", answer.http.proxy


def _claims(claims: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    yield from ((f"claim {name}", _text(value)) for name, value in claims.items() if name not in FRESH_CLAIMS)


def _published(answer: Observation) -> Iterator[tuple[str, str]]:
    """What the domains that mail is sent from publish."""
    match answer:
        case MailExchangers(mx=DnsAnswer(settled=True)):
            yield "", ", ".join(answer.names)
        case SpfTree(own=own) if own.answer.settled:
            yield "", _list(own.texts)
        case DkimKeys() if all(one.settled for one in answer.answers):
            yield from ((one.name, _list(one.records)) for one in answer.answers)
        case DmarcWalk(applies=record) if record:
            yield "", record.record
        case MtaSts(policy=policy) if policy:
            yield "", ", ".join(policy)
        case TlsReporting(announced=announced) if announced.answer.settled:
            yield "", announced.record


# --- times -------------------------------------------------------------------------------------------------


def _paces(question: Question, before: Observation, after: Observation) -> Iterator[Change]:
    """Times beyond noise: of the answer, and of what it grants."""
    stage, name = _place(question)
    if _differ(before.took_s, after.took_s, TIMES_SLOWER) and abs(before.took_s - after.took_s) > SLOWER_BY_S:
        yield Change(stage, f"{name}: time", f"{before.took_s:.2f} s", f"{after.took_s:.2f} s")
    lives = (_life(before), _life(after))
    if lives[0] and lives[1] and _differ(lives[0], lives[1], OTHER_LIFE):
        was, is_now = (f"{one / 60:.0f} minutes" for one in lives if one)
        yield Change(stage, f"{name}: life of the token", was, is_now)


def _differ(one: float, other: float, factor: float) -> bool:
    return max(one, other) >= factor * min(one, other)


def _life(answer: Observation) -> float | None:
    """How long a token lasts from its beginning, in seconds."""
    if not isinstance(answer, Grant) or answer.token is None:
        return None
    begins: dt.datetime | None = answer.token.time("iat") or answer.token.observed_at
    ends = answer.token.expires_at
    return (ends - begins).total_seconds() if begins and ends and ends > begins else None


# --- values ------------------------------------------------------------------------------------------------


def _list(words: Iterable[object]) -> str:
    """Without an order, for servers give none."""
    return ", ".join(sorted(map(str, words)))


def _text(value: object) -> str:
    return _list(value) if isinstance(value, (list, tuple)) else str(value)


def _in_order(value: object) -> str:
    """As a profile has it, where the order may matter."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
