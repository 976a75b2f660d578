"""Reading what a token endpoint says, from the providers' own forms to nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smtp_preflight.oauth.answers import MOST_DESCRIPTION, error_of, granted_by
from smtp_preflight.secrets import Secret, Wallet

TRACE, CORRELATION = "0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-000000000002"
ENTRA = {
    "error": "invalid_client",
    "error_description": (
        "AADSTS7000215: Invalid client secret provided. AADSTS70002: see there, and AADSTS7000215.\r\n"
        f"Trace ID: {TRACE}\r\nCorrelation ID: {CORRELATION}\r\nTimestamp: 2026-11-20 07:00:00Z"
    ),
    "error_codes": [7000215],
    "timestamp": "2026-11-20 07:00:01Z",
    "trace_id": TRACE,
    "correlation_id": CORRELATION,
    "suberror": "message_only",
}


def as_is(text: str) -> str:
    return text


# --- refusals ----------------------------------------------------------------------------------------------


def test_entras_own_marks_are_read_from_its_members():
    error = error_of(ENTRA, as_is)
    assert error is not None
    assert (error.error, error.suberror) == ("invalid_client", "message_only")
    assert error.codes == ("7000215", "70002")
    assert (error.trace_id, error.correlation_id) == (TRACE, CORRELATION)
    assert error.timestamp == "2026-11-20 07:00:01Z"
    assert error.description.startswith("AADSTS7000215: Invalid client secret provided. ")
    assert f" Trace ID: {TRACE} Correlation ID: " in error.description


def test_entras_own_marks_are_read_from_its_words_where_there_are_no_members():
    error = error_of({key: ENTRA[key] for key in ("error", "error_description")}, as_is)
    assert error is not None
    assert error.codes == ("7000215", "70002")
    assert (error.trace_id, error.correlation_id) == (TRACE, CORRELATION)
    assert error.timestamp == "2026-11-20 07:00:00Z"


def test_an_error_needs_no_more_than_its_code():
    error = error_of({"error": "invalid_grant"}, as_is)
    assert error is not None
    assert (error.error, error.description, error.codes, error.trace_id) == ("invalid_grant", "", (), "")


@pytest.mark.parametrize(
    "answer", [{}, {"error": ""}, {"error": None}, {"error": ["a"]}, {"error": {"code": 400}}]
)
def test_without_an_error_code_there_is_no_error(answer):
    assert error_of(answer, as_is) is None


@pytest.mark.parametrize("codes", [None, 7000215, "7000215", {"a": 1}, [True], [None, -1, 0, 1.5, 10**30]])
def test_codes_of_another_form_are_not_taken_for_codes(codes):
    error = error_of({"error": "invalid_grant", "error_codes": codes}, as_is)
    assert error is not None
    assert error.codes == ()


def test_members_of_another_type_are_as_if_they_were_not_there():
    error = error_of(dict.fromkeys(ENTRA, 5) | {"error": "invalid_grant"}, as_is)
    assert error is not None
    assert (error.description, error.suberror, error.trace_id, error.timestamp) == ("", "", "", "")


def test_a_description_is_bounded_inert_and_without_our_secrets():
    wallet = Wallet()
    wallet.put("client_secret", Secret("s3cret-value", "test"))
    text = "the secret s3cret-value\x1b[31m \u202e\ud800\n" + "a" * 5000
    error = error_of({"error": "bad\x07" * 1000, "error_description": text}, wallet.redact)
    assert error is not None
    assert error.description.startswith(r"the secret <redacted>\x1b[31m \u202e\ud800 aaa")
    assert len(error.description) == MOST_DESCRIPTION
    assert error.error.startswith(r"bad\x07bad")
    assert len(error.error) == 200


# --- grants ------------------------------------------------------------------------------------------------


def test_a_grant_is_read_whole():
    granted = granted_by(
        {
            "access_token": "a.b.c",
            "token_type": "Bearer",
            "expires_in": 3599,
            "scope": "one two",
            "refresh_token": "0.r",
        },
        Wallet(),
    )
    assert granted is not None
    assert granted.access_token.reveal() == "a.b.c"
    assert (granted.token_type, granted.expires_in_s, granted.scope) == ("Bearer", 3599, ("one", "two"))
    assert granted.refresh_token is not None
    assert granted.refresh_token.reveal() == "0.r"
    assert "a.b.c" not in repr(granted)


@pytest.mark.parametrize("token", [None, "", 5, True, ["a"], {"a": "b"}, "\ud800"])
def test_without_a_token_that_can_be_sent_nothing_is_granted(token):
    assert granted_by({"access_token": token, "token_type": "Bearer"}, Wallet()) is None


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        (3600.9, 3600),
        (0, 0),
        (-1, None),
        (True, None),
        ("soon", None),
        ("٣", None),
        ([3600], None),
        (10**30, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_a_life_is_a_number_of_seconds_or_unknown(stated, seconds):
    granted = granted_by({"access_token": "a", "expires_in": stated}, Wallet())
    assert granted is not None
    assert granted.expires_in_s == seconds


@pytest.mark.parametrize(
    ("stated", "scope"),
    [
        ("a  b", ("a", "b")),
        ("", ()),
        (["a", 5, "b"], ("a", "b")),
        (None, None),
        (5, None),
        ("x\x1b " * 3, ("x\\x1b",) * 3),
    ],
)
def test_scopes_are_words_or_a_list_of_them_or_unknown(stated, scope):
    granted = granted_by({"access_token": "a", "scope": stated}, Wallet())
    assert granted is not None
    assert granted.scope == scope


def test_an_answer_that_repeats_its_tokens_does_not_repeat_them_in_the_evidence():
    wallet = Wallet()
    tokens = {"access_token": "brand-new-access", "refresh_token": "brand-new-refresh"}
    words = {"token_type": "brand-new-access", "scope": "a brand-new-refresh"}
    granted = granted_by(tokens | words, wallet)
    assert granted is not None
    assert (granted.token_type, granted.scope) == ("<redacted>", ("a", "<redacted>"))
    assert wallet.get("access_token") is granted.access_token


def test_scopes_without_end_are_bounded():
    granted = granted_by({"access_token": "a", "scope": "word " * 5000}, Wallet())
    assert granted is not None
    assert granted.scope is not None
    assert len(granted.scope) == 100


HOSTILE: list[Any] = [None, True, -1, 10**40, 1e308, "", "\x00", "a" * 10_000, [], [[]], {}, {"a": None}]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: json.dumps(value)[:20])
def test_no_value_in_any_place_is_too_much(value):
    members = (*ENTRA, "access_token", "token_type", "expires_in", "scope", "refresh_token")
    for member in members:
        answer = {**ENTRA, "access_token": "a", member: value}
        granted_by(answer, Wallet())
        error_of(answer, as_is)
