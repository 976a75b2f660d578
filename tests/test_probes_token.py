"""One redemption a run, its successor on disk first, and nothing of a token anywhere it could be read."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import http.server
import json
import logging
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pydantic
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from smtp_preflight.lab import Lab
from smtp_preflight.model import (
    Discovery,
    Grant,
    GrantType,
    HttpExchange,
    HttpFailure,
    Keys,
    Limits,
    OAuth,
    Observation,
    Profile,
    Provider,
    SecretRef,
    SignatureState,
    Smtp,
)
from smtp_preflight.oauth.rotation import CI
from smtp_preflight.oauth.store import Kept, StoreProblem, opened
from smtp_preflight.probes.token import (
    discovered,
    probe_discovery,
    probe_grant,
    probe_keys,
    probe_signature,
    probe_token_info,
)
from smtp_preflight.secrets import Secret, Wallet

ENDPOINT = "https://login.contoso.example/oauth2/token"
ISSUER = "https://login.contoso.example/v2.0"
SEED = "0.seed-refresh-token"
REF = SecretRef("env", ("SOMETHING",))
NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """A confidential client that was given a refresh token."""
    return Profile(
        name="contoso",
        provider=Provider("custom", "A server"),
        mailbox="alerts@contoso.example",
        smtp=Smtp("smtp.contoso.example"),
        oauth=OAuth(
            grant=GrantType.REFRESH_TOKEN,
            client_id="our-client",
            scope=("https://outlook.office.com/SMTP.Send", "offline_access"),
            token_endpoint=ENDPOINT,
            client_secret=REF,
            refresh_token=REF,
            store=str(tmp_path / "tokens"),
        ),
        limits=Limits(http_s=5),
    )


@pytest.fixture
def wallet() -> Wallet:
    held = Wallet()
    held.put("client_secret", Secret("canary-client-secret", "env:SOMETHING"))
    held.put("refresh_token", Secret(SEED, "env:SOMETHING"))
    return held


def changed(profile: Profile, **oauth: Any) -> Profile:
    return replace(profile, oauth=replace(profile.oauth, **oauth))


def form_of(request: httpx.Request) -> Mapping[str, str]:
    return {key: values[0] for key, values in parse_qs(request.content.decode()).items()}


class Endpoint:
    """A token endpoint that answers every request the same way, or as a function says; counts them."""

    def __init__(self, answer: Mapping[str, Any] | bytes | Handler, status: int = 200) -> None:
        self._answer = answer
        self._status = status
        self.forms: list[Mapping[str, str]] = []

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.forms.append(form_of(request))
        if callable(self._answer):
            return self._answer(request)
        content = self._answer if isinstance(self._answer, bytes) else json.dumps(self._answer).encode()
        return httpx.Response(self._status, content=content)


def answer(**members: Any) -> dict[str, Any]:
    return {"access_token": "opaque-access-token", "token_type": "Bearer", "expires_in": 3600, **members}


def redeem(profile: Profile, wallet: Wallet, endpoint: Endpoint, **more: Any) -> Grant:
    return asyncio.run(probe_grant(profile, wallet, transport=endpoint.transport, **more))


def stored(profile: Profile) -> Kept | None:
    async def read() -> Kept | None:
        async with opened(profile, ENDPOINT, limit_s=1) as store:
            return await store.read()

    return asyncio.run(read())


def store(profile: Profile, kept: Kept) -> None:
    async def write() -> None:
        async with opened(profile, ENDPOINT, limit_s=1) as store:
            await store.write(kept)

    asyncio.run(write())


def fresh(seed: str = SEED) -> Wallet:
    """What the next run begins with."""
    held = Wallet()
    held.put("client_secret", Secret("canary-client-secret", "env:SOMETHING"))
    held.put("refresh_token", Secret(seed, "env:SOMETHING"))
    return held


# --- a token is granted ------------------------------------------------------------------------------------


def test_a_grant_says_what_was_asked_for_and_what_was_given(profile, wallet):
    endpoint = Endpoint(answer(scope="https://outlook.office.com/SMTP.Send"))
    grant = redeem(profile, wallet, endpoint)
    assert (grant.granted, grant.answered, grant.token_type, grant.grant) == (
        True,
        True,
        "Bearer",
        "refresh_token",
    )
    assert grant.scope_asked == ("https://outlook.office.com/SMTP.Send", "offline_access")
    assert grant.scope_granted == ("https://outlook.office.com/SMTP.Send",)
    assert grant.token is not None
    assert (grant.token.opaque, grant.token.length, grant.token.expires_in_s) == (True, 19, 3600)
    assert grant.token.observed_at == grant.observed_at
    assert grant.peer == "login.contoso.example"
    held = wallet.get("access_token")
    assert held is not None
    assert held.reveal() == "opaque-access-token"
    assert len(endpoint.forms) == 1


def test_an_application_gets_a_token_without_a_store(profile, wallet):
    app = changed(profile, grant=GrantType.CLIENT_CREDENTIALS, refresh_token=None)
    endpoint = Endpoint(answer(refresh_token="unexpected-refresh-token"))
    grant = redeem(app, wallet, endpoint)
    assert (grant.granted, grant.stored, grant.refresh_token_issued) == (True, None, False)
    assert endpoint.forms[0]["grant_type"] == "client_credentials"
    assert not Path(profile.oauth.store).exists()
    assert wallet.redact("unexpected-refresh-token") == "<redacted>"


def test_a_given_token_is_read_and_nothing_is_asked(profile, wallet):
    given = jwt.encode({"aud": "x", "name": "Jane"}, "k" * 32, algorithm="HS256")
    wallet.put("access_token", Secret(given, "env:TOKEN"))
    endpoint = Endpoint(answer())
    grant = redeem(changed(profile, grant=GrantType.ACCESS_TOKEN), wallet, endpoint)
    assert (grant.http, grant.answered, endpoint.forms) == (None, True, [])
    assert grant.token is not None
    assert (grant.token.claims, grant.token.other_claims) == ({"aud": "x"}, ("name",))


def test_a_given_token_that_could_not_be_read_is_a_problem(profile, wallet):
    grant = redeem(changed(profile, grant=GrantType.ACCESS_TOKEN), wallet, Endpoint(answer()))
    assert (grant.granted, grant.problem) == (False, "secret_unavailable")


def test_a_refusal_is_an_answer_too(profile, wallet):
    endpoint = Endpoint({"error": "invalid_grant", "error_description": "AADSTS700082: expired"}, 400)
    grant = redeem(profile, wallet, endpoint)
    assert (grant.granted, grant.answered, grant.answer_lost) == (False, True, False)
    assert grant.error is not None
    assert (grant.error.error, grant.error.codes) == ("invalid_grant", ("700082",))
    assert grant.http is not None
    assert grant.http.status == 400
    assert wallet.get("access_token") is None
    assert (len(endpoint.forms), stored(profile)) == (1, None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>Sign in to Wi-Fi</html>", 200),
        (b'{"access_token": "half', 200),
        (b"", 200),
        (b"[]", 200),
        (b"null", 200),
        (b'{"access_token": ["a"]}', 200),
        (b'{"access_token": ""}', 200),
        (b'{"access_token": "a-token-with-the-wrong-status"}', 500),
    ],
)
def test_without_a_token_in_a_good_answer_nothing_is_granted(profile, wallet, body, status):
    grant = redeem(profile, wallet, Endpoint(body, status))
    assert (grant.granted, grant.error, grant.problem) == (False, None, "")
    assert wallet.get("access_token") is None
    assert stored(profile) is None


# --- refresh tokens: whose turn it is, and what follows ----------------------------------------------------


def test_a_seed_is_redeemed_and_its_successor_kept(profile, wallet):
    grant = redeem(profile, wallet, Endpoint(answer(refresh_token="0.successor")))
    assert (grant.refresh_token_issued, grant.refresh_token_rotated, grant.refresh_token_kept) == (
        True,
        True,
        True,
    )
    assert grant.stored is not None
    assert (grant.stored.source, grant.stored.last_used_at) == ("seed", None)
    kept = stored(profile)
    assert kept is not None
    assert kept.token is not None
    assert kept.token.reveal() == "0.successor"
    assert kept.last_used_at == kept.rotated_at == grant.observed_at


def test_the_same_seed_means_its_stored_successor(profile, wallet):
    redeem(profile, wallet, Endpoint(answer(refresh_token="0.successor")))
    endpoint = Endpoint(answer(refresh_token="0.next"))
    grant = redeem(profile, fresh(), endpoint)
    assert endpoint.forms[0]["refresh_token"] == "0.successor"
    assert grant.stored is not None
    assert grant.stored.source == "store"
    assert grant.stored.last_used_at is not None


def test_the_successor_is_found_again_with_the_wallet_of_the_same_run(profile, wallet):
    """What was redeemed must not be taken for the seed when the question is asked again."""
    redeem(profile, wallet, Endpoint(answer(refresh_token="0.successor")))
    endpoint = Endpoint(answer(refresh_token="0.next"))
    redeem(profile, wallet, endpoint)
    redeem(profile, wallet, endpoint)
    assert [form["refresh_token"] for form in endpoint.forms] == ["0.successor", "0.next"]
    redeem(profile, fresh(), endpoint)
    assert endpoint.forms[-1]["refresh_token"] == "0.next"


def test_another_seed_replaces_what_was_stored(profile, wallet):
    redeem(profile, wallet, Endpoint(answer(refresh_token="0.successor")))
    endpoint = Endpoint(answer())
    grant = redeem(profile, fresh("0.another-seed"), endpoint)
    assert endpoint.forms[0]["refresh_token"] == "0.another-seed"
    assert grant.stored is not None
    assert (grant.stored.source, grant.stored.last_used_at) == ("seed", None)
    kept = stored(profile)
    assert kept is not None
    assert kept.token is None


def test_a_seed_that_does_not_rotate_is_not_copied_to_the_disk(profile, wallet):
    """Google's way: what the profile's own place keeps needs no second one; when it was used is kept."""
    for given in (answer(), answer(refresh_token=SEED)):
        grant = redeem(profile, wallet, Endpoint(given))
        assert (grant.refresh_token_rotated, grant.refresh_token_kept) == (False, True)
    assert grant.refresh_token_issued
    assert grant.stored is not None
    assert grant.stored.last_used_at is not None
    assert not [one for one in Path(profile.oauth.store).iterdir() if SEED in one.read_text()]


def test_a_stored_token_that_does_not_rotate_stays(profile):
    signed_in = changed(profile, grant=GrantType.AUTHORIZATION_CODE, refresh_token=None)
    store(signed_in, Kept(Secret("0.signed-in", "test"), "", NOW, NOW))
    grant = redeem(signed_in, fresh(), Endpoint(answer()))
    assert grant.stored is not None
    assert (grant.stored.source, grant.stored.obtained_at, grant.stored.last_used_at) == ("store", NOW, NOW)
    kept = stored(signed_in)
    assert kept is not None
    assert kept.token is not None
    assert (kept.token.reveal(), kept.obtained_at, kept.rotated_at) == ("0.signed-in", NOW, None)
    assert kept.last_used_at == grant.observed_at


@pytest.mark.parametrize(
    "grant", [GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE, GrantType.REFRESH_TOKEN]
)
def test_where_nobody_has_signed_in_nothing_is_asked(profile, wallet, grant):
    endpoint = Endpoint(answer())
    found = redeem(changed(profile, grant=grant, refresh_token=None), wallet, endpoint)
    assert (found.problem, found.granted, endpoint.forms) == ("sign_in_needed", False, [])


def test_without_its_secret_nothing_is_asked(profile):
    endpoint = Endpoint(answer())
    grant = redeem(profile, Wallet(), endpoint)
    assert (grant.problem, endpoint.forms) == ("secret_unavailable", [])


def test_a_store_that_others_can_read_keeps_the_token_from_being_redeemed(profile, wallet):
    Path(profile.oauth.store).mkdir(mode=0o755)
    Path(profile.oauth.store).chmod(0o755)
    endpoint = Endpoint(answer())
    grant = redeem(profile, wallet, endpoint)
    assert "chmod 700" in grant.problem
    assert endpoint.forms == []


def test_a_token_that_cannot_be_kept_is_said_and_the_access_token_used(profile, wallet, monkeypatch):
    async def full(_self: object, _kept: Kept) -> None:
        raise StoreProblem("No space left on device")

    monkeypatch.setattr("smtp_preflight.oauth.store.FileStore.write", full)
    grant = redeem(profile, wallet, Endpoint(answer(refresh_token="0.successor")))
    assert (grant.granted, grant.refresh_token_kept) == (True, False)
    assert grant.keep_problem == "No space left on device"
    grant = redeem(profile, wallet, Endpoint(answer()))
    assert (grant.refresh_token_kept, grant.keep_problem) == (True, "No space left on device")


@pytest.mark.parametrize(
    ("problem", "lost"),
    [
        (httpx.ReadTimeout("late"), True),
        (httpx.ReadError("gone"), True),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), True),
        (httpx.ConnectError("refused"), False),
    ],
)
def test_an_answer_that_did_not_arrive_is_lost_and_not_asked_for_again(profile, wallet, problem, lost):
    def fail(_request: httpx.Request) -> httpx.Response:
        raise problem

    endpoint = Endpoint(fail)
    grant = redeem(profile, wallet, endpoint)
    assert (grant.answer_lost, grant.answered, grant.granted) == (lost, False, False)
    assert len(endpoint.forms) == 1
    assert stored(profile) is None


class Breaking(httpx.AsyncByteStream):
    """A body that ends before it is whole."""

    async def __aiter__(self):
        yield b'{"access_token": "a'
        raise httpx.ReadError("gone")


@pytest.mark.parametrize(("status", "lost"), [(200, True), (400, False)])
def test_half_an_answer_is_lost_where_it_would_have_been_a_grant(profile, wallet, status, lost):
    grant = redeem(profile, wallet, Endpoint(lambda _request: httpx.Response(status, stream=Breaking())))
    assert grant.http is not None
    assert (grant.http.status, grant.http.failure) == (status, HttpFailure.CLOSED)
    assert grant.answer_lost is lost


def test_an_application_has_nothing_to_lose(profile, wallet):
    def fail(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone")

    app = changed(profile, grant=GrantType.CLIENT_CREDENTIALS)
    assert redeem(app, wallet, Endpoint(fail)).answer_lost is False


# --- how long it will last, as the provider says -----------------------------------------------------------


@pytest.mark.parametrize("member", ["refresh_token_expires_in", "refresh_expires_in"])
def test_a_stated_end_is_kept_for_the_next_run(profile, wallet, member):
    """Google's and Entra's member, and Keycloak's; it is of the token that is good after this answer."""
    given = answer(refresh_token="0.successor", **{member: 604799})
    grant = redeem(profile, wallet, Endpoint(given))
    ends = grant.observed_at + dt.timedelta(seconds=604799)
    assert grant.refresh_token_ends == ends
    later = redeem(profile, fresh(), Endpoint(answer()))
    assert later.stored is not None
    assert (later.stored.ends_at, later.refresh_token_ends) == (ends, ends)


