"""The token request of each grant (RFC 6749 sections 4 and 6, RFC 7523 section 2.1).

Another grant is one more function in `_FORMS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from smtp_preflight.model import GrantType, Profile
from smtp_preflight.oauth.certificates import Unusable, service_account
from smtp_preflight.oauth.clients import CannotAsk, held, proof_of_client
from smtp_preflight.oauth.http import Request
from smtp_preflight.secrets import Secret, Wallet

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE_S = 3600

REDEEMS_A_REFRESH_TOKEN = frozenset(
    {GrantType.REFRESH_TOKEN, GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE}
)
"""The grants of somebody who has signed in before; a run opens no browser."""

TO_REDEEM = "refresh_token_to_redeem"
"""Where the wallet has it; under ``refresh_token`` is the seed that the profile names, which may be older."""

Form = Mapping[str, Secret | str]


def token_request(profile: Profile, wallet: Wallet, endpoint: str) -> Request:
    """The request for a profile's grant; raises CannotAsk where none can be formed.

    A refresh token to redeem is the wallet's, as `TO_REDEEM`. Assertions made for it go into the wallet too.
    """
    form = _FORMS[profile.oauth.grant](profile, wallet, endpoint)
    # A service account's assertion says whose it is: there is no client beside it (RFC 7523 section 3.1).
    if profile.oauth.grant is GrantType.JWT_BEARER:
        return Request("POST", endpoint, form)
    proof = proof_of_client(profile, wallet, endpoint)
    return Request("POST", endpoint, {**form, **proof.form}, proof.basic)


def _refresh(profile: Profile, wallet: Wallet, _endpoint: str) -> Form:
    """The scope goes along: Entra's tokens are for one resource, and it is what says for which."""
    token = held(wallet, TO_REDEEM)
    return {"grant_type": "refresh_token", "refresh_token": token, **_scope(profile)}


def _client_credentials(profile: Profile, _wallet: Wallet, _endpoint: str) -> Form:
    return {"grant_type": "client_credentials", **_scope(profile)}


def _service_account(profile: Profile, wallet: Wallet, endpoint: str) -> Form:
    """A Google service account in the name of the mailbox's owner, by a JWT it signs itself."""
    email, key, key_id = _account(wallet)
    now = int(time.time())
    claims = {
        "iss": email,
        "sub": profile.mailbox,
        "scope": " ".join(profile.oauth.scope),
        "aud": endpoint,
        "iat": now,
        "exp": now + ASSERTION_LIFE_S,
    }
    signed = jwt.encode(claims, key, algorithm="RS256", headers={"kid": key_id})
    assertion = Secret(signed, "made:assertion")
    wallet.put("assertion", assertion)
    return {"grant_type": JWT_BEARER, "assertion": assertion}


def _account(wallet: Wallet) -> tuple[str, rsa.RSAPrivateKey, str]:
    try:
        return service_account(held(wallet, "service_account"))
    except Unusable:
        raise CannotAsk("credential_unusable") from None


def _scope(profile: Profile) -> Form:
    return {"scope": " ".join(profile.oauth.scope)} if profile.oauth.scope else {}


_FORMS: Mapping[GrantType, Callable[[Profile, Wallet, str], Form]] = {
    **dict.fromkeys(REDEEMS_A_REFRESH_TOKEN, _refresh),
    GrantType.CLIENT_CREDENTIALS: _client_credentials,
    GrantType.JWT_BEARER: _service_account,
}
