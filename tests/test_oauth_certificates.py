"""Key files in every form that providers and certificate stores hand out, and why one proves nothing."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from smtp_preflight.model import SecretRef
from smtp_preflight.oauth.certificates import ClientCertificate, Unusable, opened, service_account
from smtp_preflight.secrets import Secret, resolve

WORDS = b"correct horse"
LOCK = BestAvailableEncryption(WORDS)
ENDS = dt.datetime(2027, 3, 31, 12, tzinfo=dt.UTC)

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def other() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certified(key: Key, name: str = "our application") -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ENDS - dt.timedelta(days=90))
        .not_valid_after(ENDS)
        .sign(key, hashes.SHA256())
    )


def pem_of(
    key: Key,
    lock: KeySerializationEncryption | None = None,
    form: PrivateFormat = PrivateFormat.PKCS8,
) -> str:
    return key.private_bytes(Encoding.PEM, form, lock or NoEncryption()).decode()


def pem_of_certificate(key: Key) -> str:
    return certified(key).public_bytes(Encoding.PEM).decode()


def pfx_of(
    key: Key | None,
    certificate: x509.Certificate | None,
    lock: KeySerializationEncryption,
    others: list[x509.Certificate] | None = None,
) -> bytes:
    return pkcs12.serialize_key_and_certificates(b"app", key, certificate, others, lock)


def read(content: str | bytes, passphrase: bytes | None = None) -> ClientCertificate:
    text = content if isinstance(content, str) else base64.b64encode(content).decode()
    return opened(
        Secret(text, "test"), Secret(passphrase.decode(), "test") if passphrase is not None else None
    )


# --- what can be used --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (lambda key: pem_of(key) + pem_of_certificate(key), None),
        (lambda key: pem_of_certificate(key) + pem_of(key), None),
        (lambda key: pem_of_certificate(key) + pem_of(key, form=PrivateFormat.TraditionalOpenSSL), None),
        (lambda key: pem_of(key, LOCK) + pem_of_certificate(key), WORDS),
        (lambda key: pem_of_certificate(key) + pem_of(key, LOCK, PrivateFormat.TraditionalOpenSSL), WORDS),
        (lambda key: "Bag Attributes\n  friendlyName: app\n" + pem_of(key) + pem_of_certificate(key), None),
        (lambda key: pem_of(key) + pem_of_certificate(key), WORDS),
        (lambda key: pfx_of(key, certified(key), LOCK), WORDS),
        (lambda key: pfx_of(key, certified(key), NoEncryption()), None),
    ],
    ids=[
        "pem",
        "certificate first",
        "older form",
        "locked",
        "locked, older form",
        "with words of OpenSSL",
        "passphrase not needed",
        "pfx",
        "pfx, open",
    ],
)
def test_every_form_of_a_certificate_is_read(
    content: Callable[[Key], str | bytes], passphrase: bytes | None, key: rsa.RSAPrivateKey
) -> None:
    found = read(content(key), passphrase)
    der = found.certificate.public_bytes(Encoding.DER)
    assert found.key.public_key() == key.public_key() == found.certificate.public_key()
    assert found.thumbprint == base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert found.ends == ENDS


def test_of_several_certificates_the_keys_own_is_taken(
    key: rsa.RSAPrivateKey, other: rsa.RSAPrivateKey
) -> None:
    """The authority's may stand before it, in either form."""
    pem = pem_of_certificate(other) + pem_of_certificate(key) + pem_of(key)
    pfx = pfx_of(key, certified(key), LOCK, [certified(other, "authority")])
    for found in (read(pem), read(pfx, WORDS)):
        assert found.certificate.public_key() == key.public_key()


def test_base64_may_be_wrapped_as_tools_do(key: rsa.RSAPrivateKey) -> None:
    text = base64.encodebytes(pfx_of(key, certified(key), LOCK)).decode()
    assert "\n" in text
    assert read(text, WORDS).ends == ENDS