def test_a_successor_of_which_nothing_is_said_does_not_inherit_an_end(profile, wallet):
    redeem(profile, wallet, Endpoint(answer(refresh_token="0.first", refresh_token_expires_in=60)))
    grant = redeem(profile, fresh(), Endpoint(answer(refresh_token="0.second", refresh_expires_in=0)))
    assert grant.stored is not None
    assert grant.stored.ends_at is not None
    assert grant.refresh_token_ends is None


def test_a_sign_in_keeps_its_date_through_all_rotations(profile):
    signed_in = changed(profile, grant=GrantType.AUTHORIZATION_CODE, refresh_token=None)
    store(signed_in, Kept(Secret("0.signed-in", "test"), "", NOW, NOW))
    for token in ("0.first", "0.second"):
        grant = redeem(signed_in, fresh(), Endpoint(answer(refresh_token=token)))
        assert grant.stored is not None
        assert grant.stored.obtained_at == NOW
    kept = stored(signed_in)
    assert kept is not None
    assert (kept.obtained_at, kept.last_used_at) == (NOW, grant.observed_at)


@pytest.mark.parametrize("grant_type", [GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE])
def test_of_a_sign_in_it_is_the_refresh_token_that_is_redeemed(profile, grant_type):
    """Whatever its outcome: the checks of stage refresh, and the causes of a refusal, are those of one."""
    signed_in = changed(profile, grant=grant_type, refresh_token=None)
    assert redeem(signed_in, fresh(), Endpoint(answer())).grant == "refresh_token"
    store(signed_in, Kept(Secret("0.signed-in", "test"), "", NOW, NOW))
    assert redeem(signed_in, fresh(), Endpoint(answer())).grant == "refresh_token"


