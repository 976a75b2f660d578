"""Reading access tokens without believing them: claims that are kept, shapes that are told apart."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

import jwt
import pytest

from smtp_preflight.model import AccessToken
from smtp_preflight.oauth.tokens import CLAIMS, fingerprint, header_of, read_token
from smtp_preflight.secrets import Secret

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
KEY = "a key that nobody checks, of 32 bytes or more"


def read(value: str, **more: Any) -> AccessToken:
    return read_token(Secret(value, "test"), observed_at=NOW, clean=lambda text: text, **more)


def signed(claims: dict[str, Any], headers: dict[str, Any] | None = None) -> str:
    return jwt.encode(claims, KEY, algorithm="HS256", headers=headers)


def part(content: object) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_claims_of_the_list_are_kept_and_of_the_others_the_names():
    token = read(signed({"aud": "x", "scp": "SMTP.Send", "exp": 5, "name": "Jane Doe", "sub": "who"}))
    assert token.claims == {"aud": "x", "scp": "SMTP.Send", "exp": 5}
    assert token.other_claims == ("name", "sub")
    assert "Jane" not in repr(token)
    assert (token.opaque, token.problem) == (False, "")


def test_every_claim_that_diagnosis_needs_is_on_the_list():
    assert set(read(signed(dict.fromkeys(CLAIMS, "1"))).claims) == CLAIMS


def test_of_the_header_four_things_are_kept_and_of_a_nonce_only_that_it_is_there():
    token = read(signed({}, {"kid": "k1", "x5t": "other", "nonce": "secret-nonce"}))
    assert token.header == {"alg": "HS256", "typ": "JWT", "kid": "k1", "nonce": True}


def test_length_and_fingerprint_tell_tokens_apart_and_nothing_else():
    one, two = read("ya29.one"), read("ya29.two")
    assert (one.length, len(one.fingerprint)) == (8, 12)
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint == fingerprint(Secret("ya29.one", "elsewhere"))


def test_a_life_is_handed_on_and_dates_it():
    token = read("ya29.one", expires_in_s=60)
    assert (token.expires_in_s, token.expires_at) == (60, NOW + dt.timedelta(seconds=60))


@pytest.mark.parametrize(
    "value",
    [
        "ya29.a0AfH6SMC",
        "EwBIA8l6BAAU",
        "1.2.3",
        "a.b.c",
        f"{part({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.a.b.c.d",
        "....",
        "",
        "é.é.é",
        "a" * 100_001,
    ],
)
def test_what_is_no_signed_jwt_is_opaque_and_that_is_no_fault(value):
    token = read(value)
    assert (token.opaque, token.claims, token.header) == (True, {}, {})
    assert token.problem in ("", "it has a character that no token has")
    assert header_of(Secret(value, "test")) is None


@pytest.mark.parametrize(
    "value",
    [
        f"{part({'alg': 'RS256'})}.{part({'aud': 'x'})}",
        f"{part({'alg': 'RS256'})}.{part({'aud': 'x'})[:-3]}.sig",
        f"{part({'alg': 'RS256'})}.{part([])}.sig",
        f"{part({'alg': 'RS256'})}.{part(b'no json')}.sig",
        f"{part({'alg': 'RS256'})}.{part(bytes([255]))}.sig",
        f"{part(b'{not json')}.{part({})}.sig",
        f"{part({'alg': 'RS256', 'kid': 5})}.{part({})}.sig",
        f"{part({'alg': 'RS256', 'b64': False, 'crit': ['b64']})}..sig",
        f"{part(b'{' + b'[' * 100_000)}.{part({})}.sig",
        f"{part({'alg': 'RS256'})}.{part(b'[' * 100_000)}.sig",
        f"{part({'alg': 'RS256'})}.{part({})}.a",
    ],
    ids=range(11),
)
def test_what_begins_like_a_jwt_and_is_none_is_a_fault(value):
    token = read(value)
    assert (token.opaque, token.claims) == (False, {})
    assert token.problem.startswith("it cannot be decoded: ")
    assert header_of(Secret(value, "test")) is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('"ya29.quoted"', "it has a quotation mark in it"),
        ("ya29.broken\nhere", "it has a line break in it"),
        ("ya29.with blank", "it has a blank in it"),
        ("Bearer ya29.x", "it has a blank in it"),
        ("ya29.ü", "it has a character that no token has"),
        ("ya29.\x00", "it has a character that no token has"),
        (signed({"aud": "x"}) + "\n", "it has a line break in it"),
    ],
)
def test_what_copying_adds_to_a_token_is_said(value, problem):
    assert read(value).problem == problem


def test_claims_of_a_form_they_never_have_are_not_kept():
    """So that whoever judges them meets texts, numbers and lists of texts, and nothing else."""
    payload = (
        b'{"aud": {"a": 1}, "iss": null, "exp": 1e999, "nbf": NaN, "roles": ["a", 5, ["b"]],'
        b' "scp": ["x"], "tid": "\\ud800", "upn": true, "iat": 1.5}'
    )
    token = read(f"{part({'alg': 'RS256'})}.{part(payload)}.c2ln")
    assert token.claims == {"roles": ["a"], "scp": ["x"], "tid": r"\ud800", "upn": True, "iat": 1.5}
    assert token.permissions == {"a", "x"}


def test_claims_are_bounded_and_inert():
    token = read(
        signed(
            {
                "app_displayname": "\x1b[31m" + "a" * 5000,
                "roles": ["r"] * 5000,
                **{f"claim\u202e{number}": 1 for number in range(200)},
            },
            {"kid": "k" * 5000},
        )
    )
    assert token.claims["app_displayname"].startswith(r"\x1b[31maaa")
    assert len(token.claims["app_displayname"]) == len(token.header["kid"]) == 300
    assert len(token.claims["roles"]) == 100
    assert len(token.other_claims) == 50
    assert all(name.startswith(r"claim\u202e") for name in token.other_claims)


def test_secrets_in_claims_are_redacted():
    secret = Secret(signed({"email": "pass s3cret!", "s3cret!": 1}), "test")
    token = read_token(secret, observed_at=NOW, clean=lambda text: text.replace("s3cret!", "<redacted>"))
    assert token.claims == {"email": "pass <redacted>"}
    assert token.other_claims == ("<redacted>",)
