"""A person's sign-in, request by request: over real TLS on loopback, and by a listener for the browser."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
import trustme

from smtp_preflight.diagnosis.sign_in import is_the_mailbox, why_not_signed_in
from smtp_preflight.model import (
    Grant,
    GrantType,
    HttpFailure,
    OAuth,
    OAuthError,
    Profile,
    Provider,
    Question,
    SecretRef,
    Seen,
    Smtp,
    Stage,
)
from smtp_preflight.oauth import loopback, sign_in
from smtp_preflight.oauth.authorize import (
    Attempt,
    ForeignAnswer,
    Issuer,
    begin,
    challenge_of,
    code_of,
    fields_pasted,
)
from smtp_preflight.oauth.device import DeviceCode, ask_for_code, wait_for_sign_in
from smtp_preflight.oauth.line import Line
from smtp_preflight.oauth.loopback import CannotListen, Loopback, is_loopback, listening
from smtp_preflight.oauth.sign_in import SignedIn, check_store, redeem_code
from smtp_preflight.oauth.store import Kept, StoreProblem, opened
from smtp_preflight.profile import load_providers
from smtp_preflight.secrets import Secret, Wallet

CLIENT = "6731de76-14a6-49ae-97bc-6eba6914391e"
CODE = "0.canary-code-QxZ7-planted"
REFRESH = "1.canary-refresh-QxZ7-planted"
ACCESS = "canary-access-QxZ7-planted"
LIMIT_S = 20  # for what comes at once; what takes longer hangs
SHUTDOWN_POLL_S = 0.02  # how soon a server of a test notices that it is to end


# --- an identity provider ----------------------------------------------------------------------------------


@dataclass
class Idp:
    """Answers each path with what it is told; keeps the forms it was sent."""

    port: int = 0
    answers: dict[str, list[tuple[int, Mapping[str, Any] | bytes]]] = field(default_factory=dict)
    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    basic: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    def says(self, path: str, *answers: Mapping[str, Any] | bytes, status: int = 200) -> None:
        """Answer so, each once and the last for ever; a mapping with an error as RFC 6749 5.2 has it."""
        for one in answers:
            refused = isinstance(one, Mapping) and "error" in one
            self.answers.setdefault(path, []).append((400 if refused else status, one))

    def answer(self, path: str) -> tuple[int, bytes]:
        waiting = self.answers.get(path) or [(404, b"")]
        status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    return made


@pytest.fixture
def idp(authority: trustme.CA) -> Iterator[Idp]:
    """A provider at https://localhost."""
    idp = Idp()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            idp.forms.append((self.path, dict(parse_qsl(sent))))
            idp.basic.append(self.headers.get("Authorization", ""))
            status, body = idp.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        idp.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_S,), daemon=True).start()
        yield idp
        server.shutdown()


@pytest.fixture
def line(idp: Idp, tmp_path: Path, authority: trustme.CA) -> Line:
    """A public client of that provider, with a store of its own."""
    profile = Profile(
        name="contoso",
        provider=Provider("custom", "A server"),
        mailbox="alerts@contoso.com",
        smtp=Smtp("smtp.contoso.com"),
        oauth=OAuth(
            grant=GrantType.AUTHORIZATION_CODE,
            client_id=CLIENT,
            client_type="public",
            scope=("mail.send", "offline_access"),
            token_endpoint=idp.url("/token"),
            store=str(tmp_path / "store"),
        ),
        ca_file=str(tmp_path / "ca.pem"),
    )
    return Line(profile, Wallet())


def changed(line: Line, **oauth: Any) -> Line:
    profile = replace(line.profile, oauth=replace(line.profile.oauth, **oauth))
    return replace(line, profile=profile)