# --- a machine that passes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "store_at", "command", "kept"),
    [
        ({}, "", "", True),
        ({"CI": "true"}, "", "", False),
        ({"GITHUB_ACTIONS": "true"}, "", "", False),
        ({"CI": "false"}, "", "", True),
        ({"CI": "true"}, "of our own", "", True),
        ({"CI": "true"}, "", "pass", True),
        ({"CI": "true"}, "", "raise SystemExit(1)", False),
    ],
    ids=[
        "at home",
        "ci",
        "github",
        "ci says no",
        "ci with a store",
        "ci with a command",
        "ci, command fails",
    ],
)
def test_in_ci_a_rotated_token_is_kept_only_where_somebody_sees_to_it(
    environment, store_at, command, kept, profile, wallet, monkeypatch, tmp_path
):
    for name in CI:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = str(tmp_path / store_at) if store_at else ""
    told = changed(profile, store=place, on_rotation=python(command) if command else ())
    grant = redeem(told, wallet, Endpoint(answer(refresh_token="0.successor")))
    assert (grant.granted, grant.refresh_token_kept) == (True, kept)
    assert redeem(told, wallet, Endpoint(answer())).refresh_token_kept


# --- on_rotation -------------------------------------------------------------------------------------------


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *arguments)


def test_a_rotated_token_is_handed_to_the_command_once_it_is_stored(profile, wallet, tmp_path):
    copy = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    told = changed(profile, on_rotation=python(copy, str(tmp_path / "copy")))
    assert redeem(told, wallet, Endpoint(answer(refresh_token="0.successor"))).keep_problem == ""
    assert (tmp_path / "copy").read_text() == "0.successor"


