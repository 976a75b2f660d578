"""What an application and a service account have to show in the place of a secret: made here, for this lab.

Each is made when first asked for: keys take their time.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cached_property

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from smtp_preflight.lab.tokens import ALGORITHM, base64url

FEDERATED_ISSUER = "https://token.actions.lab.example"
FEDERATED_SUBJECT = "repo:contoso/mail:ref:refs/heads/main"
FEDERATED_AUDIENCE = "api://AzureADTokenExchange"
SERVICE_ACCOUNT = "mailer@lab-project.iam.gserviceaccount.com"

_KEY_BITS = 2048
_CERTIFICATE_DAYS = 365
_FEDERATED_LIFE_S = 24 * 3600
"""Longer than anybody else's: a lab that is kept running hands it out once."""


class Credentials:
    """Private halves, which a profile's references stand for, and public ones, which these are checked by."""

    def __init__(self, endpoint: Callable[[], str]) -> None:
        self._endpoint = endpoint  # where a service account's token_uri points

    def secrets(self) -> Mapping[str, Callable[[], str]]:
        """What can be handed out, by its key in ``[oauth]``."""
        return {
            "certificate": lambda: self.certificate_pem,
            "federated": self.federated_token,
            "service_account": lambda: self.service_account_json,
        }

    # --- a certificate -----------------------------------------------------------------------------------

    @cached_property
    def _certificate_key(self) -> rsa.RSAPrivateKey:
        return _new_key()

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The certificate that is registered for the application; it signed itself, as is common for it."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "smtp-preflight lab")])
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._certificate_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=_CERTIFICATE_DAYS))
            .sign(self._certificate_key, hashes.SHA256())
        )

    @cached_property
    def certificate_pem(self) -> str:
        """Private key and certificate."""
        return _pem(self._certificate_key) + self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def thumbprints(self) -> Mapping[str, str]:
        """The certificate's, by the header that names it (RFC 7515 sections 4.1.7 and 4.1.8)."""
        algorithms = {"x5t#S256": hashes.SHA256(), "x5t": hashes.SHA1()}  # noqa: S303 - a name, no proof
        return {header: base64url(self.certificate.fingerprint(one)) for header, one in algorithms.items()}

    # --- a federated credential --------------------------------------------------------------------------

    @cached_property
    def _federated_key(self) -> rsa.RSAPrivateKey:
        return _new_key()

    @property
    def federated_public_key(self) -> rsa.RSAPublicKey:
        """By which the other identity provider's tokens are verified."""
        return self._federated_key.public_key()

    def federated_token(self) -> str:
        """A token of another identity provider, such as a workflow gets."""
        now = int(time.time())
        claims = {
            "iss": FEDERATED_ISSUER,
            "sub": FEDERATED_SUBJECT,
            "aud": FEDERATED_AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + _FEDERATED_LIFE_S,
            "jti": secrets.token_urlsafe(16),
        }
        return jwt.encode(claims, self._federated_key, algorithm=ALGORITHM, headers={"kid": "federated"})

    # --- a service account -------------------------------------------------------------------------------

    @cached_property
    def _account_key(self) -> rsa.RSAPrivateKey:
        return _new_key()

    @cached_property
    def account_key_id(self) -> str:
        """The name of the service account's key."""
        return secrets.token_hex(20)

    @property
    def account_public_key(self) -> rsa.RSAPublicKey:
        """By which the service account's assertions are verified."""
        return self._account_key.public_key()

    @cached_property
    def service_account_json(self) -> str:
        """The file that Google hands out for a service account."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "lab-project",
                "private_key_id": self.account_key_id,
                "private_key": _pem(self._account_key),
                "client_email": SERVICE_ACCOUNT,
                "client_id": "112233445566778899001",
                "token_uri": self._endpoint(),
            }
        )


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