def granted(**more: Any) -> dict[str, Any]:
    return {"access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600, **more}


def id_token(**claims: Any) -> str:
    named = {"aud": CLIENT, "email": "alerts@contoso.com", **claims}
    return jwt.encode(named, "x" * 32, algorithm="HS256")


def attempt_at(line: Line, issuer: Issuer | None = None) -> Attempt:
    endpoint = "https://login.contoso.com/authorize"
    return begin(line.profile, line.wallet, endpoint, "http://localhost:1", issuer or Issuer())


def kept_by(line: Line) -> Kept | None:
    async def read() -> Kept | None:
        async with opened(line.profile, line.profile.oauth.token_endpoint, limit_s=1) as store:
            return await store.read()

    return asyncio.run(read())


def codes_of_finding(line: Line, found: SignedIn, stage: Stage | None = None) -> list[str]:
    """What it is called, and the alternatives."""
    seen = Seen(line.profile, found.grant.asked_at, {Question(Grant): found.grant})
    return [one.code for one in why_not_signed_in(seen, stage or found.stage).causes]


def code_of_finding(line: Line, found: SignedIn, stage: Stage | None = None) -> str:
    return codes_of_finding(line, found, stage)[0]


# --- the request -------------------------------------------------------------------------------------------


def test_the_challenge_is_that_of_rfc_7636() -> None:
    """Appendix B's vector."""
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "test")
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_address_holds_the_challenge_and_never_the_verifier(line: Line) -> None:
    """What a browser's history keeps is of no use to whoever reads it."""
    attempt = attempt_at(line)
    query = dict(parse_qsl(urlsplit(attempt.url).query))
    assert query["code_challenge"] == challenge_of(attempt.verifier)
    assert query["code_challenge_method"] == "S256"
    assert attempt.verifier.reveal() not in attempt.url + repr(attempt)
    assert 43 <= len(attempt.verifier.reveal()) <= 128
    assert query["scope"] == "mail.send offline_access"
    assert query["login_hint"] == "alerts@contoso.com"
    assert query["response_type"] == "code"
    assert query["state"] == attempt.state
    assert "nonce" not in query


def test_a_nonce_goes_along_where_openid_is_asked_for(line: Line) -> None:
    attempt = attempt_at(changed(line, scope=("openid", "mail.send")))
    assert dict(parse_qsl(urlsplit(attempt.url).query))["nonce"] == attempt.nonce != ""


def test_no_two_attempts_are_alike(line: Line) -> None:
    made = [attempt_at(changed(line, scope=("openid",))) for _ in range(20)]
    assert len({one.state for one in made} | {one.nonce for one in made}) == 40
    assert len({one.verifier.reveal() for one in made}) == 20


def test_parameters_of_the_profile_go_along_and_replace_nothing_of_ours(line: Line) -> None:
    """Google's two, another hint; but no state of somebody else's choice."""
    named = {"access_type": "offline", "prompt": "consent", "login_hint": "bob@contoso.com", "state": "mine"}
    attempt = attempt_at(changed(line, authorize_params=named))
    query = dict(parse_qsl(urlsplit(attempt.url).query))
    assert (query["access_type"], query["prompt"], query["login_hint"]) == (
        "offline",
        "consent",
        "bob@contoso.com",
    )
    assert query["state"] == attempt.state != "mine"


def test_the_endpoints_own_query_stays(line: Line) -> None:
    """RFC 6749 section 3.1."""
    at = "https://login.contoso.com/authorize?p=policy#part"
    url = begin(line.profile, line.wallet, at, "http://localhost:1", Issuer()).url
    assert url.startswith("https://login.contoso.com/authorize?p=policy&")
    assert "#" not in url


# --- what comes back ---------------------------------------------------------------------------------------


def test_a_code_is_a_secret_at_once(line: Line) -> None:
    attempt = attempt_at(line)
    code = code_of(attempt, {"code": CODE, "state": attempt.state}, line.wallet)
    assert isinstance(code, Secret)
    assert code.reveal() == CODE
    assert line.wallet.redact(f"it was {CODE}") == "it was <redacted>"


