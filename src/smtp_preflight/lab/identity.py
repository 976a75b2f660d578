"""What the lab's identity providers have in common: an application shows who it is and gets a token.

``entra`` and ``google`` say which paths they serve, what a token looks like and how a refusal is worded.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from smtp_preflight.lab.conditions import Refusal
from smtp_preflight.lab.http import Request, Response
from smtp_preflight.lab.world import World

GRANTS = ("refresh_token", "client_credentials")

NOT_FOUND = Response(404, {"error": "not_found"})


class Refused(Exception):
    """The token endpoint says no."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


class IdentityProvider(ABC):
    """The HTTPS side of a provider."""

    credential_prefix: str
    refresh_prefix: str

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
    def redeem_refresh_token(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token answer to a refresh token that is good; raises Refused for what is asked of it."""

    @abstractmethod
    def grant_to_application(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """The token answer to the application itself; raises Refused."""

    @abstractmethod
    def refuse(self, refusal: Refusal, facts: Mapping[str, str]) -> Response:
        """A refusal in the provider's own form; ``facts`` is what its text may name."""

    def answer(self, request: Request) -> Response:
        """Serve one request, and keep which it was."""
        tenant = request.path.split("/")[1] if request.path.startswith("/") else ""
        serve = self.routes(tenant).get((request.method, request.path))
        response = serve(request) if serve else NOT_FOUND
        grant = request.form.get("grant_type", "")
        shown = f" {grant}" if grant in GRANTS else ""
        self.world.note("http", f"{request.method} {request.path}{shown} {response.status}")
        return response

    def token(self, request: Request) -> Response:
        """The token endpoint (RFC 6749 section 3.2)."""
        form = request.form
        try:
            return Response(200, self._granted(request, form))
        except Refused as refused:
            return self.refuse(refused.refusal, self._facts(request, form))

    def _granted(self, request: Request, form: Mapping[str, str]) -> Mapping[str, Any]:
        self._identify(request, form)
        match form.get("grant_type"):
            case "refresh_token":
                self._check_refresh_token(form.get("refresh_token", ""))
                return self.redeem_refresh_token(form)
            case "client_credentials":
                return self.grant_to_application(form)
            case None:
                self.say_no(self.no_grant_type)
            case _:
                self.say_no(self.unknown_grant_type)

    def _identify(self, request: Request, form: Mapping[str, str]) -> None:
        """Let the application show who it is, by Basic or in the body (RFC 6749 section 2.3.1)."""
        in_body = form.get("client_id", ""), form.get("client_secret", "")
        client_id, secret = request.basic_credentials or in_body
        if client_id != self.world.account.client_id or not client_id:
            self.say_no(self.unknown_client)
        if self.world.account.confidential:
            self._check_secret(secret)
        elif secret:
            self.say_no(self.unwanted_secret)

    def _check_secret(self, secret: str) -> None:
        if not secret:
            self.say_no(self.no_secret)
        if not hmac.compare_digest(secret.encode(), self.world.client_secret.encode()):
            self.say_no(self.wrong_secret)
        if self.world.conditions.identity.client_refusal:
            self.say_no(self.world.conditions.identity.client_refusal)

    def _check_refresh_token(self, token: str) -> None:
        if not self.world.mint.made_refresh_token(token):
            self.say_no(self.unknown_refresh_token)
        if self.world.conditions.identity.refresh_refusal:
            self.say_no(self.world.conditions.identity.refresh_refusal)

    def _facts(self, request: Request, form: Mapping[str, str]) -> Mapping[str, str]:
        issued = dt.datetime.now(dt.UTC) - dt.timedelta(days=97)
        return {
            "client_id": (request.basic_credentials or (form.get("client_id", ""), ""))[0],
            "tenant": request.path.split("/")[1],
            "scope": form.get("scope", ""),
            "issued": f"{issued:%Y-%m-%dT%H:%M:%S.%f}0Z",
        }

    @staticmethod
    def say_no(refusal: Refusal) -> NoReturn:
        """Raise the refusal."""
        raise Refused(refusal)

    def new_refresh_token(self) -> str:
        """A refresh token in the provider's shape; those issued before stay good, as at Entra."""
        return self.world.mint.refresh_token(self.refresh_prefix)
