"""What the lab's identity providers have in common: an application shows who it is and gets a token.

``entra`` and ``google`` say which paths they serve, what a token looks like and how a refusal is worded.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hmac
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import urlsplit

from smtp_preflight.lab.assertions import JWT_BEARER, Assertions
from smtp_preflight.lab.conditions import BROWSER_HOST, Instead, Refusal
from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.credentials import Credentials
from smtp_preflight.lab.devices import Devices
from smtp_preflight.lab.http import Request, Response
from smtp_preflight.lab.refresh_tokens import RefreshTokens
from smtp_preflight.lab.refusals import Refusals, Refused
from smtp_preflight.lab.signin import Asked, SignIn
from smtp_preflight.lab.world import World

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS = ("refresh_token", "client_credentials", "authorization_code", DEVICE_CODE, JWT_BEARER)

VERIFICATION_PATH = "/device"

NOT_FOUND = Response(404, {"error": "not_found"})


class IdentityProvider(ABC):
    """The HTTPS side of a provider."""

    title: str  # as its pages name it
    credential_prefix: str
    refresh_prefix: str
    code_prefix: str
    renews_refresh_tokens: bool
    sends_refusals_back: bool  # to the application; else its pages show them

    refusals: Refusals
    no_grant_type: Refusal
    unknown_grant_type: Refusal
    unknown_client: Refusal
    no_secret: Refusal
    wrong_secret: Refusal
    unwanted_secret: Refusal
    unknown_refresh_token: Refusal

    def __init__(self, world: World, origin: str) -> None:
        self.world = world
        self.origin = origin  # https://host:port
        self.pages = f"https://{BROWSER_HOST}:{urlsplit(origin).port}"
        self.refresh_tokens = RefreshTokens(self.refresh_prefix, world.conditions.identity.reuse)
        self.credentials = Credentials(lambda: self.endpoints(world.account.tenant)["token_endpoint"])
        self.sign_in = SignIn(self)
        self.devices = Devices(self)
        self.assertions = Assertions(self, self.credentials)

    @classmethod
    def new_secret(cls) -> str:
        """A client secret in the provider's shape."""
        return cls.credential_prefix + secrets.token_urlsafe(24)

    @abstractmethod
    def endpoints(self, tenant: str) -> Mapping[str, str]:
        """The endpoints by their names in ``OAuth``, for a tenant as the profile writes it."""

    @abstractmethod
    def routes(self, tenant: str) -> Mapping[tuple[str, str], Callable[[Request], Response]]:
        """Method and path to what serves them."""

    @abstractmethod
    def grant_on_behalf(self, consent: Consent, scope: str) -> Mapping[str, Any]:
        """The token answer for somebody who has agreed; raises Refused for what is asked of it.

        scope: what this token is to be for; empty for all that was consented to.
        """

    @abstractmethod
    def grant_to_application(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token answer to the application itself; raises Refused."""

    @abstractmethod
    def refuse(self, refusal: Refusal, facts: Mapping[str, str]) -> Response:
        """A refusal in the provider's own form; ``facts`` is what its text may name."""

    def answer(self, request: Request) -> Response:
        """Serve one request, and keep which it was."""
        tenant = request.path.split("/")[1] if request.path.startswith("/") else ""
        serve = {**self._device_pages(), **self.routes(tenant)}.get((request.method, request.path))
        response = self._under_conditions(request, tenant, serve(request) if serve else NOT_FOUND)
        grant = request.form.get("grant_type", "")
        shown = f" {grant}" if grant in GRANTS else ""
        self.world.note("http", f"{request.method} {request.path}{shown} {response.status}")
        return response

    def _under_conditions(self, request: Request, tenant: str, response: Response) -> Response:
        """What really goes out, and by which clock."""
        conditions = self.world.conditions.identity
        named = {urlsplit(url).path: name for name, url in self.endpoints(tenant).items()}
        instead = conditions.instead.get(named.get(request.path, ""), Instead())
        if instead.status:
            response = Response(instead.status, instead.body, instead.headers)
        now = time.time() + conditions.clock_ahead_s
        headers = {"Date": email.utils.formatdate(now, usegmt=True), **response.headers}
        return replace(response, headers=headers, late_s=instead.late_s, fate=instead.fate)

    def token(self, request: Request) -> Response:
        """The token endpoint (RFC 6749 section 3.2)."""
        form = request.form
        try:
            granted = self._granted(request, form)
            self._mind(self.world.conditions.identity.grant_refusal)
            return Response(200, granted)
        except Refused as refused:
            return self.refuse(refused.refusal, {**self._facts(request, form), **refused.facts})

    def _granted(self, request: Request, form: Mapping[str, str]) -> Mapping[str, Any]:
        if form.get("grant_type") == JWT_BEARER and self.refusals.bearer:
            # A service account's assertion says whose it is: there is no client beside it.
            consent = self.assertions.redeem(form, self.refusals.bearer)
            return self.grant_on_behalf(consent, consent.scope)
        self._identify(request, form)
        match form.get("grant_type"):
            case "refresh_token":
                return self._redeem_refresh_token(form)
            case "client_credentials":
                return self.grant_to_application(form)
            case "authorization_code":
                return self._signed_in(self.sign_in.redeem(form), form)
            case grant if grant == DEVICE_CODE:
                return self._signed_in(self.devices.redeem(form), form)
            case None:
                self.say_no(self.no_grant_type)
            case _:
                self.say_no(self.unknown_grant_type)

    def _identify(self, request: Request, form: Mapping[str, str]) -> None:
        """Let the application show who it is, by Basic or in the body (RFC 6749 section 2.3.1)."""
        in_body = form.get("client_id", ""), form.get("client_secret", "")
        client_id, secret = request.basic_credentials or in_body
        if not self.knows(client_id):
            self.say_no(self.unknown_client)
        assertion = form.get("client_assertion", "")
        if self.world.account.confidential and assertion:
            self.assertions.check_client(form, client_id)
            self._mind(self.world.conditions.identity.client_refusal)
        elif self.world.account.confidential:
            self._check_secret(secret)
        elif secret or assertion:
            self.say_no(self.unwanted_secret)

    def _check_secret(self, secret: str) -> None:
        if not secret:
            self.say_no(self.no_secret)
        right = hmac.compare_digest(secret.encode(), self.world.client_secret.encode())
        if not (right and self.world.conditions.identity.secret_taken):
            self.say_no(self.wrong_secret)
        self._mind(self.world.conditions.identity.client_refusal)

    def _redeem_refresh_token(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token answer to a refresh token, with its successor where the provider issues one."""
        conditions = self.world.conditions.identity
        family = self.refresh_tokens.redeem(form.get("refresh_token", ""))
        if family is None or not conditions.refresh_token_known:
            self.say_no(self.unknown_refresh_token)
        self._mind(conditions.refresh_refusal)
        answer = self.grant_on_behalf(family.consent, form.get("scope", "") or family.consent.scope)
        if self.renews_refresh_tokens and conditions.renews:
            return {**answer, "refresh_token": self.refresh_tokens.successor(family)}
        return answer

    def _signed_in(self, consent: Consent, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The first token answer after somebody has signed in."""
        answer = dict(self.grant_on_behalf(consent, form.get("scope", "") or consent.scope))
        if consent.offline:
            family, answer["refresh_token"] = self.refresh_tokens.begin(consent)
            self.sign_in.brought(form.get("code", ""), family)
        if "openid" in consent.scope.split():
            nonce = {"nonce": consent.nonce} if consent.nonce else {}
            answer["id_token"] = self.world.mint.signed({**self.identity_claims(consent), **nonce})
        return answer

    def _begin_device(self, request: Request) -> Response:
        """The device authorization endpoint (RFC 8628 section 3.1)."""
        form = request.form
        try:
            if not self.knows(form.get("client_id", "")):
                self.say_no(self.unknown_client)
            self.check_device_scope(form.get("scope", ""))
        except Refused as refused:
            return self.refuse(refused.refusal, {**self._facts(request, form), **refused.facts})
        begun = self.devices.begin(form["client_id"], form.get("scope", ""))
        return Response(200, self.device_answer(begun, self.pages + VERIFICATION_PATH))

    def _mind(self, refusal: Refusal | None) -> None:
        """Refuse where the conditions say so."""
        if refusal:
            self.say_no(refusal)

    def _facts(self, request: Request, form: Mapping[str, str]) -> Mapping[str, str]:
        issued = dt.datetime.now(dt.UTC) - dt.timedelta(days=97)
        return {
            "client_id": (request.basic_credentials or (form.get("client_id", ""), ""))[0],
            "tenant": request.path.split("/")[1],
            "scope": form.get("scope", ""),
            "user": self.world.account.mailbox,
            "issued": f"{issued:%Y-%m-%dT%H:%M:%S.%f}0Z",
        }

    @staticmethod
    def say_no(refusal: Refusal) -> NoReturn:
        """Raise the refusal."""
        raise Refused(refusal)

    def new_refresh_token(self) -> str:
        """The refresh token of whoever has signed in before the lab began."""
        return self.refresh_tokens.begin(Consent())[1]

    # --- what the ways to a token ask of a provider ------------------------------------------------------

    @abstractmethod
    def check_scope(self, scope: str) -> None:
        """Whether somebody could agree to this; raises Refused."""

    @abstractmethod
    def is_offline(self, asked: Asked, *, first_time: bool) -> bool:
        """Whether a refresh token comes of this request; ``first_time``: nobody was asked to agree before."""

    @abstractmethod
    def identity_claims(self, consent: Consent) -> Mapping[str, Any]:
        """What an ID token says of whoever signed in (OpenID Connect Core 1.0 section 2)."""

    @abstractmethod
    def beside(self, asked: Asked, *, code: bool) -> Mapping[str, str]:
        """What the provider sends back beside a code, or a refusal, and the state."""

    @abstractmethod
    def device_answer(self, begun: Mapping[str, Any], uri: str) -> Mapping[str, Any]:
        """What a device is told: its codes, and where somebody is to go with one of them."""

    def check_device_scope(self, scope: str) -> None:
        """Whether somebody could agree to this for a device; raises Refused."""
        self.check_scope(scope)

    def delegated_scopes(self) -> tuple[str, ...]:
        """What a service account may have in somebody's name."""
        return ()

    def knows(self, client_id: str) -> bool:
        """Whether this is the application that has signed up here."""
        known = self.world.conditions.identity.client_known
        return bool(client_id) and known and client_id == self.world.account.client_id

    def has_account(self, address: str) -> bool:
        """Whether somebody of this address can sign in: everybody of the mailbox's domain can."""
        name, _, domain = address.strip().lower().rpartition("@")
        return bool(name) and domain == self.world.account.mailbox.rpartition("@")[2]

    def is_meant_by(self, audience: object) -> bool:
        """Whether an assertion with this audience is for us (RFC 7523 section 3)."""
        at = self.endpoints(self.world.account.tenant)
        meant = (at["token_endpoint"].lower(), at["issuer"].lower())
        return isinstance(audience, str) and audience.lower() in meant

    def words_of(self, refused: Refused, asked: Asked) -> Mapping[str, Any]:
        """The members of a refusal, as the token endpoint would have them."""
        facts = {
            "client_id": asked.get("client_id", ""),
            "tenant": self.world.account.tenant,
            "scope": asked.get("scope", ""),
            "user": self.world.account.mailbox,
        }
        content = self.refuse(refused.refusal, {**facts, **refused.facts}).content
        assert isinstance(content, Mapping)  # a refusal is JSON at every provider
        return content

    def sign_in_routes(self, tenant: str) -> Mapping[tuple[str, str], Callable[[Request], Response]]:
        """The authorization endpoint, and the one where devices begin."""
        at = self.endpoints(tenant)
        authorize, device = (urlsplit(at[name]).path for name in ("authorize_endpoint", "device_endpoint"))
        return {
            ("GET", authorize): self.sign_in.page,
            ("POST", authorize): self.sign_in.decide,
            ("POST", device): self._begin_device,
        }

    def _device_pages(self) -> Mapping[tuple[str, str], Callable[[Request], Response]]:
        return {
            ("GET", VERIFICATION_PATH): self.devices.page,
            ("POST", VERIFICATION_PATH): self.devices.decide,
        }
