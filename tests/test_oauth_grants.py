"""What each grant sends to the token endpoint, and how the application shows who it is."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import jwt
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
)
from cryptography.x509.oid import NameOID

from smtp_preflight.model import GrantType, OAuth, Profile, Provider, SecretRef, Smtp
from smtp_preflight.oauth.clients import CannotAsk
from smtp_preflight.oauth.grants import TO_REDEEM, token_request
from smtp_preflight.oauth.http import Request
from smtp_preflight.secrets import Secret, Wallet

ENDPOINT = "https://login.contoso.example/tenant/oauth2/v2.0/token"
REF = SecretRef("env", ("SOMETHING",))
NOW = dt.datetime.now(dt.UTC)


def profile(grant: GrantType = GrantType.CLIENT_CREDENTIALS, **oauth: Any) -> Profile:
    return Profile(
        name="contoso",
        provider=Provider("custom", "A server"),
        mailbox="alerts@contoso.example",
        smtp=Smtp("smtp.contoso.example"),
        oauth=OAuth(**{"grant": grant, "client_id": "our-client", "scope": ("a/.default", "b"), **oauth}),
    )


def wallet(**secrets: str) -> Wallet:
    held = Wallet()
    for key, value in secrets.items():
        held.put(key, Secret(value, f"test:{key}"))
    return held


def sent(request: Request) -> Mapping[str, str]:
    return {key: values[0] for key, values in parse_qs(request.body().decode(), strict_parsing=True).items()}


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    encoded = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return encoded.decode()


def certificate_for(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "our application")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=1))
        .sign(private, hashes.SHA256())
    )


def certificate_pem(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return certificate_for(private).public_bytes(Encoding.PEM).decode()


# --- grants ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grant", [GrantType.REFRESH_TOKEN, GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE]
)
def test_whoever_signed_in_before_redeems_a_refresh_token_for_the_scope(grant):
    """Entra's refresh tokens are good for several resources: without a scope nobody knows for which."""
    request = token_request(
        profile(grant, client_secret=REF), wallet(client_secret="s3", **{TO_REDEEM: "0.refresh"}), ENDPOINT
    )
    assert (request.method, request.url, request.basic) == ("POST", ENDPOINT, None)
    assert sent(request) == {
        "grant_type": "refresh_token",
        "refresh_token": "0.refresh",
        "scope": "a/.default b",
        "client_id": "our-client",
        "client_secret": "s3",
    }


def test_an_application_asks_for_a_token_of_its_own():
    request = token_request(profile(client_secret=REF), wallet(client_secret="s+/="), ENDPOINT)
    assert sent(request) == {
        "grant_type": "client_credentials",
        "scope": "a/.default b",
        "client_id": "our-client",
        "client_secret": "s+/=",
    }


def test_without_a_scope_none_is_sent():
    request = token_request(profile(client_secret=REF, scope=()), wallet(client_secret="s"), ENDPOINT)
    assert "scope" not in sent(request)


def test_by_basic_nothing_of_the_client_stands_in_the_body():
    """RFC 6749 section 2.3: one way to authenticate a request, never two."""
    request = token_request(
        profile(client_secret=REF, client_auth="basic"), wallet(client_secret="s3"), ENDPOINT
    )
    assert set(sent(request)) == {"grant_type", "scope"}
    assert request.basic is not None
    assert (request.basic[0], request.basic[1].reveal()) == ("our-client", "s3")


def test_a_public_client_sends_its_id_and_never_a_secret():
    request = token_request(
        profile(GrantType.REFRESH_TOKEN, client_type="public", client_secret=REF, client_auth="basic"),
        wallet(client_secret="s3", **{TO_REDEEM: "0.refresh"}),
        ENDPOINT,
    )
    assert set(sent(request)) == {"grant_type", "scope", "refresh_token", "client_id"}
    assert request.basic is None


def test_a_confidential_client_that_names_no_secret_leaves_it_to_the_endpoint_to_say_so():
    assert set(sent(token_request(profile(), wallet(), ENDPOINT))) == {"grant_type", "scope", "client_id"}


def test_a_secret_that_could_not_be_read_is_no_reason_to_ask_without_it():
    with pytest.raises(CannotAsk, match=r"^secret_unavailable$"):
        token_request(profile(client_secret=REF), wallet(), ENDPOINT)


# --- certificate and federated credential ------------------------------------------------------------------