def test_a_token_that_did_not_rotate_is_not_handed_on(profile, wallet, tmp_path):
    touch = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
    told = changed(profile, on_rotation=python(touch, str(tmp_path / "called")))
    redeem(told, wallet, Endpoint(answer()))
    assert not (tmp_path / "called").exists()


def test_a_command_that_fails_is_said_and_the_token_is_still_kept(profile, wallet):
    told = changed(profile, on_rotation=python("raise SystemExit(3)"))
    grant = redeem(told, wallet, Endpoint(answer(refresh_token="0.successor")))
    assert (grant.granted, grant.refresh_token_kept) == (True, True)
    assert grant.keep_problem.endswith("ended with exit status 3")


# --- two processes, and one that dies ----------------------------------------------------------------------

RUN = """
import asyncio, sys
from smtp_preflight.model import GrantType, Limits, OAuth, Profile, Provider, SecretRef, Smtp
from smtp_preflight.probes.token import probe_grant
from smtp_preflight.secrets import Secret, Wallet

endpoint, folder, ca_file, count, *command = sys.argv[1:]
ref = SecretRef("env", ("SOMETHING",))
oauth = OAuth(grant=GrantType.REFRESH_TOKEN, client_id="our-client", client_type="public", store=folder,
              token_endpoint=endpoint, refresh_token=ref, on_rotation=tuple(command))
profile = Profile(name="contoso", provider=Provider("custom", "A server"), mailbox="alerts@contoso.example",
                  smtp=Smtp("smtp"), oauth=oauth, ca_file=ca_file, limits=Limits(http_s=20))

async def resolve(host):
    return ("127.0.0.1",)

for _ in range(int(count)):
    wallet = Wallet()
    wallet.put("refresh_token", Secret("0", "env:SOMETHING"))
    grant = asyncio.run(probe_grant(profile, wallet, resolve=resolve))
    print("granted" if grant.granted else (grant.error, grant.http, grant.problem), flush=True)
"""


