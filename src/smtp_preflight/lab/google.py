"""Google's OAuth endpoints as the lab plays them, and a plain RFC 6749 server beside them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from smtp_preflight.lab.conditions import Refusal
from smtp_preflight.lab.http import Request, Response
from smtp_preflight.lab.identity import IdentityProvider
from smtp_preflight.lab.tokens import TokenFacts

MAIL_SCOPE = "https://mail.google.com/"
MAIL_AUDIENCE = "https://mail.google.com"

_LIFE_S = 3599


class Google(IdentityProvider):
    """The endpoints for user consent: no tenant, opaque tokens, and an endpoint that explains them."""

    credential_prefix = "GOCSPX-"
    refresh_prefix = "1//0gLab"
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
            "authorize_endpoint": f"{self.origin}/o/oauth2/v2/auth",
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
        }

    def refuse(self, refusal: Refusal, facts: Mapping[str, str]) -> Response:
        """The two members of RFC 6749 section 5.2."""
        text = refusal.text.format_map(facts)
        return Response(refusal.status, {"error": refusal.error, "error_description": text})

    def redeem_refresh_token(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """A token for what was consented to; the refresh token stays as it is."""
        if form.get("scope", MAIL_SCOPE) != MAIL_SCOPE:
            self.say_no(self.wider_scope)
        facts = TokenFacts(
            audience=MAIL_AUDIENCE,
            permissions=frozenset({MAIL_SCOPE}),
            user=self.world.account.mailbox,
            client_id=self.world.account.client_id,
            expires_at=time.time() + _LIFE_S,
        )
        token = self.world.mint.opaque("ya29.a0Lab", 160, facts)
        return {"access_token": token, "expires_in": _LIFE_S, "scope": MAIL_SCOPE, "token_type": "Bearer"}

    def grant_to_application(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """There is no such grant here."""
        self.say_no(self.unknown_grant_type)

    def _discovery(self, _request: Request) -> Response:
        at = self.endpoints("")
        return Response(
            200,
            {
                "issuer": at["issuer"],
                "authorization_endpoint": at["authorize_endpoint"],
                "device_authorization_endpoint": at["device_endpoint"],
                "token_endpoint": at["token_endpoint"],
                "jwks_uri": at["jwks_uri"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "code_challenge_methods_supported": ["S256"],
            },
        )

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
                "sub": str(uuid.uuid5(uuid.NAMESPACE_URL, facts.user).int)[:21],
                "scope": " ".join(sorted(facts.permissions)),
                "exp": str(int(facts.expires_at)),
                "expires_in": str(int(facts.expires_at - time.time())),
                "email": facts.user,
                "email_verified": "true",
                "access_type": "offline",
            },
        )


class Plain(Google):
    """An identity provider of nobody in particular: signed tokens for whatever the profile expects."""

    credential_prefix = "lab-"
    refresh_prefix = "lab-"
    keys_path = "/keys"

    def redeem_refresh_token(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """A token on behalf of the user, and a further refresh token."""
        return self._answer({"upn": self.world.account.mailbox}) | {"refresh_token": self.new_refresh_token()}

    def grant_to_application(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """A token of the application itself."""
        return self._answer({})

    def _answer(self, owner: Mapping[str, str]) -> dict[str, Any]:
        account, now = self.world.account, int(time.time())
        scope = " ".join(account.permissions or account.scope)
        claims = {
            "iss": self.origin,
            "aud": account.audiences[0] if account.audiences else "",
            "sub": account.mailbox,
            "appid": account.client_id,
            "tid": account.tenant_id,
            "scp": scope,
            "iat": now,
            "nbf": now,
            "exp": now + _LIFE_S,
            **owner,
        }
        token = self.world.mint.signed(claims)
        return {"access_token": token, "expires_in": _LIFE_S, "scope": scope, "token_type": "Bearer"}