@pytest.mark.parametrize(
    ("issuer", "fields"),
    [
        (Issuer(), {"code": CODE, "state": "another"}),
        (Issuer(), {"code": CODE, "state": ""}),
        (Issuer(), {"code": CODE, "state": "\udc80é"}),
        (Issuer(), {"error": "access_denied", "state": "another"}),
        (Issuer("https://a.example"), {"code": CODE, "iss": "https://b.example"}),
        (Issuer("https://a.example"), {"error": "access_denied", "iss": "https://a.example/"}),
        (Issuer("https://a.example", announced=True), {"code": CODE}),
        (Issuer(), {}),
        (Issuer(), {"session_state": "x"}),
    ],
    ids=["state", "empty state", "odd state", "error", "iss", "iss of error", "no iss", "nothing", "other"],
)
def test_an_answer_of_somebody_else_is_refused(line: Line, issuer: Issuer, fields: dict[str, str]) -> None:
    """By its state (RFC 6749 section 10.12) or its issuer (RFC 9207 section 2.4), or for saying nothing."""
    attempt = attempt_at(line, issuer)
    with pytest.raises(ForeignAnswer) as told:
        code_of(attempt, fields, line.wallet)
    assert CODE not in str(told.value)


@pytest.mark.parametrize(
    ("issuer", "iss"),
    [
        (Issuer(), None),
        (Issuer(), "https://anybody.example"),
        (Issuer("https://a.example"), None),
        (Issuer("https://a.example", announced=True), "https://a.example"),
    ],
)
def test_an_issuer_is_held_to_what_is_known_of_it(line: Line, issuer: Issuer, iss: str | None) -> None:
    """Without metadata there is nothing to compare; without the promise none is missed."""
    attempt = attempt_at(line, issuer)
    fields = {"code": CODE, "state": attempt.state, **({"iss": iss} if iss else {})}
    assert isinstance(code_of(attempt, fields, line.wallet), Secret)


def test_an_error_is_read_with_its_numbers(line: Line) -> None:
    """Entra puts its number into the description."""
    attempt = attempt_at(line)
    described = "AADSTS65004: User declined to consent."
    fields = {"error": "access_denied", "error_description": described, "state": attempt.state}
    found = code_of(attempt, fields, line.wallet)
    assert isinstance(found, OAuthError)
    assert (found.error, found.codes) == ("access_denied", ("65004",))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"http://localhost:1/?code={CODE}&state=S&session_state=abc", CODE),
        (f"http://localhost/#code={CODE}&state=S", CODE),
        (f"https://login.microsoftonline.com/common/oauth2/nativeclient?code={CODE}", CODE),
        (f"  'http://127.0.0.1:1?state=S&code={CODE}'\n", CODE),
        (f"?code={CODE}&state=S", CODE),
        (f"code={CODE}&state=S", CODE),
        (CODE, CODE),
        (f"{CODE}&session_state=abc", CODE),
        ("4%2F0AX4XfWh-planted", "4/0AX4XfWh-planted"),
        ("M.C519_BAY.2.U.planted!*$-", "M.C519_BAY.2.U.planted!*$-"),
    ],
)
def test_whatever_was_copied_the_code_is_found(text: str, code: str) -> None:
    """The whole address, a part of it, or the code alone."""
    assert fields_pasted(text)["code"] == code


@pytest.mark.parametrize("text", ["", "\n", "two words", "https://localhost/", "a" * 3 + " b", "&" * 5000])
def test_what_is_no_answer_holds_no_code(text: str) -> None:
    assert not fields_pasted(text).get("code")


# --- redeeming ---------------------------------------------------------------------------------------------


def redeemed(line: Line, attempt: Attempt | None = None) -> SignedIn:
    attempt = attempt or attempt_at(line)
    code = Secret(CODE, "test")
    return asyncio.run(redeem_code(line, line.profile.oauth.token_endpoint, attempt, code))


def test_a_code_is_redeemed_with_its_verifier_and_the_token_kept(idp: Idp, line: Line) -> None:
    """The form of RFC 6749 section 4.1.3 and RFC 7636 section 4.5; a public client sends no secret."""
    idp.says("/token", granted(refresh_token=REFRESH, scope="mail.send"))
    attempt = attempt_at(line)
    found = redeemed(line, attempt)
    ((path, form),) = idp.forms
    assert path == "/token"
    assert form == {
        "grant_type": "authorization_code",
        "code": CODE,
        "redirect_uri": "http://localhost:1",
        "code_verifier": attempt.verifier.reveal(),
        "client_id": CLIENT,
    }
    assert idp.basic == [""]
    kept = kept_by(line)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == REFRESH
    assert kept.obtained_at == kept.last_used_at == found.grant.observed_at
    assert found.grant.granted
    assert found.grant.refresh_token_kept
    assert REFRESH not in repr(found)
    assert ACCESS not in repr(found)


