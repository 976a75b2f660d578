"""A secret is read into the wallet; of its content only the shape is told."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pydantic
import pytest
import trustme

from smtp_preflight.model import OAuth, Profile, Provider, SecretCheck, SecretRef, Smtp
from smtp_preflight.probes import secret as probe
from smtp_preflight.probes.secret import probe_secret
from smtp_preflight.secrets import Secret, Wallet

CANARY = "canary~Q8-planted-secret"
RSA = trustme.KeyType.RSA


def check(
    ref: SecretRef, wallet: Wallet | None = None, key: str = "client_secret", **others: SecretRef
) -> SecretCheck:
    profile = Profile(
        name="contoso",
        provider=Provider("custom", "A server"),
        mailbox="alerts@contoso.example",
        smtp=Smtp("smtp.contoso.example"),
        oauth=OAuth(**{key: ref}, **others),  # type: ignore[arg-type] # some of its secrets
    )
    return asyncio.run(probe_secret(profile, Wallet() if wallet is None else wallet, key))


def kept_in(path: Path, content: str) -> SecretRef:
    file = path / "secret"
    file.write_text(content)
    return SecretRef("file", (str(file),))


def test_a_secret_is_read_into_the_wallet(monkeypatch):
    monkeypatch.setenv("CONTOSO_SECRET", CANARY)
    wallet = Wallet()
    found = check(SecretRef("env", ("CONTOSO_SECRET",)), wallet)
    held = wallet.get("client_secret")
    assert held is not None
    assert held.reveal() == CANARY
    assert (found.resolved, found.key, found.reference) == (True, "client_secret", "env:CONTOSO_SECRET")
    assert found.length == len(CANARY)


def test_nothing_of_its_content_is_in_the_observation(monkeypatch):
    monkeypatch.setenv("CONTOSO_SECRET", CANARY)
    found = check(SecretRef("env", ("CONTOSO_SECRET",)))
    assert CANARY not in repr(found)
    assert CANARY.encode() not in pydantic.TypeAdapter(SecretCheck).dump_json(found)


def test_what_a_lab_has_given_is_not_read_again():
    wallet = Wallet()
    wallet.put("refresh_token", Secret("0.lab", "lab:refresh_token"))
    found = check(SecretRef("lab", ("refresh_token",)), wallet, "refresh_token")
    assert (found.resolved, found.length, found.reference) == (True, 5, "lab:refresh_token")


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        ("6731de76-14a6-49ae-97bc-6eba6914391e", {"looks_like_guid"}),
        ("'6731DE76-14a6-49ae-97bc-6eba6914391e'", {"quoted"}),
        ('"quoted"', {"quoted"}),
        ("\"quoted'", set()),
        ('"', set()),
        (" 6731de76-14a6-49ae-97bc-6eba6914391e", {"looks_like_guid", "blank_edges"}),
        ("trailing \n", {"blank_edges"}),
        ("one line end is how editors are\n", set()),
        ('{"value": "s"}', {"looks_like_json"}),
        ('\n ["a"]', {"looks_like_json", "blank_edges"}),
    ],
)
def test_the_shape_of_a_secret_is_told(tmp_path, content, shape):
    found = check(kept_in(tmp_path, content))
    names = ("looks_like_guid", "quoted", "blank_edges", "looks_like_json")
    assert {name for name in names if getattr(found, name)} == shape


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (SecretRef("env", ("NO_SUCH_VARIABLE_HERE",)), "NO_SUCH_VARIABLE_HERE is not set"),
        (SecretRef("file", ("/nowhere/at/all",)), "/nowhere/at/all does not exist"),
        (SecretRef("lab", ("client_secret",)), "while its lab runs"),
    ],
)
def test_what_cannot_be_read_is_told_in_words(ref, words):
    wallet = Wallet()
    found = check(ref, wallet)
    assert words in found.problem
    assert (found.resolved, found.length, wallet.get("client_secret")) == (False, 0, None)


def test_of_a_command_only_its_first_word_is_shown():
    found = check(SecretRef("command", (sys.executable, "-c", f"print({CANARY!r})")))
    assert (found.resolved, found.reference) == (True, f"command:{sys.executable}")


def test_a_certificate_is_opened_to_see_when_it_ends(tmp_path):
    """One that is none is said to be unusable; one whose passphrase nobody has is left alone."""
    leaf = trustme.CA(key_type=RSA).issue_cert("app.contoso.example", key_type=RSA)
    pem = leaf.private_key_and_cert_chain_pem.bytes().decode()
    assert check(kept_in(tmp_path, pem), key="certificate").ends is not None
    assert check(kept_in(tmp_path, CANARY), key="certificate").unusable
    missing = SecretRef("env", ("NO_SUCH_VARIABLE_HERE",))
    found = check(kept_in(tmp_path, CANARY), key="certificate", certificate_passphrase=missing)
    assert (found.resolved, found.unusable, found.ends) == (True, "", None)


def test_a_service_account_that_is_another_file_is_unusable(tmp_path):
    found = check(kept_in(tmp_path, '{"installed": {}}'), key="service_account")
    assert (found.resolved, bool(found.unusable)) == (True, True)


def test_reading_has_an_end_and_does_not_block_the_others(monkeypatch):
    monkeypatch.setattr(probe, "LIMIT_S", 0.2)
    started = time.monotonic()
    found = check(SecretRef("command", (sys.executable, "-c", "import time; time.sleep(60)")))
    assert found.problem == "no answer within 0.2 s"
    assert time.monotonic() - started < 30


def test_a_reader_that_does_not_keep_its_limit_is_given_up(monkeypatch):
    monkeypatch.setattr(probe, "LIMIT_S", -0.9)
    monkeypatch.setattr(probe, "read_secret", lambda _ref, **_how: time.sleep(1))
    assert check(SecretRef("env", ("ANY",))).problem == "no answer within -0.9 s"
