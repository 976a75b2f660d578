"""Entra ID as the lab plays it: work accounts with signed tokens, personal accounts with opaque ones."""

from __future__ import annotations

import datetime as dt
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from smtp_preflight.lab.conditions import Refusal, TokenFlaw
from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.http import Request, Response
from smtp_preflight.lab.identity import IdentityProvider
from smtp_preflight.lab.refusals import ENTRA, Refused
from smtp_preflight.lab.signin import Asked
from smtp_preflight.lab.tokens import TokenFacts

EXCHANGE = "https://outlook.office.com"
EXCHANGE_APPLICATION = "https://outlook.office365.com"
GRAPH = "https://graph.microsoft.com"

EXCHANGE_AUDIENCES = frozenset({EXCHANGE, EXCHANGE_APPLICATION, "00000002-0000-0ff1-ce00-000000000000"})
EXCHANGE_PERMISSIONS = frozenset({"SMTP.Send", "SMTP.SendAsApp"})

_SHARED = ("common", "organizations", "consumers")
_OPENID = ("openid", "profile", "email", "offline_access")

_CONSENTED: Mapping[str, tuple[str, ...]] = {
    EXCHANGE: ("SMTP.Send", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All"),
    EXCHANGE_APPLICATION: ("SMTP.Send", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All"),
    GRAPH: ("SMTP.Send", "Mail.Send", "User.Read"),
}
"""What somebody has consented to, by resource; the first is what ``.default`` stands for."""

_ROLES: Mapping[str, tuple[str, ...]] = {
    EXCHANGE: ("SMTP.SendAsApp",),
    EXCHANGE_APPLICATION: ("SMTP.SendAsApp",),
    GRAPH: ("Mail.Send",),
}

_SHORTEST_LIFE_S, _LONGEST_LIFE_S = 3600, 5399
_BACKDATED_S = 300
"""Entra's tokens begin five minutes before they are issued."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What a token is to say."""

    resource: str
    audience: str
    permissions: tuple[str, ...]
    user: str  # empty: for the application itself
    life_s: int
    flaw: TokenFlaw

    @property
    def scope(self) -> str:
        """The permissions as the answer lists them."""
        return " ".join(f"{self.resource}/{one}" for one in self.permissions)


class Entra(IdentityProvider):
    """The v2.0 endpoints of one tenant."""

    title = "Microsoft"
    credential_prefix = "lab8Q~"
    refresh_prefix = "1.AX0A"
    code_prefix = "1.AX0ALab"
    renews_refresh_tokens = True
    opaque_tokens = False
    sends_refusals_back = True
    refusals = ENTRA

    unknown_tenant = Refusal(
        400,
        "invalid_tenant",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into "
        "the correct cloud. Check with your subscription administrator, this may happen if there are no "
        "active subscriptions for the tenant.",
        code="90002",
    )
    no_grant_type = Refusal(
        400,
        "invalid_request",
        "The request body must contain the following parameter: 'grant_type'.",
        code="900144",
    )
    unknown_grant_type = Refusal(
        400, "unsupported_grant_type", "The app requested an unsupported grant type.", code="70003"
    )
    unknown_client = Refusal(
        400,
        "unauthorized_client",
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can "
        "happen if the application has not been installed by the administrator of the tenant or consented to "
        "by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
        code="700016",
    )
    no_secret = Refusal(
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        code="7000218",
    )
    wrong_secret = Refusal(
        401,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
        "value, not the client secret ID, for a secret added to app '{client_id}'.",
        code="7000215",
    )
    unwanted_secret = Refusal(
        401,
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
        code="700025",
    )
    unknown_refresh_token = Refusal(
        400,
        "invalid_grant",
        "Provided grant is invalid or malformed.",
        code="70000",
        suberror="bad_token",
    )
    no_tenant_for_application = Refusal(
        400,
        "invalid_request",
        "The grant type 'client_credentials' is not supported over the /common or /consumers endpoints. "
        "Please use the /organizations or tenant-specific endpoint.",
        code="9001023",
    )
    scope_not_default = Refusal(
        400,
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value "
        "with /.default suffixed to the resource identifier (application ID URI).",
        code="1002012",
    )
    several_resources = Refusal(
        400,
        "invalid_request",
        "Provided value for the input parameter scope is not valid because it contains more than one "
        "resource. Scope {scope} is not valid.",
        code="28000",
    )
    unknown_resource = Refusal(
        400,
        "invalid_resource",
        "The resource principal named in scope {scope} was not found in the tenant named {tenant}. This can "
        "happen if the application has not been installed by the administrator of the tenant or consented to "
        "by any user in the tenant.",
        code="500011",
    )
    not_consented = Refusal(
        400,
        "invalid_grant",
        "The user or administrator has not consented to use the application with ID '{client_id}'. Send an "
        "interactive authorization request for this user and resource.",
        code="65001",
        suberror="consent_required",
    )

    def endpoints(self, tenant: str) -> Mapping[str, str]:
        """Entra's paths."""
        base = f"{self.origin}/{tenant}"
        return {
            "issuer": f"{base}/v2.0",
            "discovery_uri": f"{base}/v2.0/.well-known/openid-configuration",
            "authorize_endpoint": f"{self.pages}/{tenant}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "device_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
        }

    def routes(self, tenant: str) -> Mapping[tuple[str, str], Callable[[Request], Response]]:
        """Every tenant has its own paths; those of one that does not exist say so."""
        base = f"/{tenant}"
        known = self.world.conditions.identity.tenant_known and tenant.lower() in (
            self.world.account.tenant,
            self.world.account.tenant_id,
        )
        served = {
            ("GET", f"{base}/v2.0/.well-known/openid-configuration"): self._discovery,
            ("GET", f"{base}/discovery/v2.0/keys"): self._keys,
            ("POST", f"{base}/oauth2/v2.0/token"): self.token,
            **self.sign_in_routes(tenant),
        }
        return served if known else dict.fromkeys(served, self._stranger)

    def refuse(self, refusal: Refusal, facts: Mapping[str, str]) -> Response:
        """The JSON of Entra, with the same facts in text and fields."""
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%SZ}"
        text = (
            f"AADSTS{refusal.code}: {refusal.text.format_map(facts)}\r\nTrace ID: {trace}\r\n"
            f"Correlation ID: {correlation}\r\nTimestamp: {stamp}"
        )
        content: dict[str, Any] = {
            "error": refusal.error,
            "error_description": text,
            "error_codes": [int(refusal.code)],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{self.origin}/error?code={refusal.code}",
        }
        if refusal.suberror:
            content["suberror"] = refusal.suberror
        return Response(refusal.status, content, {"x-ms-request-id": trace})

    def grant_on_behalf(self, consent: Consent, scope: str) -> Mapping[str, Any]:
        """A token on behalf of the user."""
        resource, permissions = self._consented(scope.split())
        order = self._flawed(resource, permissions, consent.user or self.world.account.mailbox)
        extra = [one for one in scope.split() if one in ("openid", "profile", "email")]
        return self._answer(order) | {"scope": " ".join([order.scope, *extra])}

    def check_scope(self, scope: str) -> None:
        """One resource, and permissions that it has."""
        try:
            self._consented(scope.split())
        except Refused as refused:
            # What cannot be agreed to because it does not exist has a number of its own here.
            if refused.refusal == self.not_consented:
                raise Refused(self.refusals.sign_in.scope) from None
            raise

    def is_offline(self, asked: Asked, *, first_time: bool) -> bool:
        """Whoever asks for it gets it, each time."""
        return "offline_access" in asked["scope"].split()

    def identity_claims(self, consent: Consent) -> Mapping[str, Any]:
        """An ID token of version 2.0."""
        claims = self._claims_of_sign_in(consent.user, _SHORTEST_LIFE_S)
        email = {"email": consent.user} if "email" in consent.scope.split() else {}
        return {**claims, **email}

    def beside(self, asked: Asked, *, code: bool) -> Mapping[str, str]:
        """The name of the session, which is of no use to a mail client."""
        return {"session_state": str(uuid.uuid4())} if code else {}

    def device_answer(self, begun: Mapping[str, Any], uri: str) -> Mapping[str, Any]:
        """With a sentence to show as it is."""
        message = (
            f"To sign in, use a web browser to open the page {uri} and enter the code "
            f"{begun['user_code']} to authenticate."
        )
        return {**begun, "verification_uri": uri, "message": message}

    def grant_to_application(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """A token of the application itself; the answer lists no scope."""
        if self.world.account.tenant in _SHARED:
            self.say_no(self.no_tenant_for_application)
        resource, slash, permission = form.get("scope", "").rpartition("/")
        if not slash or permission != ".default" or " " in resource:
            self.say_no(self.scope_not_default)
        roles = () if self.world.account.rbac else self._known(_ROLES, resource)
        return self._answer(self._flawed(resource, roles, ""))

    def make_token(self, order: _Order) -> str:
        """A signed version 1.0 token, which is what Exchange Online is given, or one that nobody can read."""
        if self.opaque_tokens or self.world.conditions.manner.opaque_tokens:
            return self._opaque(order)
        claims = (
            self._claims_of_sign_in(order.user, order.life_s) if order.flaw.id_token else self._claims(order)
        )
        mint = self.world.mint
        token = mint.signed_with_nonce(claims) if order.flaw.nonce else mint.signed(claims)
        return token[: len(token) // 2] if order.flaw.damaged else token

    def _opaque(self, order: _Order) -> str:
        facts = TokenFacts(
            audience=order.audience,
            permissions=frozenset(order.permissions),
            user=order.user,
            client_id=self.world.account.client_id,
            expires_at=time.time() + order.life_s,
            tenant_id=order.flaw.tenant_id,
        )
        return self.world.mint.opaque("EwBIA8l6BAAU", 900, facts)

    def _answer(self, order: _Order) -> dict[str, Any]:
        return {
            "token_type": "Bearer",
            "expires_in": max(order.life_s, 0),
            "ext_expires_in": max(order.life_s, 0),
            "access_token": self.make_token(order),
        }

    def _consented(self, words: list[str]) -> tuple[str, tuple[str, ...]]:
        """The one resource these scopes name, and its permissions; nothing named is what was consented to."""
        named = [word for word in words if word not in _OPENID] or [f"{EXCHANGE}/.default"]
        # A permission without a resource is Graph's.
        pairs = [
            (head if slash else GRAPH, tail) for head, slash, tail in (one.rpartition("/") for one in named)
        ]
        resource = pairs[0][0]
        if any(one != resource for one, _ in pairs):
            self.say_no(self.several_resources)
        consented = self._known(_CONSENTED, resource)
        permissions = tuple(consented[0] if one == ".default" else one for _, one in pairs)
        if not set(permissions) <= set(consented):
            self.say_no(self.not_consented)
        return resource, permissions

    def _known(self, table: Mapping[str, tuple[str, ...]], resource: str) -> tuple[str, ...]:
        if resource.rstrip("/") not in table:
            self.say_no(self.unknown_resource)
        return table[resource.rstrip("/")]

    def _flawed(self, resource: str, permissions: tuple[str, ...], user: str) -> _Order:
        """What was asked for, and what the conditions make of it."""
        flaw = self.world.conditions.identity.token_flaw or TokenFlaw()
        instead = flaw.scope if user else flaw.role
        granted = (instead,) if instead else permissions
        return _Order(
            resource=flaw.resource or resource,
            audience=flaw.audience or resource,
            permissions=granted if flaw.permits else (),
            user=user and (flaw.user or user),
            life_s=flaw.life_s
            or _SHORTEST_LIFE_S + secrets.randbelow(_LONGEST_LIFE_S - _SHORTEST_LIFE_S + 1),
            flaw=flaw,
        )

    def _claims(self, order: _Order) -> Mapping[str, Any]:
        account, now = self.world.account, int(time.time())
        of_user = uuid.uuid5(uuid.NAMESPACE_URL, order.user or account.client_id)
        tenant_id = order.flaw.tenant_id or account.tenant_id
        begins = now + (order.flaw.begins_s or -_BACKDATED_S)
        claims = {
            "aud": order.audience,
            "iss": f"https://sts.windows.net/{tenant_id}/",
            "iat": begins,
            "nbf": begins,
            "exp": now + order.life_s,
            "aio": secrets.token_urlsafe(60),
            "app_displayname": "smtp-preflight lab",
            "appid": order.flaw.client_id or account.client_id,
            "appidacr": "1" if account.confidential else "0",
            "idp": f"https://sts.windows.net/{tenant_id}/",
            "oid": str(of_user),
            "rh": secrets.token_urlsafe(40),
            "sid": str(uuid.uuid4()),
            "sub": secrets.token_urlsafe(32) if order.user else str(of_user),
            "tid": tenant_id,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
        }
        if groups := self.world.conditions.manner.groups:
            claims["groups"] = [str(uuid.uuid4()) for _ in range(groups)]
        return {**claims, **(_claims_of_user(order) if order.user else _claims_of_application(order))}

    def _claims_of_sign_in(self, user: str, life_s: int) -> Mapping[str, Any]:
        """An ID token's: who signed in, to which application (OpenID Connect Core section 2)."""
        account, now = self.world.account, int(time.time())
        return {
            "aud": account.client_id,
            "iss": f"{self.origin}/{account.tenant_id}/v2.0",
            "iat": now - _BACKDATED_S,
            "nbf": now - _BACKDATED_S,
            "exp": now + life_s,
            "name": "Lab mailbox",
            "nonce": secrets.token_urlsafe(16),
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, user or account.client_id)),
            "preferred_username": user,
            "sub": secrets.token_urlsafe(32),
            "tid": account.tenant_id,
            "ver": "2.0",
        }

    def _discovery(self, _request: Request) -> Response:
        tenant = self.world.account.tenant
        at = self.endpoints(tenant)
        # The shared endpoints cannot know whose token it will be.
        issuer = "{tenantid}" if tenant in ("common", "organizations") else self.world.account.tenant_id
        return Response(
            200,
            {
                "token_endpoint": at["token_endpoint"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "jwks_uri": at["jwks_uri"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": list(_OPENID),
                "issuer": self.world.conditions.identity.issuer or f"{self.origin}/{issuer}/v2.0",
                "authorization_endpoint": at["authorize_endpoint"],
                "device_authorization_endpoint": at["device_endpoint"],
                "tenant_region_scope": "EU",
                "cloud_instance_name": "microsoftonline.com",
                "cloud_graph_host_name": "graph.windows.net",
                "msgraph_host": "graph.microsoft.com",
            },
        )

    def _keys(self, _request: Request) -> Response:
        return Response(200, self.world.mint.jwks())

    def _stranger(self, request: Request) -> Response:
        return self.refuse(self.unknown_tenant, {"tenant": request.path.split("/")[1]})


def _claims_of_user(order: _Order) -> Mapping[str, Any]:
    return {
        "scp": " ".join(order.permissions),
        "unique_name": order.user,
        "upn": order.user,
        "name": "Lab mailbox",
        "ipaddr": "127.0.0.1",
    }


def _claims_of_application(order: _Order) -> Mapping[str, Any]:
    """Without a role granted, there is no ``roles``."""
    roles = {"roles": list(order.permissions)} if order.permissions else {}
    return {"idtyp": "app", **roles}


class PersonalEntra(Entra):
    """Outlook.com: the same endpoints, tokens nobody can read."""

    refresh_prefix = "M.C5LAB_BAY.0.U.-"
    opaque_tokens = True
