"""How an application shows who it is (RFC 6749 section 2.3): by secret, certificate or federated credential.

Another way is one more function in `_PROOFS`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jwt

from smtp_preflight.model import Profile
from smtp_preflight.oauth.certificates import ClientCertificate, Unusable, opened
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
    certificate = client_certificate(wallet)
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
    headers = {"x5t#S256": certificate.thumbprint}
    signed = jwt.encode(claims, certificate.key, algorithm="PS256", headers=headers)
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


def client_certificate(wallet: Wallet) -> ClientCertificate:
    """What the wallet's certificate holds, opened; raises CannotAsk where it can prove nothing."""
    try:
        return opened(held(wallet, "certificate"), wallet.get("certificate_passphrase"))
    except Unusable:
        raise CannotAsk("credential_unusable") from None
