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
    judged = run.report("postfix")["checks"]
    return {
        one["id"]: one["outcome"] for one in judged if one["stage"] in stages and one["outcome"] != "skipped"
    }


def outcomes(run: Any, *stages: str) -> set[str]:
    """How the checks of these stages came out."""
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
    blocked_by = {one["blocked_by"] for one in report["checks"] if one["outcome"] == "blocked"}
    assert blocked_by <= {report["findings"][0]["id"]}


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
    ("port", "check", "code", "certainty"),
    [
        ("no_tls", "test_starttls_is_offered", "starttls_not_offered", "likely"),
        ("no_certificate_file", "test_starttls_is_accepted", "starttls_refused", "likely"),
        ("no_certificate", "test_issuer_is_trusted", "certificate_missing", "likely"),
        ("other_name", "test_certificate_names_the_host", "certificate_name_mismatch", "certain"),
        # Nobody has told the time: it may be this machine's clock.
        ("expired", "test_certificate_is_within_its_dates", "certificate_expired", "likely"),
        # Up to TLS 1.2 Postfix prefers ciphers without a certificate, where it is asked for any.
        ("expired_tls12", "test_certificate_is_within_its_dates", "certificate_expired", "likely"),
        ("old_tls", "test_version_is_modern", "server_tls_version_obsolete", "certain"),
        (
            "clients_by_certificate",
            "test_ehlo_is_accepted_under_encryption",
            "client_certificate_required",
            "likely",
        ),
    ],
)
def test_server_without_a_safe_channel(
    port: str, check: str, code: str, certainty: str, preflight: Callable[..., Any]
) -> None:
    """Its fault is named once, nothing else is held against it, and it is not shown the token."""
    run = preflight(port)
    stage = "starttls" if "starttls" in check else "tls"
    assert_one_red_line(run, f"test_{stage}.py::{check}")
    (finding,) = run.report("postfix")["findings"]
    assert (finding["code"], finding["certainty"]) == (code, certainty)
    assert outcomes(run, "dns", "tcp", "greeting") == {"passed"}
    assert outcomes(run, "auth_offered", "auth", *AFTER_AUTH) == {"blocked"}
    assert "AuthExchange" not in run.kinds_asked("postfix")


def test_private_authority_that_the_profile_does_not_name(preflight: Callable[..., Any]) -> None:
    """A lone certificate may lack its chain or come from a private authority; the remedy serves both."""
    run = preflight("bearer", ca_file=False)
    assert_one_red_line(run, "test_tls.py::test_issuer_is_trusted")
    (finding,) = run.report("postfix")["findings"]
    assert finding["code"] == "certificate_chain_incomplete"
    assert "certificate_issuer_untrusted" in [one["code"] for one in finding["alternatives"]]
    assert any("`ca_file`" in step for step in finding["remedy"])


# --- a server that takes bearer tokens ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "tls", "mechanism", "length"),
    [
        ("bearer", "starttls", "xoauth2", 100),
        ("bearer", "starttls", "xoauth2", 3000),  # Postfix cuts an AUTH line off after 2048 bytes
        ("bearer", "starttls", "oauthbearer", 100),
        ("implicit_bearer", "implicit", "oauthbearer", 3000),
    ],
)
def test_server_that_takes_the_token(
    port: str, tls: str, mechanism: str, length: int, preflight: Callable[..., Any], mail_setup: Any
) -> None:
    """Nothing is red, nothing is warned of, and the envelope is accepted, however long the token is."""
    token = secrets.token_urlsafe(length)[:length]
    mail_setup.tokens.add(token)
    run = preflight(port, tls=tls, mechanism=mechanism, token=token)
    assert found(run) == NOTHING
    assert outcomes(run, *BEFORE_AUTH, "auth_offered", "auth", *AFTER_AUTH) == {"passed"}
    assert run.report("postfix")["verdict"] == "ready"
    assert run.report("postfix")["proven"] == "rcpt_to"


def test_passwords_beside_the_token_are_a_notice(preflight: Callable[..., Any], mail_setup: Any) -> None:
    """A server that takes both is ready, without a warning."""
    mail_setup.tokens.add("good-token")
    run = preflight("passwords_and_bearer", token="good-token")
    assert run.report("postfix")["verdict"] == "ready"
    assert found(run) == [("auth_offered", "password_mechanisms_offered")]


def test_sign_in_offered_before_tls_is_a_warning(preflight: Callable[..., Any], mail_setup: Any) -> None:
    """Postfix does so where TLS is optional; a token that goes by TLS is accepted all the same."""
    mail_setup.tokens.add("good-token")
    run = preflight("login_in_the_clear", token="good-token")
    assert run.report("postfix")["verdict"] == "ready_with_warnings"
    assert found(run) == [("starttls", "auth_offered_without_tls")]


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
def test_server_that_refuses_the_token(mechanism: str, preflight: Callable[..., Any]) -> None:
    """What the server says in its challenge is read, and what comes after AUTH is blocked by it."""
    run = preflight("bearer", mechanism=mechanism, token="of-somebody-else")
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
    queued = re.search(r"queued as (\w+)", json.dumps(run.report("postfix")["evidence"]))
    assert queued is not None
    assert f"{queued[1]}: message-id=<" in mail_setup.postfix.log
