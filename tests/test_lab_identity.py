"""The lab's identity providers serve whole sign-ins, and refuse each wrong step in their own words."""

import base64
import hashlib
import json
import re
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from smtp_preflight.lab import Lab
from smtp_preflight.lab.conditions import Conditions, DeviceTerms, IdentityConditions, Reuse
from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.credentials import FEDERATED_AUDIENCE, FEDERATED_ISSUER, FEDERATED_SUBJECT
from smtp_preflight.lab.refresh_tokens import MOST_FAMILIES, RefreshTokens
from smtp_preflight.lab.signin import is_registered
from smtp_preflight.model import Expect, GrantType, OAuth, Profile, Provider, SecretRef, Smtp

CLIENT_ID = "6731de76-14a6-49ae-97bc-6eba6914391e"
MAILBOX = "alerts@contoso.example"
COLLEAGUE = "colleague@contoso.example"
REDIRECT_URI = "http://127.0.0.1:49152/"
SMTP_SEND = "https://outlook.office.com/SMTP.Send"
MAIL = "https://mail.google.com/"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

PUBLIC = OAuth(
    grant=GrantType.AUTHORIZATION_CODE,
    tenant="contoso.example",
    client_id=CLIENT_ID,
    client_type="public",
    scope=(SMTP_SEND, "offline_access"),
)
PROFILE = Profile(
    name="demo",
    provider=Provider(name="microsoft365", title="Microsoft 365"),
    mailbox=MAILBOX,
    smtp=Smtp("smtp.office365.com"),
    oauth=PUBLIC,
)
PROFILES = {
    "microsoft365": PROFILE,
    "outlook_personal": replace(PROFILE, oauth=replace(PUBLIC, tenant="consumers")),
    "google": replace(
        PROFILE,
        oauth=replace(
            PUBLIC,
            tenant="",
            scope=(MAIL,),
            client_type="confidential",
            client_secret=SecretRef("env", ("SECRET",)),
            authorize_params={"access_type": "offline", "prompt": "consent"},
        ),
    ),
    "custom": replace(
        PROFILE,
        oauth=replace(PUBLIC, scope=("mail.send",)),
        expect=Expect(aud=("urn:mail",), permissions=("mail.send",)),
    ),
}


def secret_ref(key: str) -> dict[str, Any]:
    return {key: SecretRef("env", ("X",))}