@pytest.mark.parametrize("way", ["post", "basic"])
def test_a_confidential_client_shows_its_secret(idp: Idp, line: Line, way: str) -> None:
    """In the body or by Basic, as the profile says, never both."""
    idp.says("/token", granted(refresh_token=REFRESH))
    reference = SecretRef("env", ("X",))
    line = changed(line, client_type="confidential", client_auth=way, client_secret=reference)
    line.wallet.put("client_secret", Secret("the-secret", "test"))
    redeemed(line)
    ((_, form),) = idp.forms
    assert form.get("client_secret") == ("the-secret" if way == "post" else None)
    basic = base64.b64encode(f"{CLIENT}:the-secret".encode()).decode()
    assert idp.basic == ["" if way == "post" else f"Basic {basic}"]


def test_a_second_sign_in_takes_the_place_of_the_first(idp: Idp, line: Line) -> None:
    idp.says("/token", granted(refresh_token=REFRESH), granted(refresh_token="1.the-newer"))
    redeemed(line)
    redeemed(line)
    kept = kept_by(line)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == "1.the-newer"


def test_without_a_refresh_token_the_store_stays_as_it_is(idp: Idp, line: Line) -> None:
    idp.says("/token", granted(refresh_token=REFRESH), granted())
    redeemed(line)
    found = redeemed(line)
    assert not found.grant.refresh_token_issued
    kept = kept_by(line)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == REFRESH


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({}, "alerts@contoso.com"),
        ({"email": "", "preferred_username": "bob@contoso.com"}, "bob@contoso.com"),
        ({"aud": ["other", CLIENT.upper()]}, "alerts@contoso.com"),
    ],
)
def test_the_id_token_says_who_signed_in(idp: Idp, line: Line, claims: dict[str, Any], user: str) -> None:
    idp.says("/token", granted(refresh_token=REFRESH, id_token=id_token(**claims)))
    assert redeemed(line).user == user


@pytest.mark.parametrize("broken", ["", "x.y.z", "eyJ.eyJ.", 7, None, "é.é.é"])
def test_an_id_token_that_is_none_says_nothing(idp: Idp, line: Line, broken: object) -> None:
    idp.says("/token", granted(refresh_token=REFRESH, id_token=broken))
    found = redeemed(line)
    assert found.grant.granted
    assert found.user == ""


@pytest.mark.parametrize("claims", [{"aud": "somebody-else"}, {"nonce": "another"}, {}])
def test_an_id_token_of_another_sign_in_is_refused_and_nothing_kept(
    idp: Idp, line: Line, claims: dict[str, Any]
) -> None:
    """OpenID Connect Core section 3.1.3.7: audience and nonce."""
    idp.says("/token", granted(refresh_token=REFRESH, id_token=id_token(**claims)))
    line = changed(line, scope=("openid", "mail.send"))
    found = redeemed(line)
    assert not found.grant.granted
    assert kept_by(line) is None
    assert code_of_finding(line, found) == "sign_in_answer_foreign"


def test_the_right_nonce_is_taken(idp: Idp, line: Line) -> None:
    line = changed(line, scope=("openid", "mail.send"))
    attempt = attempt_at(line)
    idp.says("/token", granted(refresh_token=REFRESH, id_token=id_token(nonce=attempt.nonce)))
    assert redeemed(line, attempt).user == "alerts@contoso.com"


def test_a_refusal_is_explained_by_the_engine(idp: Idp, line: Line) -> None:
    idp.says("/token", {"error": "invalid_grant", "error_description": "AADSTS70008: The code has expired."})
    found = redeemed(line)
    assert found.grant.error is not None
    assert code_of_finding(line, found) != "unexplained"


@pytest.mark.parametrize("words", ["AADSTS70000: The value for 'code' is not valid.", "Bad Request"])
def test_a_code_that_is_refused_says_nothing_of_refresh_tokens(idp: Idp, line: Line, words: str) -> None:
    """None was sent, though the same words can be about one."""
    idp.says("/token", {"error": "invalid_grant", "error_description": words})
    codes = codes_of_finding(line, redeemed(line))
    assert codes[0] == "auth_code_invalid"
    assert "refresh_token_invalid" not in codes