class Rotating(http.server.ThreadingHTTPServer):
    """An identity provider where each refresh token works once; the first is 0, the next 1."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), RotatingHandler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.good = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"https://login.contoso.example:{self.server_address[1]}/token"


class RotatingHandler(http.server.BaseHTTPRequestHandler):
    server: Rotating

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        with self.server.lock:
            good = form["refresh_token"] == [str(self.server.good)]
            self.server.good += good
        refresh_token = str(self.server.good)
        content = answer(refresh_token=refresh_token) if good else {"error": "invalid_grant"}
        body = json.dumps(content).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Keep quiet."""


@pytest.fixture
def rotating(tmp_path: Path) -> Iterator[Rotating]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("login.contoso.example").configure_cert(context)
    server = Rotating(context)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def run(server: Rotating, folder: Path, count: int, *command: str) -> subprocess.Popen[str]:
    arguments = (server.url, str(folder / "tokens"), str(folder / "ca.pem"), str(count), *command)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_runs_at_the_same_time_never_redeem_the_same_token(rotating, tmp_path):
    processes = [run(rotating, tmp_path, 4) for _ in range(2)]
    told = [process.communicate(timeout=60) for process in processes]
    assert told == [("granted\n" * 4, "")] * 2
    assert rotating.good == 8


def test_a_run_that_dies_between_answer_and_use_has_lost_nothing(rotating, tmp_path):
    """Its own on_rotation command kills it: after the disk, before anything else."""
    killing = python("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    killed = run(rotating, tmp_path, 1, *killing)
    assert killed.communicate(timeout=60)[0] == ""
    assert (killed.returncode, rotating.good) == (-9, 1)
    after = run(rotating, tmp_path, 1)
    assert after.communicate(timeout=60) == ("granted\n", "")


# --- discovery ---------------------------------------------------------------------------------------------

METADATA = {
    "issuer": ISSUER,
    "token_endpoint": ENDPOINT,
    "jwks_uri": "https://keys.contoso.example/keys",
    "device_authorization_endpoint": "https://login.contoso.example/device",
    "scopes_supported": ["openid"],
    "tenant_region_scope": "EU",
    "odd_endpoint": 5,
}


def discover(profile: Profile, endpoint: Endpoint) -> Discovery:
    return asyncio.run(probe_discovery(profile, Wallet(), transport=endpoint.transport))


def test_the_metadatas_endpoints_are_kept(profile):
    urls: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        urls.append(f"{request.method} {request.url}")
        return httpx.Response(200, json=METADATA)

    found = discover(changed(profile, issuer=ISSUER + "/"), Endpoint(serve))
    assert urls == [f"GET {ISSUER}/.well-known/openid-configuration"]
    assert found.readable
    assert set(found.metadata) == {"issuer", "token_endpoint", "jwks_uri", "device_authorization_endpoint"}
    discover(changed(profile, issuer=ISSUER, discovery_uri=ISSUER + "/here"), Endpoint(serve))
    assert urls[1] == f"GET {ISSUER}/here"


def test_a_tenant_that_does_not_exist_is_told_by_its_code(profile):
    told = {"error": "invalid_tenant", "error_description": "AADSTS90002: not found", "error_codes": [90002]}
    found = discover(changed(profile, issuer=ISSUER), Endpoint(told, 400))
    assert (found.readable, found.error, found.error_codes) == (False, "invalid_tenant", ("90002",))
    only_codes = discover(changed(profile, issuer=ISSUER), Endpoint({"error_codes": [90002]}, 400))
    assert (only_codes.error, only_codes.error_codes) == ("", ("90002",))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"issuer": 5}', json.dumps(METADATA).encode()[:-5]])
