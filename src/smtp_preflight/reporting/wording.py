"""The few words that every format shares: verdicts, who can act, stages and outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from smtp_preflight.model import (
    Arrival,
    Certainty,
    Change,
    CheckResult,
    DataExchange,
    Deadline,
    Outcome,
    ReportedFinding,
    Run,
    Severity,
    Stage,
    Verdict,
)

VERDICTS: Mapping[Verdict, str] = {
    Verdict.READY: "ready",
    Verdict.READY_WITH_WARNINGS: "ready, with warnings",
    Verdict.NOT_READY: "not ready",
    Verdict.INCOMPLETE: "incomplete",
}

WHO: Mapping[str, str] = {
    "profile_author": "whoever wrote the profile",
    "app_owner": "the owner of the application's registration",
    "tenant_admin": "an administrator of the tenant",
    "exchange_admin": "an administrator of the mail system",
    "mailbox_user": "the user of the mailbox",
    "network_operator": "whoever runs the network or this machine",
    "provider": "the mail provider",
}

CERTAINTIES: Mapping[Certainty, str] = {
    Certainty.CERTAIN: "certain: no other known cause shows this",
    Certainty.LIKELY: "likely: other causes can look the same",
    Certainty.POSSIBLE: "possible: the evidence does not decide",
}

HEDGES: Mapping[Certainty, str] = {  # before a sentence that says a cause as if it were a fact
    Certainty.CERTAIN: "",
    Certainty.LIKELY: "Most likely: ",
    Certainty.POSSIBLE: "Possibly: ",
}

STAGES: Mapping[Stage, str] = {
    Stage.PROFILE: "the profile",
    Stage.DNS: "names (DNS)",
    Stage.TCP: "the connection (TCP)",
    Stage.GREETING: "the greeting",
    Stage.STARTTLS: "STARTTLS",
    Stage.TLS: "encryption (TLS)",
    Stage.AUTH_OFFERED: "the sign-in methods offered",
    Stage.DISCOVERY: "the identity provider's metadata",
    Stage.DEVICE: "the device sign-in",
    Stage.AUTHORIZE: "the sign-in page",
    Stage.TOKEN: "the token request",
    Stage.REFRESH: "the refresh token",
    Stage.CLAIMS: "what the token says",
    Stage.AUTH: "the sign-in (AUTH)",
    Stage.MAIL_FROM: "the sender (MAIL FROM)",
    Stage.RCPT_TO: "the recipients (RCPT TO)",
    Stage.DATA: "the message (DATA)",
    Stage.DELIVERY: "the delivery",
    Stage.MAILBOX_ACCESS: "access to the mailbox",
}

LABELS: Mapping[Stage, str] = {  # where there is room for a word or two only
    Stage.PROFILE: "Profile",
    Stage.DNS: "DNS",
    Stage.TCP: "TCP",
    Stage.GREETING: "Greeting",
    Stage.STARTTLS: "STARTTLS",
    Stage.TLS: "TLS",
    Stage.AUTH_OFFERED: "AUTH offered",
    Stage.DISCOVERY: "Discovery",
    Stage.DEVICE: "Device sign-in",
    Stage.AUTHORIZE: "Sign-in page",
    Stage.TOKEN: "Token",
    Stage.REFRESH: "Refresh",
    Stage.CLAIMS: "Claims",
    Stage.AUTH: "AUTH",
    Stage.MAIL_FROM: "MAIL FROM",
    Stage.RCPT_TO: "RCPT TO",
    Stage.DATA: "DATA",
    Stage.DELIVERY: "Delivery",
    Stage.MAILBOX_ACCESS: "Mailbox",
}

REPLAY = "pytest --replay=report.json"

CUT_SHORT: Mapping[str, str] = {
    "run_limit": "The run's time limit was reached before everything was asked.",
    "interrupted": "The run was interrupted before everything was asked.",
}


def proven_sentence(run: Run) -> str:
    """How far the run has shown that mail gets, in one sentence."""
    sent = any(one.accepted for one in run.seen.every(DataExchange))
    if run.proven is None:
        return (
            "a message was accepted all the same." if sent else "nothing on the message's way is proven yet."
        )
    if run.proven is Stage.DATA:
        return _what_became_of_the_message(run)
    if run.proven is Stage.DELIVERY:
        return "a message was sent and found in the mailbox."
    if sent:
        return f"proven up to {STAGES[run.proven]}; a message was accepted all the same."
    return f"proven up to {STAGES[run.proven]}; no message was sent."


def _what_became_of_the_message(run: Run) -> str:
    """It was accepted; whether it was looked for, and what was found."""
    looks = tuple(run.seen.every(Arrival))
    if any(one.found for one in looks):
        red = any(one.stage is Stage.DELIVERY for one in run.red)
        return f"a message was sent and found in the mailbox{', but not as it should be' if red else ''}."
    if any(one.bounce for one in looks):
        return "a message was accepted by the server, and came back undelivered."
    if any(one.trouble for one in looks):
        return "a message was accepted by the server; looking for it in the mailbox ended early."
    if looks:
        return "a message was accepted by the server, looked for in the mailbox, and not found."
    return "a message was accepted by the server; that it arrives was not checked."


def capital(sentence: str) -> str:
    """A sentence that stands alone."""
    return sentence[:1].upper() + sentence[1:]


def since_sentence(run: Run) -> str:
    """When mail could last leave, and whether anything has changed; empty where there is nothing to say."""
    since = run.since_last_ready
    if since is None or not (since.changes or run.red):
        return ""
    told = "" if since.changes else " nothing of what was asked both times has changed."
    return f"since the last ready run ({since.started:%Y-%m-%d %H:%M} UTC):{told}"


def change_words(change: Change) -> str:
    """One change, before and after."""
    return f"{change.what}: {change.before or 'nothing'} → {change.after or 'nothing'}"


def replay_sentence(run: Run) -> str:
    """Whose evidence was judged again, by which knowledge; empty for a run of its own."""
    if run.replayed_from is None:
        return ""
    newer = run.knowledge != run.recorded_knowledge
    recorded = f", recorded with that of {run.recorded_knowledge}" if newer else ""
    same = tuple(dict.fromkeys(one.code for one in told(run))) == run.recorded_codes
    then = "" if same else f" It found then: {', '.join(run.recorded_codes) or 'nothing to act on'}."
    return f"judged again by the knowledge of {run.knowledge}{recorded}.{then} From {run.replayed_from}"


def counts(run: Run) -> str:
    """How many checks came out how: ``17 passed, 2 skipped``."""
    counted = Counter(one.outcome for one in run.checks)
    return ", ".join(f"{counted[one]} {one}" for one in Outcome if counted[one]) or "nothing was checked"


def told(run: Run) -> tuple[ReportedFinding, ...]:
    """The findings that somebody should act on, the first of them being the cause; notices left out."""
    return tuple(one for one in run.findings if one.severity is not Severity.NOTICE)


def is_red(run: Run, finding: ReportedFinding) -> bool:
    """It turned a check red: it keeps mail from leaving, or with ``--warnings-fail`` only warns."""
    shown = any(one.id == finding.check and one.outcome is Outcome.FAILED for one in run.checks)
    return shown or finding in run.red


def how_to_be_sure(finding: ReportedFinding) -> str:
    """The look that would settle the cause; empty where that is certain, or no single look does."""
    return "" if finding.certainty is Certainty.CERTAIN else finding.decide_by


def hedged_meaning(finding: ReportedFinding) -> str:
    """The meaning for whoever reads its beginning only; that nothing known fits needs no hedge."""
    hedge = "" if finding.code == "unexplained" else HEDGES[finding.certainty]
    return f"{hedge}{finding.meaning}"


def left(deadline: Deadline) -> str:
    """How long something still lasts."""
    days = deadline.days_left
    unit = "day" if abs(days) == 1 else "days"
    return f"{days} {unit} left" if days >= 0 else f"ended {-days} {unit} ago"


def finding_of(run: Run, check: CheckResult) -> ReportedFinding | None:
    """The finding that a check shows, rather than one that blocks it."""
    return next((one for one in run.findings if one.check == check.id and one.code == check.code), None)


def reason_incomplete(run: Run) -> str:
    """Why a run says less than it could; empty where nothing is missing but a message not asked for."""
    if run.verdict is not Verdict.INCOMPLETE:
        return ""
    broken = [one for one in run.checks if one.outcome is Outcome.ERROR]
    if broken:
        return f"A check of ours broke ({broken[0].reason}), which says nothing about the mail."
    if run.seen.cut_short:
        return CUT_SHORT.get(run.seen.cut_short, run.seen.cut_short)
    missing = ", ".join(LABELS[one] for one in run.not_asked)
    return f"Not asked: {missing}." if missing else "Not every check was selected."


def remarks(finding: ReportedFinding) -> list[str]:
    """What else has to be known of a finding: that it may pass, that it is a prediction, or was waived."""
    found = []
    if finding.predicted:
        found.append("a prediction: no server has decided it in this run")
    if finding.transient:
        found.append("may pass by itself: run again before changing anything")
    if finding.waived:
        found.append(f"waived: {finding.waived}")
    return found