def test_a_token_endpoint_out_of_reach_is_a_finding(line: Line) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = changed(line, token_endpoint=f"https://localhost:{silent.getsockname()[1]}/token")
        line = replace(line, profile=replace(line.profile, limits=replace(line.profile.limits, http_s=0.3)))
        found = redeemed(line)
    assert found.grant.http is not None
    assert found.grant.http.failure is HttpFailure.TIMEOUT
    assert code_of_finding(line, found) == "token_endpoint_unreachable"


def test_a_store_that_others_can_read_is_noticed_before_anybody_signs_in(line: Line, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    (tmp_path / "store").chmod(0o755)
    with pytest.raises(StoreProblem, match="chmod 700"):
        asyncio.run(check_store(line.profile, line.profile.oauth.token_endpoint))


def test_a_store_that_cannot_be_opened_leaves_the_code_unspent(idp: Idp, line: Line, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, and no folder", encoding="utf-8")
    with pytest.raises(StoreProblem):
        redeemed(line)
    assert idp.forms == []


# --- on another device -------------------------------------------------------------------------------------


class Sleeper:
    """Takes note of each pause instead of making it."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def __call__(self, pause_s: float) -> None:
        self.pauses.append(pause_s)


def device_answer(**more: Any) -> dict[str, Any]:
    return {
        "device_code": "canary-device-QxZ7",
        "user_code": "WDJB-MJHT",
        "verification_uri": "https://login.contoso.com/device",
        "expires_in": 900,
        "interval": 2,
        **more,
    }


def asked(line: Line, idp: Idp) -> DeviceCode | SignedIn:
    return asyncio.run(ask_for_code(line, idp.url("/device"), idp.url("/token")))


def a_code(line: Line, idp: Idp, **more: Any) -> DeviceCode:
    idp.says("/device", device_answer(**more))
    found = asked(line, idp)
    assert isinstance(found, DeviceCode)
    return found


def waited(line: Line, idp: Idp, code: DeviceCode) -> tuple[SignedIn, list[float]]:
    sleeper = Sleeper()
    found = asyncio.run(wait_for_sign_in(line, idp.url("/token"), code, sleep=sleeper))
    return found, sleeper.pauses


def test_a_device_code_is_asked_for_with_client_and_scope(idp: Idp, line: Line) -> None:
    """RFC 8628 section 3.1; the device's own code is a secret."""
    code = a_code(line, idp, verification_uri_complete="https://login.contoso.com/device?c=WDJB")
    assert idp.forms == [("/device", {"client_id": CLIENT, "scope": "mail.send offline_access"})]
    assert (code.user_code, code.uri) == ("WDJB-MJHT", "https://login.contoso.com/device")
    assert code.uri_complete == "https://login.contoso.com/device?c=WDJB"
    assert "canary-device" not in repr(code)
    assert line.wallet.redact("canary-device-QxZ7") == "<redacted>"


def test_a_device_code_is_polled_as_the_provider_wants(idp: Idp, line: Line) -> None:
    """At its interval, five seconds slower after slow_down, until it is granted (RFC 8628 section 3.5)."""
    code = a_code(line, idp)
    pending, slow = {"error": "authorization_pending"}, {"error": "slow_down"}
    idp.says("/token", pending, slow, pending, slow, granted(refresh_token=REFRESH))
    found, pauses = waited(line, idp, code)
    assert pauses == [2, 2, 7, 7, 12]
    assert found.grant.granted
    assert found.grant.grant == "device_code"
    assert idp.forms[-1][1] == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "canary-device-QxZ7",
        "client_id": CLIENT,
    }
    kept = kept_by(line)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == REFRESH


def test_without_an_interval_five_seconds_it_is(idp: Idp, line: Line) -> None:
    code = a_code(line, idp, interval=None)
    idp.says("/token", granted(refresh_token=REFRESH))
    assert waited(line, idp, code)[1] == [5]


@pytest.mark.parametrize(("told", "kept"), [(0, 1), (-5, 1), (10**9, 60), ("9", 5), (True, 5), (1.5, 1.5)])
def test_an_interval_stays_within_bounds(idp: Idp, line: Line, told: object, kept: float) -> None:
    assert a_code(line, idp, interval=told).interval_s == kept


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"error": "access_denied"}, "user_declined_consent"),
        ({"error": "authorization_declined"}, "user_declined_consent"),
        ({"error": "expired_token"}, "device_code_not_completed"),
        ({"error": "bad_verification_code"}, "device_code_not_completed"),
    ],
)
def test_the_end_of_a_device_sign_in_is_explained(
    idp: Idp, line: Line, error: dict[str, str], code: str
) -> None:
    given = a_code(line, idp)
    idp.says("/token", {"error": "authorization_pending"}, error)
    found, pauses = waited(line, idp, given)
    assert len(pauses) == 2
    assert (found.stage, code_of_finding(line, found)) == (Stage.DEVICE, code)