def test_metadata_that_is_something_else_is_not_readable(profile, body):
    found = discover(changed(profile, issuer=ISSUER), Endpoint(body))
    assert (found.readable, found.metadata) == (False, {})


def test_metadata_without_end_is_bounded_and_inert(profile):
    many = {f"x{number}_endpoint": "https://x/\x1b" + "a" * 900 for number in range(100)}
    found = discover(changed(profile, issuer=ISSUER), Endpoint(many))
    assert len(found.metadata) == 30
    assert {len(url) for url in found.metadata.values()} == {500}
    assert r"\x1b" in found.metadata["x0_endpoint"]


def naming(**metadata: str) -> Discovery:
    return Discovery(asked_at=NOW, http=HttpExchange("GET", ISSUER, 200), metadata=metadata)


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        (ENDPOINT, True),
        ("https://login.contoso.example:8443/token", True),
        ("https://oauth2.contoso.example/token", True),
        ("https://evil.example/token", False),
        ("https://login.contoso.example@evil.example/token", False),
        ("http://login.contoso.example/token", False),
        ("https://[bad/token", False),
        ("https:///token", False),
        ("", False),
    ],
)
def test_an_endpoint_is_used_where_it_is_the_issuers_or_the_presets(profile, url, trusted):
    listed = replace(profile, provider=Provider("custom", "", issuer_hosts=("oauth2.contoso.example",)))
    for one in (changed(listed, issuer=ISSUER), changed(listed, discovery_uri=f"{ISSUER}/x")):
        assert discovered(naming(token_endpoint=url), "token_endpoint", one) == (url if trusted else "")
    assert discovered(naming(token_endpoint=url), "token_endpoint", profile) == ""


def test_a_profile_without_a_token_endpoint_takes_it_from_discovery(profile, wallet):
    found = naming(token_endpoint=ENDPOINT)
    app = changed(profile, grant=GrantType.CLIENT_CREDENTIALS, token_endpoint="", issuer=ISSUER)
    grant = redeem(app, wallet, Endpoint(answer()), discovery=found)
    assert grant.http is not None
    assert (grant.granted, grant.http.url) == (True, ENDPOINT)


@pytest.mark.parametrize("found", [None, naming(), naming(token_endpoint="https://evil.example/token")])
def test_a_profile_without_any_token_endpoint_asks_nobody(profile, wallet, found):
    endpoint = Endpoint(answer())
    grant = redeem(changed(profile, token_endpoint="", issuer=ISSUER), wallet, endpoint, discovery=found)
    assert (grant.problem, endpoint.forms) == ("no token endpoint is known", [])


# --- keys and signatures -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: rsa.RSAPrivateKey, kid: str | None = "k1") -> dict[str, Any]:
    numbers: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return numbers | ({"kid": kid} if kid else {})


def signed(key: Any, algorithm: str = "RS256", **headers: Any) -> Secret:
    return Secret(jwt.encode({"aud": "x"}, key, algorithm=algorithm, headers=headers or None), "test")


def keys_of(profile: Profile, endpoint: Endpoint) -> tuple[Keys, Mapping[str, Any]]:
    return asyncio.run(probe_keys(profile, Wallet(), f"{ISSUER}/keys", transport=endpoint.transport))


def test_published_keys_are_read_and_handed_on(profile, key):
    jwks = {"keys": [public(key), public(key, None), "no key"]}
    found, handed_on = keys_of(profile, Endpoint(jwks))
    assert (found.readable, found.kids, handed_on) == (True, ("k1", ""), jwks)
    assert probe_signature(signed(key, kid="k1"), handed_on).state is SignatureState.VALID


@pytest.mark.parametrize(
    ("body", "status"), [(b"{}", 200), (b'{"keys": 5}', 200), (b"<html>", 200), (b"", 503)]
)
def test_keys_that_are_none_are_not_readable(profile, body, status):
    found, _ = keys_of(profile, Endpoint(body, status))
    assert (found.readable, found.kids) == (False, ())


