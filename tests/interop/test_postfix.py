"""The suite against a Postfix that is not ours: what it finds, and what it must not find."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import Any

import pytest

BEFORE_AUTH = ("profile", "dns", "tcp", "greeting", "starttls", "tls")
AFTER_AUTH = ("mail_from", "rcpt_to")
MAILBOX, PROBE = "alerts@contoso.example", "probe@contoso.example"
NOTHING: list[tuple[str, str]] = []


def checks(run: Any, *stages: str) -> dict[str, str]:
    """The outcomes of these stages' checks, by id; those that do not apply are left out."""
    found = run.report("postfix")["checks"]
    return {one["id"]: one["outcome"] for one in found if one["stage"] in stages and one["outcome"] != "skipped"}


def outcomes(run: Any, *stages: str) -> set[str]:
    return set(checks(run, *stages).values())


def found(run: Any) -> list[tuple[str, str]]:
    """Stage and code of every finding, notices too."""
    return [(one["stage"], one["code"]) for one in run.report("postfix")["findings"]]


def assert_one_red_line(run: Any, check: str) -> None:
    """Exactly this check is red, and what is blocked is blocked by its finding."""
    report = run.report("postfix")
    assert run.status == 1
    assert report["verdict"] == "not_ready"
    assert run.having("failed", "postfix") == [check]
    assert {one["blocked_by"] for one in report["checks"] if one["outcome"] == "blocked"} <= {
        report["findings"][0]["id"]
    }


# --- a server without bearer tokens ------------------------------------------------------------------------


def test_server_that_takes_passwords_only(preflight: Callable[..., Any]) -> None:
    """Everything up to TLS holds, and the one red line says that a token is of no use here."""
    run = preflight("passwords_only")
    assert_one_red_line(run, "test_auth_offered.py::test_sign_in_with_a_token_is_offered")
    assert found(run) == [("auth_offered", "xoauth2_not_advertised")]
    assert outcomes(run, *BEFORE_AUTH) == {"passed"}
    assert outcomes(run, "auth", *AFTER_AUTH) == {"blocked"}
    assert "AUTH PLAIN LOGIN" in run.report("postfix")["findings"][0]["seen"]


def test_server_that_lets_nobody_sign_in(preflight: Callable[..., Any]) -> None:
    """No AUTH at all under TLS is another cause than AUTH without a bearer mechanism."""
    run = preflight("no_login")
    assert_one_red_line(run, "test_auth_offered.py::test_sign_in_with_a_token_is_offered")
    assert found(run) == [("auth_offered", "auth_not_advertised")]
    assert outcomes(run, *BEFORE_AUTH) == {"passed"}
    assert outcomes(run, "auth", *AFTER_AUTH) == {"blocked"}


def test_tls_from_the_first_byte(preflight: Callable[..., Any]) -> None:
    """With implicit TLS greeting and EHLO are met under encryption, and STARTTLS is no question."""
    run = preflight("implicit", tls="implicit")
    assert found(run) == [("auth_offered", "xoauth2_not_advertised")]
    assert outcomes(run, "dns", "tcp", "greeting", "tls") == {"passed"}
    assert checks(run, "starttls") == {}
    assert run.report("postfix")["proven"] == "tls"


# --- a server that cannot be trusted -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "check", "code"),
    [
        ("other_name", "test_certificate_names_the_host", "certificate_name_mismatch"),
        ("expired", "test_certificate_is_within_its_dates", "certificate_expired"),
        ("old_tls", "test_version_is_modern", "server_tls_version_obsolete"),
    ],
)
def test_server_that_proves_nothing(
    port: str, check: str, code: str, preflight: Callable[..., Any]
) -> None:
    """Its fault is named once, nothing else is held against it, and it is not shown the token."""
    run = preflight(port)
    assert_one_red_line(run, f"test_tls.py::{check}")
    assert found(run) == [("tls", code)]
    assert run.report("postfix")["findings"][0]["certainty"] == "certain"
    assert outcomes(run, "dns", "tcp", "greeting", "starttls") == {"passed"}
    assert outcomes(run, "auth_offered", "auth", *AFTER_AUTH) == {"blocked"}
    assert "AuthExchange" not in run.kinds_asked("postfix")