def test_a_device_code_ends_here_as_well(idp: Idp, line: Line) -> None:
    """Where the provider would go on saying "pending", nobody asks beyond the code's life."""
    code = replace(a_code(line, idp), ends_s=0.0)
    found, pauses = waited(line, idp, code)
    assert pauses == []
    assert code_of_finding(line, found) == "device_code_not_completed"


def test_lost_polls_are_repeated_ever_slower_and_not_for_ever(idp: Idp, line: Line) -> None:
    """RFC 8628 section 3.5: exponential back-off on a connection timeout."""
    code = a_code(line, idp)
    sleeper = Sleeper()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
        threading.Thread(target=_hang_up, args=(closed,), daemon=True).start()
        endpoint = f"https://localhost:{port}/token"
        found = asyncio.run(wait_for_sign_in(line, endpoint, code, sleep=sleeper))
    assert sleeper.pauses == [2, 4, 8, 16, 32]
    assert found.grant.http is not None
    assert found.grant.http.failure is not None


def _hang_up(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


@pytest.mark.parametrize(
    "changes",
    [
        {"device_code": ""},
        {"user_code": 7},
        {"verification_uri": "http://login.contoso.com/device"},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "https://x@login.contoso.com"},
        {"verification_uri": "https://[x"},
    ],
    ids=str,
)
def test_a_code_that_cannot_be_shown_is_none(idp: Idp, line: Line, changes: dict[str, Any]) -> None:
    """Nobody is sent to a page that is not https."""
    idp.says("/device", device_answer(**changes))
    assert isinstance(asked(line, idp), SignedIn)


def test_control_characters_of_a_code_are_inert(idp: Idp, line: Line) -> None:
    assert "\x1b" not in a_code(line, idp, user_code="\x1b[2JAB").user_code


def test_googles_name_for_the_page_is_known(idp: Idp, line: Line) -> None:
    answer = device_answer(verification_url="https://www.google.com/device")
    del answer["verification_uri"]
    idp.says("/device", answer)
    found = asked(line, idp)
    assert isinstance(found, DeviceCode)
    assert found.uri == "https://www.google.com/device"


def test_a_provider_that_gives_no_code_is_explained(idp: Idp, line: Line) -> None:
    idp.says("/device", {"error": "unauthorized_client", "error_description": "AADSTS700016: not found"})
    found = asked(line, idp)
    assert isinstance(found, SignedIn)
    assert found.stage is Stage.DEVICE
    assert code_of_finding(line, found) != "unexplained"


# --- the listener ------------------------------------------------------------------------------------------


def heard(
    requests: Callable[[Loopback], list[bytes]], uri: str = "http://127.0.0.1"
) -> tuple[list[bytes], Any]:
    """What each request was answered, and the parameters that were accepted, or nothing."""

    async def listen() -> tuple[list[bytes], Any]:
        async with listening(uri) as waiting:
            waiting.expect("the-state")
            host, port = urlsplit(waiting.redirect_uri).hostname, urlsplit(waiting.redirect_uri).port
            answers = [await spoken(host or "", port or 0, one) for one in requests(waiting)]
            done, _ = await asyncio.wait({asyncio.ensure_future(waiting.answer())}, timeout=0.05)
            return answers, next(iter(done)).result() if done else None

    return asyncio.run(listen())


