"""Signed statements in the place of secrets (RFC 7523): read, verified, and refused one by one.

An application's own, by its certificate; a federated one, by another identity provider; and a service
account's, which is a grant. Each check has a refusal of its own, for that is what diagnosis lives on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.credentials import (
    FEDERATED_AUDIENCE,
    FEDERATED_ISSUER,
    FEDERATED_SUBJECT,
    SERVICE_ACCOUNT,
    Credentials,
)
from smtp_preflight.lab.refusals import BearerRefusals, Refused

if TYPE_CHECKING:
    from smtp_preflight.lab.identity import IdentityProvider

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

MOST_SEEN = 1000
"""Names of assertions kept in memory; with more, the oldest is forgotten."""

_SKEW_S = 60
_LONGEST_BEARER_S = 3900
"""Google takes a little more than the hour it documents."""

_CLAIMS_OF_CLIENT = ("aud", "exp", "iss", "sub", "jti")
_TIMES = (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError)


class Assertions:
    """What one identity provider thinks of the assertions it is shown."""

    def __init__(self, provider: IdentityProvider, credentials: Credentials) -> None:
        self._provider = provider
        self._credentials = credentials
        self._seen: dict[str, None] = {}  # in order

    def check_client(self, form: Mapping[str, str], client_id: str) -> None:
        """Let an application show who it is; raises Refused (RFC 7523 section 3)."""
        refusals = self._provider.refusals.proof
        if form.get("client_assertion_type") != CLIENT_ASSERTION_TYPE:
            raise Refused(refusals.type)
        assertion = form["client_assertion"]
        if _unverified(assertion).get("iss") == client_id:
            self._check_own(assertion, client_id)
        else:
            self._check_federated(assertion)

    def _check_own(self, assertion: str, client_id: str) -> None:
        """By the certificate that the header names, for this token endpoint, once."""
        refusals = self._provider.refusals.proof
        named = [(name, value) for name, value in _header(assertion).items() if name in ("x5t#S256", "x5t")]
        if not named or any(self._credentials.thumbprints[name] != value for name, value in named):
            raise Refused(refusals.key, {"thumbprint": named[0][1] if named else ""})
        key = self._credentials.certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        claims = self._verified(assertion, key, ("PS256", "RS256"), _CLAIMS_OF_CLIENT)
        if not self._provider.is_meant_by(claims["aud"]):
            raise Refused(refusals.audience)
        if claims["sub"] != client_id:
            raise Refused(refusals.subject)
        if claims["jti"] in self._seen:
            raise Refused(refusals.replay)
        self._remember(claims["jti"])

    def _check_federated(self, assertion: str) -> None:
        """By the one trust that is registered: issuer, subject and audience letter by letter."""
        refusals = self._provider.refusals.proof
        claimed = _unverified(assertion)
        for name, registered, refusal in (
            ("iss", FEDERATED_ISSUER, refusals.federated_issuer),
            ("sub", FEDERATED_SUBJECT, refusals.federated_subject),
            ("aud", FEDERATED_AUDIENCE, refusals.federated_audience),
        ):
            if claimed.get(name) != registered:
                told = str(claimed.get(name, ""))
                raise Refused(refusal, {"issuer": told, "subject": told, "audience": told})
        self._verified(assertion, self._credentials.federated_public_key, ("RS256",), ("aud", "exp"))

    def _verified(
        self, assertion: str, key: rsa.RSAPublicKey, algorithms: tuple[str, ...], required: tuple[str, ...]
    ) -> Mapping[str, Any]:
        refusals = self._provider.refusals.proof
        try:
            claims = _decoded(assertion, key, algorithms, required)
        except _TIMES:
            raise Refused(refusals.times) from None
        except jwt.MissingRequiredClaimError:
            raise Refused(refusals.claims) from None
        except jwt.PyJWTError:
            raise Refused(refusals.signature) from None
        if not isinstance(claims["aud"], str):  # Entra refuses a list, though JWT allows one
            raise Refused(refusals.claims)
        return claims

    def _remember(self, jti: str) -> None:
        self._seen[jti] = None
        if len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]

    def redeem(self, form: Mapping[str, str], refusals: BearerRefusals) -> Consent:
        """What a service account may do in somebody's name (RFC 7523 section 2.1); raises Refused."""
        assertion = form.get("assertion", "")
        if _unverified(assertion).get("iss") != SERVICE_ACCOUNT:
            raise Refused(refusals.account)
        if _header(assertion).get("kid") not in (None, self._credentials.account_key_id):
            raise Refused(refusals.signature)
        try:
            claims = _decoded(
                assertion, self._credentials.account_public_key, ("RS256",), ("aud", "exp", "iat", "scope")
            )
        except (*_TIMES, jwt.MissingRequiredClaimError):
            raise Refused(refusals.times) from None
        except jwt.PyJWTError:
            raise Refused(refusals.signature) from None
        if not self._provider.is_meant_by(claims["aud"]):
            raise Refused(refusals.audience)
        if claims["exp"] - claims["iat"] > _LONGEST_BEARER_S or claims["exp"] < time.time() - _SKEW_S:
            raise Refused(refusals.times)
        if not self._provider.has_account(str(claims.get("sub", ""))):
            raise Refused(refusals.user)
        if not set(str(claims["scope"]).split()) <= set(self._provider.delegated_scopes()):
            raise Refused(refusals.not_delegated)
        return Consent(user=str(claims["sub"]).lower(), scope=claims["scope"], offline=False)


def _decoded(
    assertion: str, key: rsa.RSAPublicKey, algorithms: tuple[str, ...], required: tuple[str, ...]
) -> Mapping[str, Any]:
    """The claims of an assertion whose signature and times are right; its audience is not looked at here."""
    claims: Mapping[str, Any] = jwt.decode(
        assertion,
        key,
        algorithms=list(algorithms),
        leeway=_SKEW_S,
        options={"require": list(required), "verify_aud": False},
    )
    return claims


def _header(assertion: str) -> Mapping[str, Any]:
    try:
        return jwt.get_unverified_header(assertion)
    except jwt.PyJWTError:
        return {}


def _unverified(assertion: str) -> Mapping[str, Any]:
    """What an assertion claims, to know whom to ask; nothing where it cannot be read."""
    try:
        claims: Mapping[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError:
        return {}
    return claims
