"""One thing wrong with servers that are not ours: one finding, by its code, and nothing else is said."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

DOMAIN = "contoso.example"
MAILBOX, PROBE, FULL = f"alerts@{DOMAIN}", f"probe@{DOMAIN}", f"full@{DOMAIN}"
LIFE_S = 1  # of the tokens of the client "short-lived"


@dataclass(frozen=True)
class Wrong:
    """What is wrong, in the profile or behind the port that it names, and what has to be found."""

    name: str
    code: str
    stage: str  # of the one red line
    port: str = "submission"
    tables: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = "not_ready"
    notices: tuple[str, ...] = ()


def application(client_id: str, **oauth: Any) -> Mapping[str, Any]:
    return {"oauth": {"client_id": client_id, **oauth}}


def provider(name: str) -> Mapping[str, Any]:
    """Tokens of another identity provider; its address is known only when it runs."""
    return {"oauth": {"issuer": name}}


def host(name: str) -> Mapping[str, Any]:
    return {"smtp": {"host": name}}


def sending(to: str, sender: str = MAILBOX) -> Mapping[str, Any]:
    return {"send": {"to": [to], "sender": sender}}


EXPIRED = application("short-lived", grant="access_token", access_token={"env": "INTEROP_EXPIRED"})
SOON = {"delivery": {"within_s": 3}}
BY_ANOTHER_LOGIN = {"delivery": {"within_s": 60, "profile": "reader-of-full"}}
OF_PROBE = {"mailbox": PROBE, **application("of-somebody-else")}


def domain(fault: str, code: str) -> Wrong:
    """A sender whose domain's MX is wrong, which keeps no mail from leaving."""
    sender = f"alerts@{fault}.{DOMAIN}"
    return Wrong(fault, code, "dns", tables=sending(MAILBOX, sender), verdict="ready_with_warnings")


WRONG = (
    # --- names
    Wrong("expired-signatures", "dnssec_bogus", "dns", tables=host("submission.expired.example")),
    Wrong("servfail", "dns_server_failure", "dns", tables=host("submission.broken.example")),
    Wrong("nxdomain", "host_name_wrong", "dns", tables=host(f"smtp.{DOMAIN}")),
    domain("nullmx", "mx_null"),
    domain("aliasmx", "mx_is_alias"),
    domain("danglingmx", "mx_unresolvable"),
    # --- the channel
    Wrong("too-many-connections", "service_unavailable", "greeting", "one_at_a_time"),
    Wrong("certificate-expired", "certificate_expired", "tls", "expired"),
    Wrong("certificate-of-another", "certificate_name_mismatch", "tls", "other_name"),
    Wrong("certificate-chainless", "certificate_chain_incomplete", "tls", "chainless"),
    Wrong("certificate-self-signed", "certificate_self_signed", "tls", "self_signed"),
    # --- the identity provider
    Wrong("provider-down", "discovery_unreachable", "token", tables=provider("nobody")),
    Wrong(
        "clock-an-hour-slow",
        "clock_skew",
        "token",
        tables=provider("an_hour_slow"),
        notices=("token_expired",),
    ),
    Wrong("clock-an-hour-fast", "clock_skew", "token", tables=provider("an_hour_fast")),
    # --- the token, and who judges it
    Wrong("passwords-only", "xoauth2_not_advertised", "auth_offered", "of_passwords"),
    Wrong("token-expired", "token_expired", "claims", tables=EXPIRED),
    Wrong("token-for-calendars", "token_wrong_audience", "claims", tables=application("for-calendars")),
    Wrong("token-of-another", "token_user_mismatch", "claims", tables=application("of-somebody-else")),
    Wrong(
        "token-without-permission",
        "token_missing_smtp_scope",
        "claims",
        tables=application("without-permission"),
    ),
    Wrong("judge-of-another-issuer", "token_rejected_by_server", "auth", "of_another_issuer"),
    Wrong("token-opaque", "token_rejected_by_server", "auth", tables=application("opaque")),
    Wrong("token-of-rfc9068", "token_rejected_by_server", "auth", tables=application("of-rfc9068")),
    # --- the message
    Wrong("sender-of-another", "send_as_denied", "rcpt_to", tables={**OF_PROBE, **sending(PROBE)}),
    Wrong("recipient-unknown", "recipient_rejected", "rcpt_to", tables=sending(f"nobody@{DOMAIN}")),
    Wrong("greylisting", "greylisted", "rcpt_to", "greylisting", sending(MAILBOX)),
    Wrong("size-limit", "message_limits_exceeded", "data", "small", sending(MAILBOX)),
    Wrong("content-filter", "content_rejected", "data", "filtering", sending(MAILBOX)),
    Wrong("queue-on-hold", "delivery_not_confirmed", "delivery", "holding", {**sending(MAILBOX), **SOON}),
    Wrong(
        "bounce-of-full-mailbox",
        "recipient_rejected",
        "delivery",
        tables={**sending(FULL), **BY_ANOTHER_LOGIN},
    ),
)


@contextlib.contextmanager
def nobody_listens() -> Iterator[str]:
    """The issuer at a port that nobody may listen at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"https://login.{DOMAIN}:{held.getsockname()[1]}"


@pytest.fixture(scope="module")
def run_of(in_batches: Callable[..., Any], mail_service: Any) -> Iterator[Callable[[Wrong], Any]]:
    """A run of the suite on each of these, while somebody holds the one connection that one port allows."""
    expired = mail_service.token("short-lived")
    time.sleep(LIFE_S + 1)
    with (
        nobody_listens() as nobody,
        socket.create_connection(("127.0.0.1", mail_service.ports["one_at_a_time"])) as only,
    ):
        only.recv(1)
        issuers = {"nobody": nobody, **{name: one.issuer for name, one in mail_service.providers.items()}}
        mail_service.profile("reader-of-full", mailbox=FULL, **application("reader-of-full"))

        def write(wrong: Wrong) -> Path:
            tables = dict(wrong.tables)
            if named := tables.get("oauth", {}).get("issuer"):
                tables["oauth"] = {"issuer": issuers[named]}
            profile: Path = mail_service.profile(wrong.name, port=wrong.port, **tables)
            return profile

        yield in_batches(WRONG, write, INTEROP_EXPIRED=expired)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda one: one.name)
def test_it_is_found_and_nothing_else(wrong: Wrong, run_of: Callable[[Wrong], Any]) -> None:
    """One line is red, or one check has warned; what is blocked is blocked by that finding."""
    run = run_of(wrong)
    report = run.report(wrong.name)
    first, *others = report["findings"]
    assert (report["verdict"], first["code"], first["stage"]) == (wrong.verdict, wrong.code, wrong.stage)
    assert [(one["code"], one["severity"]) for one in others] == [(one, "notice") for one in wrong.notices]
    outcome = "failed" if wrong.verdict == "not_ready" else "warned"
    assert run.having(outcome, wrong.name) == [first["check"]]
    blocked_by = {one["blocked_by"] for one in report["checks"] if one["outcome"] == "blocked"}
    assert blocked_by <= {first["id"]}