async def spoken(host: str, port: int, data: bytes) -> bytes:
    address = "::1" if host == "::1" else "127.0.0.1"
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(address, port)
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def request(waiting: Loopback, target: str = "/?code=X&state=the-state", **headers: str) -> bytes:
    netloc = urlsplit(waiting.redirect_uri).netloc
    named = {"Host": netloc, **headers}
    fields = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"GET {target} HTTP/1.1\r\n{fields}\r\n".encode()


def test_the_answer_is_taken_and_thanked_for(idp: Idp) -> None:
    """The page is whole in itself, and repeats nothing of the request."""
    (page,), fields = heard(lambda waiting: [request(waiting)])
    assert fields == {"code": "X", "state": "the-state"}
    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"You can close this window" in page
    assert b"the-state" not in page
    assert b"Cache-Control: no-store" in page
    assert b"default-src 'none'" in page
    assert not [one for one in (b"<script", b"src=", b"href=", b"url(") if one in page]


def test_an_error_is_an_answer_as_well_and_not_repeated() -> None:
    target = "/?error=access_denied&error_description=%3Cscript%3E&state=the-state"
    (page,), fields = heard(lambda waiting: [request(waiting, target)])
    assert fields["error"] == "access_denied"
    assert b"was not completed" in page
    assert b"script" not in page


STRANGERS: Mapping[str, Callable[[Loopback], bytes]] = {
    "favicon": lambda waiting: request(waiting, "/favicon.ico"),
    "no state": lambda waiting: request(waiting, "/?code=X"),
    "wrong state": lambda waiting: request(waiting, "/?code=X&state=another"),
    "error without state": lambda waiting: request(waiting, "/?error=access_denied"),
    "other path": lambda waiting: request(waiting, "/other?code=X&state=the-state"),
    "rebound name": lambda waiting: request(waiting, Host="evil.example:80"),
    "other port": lambda waiting: request(waiting, Host="127.0.0.1:1"),
    "localhost for the address": lambda waiting: request(
        waiting, Host=f"localhost:{urlsplit(waiting.redirect_uri).port}"
    ),
    "post": lambda waiting: request(waiting).replace(b"GET", b"POST"),
    "absolute": lambda waiting: request(waiting, "http://127.0.0.1/?code=X&state=the-state"),
    "no host": lambda waiting: b"GET /?code=X&state=the-state HTTP/1.1\r\n\r\n",
    "two hosts": lambda waiting: request(waiting)[:-2] + b"Host: evil.example\r\n\r\n",
    "many fields": lambda waiting: request(waiting, "/?" + "a=1&" * 100 + "code=X&state=the-state"),
    "no http": lambda waiting: b"EHLO there\r\n\r\n",
    "bytes": lambda waiting: b"\xff\x00\xfe\r\n\r\n",
}


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_get_nothing_and_end_nothing(name: str) -> None:
    """404, and the answer that comes afterwards is still taken."""
    (first, second), fields = heard(lambda waiting: [STRANGERS[name](waiting), request(waiting)])
    assert first.startswith(b"HTTP/1.1 404 ")
    assert b"X" not in first.partition(b"\r\n\r\n")[2]
    assert second.startswith(b"HTTP/1.1 200 ")
    assert fields["code"] == "X"


def test_a_request_without_end_is_cut_off() -> None:
    endless = b"GET /?" + b"a" * (loopback.MOST_REQUEST_BYTES * 3)
    (first, second), fields = heard(lambda waiting: [endless, request(waiting)])
    assert first == b""
    assert second.startswith(b"HTTP/1.1 200 ")
    assert fields["code"] == "X"


def test_a_slow_request_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "REQUEST_S", 0.05)
    (first, second), _ = heard(lambda waiting: [b"GET /", request(waiting)])
    assert first == b""
    assert second.startswith(b"HTTP/1.1 200 ")


def test_one_answer_is_taken_and_no_more() -> None:
    (first, second), fields = heard(
        lambda waiting: [request(waiting), request(waiting, "/?code=Y&state=the-state")]
    )
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 404 ")
    assert fields["code"] == "X"