def test_a_certificate_signs_who_the_application_is(key):
    """The form Entra documents: PS256, the certificate's SHA-256 in the header, one audience, short life."""
    held = wallet(certificate=private_pem(key) + certificate_pem(key), client_secret="s3")
    request = token_request(profile(certificate=REF, client_secret=REF), held, ENDPOINT)
    form = sent(request)
    assert "client_secret" not in form
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    found = jwt.decode_complete(
        form["client_assertion"], key.public_key(), algorithms=["PS256"], audience=ENDPOINT
    )
    digest = hashlib.sha256(certificate_for_pem(held).public_bytes(Encoding.DER)).digest()
    assert found["header"] == {
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    claims = found["payload"]
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("our-client", "our-client", ENDPOINT)
    assert claims["exp"] - claims["nbf"] == 300
    assert held.redact(form["client_assertion"]) == "<redacted>"


def certificate_for_pem(held: Wallet) -> x509.Certificate:
    secret = held.get("certificate")
    assert secret is not None
    return x509.load_pem_x509_certificate(secret.reveal().encode())


def test_each_assertion_is_used_once(key):
    held = wallet(certificate=certificate_pem(key) + private_pem(key))
    requests = [token_request(profile(certificate=REF), held, ENDPOINT) for _ in range(2)]
    told = [
        jwt.decode(sent(one)["client_assertion"], options={"verify_signature": False}) for one in requests
    ]
    assert told[0]["jti"] != told[1]["jti"]


def test_a_certificate_is_opened_with_its_passphrase(key):
    locked = private_pem(key, BestAvailableEncryption(b"passphrase")) + certificate_pem(key)
    held = wallet(certificate=locked, certificate_passphrase="passphrase")
    form = sent(token_request(profile(certificate=REF), held, ENDPOINT))
    assert jwt.decode(form["client_assertion"], key.public_key(), algorithms=["PS256"], audience=ENDPOINT)


def test_a_certificate_that_proves_nothing_is_no_reason_to_ask_without_it(key):
    with pytest.raises(CannotAsk, match=r"^credential_unusable$") as problem:
        token_request(profile(certificate=REF), wallet(certificate=certificate_pem(key)), ENDPOINT)
    assert problem.value.__cause__ is None


def test_a_federated_credential_is_handed_on_as_it_is():
    request = token_request(profile(federated=REF), wallet(federated="eyJ.of.another"), ENDPOINT)
    assert sent(request)["client_assertion"] == "eyJ.of.another"
    assert sent(request)["client_id"] == "our-client"


# --- service account ---------------------------------------------------------------------------------------


def account(private: rsa.RSAPrivateKey, **changes: object) -> str:
    whole = {
        "type": "service_account",
        "client_email": "sender@project.iam.gserviceaccount.example",
        "private_key_id": "key-1",
        "private_key": private_pem(private),
    }
    return json.dumps({**whole, **changes})


def test_a_service_account_speaks_in_the_name_of_the_mailbox(key):
    """RFC 7523 section 2.1 with a subject, for an hour at most; no client beside it."""
    held = wallet(service_account=account(key))
    form = sent(token_request(profile(GrantType.JWT_BEARER, service_account=REF), held, ENDPOINT))
    assert set(form) == {"grant_type", "assertion"}
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    found = jwt.decode_complete(form["assertion"], key.public_key(), algorithms=["RS256"], audience=ENDPOINT)
    assert found["header"] == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    claims = found["payload"]
    assert (claims["iss"], claims["sub"]) == (
        "sender@project.iam.gserviceaccount.example",
        "alerts@contoso.example",
    )
    assert claims["scope"] == "a/.default b"
    assert claims["exp"] - claims["iat"] == 3600
    assert held.redact(form["assertion"]) == "<redacted>"


def test_a_service_account_that_proves_nothing_is_not_asked_for():
    held = wallet(service_account="{}")
    with pytest.raises(CannotAsk, match=r"^credential_unusable$") as problem:
        token_request(profile(GrantType.JWT_BEARER, service_account=REF), held, ENDPOINT)
    assert problem.value.__cause__ is None


def test_a_service_account_that_could_not_be_read_is_not_asked_for():
    unread = profile(GrantType.JWT_BEARER, service_account=REF)
    with pytest.raises(CannotAsk, match=r"^secret_unavailable$"):
        token_request(unread, wallet(), ENDPOINT)
