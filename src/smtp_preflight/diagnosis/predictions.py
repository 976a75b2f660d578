"""Stages profile and claims predict, servers decide (product.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from smtp_preflight.diagnosis.auth_offered import why_no_bearer_offered
from smtp_preflight.diagnosis.dns import why_no_address
from smtp_preflight.diagnosis.greeting import why_not_greeted
from smtp_preflight.diagnosis.signs import AFTER_TLS
from smtp_preflight.diagnosis.submission import why_not_authenticated
from smtp_preflight.diagnosis.tcp import why_not_connected
from smtp_preflight.diagnosis.tls import why_not_verified
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.knowledge import entry
from smtp_preflight.model import (
    AuthExchange,
    Ehlo,
    Finding,
    Grant,
    Seen,
    SmtpGreeting,
    Stage,
    SystemAddresses,
    TcpConnects,
    TlsHandshake,
)


class Standing(StrEnum):
    """What became of something that was read off the profile or the token."""

    FACT = "fact"  # no prediction: it was seen to happen
    CONFIRMED = "confirmed"  # it happened, and the refusal names this cause first
    FITTING = "fitting"  # it may have happened: the refusal names no cause that is known
    REFUTED = "refuted"  # it did not happen, or the refusal has another named cause
    UNDECIDED = "undecided"  # the server was not asked, or has not said yes or no


PREDICTING = frozenset({Stage.PROFILE, Stage.TOKEN, Stage.CLAIMS})  # a wrong clock shows at token

Decision = Finding | bool | None  # nothing where no server has decided, true where it accepted


def _of_token_endpoint(seen: Seen) -> Decision:
    """A token, or an error of OAuth that is meant for good; an answer of another kind decides nothing."""
    grant = seen.get(Grant)
    if grant is None or grant.http is None or not (grant.granted or grant.error):
        return None
    return grant.granted or _for_good(why_not_granted(seen))


def _of_mail_server(seen: Seen) -> Decision:
    """235, or a reply that is meant for good (RFC 5321 section 4.2.1); silence and 4yz decide nothing."""
    auth = seen.get(AuthExchange)
    if auth is None or auth.failure or auth.reply is None:
        return None
    if auth.reply.code < 500:
        return auth.accepted or None
    return _for_good(why_not_authenticated(seen))


def _for_good(refusal: Finding) -> Finding | None:
    """The refusal, unless its cause passes by itself: what was asked for has not been looked at then."""
    return None if entry(refusal.code).transient else refusal


# Who decides what is predicted: the server of this stage.
DECISIONS: Mapping[Stage, Callable[[Seen], Decision]] = {
    Stage.TOKEN: _of_token_endpoint,
    Stage.AUTH: _of_mail_server,
}


def _what_stopped(seen: Seen) -> Finding | None:
    """Why nobody could sign in at the mail server: the first step on the way there that did not succeed."""
    host, tls = seen.get(SystemAddresses, seen.profile.smtp.host), seen.get(TlsHandshake)
    connects, ehlo = seen.every(TcpConnects), seen.get(Ehlo, AFTER_TLS)
    if host is not None and not host.addresses:
        return why_no_address(seen)
    if connects and not any(one.connected for one in connects):
        return why_not_connected(seen)
    if tls is not None and not tls.verified:
        return why_not_verified(seen)
    if ehlo is None or not ehlo.accepted:
        return why_not_greeted(seen) if seen.get(SmtpGreeting) else None
    return None if ehlo.bearer_for(seen.profile.smtp.mechanism) else why_no_bearer_offered(seen)


def standing(code: str, decided_by: Stage | None, stage: Stage, seen: Seen) -> Standing:
    """Whether what a check at this stage shows is a fact, or a prediction and what became of it."""
    if decided_by is None or stage not in PREDICTING or stage.place >= decided_by.place:
        return Standing.FACT
    if stage is Stage.TOKEN and _refused_for(code, seen):
        return Standing.FACT
    decision = DECISIONS[decided_by](seen)
    if decision is None:
        stopped = _what_stopped(seen) if decided_by is Stage.AUTH else None
        return Standing.CONFIRMED if stopped and stopped.code == code else Standing.UNDECIDED
    named = decision.code if isinstance(decision, Finding) else ""
    return {code: Standing.CONFIRMED, "unexplained": Standing.FITTING}.get(named, Standing.REFUTED)


def _refused_for(code: str, seen: Seen) -> bool:
    """The token endpoint did not wait for the mail server: no token came, for this very cause."""
    grant = seen.get(Grant)
    if grant is None or grant.http is None or grant.granted:
        return False
    return why_not_granted(seen).code == code
