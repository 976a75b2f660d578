"""The authorization request (RFC 6749 section 4.1.1) with PKCE (RFC 7636), and what may come back from it."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from smtp_preflight.model import OAuthError, Profile
from smtp_preflight.oauth.answers import error_of
from smtp_preflight.secrets import Secret, Wallet

REDIRECT_URI = "http://127.0.0.1"
"""Where the browser is sent back to if nobody says; at any free port (RFC 8252 section 7.3)."""

NAMES_ITS_ISSUER = "authorization_response_iss_parameter_supported"
"""What the metadata of those say who name themselves in each answer (RFC 9207 section 3)."""

MOST_FIELDS = 50
RANDOM_BYTES = 32

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


class ForeignAnswer(Exception):
    """An answer that is not the one to this request; in words that hold nothing of it."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who is expected to answer (RFC 9207)."""

    name: str = ""  # empty: not known
    announced: bool = False  # its metadata promise that each answer names it

    def admits(self, told: str | None) -> bool:
        """Whether an answer that names this issuer, or none, may be its own."""
        if told is None:
            return not self.announced
        return told == self.name or not self.name


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in as it was begun: the address to open, and what its answer is held against."""

    url: str
    redirect_uri: str
    state: str
    nonce: str  # empty where no ID token is asked for
    verifier: Secret
    issuer: Issuer


def begin(profile: Profile, wallet: Wallet, endpoint: str, redirect_uri: str, issuer: Issuer) -> Attempt:
    """Make the address of the sign-in page.

    endpoint: where the page is; https, by the profile or by metadata that may be trusted.
    It holds the state and the challenge; the verifier goes into the wallet and stays on this machine.
    """
    verifier = Secret(secrets.token_urlsafe(RANDOM_BYTES), "made:code_verifier")
    wallet.put("code_verifier", verifier)
    state = secrets.token_urlsafe(RANDOM_BYTES)
    nonce = secrets.token_urlsafe(RANDOM_BYTES) if "openid" in profile.sign_in_scope else ""
    parameters = {
        "login_hint": profile.mailbox,
        **profile.oauth.authorize_params,
        "response_type": "code",
        "client_id": profile.oauth.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(profile.sign_in_scope),
        "state": state,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        **({"nonce": nonce} if nonce else {}),
    }
    return Attempt(_with_query(endpoint, parameters), redirect_uri, state, nonce, verifier, issuer)


def challenge_of(verifier: Secret) -> str:
    """The S256 challenge (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.reveal().encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _with_query(endpoint: str, parameters: Mapping[str, str]) -> str:
    """The endpoint's own query stays (RFC 6749 section 3.1), and is no place for a fragment."""
    parts = urlsplit(endpoint)
    query = "&".join(filter(None, (parts.query, urlencode(parameters, quote_via=quote))))
    return urlunsplit(parts._replace(query=query, fragment=""))


# --- what comes back ---------------------------------------------------------------------------------------


def code_of(attempt: Attempt, fields: Mapping[str, str], wallet: Wallet) -> Secret | OAuthError:
    """The code, or why there is none; the code is in the wallet before anything else is looked at.

    fields: the parameters of the redirect. A state that is not there is not missed: a code pasted alone has
    none, and is bound to this attempt by its verifier.
    Raises ForeignAnswer for another attempt's answer, another issuer's, or one that says nothing.
    """
    code = Secret(fields["code"], "answer:code") if fields.get("code") else None
    if code:
        wallet.put("code", code)
    if "state" in fields and not is_state_of(attempt.state, fields["state"]):
        raise ForeignAnswer("its state is that of another sign-in")
    if not attempt.issuer.admits(fields.get("iss")):
        raise ForeignAnswer("it does not name the issuer that was asked (RFC 9207)")
    answer = error_of(fields, wallet.redact) or code
    if answer is None:
        raise ForeignAnswer("it holds neither a code nor an error")
    return answer


def is_state_of(state: str, told: str) -> bool:
    """Whether a state is the one that was sent; takes as long for any other."""
    return secrets.compare_digest(state.encode(), told.encode("utf-8", "surrogatepass"))


def fields_in(query: str) -> dict[str, str]:
    """The parameters of a redirect's query; none where it holds more than such a query ever does."""
    try:
        return dict(parse_qsl(query, max_num_fields=MOST_FIELDS))
    except ValueError:
        return {}


def fields_pasted(text: str) -> dict[str, str]:
    """The parameters in what somebody copied from the address bar: the whole of it, a part, the bare code."""
    text = text.strip().strip("'\"<>")
    if not text or re.search(r"\s", text):
        return {}
    if "://" in text or re.match(r"[?#&]|(code|error|state)=", text):
        query = re.split(r"[?#]", text, maxsplit=1)[-1]
        return fields_in(query.replace("#", "&"))
    code = text.partition("&")[0]  # with what follows it in the address, session_state say
    return {"code": unquote(code) if _ESCAPE.search(code) else code}