def test_nothing_is_taken_before_a_sign_in_has_begun() -> None:
    async def listen() -> bytes:
        async with listening("http://127.0.0.1") as waiting:
            port = urlsplit(waiting.redirect_uri).port
            return await spoken("", port or 0, request(waiting, "/?code=X&state="))

    assert asyncio.run(listen()).startswith(b"HTTP/1.1 404 ")


def test_the_path_of_the_redirect_is_the_profile_s() -> None:
    def requests(waiting: Loopback) -> list[bytes]:
        assert waiting.redirect_uri.endswith("/signed-in")
        return [request(waiting), request(waiting, "/signed-in?code=X&state=the-state")]

    (first, second), _ = heard(requests, "http://127.0.0.1/signed-in")
    assert first.startswith(b"HTTP/1.1 404 ")
    assert second.startswith(b"HTTP/1.1 200 ")


def test_a_port_the_profile_names_is_the_one_listened_at() -> None:
    """And no other, where somebody has it."""

    async def listen() -> None:
        async with listening("http://127.0.0.1") as waiting:
            with pytest.raises(CannotListen, match="EADDRINUSE"):
                async with listening(waiting.redirect_uri):
                    pass

    asyncio.run(listen())


def test_localhost_is_listened_at_by_both_its_addresses() -> None:
    """A browser may try either first."""

    async def listen() -> list[bytes]:
        async with listening("http://localhost") as waiting:
            port = urlsplit(waiting.redirect_uri).port or 0
            assert waiting.redirect_uri == f"http://localhost:{port}"
            there = ["127.0.0.1", *(["::1"] if has_ipv6() else [])]
            return [await spoken(one, port, request(waiting, "/favicon.ico")) for one in there]

    assert all(one.startswith(b"HTTP/1.1 404 ") for one in asyncio.run(listen()))


def test_half_of_localhost_is_not_enough() -> None:
    """Whoever has the profile's port at the other address would be brought the answer by some browsers."""
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")

    async def listen(port: int) -> None:
        async with listening(f"http://localhost:{port}"):
            pytest.fail("it listens")

    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
        pytest.raises(CannotListen, match="EADDRINUSE"),
    ):
        asyncio.run(listen(other.getsockname()[1]))


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("uri", "here"),
    [
        ("http://localhost", True),
        ("http://127.0.0.1:8400/cb", True),
        ("http://[::1]", True),
        ("https://localhost", False),
        ("http://localhost.evil.example", False),
        ("http://contoso.com", False),
        ("http://localhost:0", False),
        ("http://localhost:99999", False),
        ("urn:ietf:wg:oauth:2.0:oob", False),
        ("https://login.microsoftonline.com/common/oauth2/nativeclient", False),
    ],
)
def test_only_this_machine_is_listened_at(uri: str, here: bool) -> None:
    assert is_loopback(uri) is here


def test_names_of_causes_are_those_of_the_knowledge(line: Line) -> None:
    """What a sign-in ends with by itself is explained."""
    for code in (sign_in.FOREIGN_ANSWER, sign_in.NOT_COMPLETED):
        found = sign_in.failed(GrantType.AUTHORIZATION_CODE, Stage.AUTHORIZE, problem=code)
        assert code_of_finding(line, found) == code


# --- whose sign-in it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "mailbox", "same"),
    [
        ("Alerts@Contoso.com", "alerts@contoso.com", True),
        ("bob@contoso.com", "alerts@contoso.com", False),
        ("al.ice@gmail.com", "alice@googlemail.com", True),
        ("al.ice@contoso.com", "alice@contoso.com", False),
    ],
)
def test_an_account_is_the_mailbox_as_its_provider_sees_it(
    user: str, mailbox: str, same: bool, profile_with: Callable[..., Profile]
) -> None:
    """Gmail ignores dots before the @ and has two domains; elsewhere they make another account."""
    assert is_the_mailbox(user, profile_with(mailbox=mailbox)) is same


@pytest.mark.parametrize("provider", ["google", "outlook_personal"])
def test_where_tokens_name_nobody_a_sign_in_asks_who_it_is(
    provider: str, profile_with: Callable[..., Profile]
) -> None:
    """And says so with the mail scope, whose order stays as it is."""
    profile = profile_with(provider=load_providers()[provider])
    assert profile.sign_in_scope == (*profile.oauth.scope, "openid", "email")
