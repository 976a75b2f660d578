"""The authorization endpoint (RFC 6749 section 3.1): a page to sign in at, and a code for the application."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.http import Request, Response
from smtp_preflight.lab.pages import message_page, sign_in_page
from smtp_preflight.lab.refresh_tokens import Family
from smtp_preflight.lab.refusals import Refused
from smtp_preflight.lab.tokens import base64url

if TYPE_CHECKING:
    from smtp_preflight.lab.identity import IdentityProvider

MOST_CODES = 1000
"""Kept in memory; with more, the oldest is forgotten."""

PARAMETERS = (
    *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce"),
    *("code_challenge", "code_challenge_method", "prompt", "login_hint", "access_type"),
)
"""What a request may say; the page carries it from the question to the decision."""

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_PROMPTS = frozenset({"", "none", "login", "consent", "select_account"})

Asked = Mapping[str, str]


@dataclass(slots=True)
class _Issued:
    """What a code stands for, and what became of it."""

    consent: Consent
    client_id: str
    redirect_uri: str
    challenge: str
    expires_at: float  # Unix time
    redeemed: bool = False
    family: Family | None = None  # of the refresh token that it brought


class SignIn:
    """Asks people whether they agree, and remembers the codes that say they did."""

    def __init__(self, provider: IdentityProvider) -> None:
        self._provider = provider
        self._refusals = provider.refusals.sign_in
        self._codes: dict[str, _Issued] = {}
        self._agreed: set[str] = set()  # users who have agreed before

    def page(self, request: Request) -> Response:
        """Answer whoever an application has sent here."""
        return self._answer(request.query, decision="")

    def decide(self, request: Request) -> Response:
        """Take the decision, and send them back with a code or a refusal."""
        return self._answer(request.form, decision=request.form.get("decision", "deny"))

    def redeem(self, form: Mapping[str, str]) -> Consent:
        """What the code stands for, once (RFC 6749 section 4.1.3, RFC 7636 section 4.6); raises Refused."""
        refusals, code = self._refusals, form.get("code", "")
        if not code:
            raise Refused(refusals.parameter_missing, {"parameter": "code"})
        issued = self._codes.get(code)
        if issued is None:
            raise Refused(refusals.code_unknown)
        if issued.client_id != self._provider.world.account.client_id:
            raise Refused(refusals.code_of_another)
        if issued.redeemed:
            if issued.family:
                issued.family.revoked = True  # RFC 6749 section 4.1.2
            raise Refused(refusals.code_used)
        if issued.expires_at < time.time():
            raise Refused(refusals.code_expired)
        if issued.redirect_uri != form.get("redirect_uri", ""):
            raise Refused(refusals.code_redirect_uri, {"redirect_uri": form.get("redirect_uri", "")})
        if not _matches(form.get("code_verifier", ""), issued.challenge):
            raise Refused(refusals.verifier)
        issued.redeemed = True
        return issued.consent

    def brought(self, code: str, family: Family) -> None:
        """Remember which refresh tokens go with a code, should it come a second time."""
        if code in self._codes:
            self._codes[code].family = family

    def _answer(self, parameters: Mapping[str, str], decision: str) -> Response:
        """Check a request; send refusals back, but where nobody knows to whom (RFC 6749 section 4.1.2.1)."""
        asked = {name: parameters[name] for name in PARAMETERS if parameters.get(name)}
        try:
            self._check_sender(asked)
        except Refused as refused:
            return self._shown(refused, asked)
        try:
            self._check(asked)
            return self._decided(asked, parameters.get("account", ""), decision)
        except Refused as refused:
            of_the_person = refused.refusal in (self._refusals.declined, self._refusals.login_required)
            if of_the_person or self._provider.sends_refusals_back:
                return self._sent_back(refused, asked)
            return self._shown(refused, asked)

    def _check_sender(self, asked: Asked) -> None:
        if not self._provider.knows(asked.get("client_id", "")):
            raise Refused(self._provider.unknown_client)
        redirect_uri = asked.get("redirect_uri", "")
        if not is_registered(redirect_uri, self._provider.world.account.redirect_uri):
            raise Refused(self._refusals.redirect_uri, {"redirect_uri": redirect_uri})

    def _check(self, asked: Asked) -> None:
        refusals = self._refusals
        for name in ("response_type", "scope"):
            if name not in asked:
                raise Refused(refusals.parameter_missing, {"parameter": name})
        if asked["response_type"] != "code":
            raise Refused(refusals.response_type)
        if asked.get("response_mode", "query") != "query":
            raise Refused(refusals.response_mode)
        by_s256 = asked.get("code_challenge_method") == "S256"
        if not (by_s256 and _CHALLENGE.fullmatch(asked.get("code_challenge", ""))):
            raise Refused(refusals.challenge)
        if not set(asked.get("prompt", "").split()) <= _PROMPTS:
            raise Refused(refusals.prompt)
        self._provider.check_scope(asked["scope"])
        if asked.get("prompt") == "none":
            raise Refused(refusals.login_required)

    def _decided(self, asked: Asked, account: str, decision: str) -> Response:
        if not decision:
            return self._asking(asked, asked.get("login_hint", ""))
        if decision != "allow":
            raise Refused(self._refusals.declined)
        if not self._provider.has_account(account):
            return self._asking(asked, account, problem=f"There is no account {account} here.")
        return self._back(asked, {"code": self._code(asked, account.strip().lower())}, code=True)

    def _asking(self, asked: Asked, account: str, problem: str = "") -> Response:
        return sign_in_page(
            self._provider.title,
            application=asked["client_id"],
            scopes=asked["scope"].split(),
            hidden=asked,
            account=account,
            problem=problem,
        )

    def _code(self, asked: Asked, user: str) -> str:
        first_time = user not in self._agreed
        self._agreed.add(user)
        consent = Consent(
            user=user,
            scope=asked["scope"],
            nonce=asked.get("nonce", ""),
            offline=self._provider.is_offline(asked, first_time=first_time),
        )
        code = self._provider.code_prefix + secrets.token_urlsafe(60)
        expires_at = time.time() + self._provider.world.conditions.identity.code_life_s
        self._codes[code] = _Issued(
            consent, asked["client_id"], asked["redirect_uri"], asked["code_challenge"], expires_at
        )
        if len(self._codes) > MOST_CODES:
            del self._codes[next(iter(self._codes))]
        return code

    def _sent_back(self, refused: Refused, asked: Asked) -> Response:
        told = self._provider.words_of(refused, asked)
        return self._back(asked, {name: told[name] for name in _TOLD_IN_REDIRECT if name in told}, code=False)

    def _shown(self, refused: Refused, asked: Asked) -> Response:
        told = self._provider.words_of(refused, asked)
        text = f"Error {refused.refusal.status}: {told['error']}. {told['error_description']}"
        return message_page(f"{self._provider.title}: this sign-in cannot begin", text, status=400)

    def _back(self, asked: Asked, told: Mapping[str, str], *, code: bool) -> Response:
        """Back to the application, with its own state."""
        uri = asked["redirect_uri"]
        state = {"state": asked["state"]} if "state" in asked else {}
        query = urlencode({**told, **state, **self._provider.beside(asked, code=code)})
        location = f"{uri}{'&' if urlsplit(uri).query else '?'}{query}"
        return Response(302, b"", {"Location": location, "Referrer-Policy": "no-referrer"})


_TOLD_IN_REDIRECT = ("error", "error_description", "error_uri")


def is_registered(redirect_uri: str, registered: str) -> bool:
    """Whether a redirect URI is the one the application has registered, letter by letter.

    Of loopback addresses the port is free (RFC 8252 section 7.3). Who has registered none is an application
    on somebody's own machine: it may have any loopback address.
    """
    try:
        sent, known = urlsplit(redirect_uri), urlsplit(registered)
        sent_port, known_port = sent.port, known.port
    except ValueError:
        return False
    of_this_machine = sent.scheme == "http" and sent.hostname in LOOPBACK_HOSTS
    if sent.username or sent.fragment or not sent.hostname:
        return False
    if not registered:
        return of_this_machine
    same_port = of_this_machine or sent_port == known_port
    return same_port and (sent.scheme, sent.hostname, sent.path or "/", sent.query) == (
        known.scheme,
        known.hostname,
        known.path or "/",
        known.query,
    )


def _matches(verifier: str, challenge: str) -> bool:
    """RFC 7636 section 4.6, method S256."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    return hmac.compare_digest(base64url(hashlib.sha256(verifier.encode()).digest()), challenge)
