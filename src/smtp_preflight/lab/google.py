"""Google's OAuth endpoints as the lab plays them, and a plain RFC 6749 server beside them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from smtp_preflight.lab.conditions import Refusal, TokenFlaw
from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.http import Request, Response
from smtp_preflight.lab.identity import IdentityProvider
from smtp_preflight.lab.refusals import GOOGLE, PLAIN
from smtp_preflight.lab.signin import Asked
from smtp_preflight.lab.tokens import TokenFacts, facts_of

MAIL_SCOPE = "https://mail.google.com/"
MAIL_AUDIENCE = "https://mail.google.com"

_OPENID = ("openid", "profile", "email")
_LIFE_S = 3599
_OPAQUE_BYTES = 32  # of chance, where nobody in particular issues a token that cannot be read


class Google(IdentityProvider):
    """The endpoints for user consent: no tenant, opaque tokens, and an endpoint that explains them."""

    title = "Google"
    credential_prefix = "GOCSPX-"
    refresh_prefix = "1//0gLab"
    code_prefix = "4/0Lab"
    renews_refresh_tokens = False
    sends_refusals_back = False
    refusals = GOOGLE
    keys_path = "/oauth2/v3/certs"

    no_grant_type = Refusal(400, "invalid_request", "Required parameter is missing: grant_type")
    unknown_grant_type = Refusal(400, "unsupported_grant_type", "Invalid grant_type")
    unknown_client = Refusal(401, "invalid_client", "The OAuth client was not found.")
    no_secret = Refusal(400, "invalid_request", "client_secret is missing.")
    wrong_secret = Refusal(401, "invalid_client", "Unauthorized")
    unwanted_secret = Refusal(401, "invalid_client", "Unauthorized")
    unknown_refresh_token = Refusal(400, "invalid_grant", "Bad Request")
    wider_scope = Refusal(400, "invalid_scope", "Some requested scopes were invalid: {scope}")

    def endpoints(self, tenant: str) -> Mapping[str, str]:
        """The same for everyone."""
        return {
            "issuer": self.origin,
            "discovery_uri": f"{self.origin}/.well-known/openid-configuration",
            "authorize_endpoint": f"{self.pages}/o/oauth2/v2/auth",
            "token_endpoint": f"{self.origin}/token",
            "device_endpoint": f"{self.origin}/device/code",
            "jwks_uri": f"{self.origin}{self.keys_path}",
            "token_info_uri": f"{self.origin}/tokeninfo",
        }

    def routes(self, tenant: str) -> Mapping[tuple[str, str], Callable[[Request], Response]]:
        """No path depends on a tenant."""
        return {
            ("GET", "/.well-known/openid-configuration"): self._discovery,
            ("GET", self.keys_path): self._keys,
            ("POST", "/token"): self.token,
            ("POST", "/tokeninfo"): self._token_info,
            **self.sign_in_routes(tenant),
        }

    def refuse(self, refusal: Refusal, facts: Mapping[str, str]) -> Response:
        """The two members of RFC 6749 section 5.2."""
        text = refusal.text.format_map(facts)
        subtype = {"error_subtype": refusal.suberror} if refusal.suberror else {}
        return Response(refusal.status, {"error": refusal.error, "error_description": text, **subtype})

    def grant_on_behalf(self, consent: Consent, scope: str) -> Mapping[str, Any]:
        """A token for what was consented to, or for less."""
        flaw = self.world.conditions.identity.token_flaw or TokenFlaw()
        consented = consent.scope or MAIL_SCOPE
        if not set(scope.split()) <= {*consented.split(), flaw.scope}:
            self.say_no(self.wider_scope)
        scope, life_s = flaw.scope or scope or consented, flaw.life_s or _LIFE_S
        facts = TokenFacts(
            audience=MAIL_AUDIENCE,
            permissions=frozenset(scope.split()),
            user=flaw.user or consent.user or self.world.account.mailbox,
            client_id=self.world.account.client_id,
            expires_at=time.time() + life_s,
        )
        token = self.world.mint.opaque("ya29.a0Lab", 160, facts)
        return {"access_token": token, "expires_in": life_s, "scope": scope, "token_type": "Bearer"}

    def grant_to_application(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """There is no such grant here."""
        self.say_no(self.unknown_grant_type)

    def check_scope(self, scope: str) -> None:
        """Mail, and who somebody is."""
        if not set(scope.split()) <= {MAIL_SCOPE, *_OPENID}:
            self.say_no(self.refusals.sign_in.scope)

    def check_device_scope(self, scope: str) -> None:
        """Never mail: the device flow gets a few scopes only."""
        if not set(scope.split()) <= set(_OPENID):
            self.say_no(self.refusals.device.scope)

    def is_offline(self, asked: Asked, *, first_time: bool) -> bool:
        """Only on demand, and the second time only where consent is asked for anew."""
        again = first_time or "consent" in asked.get("prompt", "").split()
        return asked.get("access_type") == "offline" and again

    def identity_claims(self, consent: Consent) -> Mapping[str, Any]:
        """Who signed in, by a number that never changes."""
        account, now = self.world.account, int(time.time())
        claims = {
            "iss": self.endpoints("")["issuer"],
            "aud": account.client_id,
            "azp": account.client_id,
            "sub": _number_of(consent.user),
            "iat": now,
            "exp": now + _LIFE_S,
        }
        named = {"email": consent.user, "email_verified": True} if "email" in consent.scope.split() else {}
        return {**claims, **named}

    def beside(self, asked: Asked, *, code: bool) -> Mapping[str, str]:
        """What was agreed to."""
        return {"scope": asked["scope"]} if code else {}

    def device_answer(self, begun: Mapping[str, Any], uri: str) -> Mapping[str, Any]:
        """By a name of its own, older than the RFC's."""
        return {**begun, "verification_url": uri}

    def delegated_scopes(self) -> tuple[str, ...]:
        """What the domain's administrator has entered for the service account."""
        return (MAIL_SCOPE,)

    def _discovery(self, _request: Request) -> Response:
        return Response(200, self._metadata())

    def _metadata(self) -> Mapping[str, Any]:
        at = self.endpoints("")
        return {
            "issuer": self.world.conditions.identity.issuer or at["issuer"],
            "authorization_endpoint": at["authorize_endpoint"],
            "device_authorization_endpoint": at["device_endpoint"],
            "token_endpoint": at["token_endpoint"],
            "jwks_uri": at["jwks_uri"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _keys(self, _request: Request) -> Response:
        return Response(200, self.world.mint.jwks())

    def _token_info(self, request: Request) -> Response:
        facts = self.world.mint.read(request.form.get("access_token", ""))
        if facts is None:
            return Response(400, {"error": "invalid_token", "error_description": "Invalid Value"})
        return Response(
            200,
            {
                "azp": facts.client_id,
                "aud": facts.client_id,
                "sub": _number_of(facts.user),
                "scope": " ".join(sorted(facts.permissions)),
                "exp": str(int(facts.expires_at)),
                "expires_in": str(int(facts.expires_at - time.time())),
                "email": facts.user,
                "email_verified": "true",
                "access_type": "offline",
            },
        )


def _number_of(user: str) -> str:
    """The number by which Google knows an account."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, user).int)[:21]


class Plain(Google):
    """An identity provider of nobody in particular: signed tokens for whatever the profile expects."""

    title = "Any provider"
    credential_prefix = "lab-"
    refresh_prefix = "lab-"
    code_prefix = "lab-"
    renews_refresh_tokens = True
    sends_refusals_back = True
    refusals = PLAIN
    keys_path = "/keys"

    def grant_on_behalf(self, consent: Consent, scope: str) -> Mapping[str, Any]:
        """A token on behalf of the user, for whatever the profile expects."""
        return self._answer(consent.user or self.world.account.mailbox)

    def check_scope(self, scope: str) -> None:
        """Whatever is asked for."""

    def check_device_scope(self, scope: str) -> None:
        """Whatever is asked for."""

    def is_offline(self, asked: Asked, *, first_time: bool) -> bool:
        """Always: RFC 6749 leaves it to the server."""
        return True

    def beside(self, asked: Asked, *, code: bool) -> Mapping[str, str]:
        """Who answers (RFC 9207)."""
        return {"iss": self.endpoints("")["issuer"]}

    def device_answer(self, begun: Mapping[str, Any], uri: str) -> Mapping[str, Any]:
        """As RFC 8628 section 3.2 has it, with the address that saves typing."""
        complete = f"{uri}?user_code={begun['user_code']}"
        return {**begun, "verification_uri": uri, "verification_uri_complete": complete}

    def delegated_scopes(self) -> tuple[str, ...]:
        """What the profile asks for."""
        return self.world.account.scope

    def grant_to_application(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """A token of the application itself."""
        return self._answer("")

    def _metadata(self) -> Mapping[str, Any]:
        return {
            **super()._metadata(),
            "token_endpoint_auth_methods_supported": [
                "client_secret_post",
                "client_secret_basic",
                "private_key_jwt",
            ],
            "authorization_response_iss_parameter_supported": True,
        }

    def _answer(self, user: str) -> dict[str, Any]:
        """With a token of this user, or of the application where none is named."""
        account, now = self.world.account, int(time.time())
        flaw = self.world.conditions.identity.token_flaw or TokenFlaw()
        user, life_s = flaw.user or user, flaw.life_s or _LIFE_S
        scope = (flaw.scope or " ".join(account.scope or account.permissions)) if flaw.permits else ""
        claims = {
            "iss": self.origin,
            "aud": flaw.audience or (account.audiences[0] if account.audiences else ""),
            "sub": user or account.mailbox,
            "iat": now + flaw.begins_s,
            "exp": now + life_s,
        }
        return {
            "access_token": self._token(claims, user, scope),
            "expires_in": max(life_s, 0),
            "token_type": "Bearer",
            **({"scope": scope} if scope else {}),
        }

    def _token(self, claims: Mapping[str, Any], user: str, scope: str) -> str:
        """A token with these claims, and those that each provider names in its own way."""
        account, manner, mint = self.world.account, self.world.conditions.manner, self.world.mint
        flaw = self.world.conditions.identity.token_flaw or TokenFlaw()
        if manner.tokens_by_rfc9068:
            owner = {"email": user} if user else {}
            named = {"client_id": account.client_id, "jti": str(uuid.uuid4()), "scope": scope}
            return mint.signed({**claims, **named, **owner}, typ="at+jwt")
        owner = {"upn": user} if user else {}
        named = {"appid": account.client_id, "tid": account.tenant_id, "scp": scope}
        whole = {**claims, **named, **owner, "nbf": claims["iat"]}
        if manner.opaque_tokens:
            return mint.opaque("lab-", _OPAQUE_BYTES, facts_of(whole))
        return mint.forged(whole) if flaw.forged else mint.signed(whole)