def test_keys_at_a_place_that_is_none_are_not_readable(profile):
    """Metadata can name anything."""
    for uri in ("https://[bad/keys", "http://login.contoso.example/keys", "keys"):
        found, _ = asyncio.run(probe_keys(profile, Wallet(), uri))
        assert (found.readable, found.http.failure) == (False, HttpFailure.PROTOCOL)


def test_keys_of_an_error_are_not_handed_on(profile, key):
    found, handed_on = keys_of(profile, Endpoint({"keys": [public(key)]}, 404))
    assert (found.readable, handed_on) == (False, {})


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
def test_a_signature_is_verified_by_the_key_it_names(key, algorithm):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwks = {"keys": [public(other, "k0"), public(key)]}
    assert probe_signature(signed(key, algorithm, kid="k1"), jwks).state is SignatureState.VALID
    assert probe_signature(signed(other, algorithm, kid="k1"), jwks).state is SignatureState.INVALID
    assert probe_signature(signed(key, algorithm), jwks).state is SignatureState.VALID


def test_a_signature_over_a_curve_is_verified_too():
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "k1"}
    assert probe_signature(signed(key, "ES256", kid="k1"), {"keys": [jwk]}).state is SignatureState.VALID


def test_a_key_id_that_is_not_published_is_said(key):
    found = probe_signature(signed(key, kid="new"), {"keys": [public(key)]})
    assert (found.state, found.detail) == (SignatureState.NO_KEY, "new")


def test_what_cannot_be_verified_by_anybody_else_is_not_checked(key):
    """An opaque token, one with a nonce (Microsoft's own services), and every algorithm but signatures."""
    jwks = {"keys": [public(key)]}
    shared = Secret(jwt.encode({}, "k" * 32, algorithm="HS256", headers={"kid": "k1"}), "test")
    unsigned = Secret(jwt.encode({}, "", algorithm="none", headers={"kid": "k1"}), "test")
    told = [
        probe_signature(token, jwks)
        for token in (Secret("ya29.opaque", "test"), signed(key, nonce="n", kid="k1"), shared, unsigned)
    ]
    assert {one.state for one in told} == {SignatureState.NOT_CHECKED}
    assert [one.detail for one in told] == [
        "opaque",
        "a nonce in the header",
        "algorithm HS256",
        "algorithm none",
    ]


def test_an_algorithm_that_is_no_name_is_not_checked(key):
    header = base64.urlsafe_b64encode(b'{"alg": ["RS256"], "kid": "k1"}').decode().rstrip("=")
    token = Secret(f"{header}.{signed(key).reveal().partition('.')[2]}", "test")
    found = probe_signature(token, {"keys": [public(key)]})
    assert (found.state, found.detail) == (SignatureState.NOT_CHECKED, "algorithm ['RS256']")


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 5, "e": 5},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct", "k": "a2V5"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": ["RSA"]},
    ],
)
def test_a_key_that_is_none_verifies_nothing_and_breaks_nothing(key, jwk):
    found = probe_signature(signed(key, kid="k1"), {"keys": [jwk | {"kid": "k1"}]})
    assert found.state is SignatureState.NOT_CHECKED
    assert found.detail
    both = probe_signature(signed(key, kid="k1"), {"keys": [jwk | {"kid": "k1"}, public(key)]})
    assert both.state is SignatureState.VALID


# --- token info --------------------------------------------------------------------------------------------


def test_token_info_is_asked_for_in_the_body_and_answers_in_texts(profile, wallet):
    wallet.put("access_token", Secret("ya29.canary", "granted"))
    told = {
        "aud": "x",
        "exp": 1795242570,
        "email_verified": True,
        "scope": "https://mail.google.com/",
        "sub": "110",
        "email": {"a": 1},
        "azp": None,
        "access_type": "off\x1bline",
    }
    urls: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        urls.append(f"{request.method} {request.url}")
        return httpx.Response(200, json=told)

    endpoint = Endpoint(serve)
    google = changed(profile, token_info_uri="https://oauth2.contoso.example/tokeninfo")
    found = asyncio.run(probe_token_info(google, wallet, transport=endpoint.transport))
    assert urls == ["POST https://oauth2.contoso.example/tokeninfo"]
    assert endpoint.forms == [{"access_token": "ya29.canary"}]
    assert found.claims == {
        "aud": "x",
        "exp": "1795242570",
        "email_verified": "true",
        "scope": "https://mail.google.com/",
        "access_type": r"off\x1bline",
    }