# --- a server that takes bearer tokens ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "tls", "length"),
    [
        ("bearer", "starttls", 100),
        ("bearer", "starttls", 3000),  # Postfix cuts an AUTH line off after 2048 bytes, without a word
        ("implicit_bearer", "implicit", 1500),
    ],
)
def test_server_that_takes_the_token(
    port: str, tls: str, length: int, preflight: Callable[..., Any], mail_setup: Any
) -> None:
    """Nothing is red, nothing is warned of, and the envelope is accepted, however long the token is."""
    token = secrets.token_urlsafe(length)[:length]
    mail_setup.tokens.add(token)
    run = preflight(port, tls=tls, token=token)
    assert found(run) == NOTHING
    assert outcomes(run, *BEFORE_AUTH, "auth_offered", "auth", *AFTER_AUTH) == {"passed"}
    assert run.report("postfix")["verdict"] == "ready"
    assert run.report("postfix")["proven"] == "rcpt_to"


def test_server_that_refuses_the_token(preflight: Callable[..., Any]) -> None:
    """What the server says in its challenge is read, and what comes after AUTH is blocked by it."""
    run = preflight("bearer", token="of-somebody-else")
    assert_one_red_line(run, "test_auth.py::test_token_is_accepted")
    assert found(run) == [("auth", "token_rejected_by_server")]
    assert "invalid_token" in run.report("postfix")["findings"][0]["seen"]
    assert outcomes(run, *AFTER_AUTH) == {"blocked"}


def test_sender_that_is_not_the_logins_own(preflight: Callable[..., Any], mail_setup: Any) -> None:
    """Postfix refuses a sender only when recipients are named; it is one cause, and no fault of theirs."""
    mail_setup.tokens.add("good-token")
    more = f'[send]\nsender = "sales@contoso.example"\nto = ["{PROBE}", "{MAILBOX}"]'
    run = preflight("bearer", token="good-token", more=more)
    assert_one_red_line(run, f"test_rcpt_to.py::test_recipient_is_accepted[{PROBE}]")
    assert found(run) == [("rcpt_to", "send_as_denied")]
    assert outcomes(run, "data") == {"blocked"}


def test_recipient_that_does_not_exist(preflight: Callable[..., Any], mail_setup: Any) -> None:
    """The one that is refused is red, by its address; the other is not held against it."""
    mail_setup.tokens.add("good-token")
    more = f'[send]\nto = ["nobody@contoso.example", "{PROBE}"]'
    run = preflight("bearer", "--until=envelope", token="good-token", more=more)
    assert_one_red_line(run, "test_rcpt_to.py::test_recipient_is_accepted[nobody@contoso.example]")
    assert [one["id"] for one in run.report("postfix")["findings"]] == [
        "recipient_rejected:nobody@contoso.example"
    ]
    assert run.outcomes("postfix")[f"test_rcpt_to.py::test_recipient_is_accepted[{PROBE}]"] == "passed"


def test_message_is_handed_over(preflight: Callable[..., Any], mail_setup: Any) -> None:
    """The one message is queued by a Postfix that throws it away, and the queue's name for it is kept."""
    mail_setup.tokens.add("good-token")
    run = preflight("bearer", token="good-token", more=f'[send]\nto = ["{PROBE}"]')
    assert found(run) == NOTHING
    assert run.report("postfix")["proven"] == "data"
    queue_id = re.search(r"queued as (\w+)", json.dumps(run.report("postfix")["evidence"]))[1]
    assert f"{queue_id}: to=<{PROBE}>" in mail_setup.postfix.log