class Browser:
    """An application and the person before it, speaking HTTP by hand."""

    def __init__(self, lab: Lab, profile: Profile) -> None:
        self.lab = lab
        self.profile = lab.overlay(profile)
        self.oauth = self.profile.oauth
        self.verifier = secrets.token_urlsafe(40)
        self._tls = ssl.create_default_context(cafile=self.profile.ca_file)

    def ask(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        there = httpx.URL(url)
        headers = {"Host": there.netloc.decode()}
        extensions = {"sni_hostname": there.host}
        with httpx.Client(verify=self._tls, trust_env=False, timeout=20) as client:
            at = there.copy_with(host="127.0.0.1")
            return client.request(method, at, headers=headers, extensions=extensions, **arguments)

    def authorize_parameters(self, **changes: str) -> dict[str, str]:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters = {
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": " ".join(self.oauth.scope),
            "state": "a state & more",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **self.oauth.authorize_params,
            **changes,
        }
        return {name: value for name, value in parameters.items() if value}

    def open(self, **changes: str) -> httpx.Response:
        """The sign-in page, or where it sends the browser at once."""
        return self.ask(
            "GET", f"{self.oauth.authorize_endpoint}?{urlencode(self.authorize_parameters(**changes))}"
        )

    def decide(self, account: str = MAILBOX, decision: str = "allow", **changes: str) -> httpx.Response:
        """What comes of the page's form, filled in and sent as the page has it."""
        return self.submit(self.open(**changes), self.oauth.authorize_endpoint, account, decision)

    def submit(
        self, page: httpx.Response, url: str, account: str, decision: str, **more: str
    ) -> httpx.Response:
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
        form = {name: unescape(value) for name, value in hidden}
        return self.ask("POST", url, data={**form, "account": account, "decision": decision, **more})

    def sign_in(self, account: str = MAILBOX, **changes: str) -> dict[str, str]:
        """The parameters that the application gets back."""
        return sent_back(self.decide(account, **changes))

    def form(self, **changes: str) -> dict[str, str]:
        held = self.lab.secrets()
        secret = held["client_secret"].reveal() if self.oauth.client_secret else ""
        form = {"client_id": CLIENT_ID, "client_secret": secret, **changes}
        return {name: value for name, value in form.items() if value}

    def token(self, **changes: str) -> httpx.Response:
        return self.ask("POST", self.oauth.token_endpoint, data=self.form(**changes))

    def redeem(self, code: str, **changes: str) -> httpx.Response:
        form = {"redirect_uri": REDIRECT_URI, "code_verifier": self.verifier, **changes}
        return self.token(grant_type="authorization_code", code=code, **form)

    def refresh(self, token: str) -> httpx.Response:
        return self.token(grant_type="refresh_token", refresh_token=token)

    def begin_device(self, **changes: str) -> httpx.Response:
        form = {"client_id": CLIENT_ID, "scope": " ".join(self.oauth.scope), **changes}
        return self.ask("POST", self.oauth.device_endpoint, data=form)

    def poll(self, code: str) -> httpx.Response:
        return self.token(grant_type=DEVICE_CODE, device_code=code)

    def enter(self, uri: str, user_code: str, account: str = MAILBOX, decision: str = "allow") -> str:
        page = self.ask("GET", uri)
        return self.submit(page, uri, account, decision, user_code=user_code).text

    def claims(self, token: str) -> Mapping[str, Any]:
        jwks = self.ask("GET", self.oauth.jwks_uri).json()
        claims: Mapping[str, Any] = jwt.decode(
            token, jwt.PyJWK(jwks["keys"][0]), options={"verify_aud": False}
        )
        return claims


def sent_back(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 302, response.text
    location = response.headers["location"]
    assert location.startswith(REDIRECT_URI + "?")
    return dict(parse_qsl(urlsplit(location).query))


def words(response: httpx.Response) -> tuple[str, str]:
    """The error, and its number where there is one."""
    body = response.json()
    return body["error"], str(body.get("error_codes", [""])[0])


@pytest.fixture(scope="module", params=list(PROFILES))
def anybody(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with Lab.start(request.param) as lab:
        yield Browser(lab, PROFILES[request.param])


@pytest.fixture(scope="module")
def entra() -> Iterator[Browser]:
    with Lab.start() as lab:
        yield Browser(lab, PROFILE)


@pytest.fixture(scope="module")
def google() -> Iterator[Browser]:
    with Lab.start("google") as lab:
        yield Browser(lab, PROFILES["google"])


@pytest.fixture(scope="module")
def custom() -> Iterator[Browser]:
    with Lab.start("custom") as lab:
        yield Browser(lab, PROFILES["custom"])


@pytest.fixture
def under() -> Iterator[Callable[..., Browser]]:
    """Start a lab under conditions of the identity provider; it ends with the test."""
    labs = []

    def start(provider: str = "microsoft365", oauth: OAuth | None = None, **conditions: Any) -> Browser:
        lab = Lab.start(provider, under=Conditions(identity=IdentityConditions(**conditions)))
        labs.append(lab)
        profile = PROFILES[provider]
        return Browser(lab, replace(profile, oauth=oauth) if oauth else profile)

    yield start
    for lab in labs:
        lab.stop()


# --- authorization code ------------------------------------------------------------------------------------


def test_who_signs_in_gets_a_code_that_buys_tokens(anybody: Browser) -> None:
    told = anybody.sign_in()
    answer = anybody.redeem(told["code"]).json()
    assert told["state"] == "a state & more"
    assert anybody.refresh(answer["refresh_token"]).status_code == 200
    assert answer["token_type"] == "Bearer"
    assert "id_token" not in answer


def test_the_page_shows_who_asks_for_what_and_knows_the_account(entra: Browser) -> None:
    page = entra.open(login_hint=MAILBOX)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for shown in (CLIENT_ID, SMTP_SEND, f'value="{MAILBOX}"', '<html lang="en">', '<label for="account">'):
        assert shown in page.text
    assert "<script" not in page.text


def test_foreign_words_on_the_page_stay_text(entra: Browser) -> None:
    page = entra.open(state='"><script>alert(1)</script>', login_hint="<b>@contoso.example")
    assert "<script" not in page.text
    assert "<b>" not in page.text
    assert entra.sign_in(state='"><script>')["state"] == '"><script>'


def test_an_account_that_is_not_there_is_asked_for_again(entra: Browser) -> None:
    page = entra.decide("alerts@fabrikam.example")
    assert page.status_code == 200
    assert '<p role="alert">There is no account alerts@fabrikam.example here.</p>' in page.text


def test_another_account_signs_in_as_itself(entra: Browser) -> None:
    answer = entra.redeem(entra.sign_in(COLLEAGUE)["code"]).json()
    assert entra.claims(answer["access_token"])["upn"] == COLLEAGUE
    renewed = entra.refresh(answer["refresh_token"]).json()
    assert entra.claims(renewed["access_token"])["upn"] == COLLEAGUE


def test_an_id_token_repeats_the_nonce_and_names_the_user(entra: Browser, google: Browser) -> None:
    scope = f"openid email {SMTP_SEND}"
    told = entra.redeem(entra.sign_in(scope=scope, nonce="n-1")["code"]).json()
    claims = entra.claims(told["id_token"])
    assert (claims["nonce"], claims["aud"], claims["email"]) == ("n-1", CLIENT_ID, MAILBOX)
    assert claims["preferred_username"] == MAILBOX
    assert told["scope"].split() == [SMTP_SEND, "openid", "email"]

    told = google.redeem(google.sign_in(scope=f"openid email {MAIL}")["code"]).json()
    claims = google.claims(told["id_token"])
    assert (claims["iss"], claims["email"], "nonce" in claims) == (google.oauth.issuer, MAILBOX, False)
    assert told["scope"].split() == ["openid", "email", MAIL]


def test_entra_issues_a_refresh_token_for_offline_access_only(entra: Browser) -> None:
    assert "refresh_token" not in entra.redeem(entra.sign_in(scope=SMTP_SEND)["code"]).json()


def test_google_issues_a_refresh_token_once_or_on_renewed_consent() -> None:
    with Lab.start("google") as lab:
        google = Browser(lab, PROFILES["google"])
        asked = (
            {"access_type": "", "prompt": ""},
            {"access_type": "offline", "prompt": ""},
            {"access_type": "offline", "prompt": "consent"},
        )
        told = [google.redeem(google.sign_in(**one)["code"]).json() for one in asked]
        assert ["refresh_token" in one for one in told] == [False, False, True]
    with Lab.start("google") as lab:
        google = Browser(lab, PROFILES["google"])
        first = google.redeem(google.sign_in(access_type="offline", prompt="")["code"]).json()
        assert "refresh_token" in first


def test_some_say_more_with_their_code(entra: Browser, google: Browser, custom: Browser) -> None:
    assert set(entra.sign_in()) == {"code", "state", "session_state"}
    assert google.sign_in()["scope"] == MAIL
    assert custom.sign_in()["iss"] == custom.oauth.issuer
    assert sent_back(custom.decide(decision="deny"))["iss"] == custom.oauth.issuer


def test_without_a_state_none_comes_back(entra: Browser) -> None:
    assert "state" not in entra.sign_in(state="")


@pytest.mark.parametrize("decision", ["deny", "whatever"])
def test_whoever_declines_is_sent_back_without_a_code(anybody: Browser, decision: str) -> None:
    told = sent_back(anybody.decide(decision=decision))
    assert (told["error"], told["state"]) == ("access_denied", "a state & more")
    assert "code" not in told


@pytest.mark.parametrize(
    ("changes", "error", "number"),
    [
        ({"response_type": ""}, "invalid_request", "900144"),
        ({"scope": ""}, "invalid_request", "900144"),
        ({"response_type": "token"}, "unsupported_response_type", "70005"),
        ({"response_mode": "fragment"}, "invalid_request", "70007"),
        ({"code_challenge": ""}, "invalid_request", "501491"),
        ({"code_challenge": "short"}, "invalid_request", "501491"),
        ({"code_challenge_method": "plain"}, "invalid_request", "501491"),
        ({"scope": "https://outlook.office.com/SMTP.Fly"}, "invalid_client", "650053"),
        ({"scope": "https://mail.example/SMTP.Send"}, "invalid_resource", "500011"),
        ({"prompt": "please"}, "invalid_request", "90023"),
        ({"prompt": "none"}, "login_required", "50058"),
    ],
)
def test_entra_sends_a_wrong_request_back_with_its_number(
    entra: Browser, changes: dict[str, str], error: str, number: str
) -> None:
    told = sent_back(entra.open(**changes))
    assert (told["error"], told["state"]) == (error, "a state & more")
    assert told["error_description"].startswith(f"AADSTS{number}: ")
    assert told["error_uri"].endswith(f"/error?code={number}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": "somebody"}, "AADSTS700016"),
        ({"client_id": ""}, "AADSTS700016"),
        ({"redirect_uri": ""}, "AADSTS50011"),
        ({"redirect_uri": "https://contoso.example/back"}, "AADSTS50011"),
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_registered(
    entra: Browser, changes: dict[str, str], words: str
) -> None:
    form = {**entra.authorize_parameters(**changes), "account": MAILBOX, "decision": "allow"}
    for page in (entra.open(**changes), entra.ask("POST", entra.oauth.authorize_endpoint, data=form)):
        assert page.status_code == 400
        assert words in page.text
        assert "location" not in page.headers


def test_google_shows_wrong_requests_on_a_page(google: Browser) -> None:
    for changes, error in (
        ({"redirect_uri": "https://contoso.example/"}, "redirect_uri_mismatch"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
        ({"response_type": ""}, "Required parameter is missing: response_type"),
    ):
        page = google.open(**changes)
        assert (page.status_code, error in page.text) == (400, True)
    assert sent_back(google.open(prompt="none"))["error"] == "interaction_required"


@pytest.mark.parametrize(
    ("sent", "registered", "good"),
    [
        ("http://127.0.0.1:1234/", "", True),
        ("http://localhost:1234/callback", "", True),
        ("http://[::1]:1/", "", True),
        ("https://127.0.0.1/", "", False),
        ("http://127.0.0.1.example/", "", False),
        ("http://user@127.0.0.1/", "", False),
        ("http://127.0.0.1/#there", "", False),
        ("http://127.0.0.1:none/", "", False),
        ("http://127.0.0.1:1234/cb", "http://127.0.0.1/cb", True),
        ("http://127.0.0.1:1234/CB", "http://127.0.0.1/cb", False),
        ("http://localhost:1234/cb", "http://127.0.0.1/cb", False),
        ("http://127.0.0.1:1234", "http://127.0.0.1", True),
        ("https://app.example/cb", "https://app.example/cb", True),
        ("https://app.example/cb?x=1", "https://app.example/cb", False),
        ("https://app.example:444/cb", "https://app.example/cb", False),
        ("https://app.example/cb/", "https://app.example/cb", False),
    ],
)
def test_redirect_uris_are_compared_letter_by_letter_but_for_ports_of_loopback(
    sent: str, registered: str, good: bool
) -> None:
    """RFC 9700 section 4.1.3, RFC 8252 section 7.3."""
    assert is_registered(sent, registered) is good


def test_the_profile_says_which_redirect_uri_is_registered() -> None:
    oauth = replace(PUBLIC, redirect_uri="http://localhost/callback")
    with Lab.start() as lab:
        browser = Browser(lab, replace(PROFILE, oauth=oauth))
        assert browser.open(redirect_uri="http://localhost:1/callback").status_code == 200
        assert browser.open().status_code == 400


# --- the code ----------------------------------------------------------------------------------------------


def test_a_code_is_redeemed_once_and_takes_its_tokens_with_it(anybody: Browser) -> None:
    """RFC 6749 section 4.1.2."""
    code = anybody.sign_in()["code"]
    token = anybody.redeem(code).json()["refresh_token"]
    assert words(anybody.redeem(code))[0] == "invalid_grant"
    assert words(anybody.refresh(token))[0] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error", "number"),
    [
        ({"code": ""}, "invalid_request", "900144"),
        ({"code": "nonsense"}, "invalid_grant", "70000"),
        ({"redirect_uri": "http://127.0.0.1:49153/"}, "invalid_grant", "70000"),
        ({"code_verifier": "x" * 43}, "invalid_grant", "501481"),
        ({"code_verifier": ""}, "invalid_grant", "501481"),
        ({"client_id": "somebody"}, "unauthorized_client", "700016"),
    ],
)
def test_a_code_is_bound_to_its_request(
    entra: Browser, changes: dict[str, str], error: str, number: str
) -> None:
    code = entra.sign_in()["code"]
    assert words(entra.redeem(**{"code": code, **changes})) == (error, number)
    assert entra.redeem(code).status_code == 200, "a wrong try does not spend it"


def test_a_code_that_was_redeemed_is_said_to_be(entra: Browser) -> None:
    code = entra.sign_in()["code"]
    entra.redeem(code)
    assert words(entra.redeem(code)) == ("invalid_grant", "54005")


def test_a_code_does_not_live_long(under: Callable[..., Browser]) -> None:
    entra = under(code_life_s=0)
    assert words(entra.redeem(entra.sign_in()["code"])) == ("invalid_grant", "70008")


# --- devices -----------------------------------------------------------------------------------------------


def test_a_device_waits_until_somebody_has_entered_its_code(under: Callable[..., Browser]) -> None:
    entra = under(device=DeviceTerms(interval_s=0))
    begun = entra.begin_device().json()
    assert begun["message"].endswith(f"enter the code {begun['user_code']} to authenticate.")
    assert words(entra.poll(begun["device_code"])) == ("authorization_pending", "70016")
    assert "Connected" in entra.enter(begun["verification_uri"], begun["user_code"].lower())
    answer = entra.poll(begun["device_code"]).json()
    assert entra.claims(answer["access_token"])["upn"] == MAILBOX
    assert entra.refresh(answer["refresh_token"]).status_code == 200
    assert words(entra.poll(begun["device_code"])) == ("bad_verification_code", "70018")


def test_a_device_that_asks_too_often_is_slowed_down(under: Callable[..., Browser]) -> None:
    entra = under(device=DeviceTerms(interval_s=3600))
    code = entra.begin_device().json()["device_code"]
    assert words(entra.poll(code))[0] == "slow_down"


@pytest.mark.parametrize(
    ("provider", "declined", "expired", "unknown"),
    [
        (
            "microsoft365",
            ("authorization_declined", "65004"),
            ("expired_token", "70019"),
            ("bad_verification_code", "70018"),
        ),
        ("custom", ("access_denied", ""), ("expired_token", ""), ("invalid_grant", "")),
    ],
)
def test_a_device_is_refused_in_the_words_of_the_provider(
    under: Callable[..., Browser],
    provider: str,
    declined: tuple[str, str],
    expired: tuple[str, str],
    unknown: tuple[str, str],
) -> None:
    browser = under(provider, device=DeviceTerms(interval_s=0))
    begun = browser.begin_device().json()
    assert "Cancelled" in browser.enter(begun["verification_uri"], begun["user_code"], decision="deny")
    assert "used already" in browser.enter(begun["verification_uri"], begun["user_code"])
    assert words(browser.poll(begun["device_code"])) == declined
    assert words(browser.poll("nonsense")) == unknown
    late = under(provider, device=DeviceTerms(interval_s=0, life_s=-1))
    begun = late.begin_device().json()
    assert words(late.poll(begun["device_code"])) == expired
    assert "has expired" in late.enter(begun["verification_uri"], begun["user_code"])


def test_the_page_for_devices_takes_known_codes_and_accounts_only(custom: Browser) -> None:
    begun = custom.begin_device().json()
    uri = begun["verification_uri_complete"]
    assert f'value="{begun["user_code"]}"' in custom.ask("GET", uri).text
    assert "No device shows this code" in custom.enter(uri, "BBBB-BBBB")
    assert "There is no account" in custom.enter(uri, begun["user_code"], "somebody@fabrikam.example")
    assert "Connected" in custom.enter(uri, begun["user_code"])


def test_google_connects_no_device_to_mail(google: Browser) -> None:
    assert words(google.begin_device())[0] == "invalid_scope"
    assert "verification_url" in google.begin_device(scope="openid email").json()


def test_a_device_of_a_stranger_gets_no_code(entra: Browser) -> None:
    assert words(entra.begin_device(client_id="somebody")) == ("unauthorized_client", "700016")
    assert words(entra.begin_device(scope=f"{SMTP_SEND} https://graph.microsoft.com/User.Read")) == (
        "invalid_request",
        "28000",
    )


# --- refresh tokens ----------------------------------------------------------------------------------------


def renewed(browser: Browser, token: str) -> str:
    return str(browser.refresh(token).json()["refresh_token"])


@pytest.mark.parametrize(
    ("reuse", "first_again", "newest_then"),
    [
        (Reuse.ALLOWED, 200, 200),
        (Reuse.UNTIL_SUCCESSOR_USED, 400, 400),
        (Reuse.REFUSED, 400, 200),
        (Reuse.REVOKES, 400, 400),
    ],
)
def test_what_becomes_of_a_used_refresh_token_can_be_chosen(
    under: Callable[..., Browser], reuse: Reuse, first_again: int, newest_then: int
) -> None:
    browser = under(reuse=reuse)
    first = browser.lab.secrets()["refresh_token"].reveal()
    newest = renewed(browser, renewed(browser, first))
    assert browser.refresh(first).status_code == first_again
    assert browser.refresh(newest).status_code == newest_then


def test_a_lost_answer_can_be_forgiven(under: Callable[..., Browser]) -> None:
    """Until its successor is used, a refresh token stays good: whoever did not get the answer asks again."""
    browser = under(reuse=Reuse.UNTIL_SUCCESSOR_USED)
    first = browser.lab.secrets()["refresh_token"].reveal()
    lost, got = renewed(browser, first), renewed(browser, first)
    assert lost != got
    assert browser.refresh(got).status_code == 200
    assert words(browser.refresh(lost)) == ("invalid_grant", "70000")


def test_refresh_tokens_that_were_altered_or_forgotten_are_unknown() -> None:
    tokens = RefreshTokens("1.", Reuse.ALLOWED)
    _, oldest = tokens.begin(Consent())
    _, token = tokens.begin(Consent())
    assert tokens.redeem(oldest) is not None
    assert all(tokens.redeem(one) is None for one in ("", "1.", "x" * 500, f"{token[:-1]}~"))
    for _ in range(MOST_FAMILIES):
        tokens.begin(Consent())
    assert tokens.redeem(oldest) is None


# --- assertions of an application --------------------------------------------------------------------------

BY_CERTIFICATE = replace(
    PUBLIC,
    grant=GrantType.CLIENT_CREDENTIALS,
    client_type="confidential",
    scope=("https://outlook.office365.com/.default",),
    **secret_ref("certificate"),
)


class Signer:
    """Makes client assertions with the lab's certificate, right but for what it is told to change."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        pem = browser.lab.secrets()["certificate"].reveal().encode()
        self.key: Any = load_pem_private_key(pem, None)
        digest = load_pem_x509_certificate(pem).fingerprint(hashes.SHA256())
        self.thumbprint = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def assertion(
        self, key: Any = None, header: dict[str, str] | None = None, algorithm: str = "PS256", **changes: Any
    ) -> str:
        now = int(time.time())
        claims = {
            "aud": self.browser.oauth.token_endpoint,
            "iss": CLIENT_ID,
            "sub": CLIENT_ID,
            "jti": secrets.token_urlsafe(8),
            "nbf": now,
            "exp": now + 300,
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        named = {"x5t#S256": self.thumbprint} if header is None else header
        return jwt.encode(kept, key or self.key, algorithm=algorithm, headers=named)

    def show(self, assertion: str, **changes: str) -> httpx.Response:
        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion, **changes}
        scope = self.browser.oauth.scope[0]
        return self.browser.token(grant_type="client_credentials", scope=scope, **form)


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    with Lab.start() as lab:
        yield Signer(Browser(lab, replace(PROFILE, oauth=BY_CERTIFICATE)))


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_an_application_shows_who_it_is_by_certificate(signer: Signer, algorithm: str) -> None:
    answer = signer.show(signer.assertion(algorithm=algorithm))
    assert signer.browser.claims(answer.json()["access_token"])["roles"] == ["SMTP.SendAsApp"]


def test_an_assertion_is_shown_once(signer: Signer) -> None:
    assertion = signer.assertion()
    assert signer.show(assertion).status_code == 200
    assert words(signer.show(assertion)) == ("invalid_client", "50013")


def another_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"header": {}}, "700027"),
        ({"header": {"x5t#S256": "AAAA"}}, "700027"),
        ({"key": another_key}, "700027"),
        ({"algorithm": "PS512"}, "700027"),
        ({"exp": 1_600_000_000, "nbf": 1_500_000_000}, "700024"),
        ({"nbf": 4_000_000_000}, "700024"),
        ({"aud": "https://login.example/token"}, "700023"),
        ({"aud": ["https://login.example/token"]}, "50027"),
        ({"jti": None}, "50027"),
        ({"sub": "somebody"}, "700021"),
        ({"iss": "somebody"}, "700211"),
    ],
)
def test_each_flaw_of_an_assertion_has_its_number(
    signer: Signer, changes: dict[str, Any], number: str
) -> None:
    made = {name: value() if callable(value) else value for name, value in changes.items()}
    answer = signer.show(signer.assertion(**made))
    assert (answer.status_code, *words(answer)) == (401, "invalid_client", number)


def test_an_assertion_says_what_it_is(signer: Signer) -> None:
    assert words(signer.show(signer.assertion(), client_assertion_type="x")) == ("invalid_request", "90023")
    assert words(signer.show("no assertion"))[0] == "invalid_client"


def test_a_public_client_shows_no_assertion(entra: Browser) -> None:
    told = entra.token(grant_type="refresh_token", client_assertion="x", client_assertion_type=ASSERTION_TYPE)
    assert words(told) == ("invalid_client", "700025")


def test_a_federated_credential_stands_for_the_application() -> None:
    oauth = replace(BY_CERTIFICATE, certificate=None, **secret_ref("federated"))
    with Lab.start() as lab:
        browser = Browser(lab, replace(PROFILE, oauth=oauth))
        token = lab.secrets()["federated"].reveal()

        def show(assertion: str) -> httpx.Response:
            form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
            return browser.token(grant_type="client_credentials", scope=oauth.scope[0], **form)

        def forged(**changes: Any) -> str:
            claims = {"iss": FEDERATED_ISSUER, "sub": FEDERATED_SUBJECT, "aud": FEDERATED_AUDIENCE}
            return jwt.encode({**claims, "exp": time.time() + 60, **changes}, another_key(), "RS256")

        assert [show(token).status_code, show(token).status_code] == [200, 200]
        assert words(show(forged(iss="https://elsewhere.example"))) == ("invalid_client", "700211")
        assert words(show(forged(sub=FEDERATED_SUBJECT.upper()))) == ("invalid_client", "700213")
        assert words(show(forged(aud="api://else"))) == ("invalid_client", "700212")
        assert words(show(forged())) == ("invalid_client", "700027")


def test_what_is_made_for_a_profile_is_what_it_names() -> None:
    """Keys take their time: a lab makes those it needs."""
    with Lab.start() as lab:
        assert set(Browser(lab, PROFILE).lab.secrets()) == {"client_secret", "refresh_token"}
        certified = Browser(lab, replace(PROFILE, oauth=BY_CERTIFICATE))
        assert set(lab.secrets()) == {"client_secret", "refresh_token", "certificate"}
        assert certified.oauth.certificate == SecretRef("lab", ("certificate",))


# --- service accounts --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workspace() -> Iterator[Browser]:
    oauth = OAuth(grant=GrantType.JWT_BEARER, scope=(MAIL,), **secret_ref("service_account"))
    with Lab.start("google_workspace") as lab:
        yield Browser(lab, replace(PROFILE, oauth=oauth))


def bearer(workspace: Browser, key: Any = None, **changes: Any) -> httpx.Response:
    account = json.loads(workspace.lab.secrets()["service_account"].reveal())
    now = int(time.time())
    claims = {
        "iss": account["client_email"],
        "sub": MAILBOX,
        "scope": MAIL,
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    headers = {"kid": changes.pop("kid", account["private_key_id"])}
    assertion = jwt.encode(kept, key or account["private_key"], "RS256", headers=headers)
    form = {"grant_type": JWT_BEARER, "assertion": assertion}
    return workspace.ask("POST", workspace.oauth.token_endpoint, data=form)


def test_a_service_account_gets_a_token_in_the_name_of_a_user(workspace: Browser) -> None:
    answer = bearer(workspace).json()
    assert "refresh_token" not in answer
    told = workspace.ask(
        "POST", workspace.oauth.token_info_uri, data={"access_token": answer["access_token"]}
    )
    assert (told.json()["email"], told.json()["scope"]) == (MAILBOX, MAIL)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"iss": "somebody@x.iam.gserviceaccount.com"}, "invalid_grant", "account not found"),
        ({"key": another_key}, "invalid_grant", "Invalid JWT Signature."),
        ({"kid": "another"}, "invalid_grant", "Invalid JWT Signature."),
        ({"aud": "https://oauth2.example/token"}, "invalid_grant", "Failed audience check"),
        ({"exp": 1_600_000_000}, "invalid_grant", "short-lived token"),
        ({"exp": time.time() + 5000}, "invalid_grant", "short-lived token"),
        ({"iat": None}, "invalid_grant", "short-lived token"),
        ({"sub": "alerts@fabrikam.example"}, "invalid_grant", "Invalid email or User ID"),
        ({"sub": None}, "invalid_grant", "Invalid email or User ID"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "unauthorized_client", "not authorized for any"),
    ],
)
def test_google_names_what_is_wrong_with_an_assertion(
    workspace: Browser, changes: dict[str, Any], error: str, text: str
) -> None:
    made = {name: value() if callable(value) else value for name, value in changes.items()}
    body = bearer(workspace, **made).json()
    assert body["error"] == error
    assert text in body["error_description"]


def test_only_who_knows_service_accounts_takes_their_assertions(entra: Browser) -> None:
    told = entra.ask(
        "POST", entra.oauth.token_endpoint, data=entra.form(grant_type=JWT_BEARER, assertion="x")
    )
    assert words(told) == ("unsupported_grant_type", "70003")


# --- what is kept of it ------------------------------------------------------------------------------------


def test_no_code_and_no_token_enters_the_log(anybody: Browser) -> None:
    told = anybody.sign_in(state="a-secret-state")
    answer = anybody.redeem(told["code"]).json()
    log = " ".join(event.what for event in anybody.lab.log)
    assert "authorization_code 200" in log
    for secret in (told["code"], anybody.verifier, answer["access_token"], answer["refresh_token"]):
        assert secret not in log
    assert "a-secret-state" not in log


def test_the_metadata_say_what_is_served(custom: Browser, entra: Browser) -> None:
    told = custom.ask("GET", custom.oauth.discovery_uri).json()
    assert told["authorization_response_iss_parameter_supported"] is True
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert "private_key_jwt" in told["token_endpoint_auth_methods_supported"]
    assert urlsplit(entra.oauth.authorize_endpoint).hostname == "localhost", "a browser can find it"
    assert parse_qs(urlsplit(entra.oauth.authorize_endpoint).query) == {}