def test_a_token_the_provider_does_not_know_has_no_claims(profile, wallet):
    wallet.put("access_token", Secret("ya29.canary", "granted"))
    google = changed(profile, token_info_uri="https://oauth2.contoso.example/tokeninfo")
    refused = Endpoint({"error": "invalid_token", "email": "who@x"}, 400).transport
    found = asyncio.run(probe_token_info(google, wallet, transport=refused))
    assert (found.http.status, found.claims) == (400, {})


# --- nothing leaks -----------------------------------------------------------------------------------------

CANARIES = (
    *("canary-client-secret", "canary-refresh-seed", "canary-refresh-next", "canary-access-token"),
    *("canary-in-claims",),
)


def in_any_form(text: str) -> Iterator[str]:
    """What a secret might look like where it is not looked for."""
    yield text
    yield base64.b64encode(text.encode()).decode().rstrip("=")[:-2]


@pytest.mark.parametrize("status", [200, 400])
def test_planted_secrets_are_in_no_observation_and_in_no_log(profile, status, caplog):
    """An endpoint that says everything it was told back to us, and in every place there is."""
    caplog.set_level(logging.DEBUG)
    wallet = Wallet()
    wallet.put("client_secret", Secret("canary-client-secret", "env:A"))
    wallet.put("refresh_token", Secret("canary-refresh-seed", "env:B"))
    payload = {"aud": "x", "name": "canary-in-claims", "email": "canary-client-secret"}
    access = jwt.encode(payload, "k" * 32, algorithm="HS256", headers={"kid": "canary-refresh-seed"})
    access += "canary-access-token"
    echo = f"{CANARIES[:2]} refused"
    told = {
        "access_token": access,
        "refresh_token": "canary-refresh-next",
        "token_type": "canary-refresh-next",
        "scope": f"a {access} canary-refresh-next",
        "error": "canary-client-secret",
        "error_description": echo,
        "suberror": "canary-refresh-seed",
        "trace_id": "canary-refresh-seed",
        **METADATA,
        "token_endpoint": "https://login.contoso.example/canary-client-secret",
        "keys": [{"kid": "canary-refresh-seed"}],
        "aud": "canary-client-secret",
    }
    endpoint = Endpoint(lambda _r: httpx.Response(status, json=told, headers={"Server": echo, "Via": echo}))
    every = changed(profile, issuer=ISSUER, token_info_uri=ENDPOINT)
    how: dict[str, Any] = {"transport": endpoint.transport}
    grant = redeem(every, wallet, endpoint)
    wallet.put("access_token", Secret(access, "granted"))
    seen: list[Observation] = [
        grant,
        asyncio.run(probe_discovery(every, wallet, **how)),
        asyncio.run(probe_keys(every, wallet, ENDPOINT, **how))[0],
        asyncio.run(probe_token_info(every, wallet, **how)),
        probe_signature(Secret(access, "granted"), told),
    ]
    shown = "".join(
        repr(one) + pydantic.TypeAdapter(type(one)).dump_json(one).decode() + repr(vars_of(one))
        for one in seen
    )
    for canary in CANARIES:
        for form in in_any_form(canary):
            assert form not in shown
            assert form not in caplog.text


def vars_of(observation: Observation) -> Mapping[str, object]:
    return {name: getattr(observation, name) for name in observation.__dataclass_fields__}


# --- against the lab ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["microsoft365", "google"])
def test_the_labs_identity_provider_is_asked_all_that_can_be_asked(profile, provider):
    async def resolve(_host: str) -> tuple[str, ...]:
        return ("127.0.0.1",)

    async def ask(at: Profile, wallet: Wallet) -> tuple[Discovery, Grant, Keys, Mapping[str, Any]]:
        found = await probe_discovery(at, wallet, resolve=resolve)
        grant = await probe_grant(at, wallet, resolve=resolve, discovery=found)
        return found, grant, *await probe_keys(at, wallet, at.oauth.jwks_uri, resolve=resolve)

    with Lab.start(provider) as lab:
        scope = ("https://mail.google.com/",) if provider == "google" else profile.oauth.scope
        at = lab.overlay(changed(profile, tenant="contoso.example", scope=scope))
        wallet = Wallet()
        for name, secret in lab.secrets().items():
            wallet.put(name, secret)
        found, grant, keys, jwks = asyncio.run(ask(at, wallet))
        token = wallet.get("access_token")
        assert token is not None
        assert (found.readable, grant.granted, keys.readable) == (True, True, True)
        if provider == "google":
            info = asyncio.run(probe_token_info(at, wallet, resolve=resolve))
            assert info.claims["email"] == "alerts@contoso.example"
        else:
            assert grant.token is not None
            assert grant.token.claims["scp"] == "SMTP.Send"
            assert probe_signature(token, jwks).state is SignatureState.VALID
