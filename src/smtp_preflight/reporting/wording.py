"""The few words that every format shares: verdicts, who can act, stages and outcomes."""

from __future__ import annotations

from collections.abc import Mapping

from smtp_preflight.model import Run, Stage, Verdict

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


def proven_sentence(run: Run) -> str:
    """How far the run has shown that mail gets, in one sentence."""
    if run.proven is None:
        return "nothing on the message's way is proven yet."
    if run.proven is Stage.DATA:
        return "a message was accepted by the server; that it arrives was not checked."
    if run.proven is Stage.DELIVERY:
        return "a message was sent and found in the mailbox."
    return f"proven up to {STAGES[run.proven]}; no message was sent."
