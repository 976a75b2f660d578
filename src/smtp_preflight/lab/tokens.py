"""Access tokens as the providers make them: signed (RFC 7519) or opaque, and what each stands for."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ALGORITHM = "RS256"

MOST_OPAQUE = 1000
"""Opaque tokens kept in memory; with more, the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What a mail server wants to know of a token."""

    audience: str
    permissions: frozenset[str]
    user: str  # empty: it belongs to the application itself
    client_id: str
    expires_at: float  # Unix time
    tenant_id: str = ""  # empty: it says nothing of a tenant


def facts_of(claims: Mapping[str, Any]) -> TokenFacts:
    """What a mail server reads in claims, as Entra names them or as RFC 9068 section 2.2 does."""
    said = claims.get("scp", claims.get("scope", ""))
    return TokenFacts(
        audience=claims["aud"],
        permissions=frozenset([*said.split(), *claims.get("roles", ())]),
        user=claims.get("upn", claims.get("email", "")),
        client_id=claims.get("appid", claims.get("client_id", "")),
        expires_at=claims["exp"],
        tenant_id=claims.get("tid", ""),
    )


def base64url(data: bytes) -> str:
    """RFC 4648 section 5, without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Mint:
    """The signing key of one lab, and the tokens it has issued."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._opaque: dict[str, TokenFacts] = {}
        self.kid = secrets.token_urlsafe(20)

    def public_key(self) -> str:
        """The public key as a DKIM record holds it: base64 of its DER form (RFC 6376 section 3.6.1)."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def jwks(self) -> dict[str, Any]:
        """The published key set (RFC 7517 section 5)."""
        numbers = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        key = {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": self.kid, "x5t": self.kid}
        return {"keys": [key | {"n": numbers["n"], "e": numbers["e"]}]}

    def signed(self, claims: Mapping[str, Any], *, typ: str = "JWT") -> str:
        """A signed token, its key named twice in the header as Entra does."""
        headers = {"typ": typ, "kid": self.kid, "x5t": self.kid}
        return jwt.encode(dict(claims), self._key, algorithm=ALGORITHM, headers=headers)

    def forged(self, claims: Mapping[str, Any]) -> str:
        """The same by another key, under this one's name."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return jwt.encode(dict(claims), key, algorithm=ALGORITHM, headers={"kid": self.kid})

    def signed_with_nonce(self, claims: Mapping[str, Any]) -> str:
        """A signed token as Graph wants it: the header shows a nonce, the signature is over its hash.

        Nobody but Graph can verify such a token, which is no sign of forgery.
        """
        nonce = secrets.token_urlsafe(32)
        hashed = base64url(hashlib.sha256(nonce.encode()).digest())
        header = {"typ": "JWT", "nonce": nonce, "alg": ALGORITHM, "x5t": self.kid, "kid": self.kid}
        token = jwt.encode(dict(claims), self._key, algorithm=ALGORITHM, headers=header | {"nonce": hashed})
        return f"{base64url(json.dumps(header).encode())}.{token.partition('.')[2]}"

    def opaque(self, prefix: str, size: int, facts: TokenFacts) -> str:
        """A token that says nothing to anybody but this lab."""
        token = prefix + secrets.token_urlsafe(size)
        self._opaque[token] = facts
        if len(self._opaque) > MOST_OPAQUE:
            del self._opaque[next(iter(self._opaque))]
        return token

    def read(self, token: str) -> TokenFacts | None:
        """What the token stands for, or nothing where it was not issued here, was changed, or has expired."""
        facts = self._opaque.get(token) or self._decoded(token)
        return facts if facts and facts.expires_at > time.time() else None

    def _decoded(self, token: str) -> TokenFacts | None:
        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=[ALGORITHM],
                options={"verify_aud": False, "require": ["exp", "aud"]},
            )
        except jwt.PyJWTError:
            return None
        return facts_of(claims)
