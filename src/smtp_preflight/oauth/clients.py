"""How an application shows who it is (RFC 6749 section 2.3): by secret, certificate or federated credential.

Another way is one more function in `_PROOFS`.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from smtp_preflight.model import Profile
from smtp_preflight.secrets import Secret, Wallet

ASSERTION_LIFE_S = 300
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class CannotAsk(Exception):
    """Why no token request can be formed; a code, or words that hold no secret."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request carries to show whose it is."""

    form: Mapping[str, Secret | str] = field(default_factory=dict)
    basic: tuple[str, Secret] | None = None


def held(wallet: Wallet, key: str) -> Secret:
    """A secret the profile names; raises CannotAsk where it could not be read."""
    secret = wallet.get(key)
    if secret is None:
        raise CannotAsk("secret_unavailable")
    return secret


def proof_of_client(profile: Profile, wallet: Wallet, endpoint: str) -> Proof:
    """What this client sends with every token request.

    A public client sends its id and no secret, but where the provider wants one of every client; a
    confidential one what the profile names, the strongest first. Where it names nothing, the endpoint is left
    to say so.
    """
    shows_proof = profile.oauth.client_type == "confidential" or profile.provider.client_secret_required
    named = profile.oauth.secrets() if shows_proof else {}
    way = next((way for key, way in _PROOFS.items() if key in named), _nothing)
    return way(profile, wallet, endpoint)


def _nothing(profile: Profile, _wallet: Wallet, _endpoint: str) -> Proof:
    return Proof({"client_id": profile.oauth.client_id} if profile.oauth.client_id else {})


def _secret(profile: Profile, wallet: Wallet, _endpoint: str) -> Proof:
    """In the body or by Basic, never both (RFC 6749 section 2.3.1)."""
    client_id, secret = profile.oauth.client_id, held(wallet, "client_secret")
    if profile.oauth.client_auth == "basic":
        return Proof(basic=(client_id, secret))
    return Proof({"client_id": client_id, "client_secret": secret})


def _certificate(profile: Profile, wallet: Wallet, endpoint: str) -> Proof:
    """A JWT signed with the certificate's key (RFC 7523 section 2.2), in the form Entra documents."""
    key, certificate = _key_and_certificate(held(wallet, "certificate"))
    now = int(time.time())
    claims = {
        "aud": endpoint,  # one text: Entra refuses a list
        "iss": profile.oauth.client_id,
        "sub": profile.oauth.client_id,
        "jti": str(uuid.uuid4()),
        "iat": now,
        "nbf": now,
        "exp": now + ASSERTION_LIFE_S,
    }
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    signed = jwt.encode(claims, key, algorithm="PS256", headers={"x5t#S256": thumbprint})
    return _assertion(profile, wallet, Secret(signed, "made:client_assertion"))


def _federated(profile: Profile, wallet: Wallet, _endpoint: str) -> Proof:
    """A token of another identity provider, handed on as it is."""
    return _assertion(profile, wallet, held(wallet, "federated"))


def _assertion(profile: Profile, wallet: Wallet, assertion: Secret) -> Proof:
    wallet.put("client_assertion", assertion)
    return Proof(
        {
            "client_id": profile.oauth.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
    )


_PROOFS: Mapping[str, Callable[[Profile, Wallet, str], Proof]] = {
    "certificate": _certificate,
    "federated": _federated,
    "client_secret": _secret,
}


def _key_and_certificate(pem: Secret) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """Private key and certificate out of one PEM text, in whichever order they stand in it."""
    text = pem.reveal().encode()
    try:
        key = serialization.load_pem_private_key(text, password=None)
        certificate = x509.load_pem_x509_certificate(text)
    except TypeError:
        raise CannotAsk("the certificate's private key is encrypted; give one that is not") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CannotAsk("the certificate needs a private key and a certificate, both in PEM form") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CannotAsk("the certificate's key is not an RSA key")
    if key.public_key() != certificate.public_key():
        raise CannotAsk("the private key is not the certificate's")
    return key, certificate