@pytest.mark.parametrize("place", ["file", "env", "command"])
def test_a_pfx_comes_from_any_place(
    place: str, key: rsa.RSAPrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes out of a file, its base64 out of what holds only text."""
    content = pfx_of(key, certified(key), LOCK)
    (tmp_path / "app.pfx").write_bytes(content)
    monkeypatch.setenv("APP_PFX", base64.b64encode(content).decode())
    refs = {
        "file": SecretRef("file", (str(tmp_path / "app.pfx"),)),
        "env": SecretRef("env", ("APP_PFX",)),
        "command": SecretRef("command", ("base64", str(tmp_path / "app.pfx"))),
    }
    secret = resolve(refs[place], binary=True)
    assert opened(secret, Secret(WORDS.decode(), "test")).ends == ENDS


def test_it_shows_whose_it_is_and_nothing_else(key: rsa.RSAPrivateKey) -> None:
    found = read(pem_of(key) + pem_of_certificate(key))
    assert repr(found) == f"<ClientCertificate {found.thumbprint}>"


# --- what cannot -------------------------------------------------------------------------------------------

CURVE = ec.generate_private_key(ec.SECP256R1())
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - what is to be refused
LOCKED = "it is locked, and the profile names no passphrase for it"
NO_FILE = "it is neither PEM nor a PKCS#12 file, nor the base64 of one"
ENTRA = "Entra takes RSA keys"


@pytest.mark.parametrize(
    ("content", "passphrase", "words"),
    [
        (lambda key, _: pem_of_certificate(key), None, "it holds no private key that can be read"),
        (lambda key, _: pem_of(key), None, "it holds no certificate that can be read"),
        (lambda key, _: pem_of(key, LOCK) + pem_of_certificate(key), None, LOCKED),
        (lambda key, _: pem_of(key, LOCK) + pem_of_certificate(key), b"x", "the passphrase does not open it"),
        (lambda key, other: pem_of(key) + pem_of_certificate(other), None, "no certificate in it belongs to"),
        (lambda *_: pem_of(CURVE) + pem_of_certificate(CURVE), None, f"its key is no RSA key; {ENTRA}"),
        (lambda *_: pem_of(SHORT) + pem_of_certificate(SHORT), None, f"its key has 1024 bits; {ENTRA}"),
        (lambda key, _: pfx_of(key, certified(key), LOCK), None, LOCKED),
        (lambda key, _: pfx_of(key, certified(key), LOCK), b"x", "the passphrase does not open it, or it is"),
        (lambda key, _: pfx_of(key, certified(key), LOCK), b"", "the passphrase does not open it, or it is"),
        (lambda key, _: pfx_of(key, certified(key), LOCK)[:-9], WORDS, "the passphrase does not open it, or"),
        (lambda *_: pfx_of(CURVE, certified(CURVE), LOCK), WORDS, f"its key is no RSA key; {ENTRA}"),
        (lambda key, _: pfx_of(None, None, LOCK, [certified(key)]), WORDS, "its key is no RSA key"),
        (lambda *_: "6731de76-14a6-49ae-97bc-6eba6914391e", None, NO_FILE),
        (lambda *_: "C:\\certificates\\app.pfx", None, NO_FILE),
        (lambda *_: "é", None, NO_FILE),
    ],
    ids=[
        *("no key", "no certificate", "locked", "wrong words", "stranger", "curve", "short"),
        *("pfx locked", "pfx wrong words", "pfx empty words", "pfx cut", "pfx curve", "pfx no key"),
        *("an id", "a path", "no base64"),
    ],
)
def test_what_proves_nothing_is_told_apart(
    content: Callable[[Key, Key], str | bytes],
    passphrase: bytes | None,
    words: str,
    key: rsa.RSAPrivateKey,
    other: rsa.RSAPrivateKey,
) -> None:
    with pytest.raises(Unusable) as problem:
        read(content(key, other), passphrase)
    assert str(problem.value).startswith(words)
    assert problem.value.__cause__ is None


# --- service accounts --------------------------------------------------------------------------------------


def account(key: Key, **changes: object) -> Secret:
    whole = {
        "client_email": "sender@project.iam.gserviceaccount.example",
        "private_key_id": "key-1",
        "private_key": pem_of(key),
    }
    return Secret(json.dumps({**whole, **changes}), "test")


def test_a_service_account_is_read(key: rsa.RSAPrivateKey) -> None:
    email, found, key_id = service_account(account(key))
    assert (email, key_id) == ("sender@project.iam.gserviceaccount.example", "key-1")
    assert found.public_key() == key.public_key()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "null", "[" * 2000, '{"client_email": 1, "private_key": 2, "private_key_id": 3}'],
)
def test_a_service_account_that_is_another_file_is_said_to_be_that(content: str) -> None:
    with pytest.raises(Unusable, match="not the JSON file that Google hands out") as problem:
        service_account(Secret(content, "test"))
    assert problem.value.__cause__ is None


@pytest.mark.parametrize(
    ("private_key", "words"),
    [
        ("", "its private_key cannot be read"),
        ("no key at all", "its private_key cannot be read"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n", "its private_key cannot be read"),
        (pem_of(CURVE), "its private_key is no RSA key"),
    ],
    ids=["empty", "words", "cut", "curve"],
)
def test_a_service_account_with_a_damaged_key_is_said_to_be_that(
    private_key: str, words: str, key: rsa.RSAPrivateKey
) -> None:
    with pytest.raises(Unusable, match=words):
        service_account(account(key, private_key=private_key))
