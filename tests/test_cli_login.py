"""``smtp-preflight login`` as somebody at a terminal meets it, against a provider over real HTTPS."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import jwt
import pexpect
import pytest
import trustme

from smtp_preflight import cli
from smtp_preflight.cli import desk, login
from smtp_preflight.cli.profiles import profile_named
from smtp_preflight.model import Profile

CLIENT = "6731de76-14a6-49ae-97bc-6eba6914391e"
MAILBOX = "alerts@contoso.com"
LIMIT_S = 60  # for one command; what takes longer hangs
SHUTDOWN_POLL_S = 0.02  # how soon a server of a test notices that it is to end
NOT_INHERITED = ("PYTEST_", "GITHUB_", "CI", "TF_BUILD", "DEMO_", "LAB_", "DISPLAY", "WAYLAND_DISPLAY")

# Planted with the provider; no output may hold one of them.
CODE = "0.AX0Acanary-code-QxZ7planted"
REFRESH = "1.AX0Acanary-refresh-QxZ7planted"
DEVICE = "DAQABcanary-device-QxZ7planted"
SECRET = "canary~secret-QxZ7planted"


# --- the provider ------------------------------------------------------------------------------------------


@dataclass
class Idp:
    """Metadata, a sign-in page that asks nothing, a device endpoint and a token endpoint."""

    port: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)  # what goes back beside, or in place of, the code
    granted: dict[str, Any] = field(default_factory=dict)
    polls: list[dict[str, Any]] = field(default_factory=list)  # before it is granted
    device: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    pages: list[dict[str, str]] = field(default_factory=list)

    def url(self, path: str = "") -> str:
        return f"https://localhost:{self.port}{path}"

    def back(self, query: Mapping[str, str]) -> str:
        """Where the page sends the browser."""
        self.pages.append(dict(query))
        answer = {"code": CODE, "session_state": "x", "state": query["state"], **self.redirect}
        return f"{query['redirect_uri']}?{urlencode({key: one for key, one in answer.items() if one})}"

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, Mapping[str, Any]]:
        self.forms.append((path, form))
        if path == "/device":
            return 200, self.device
        if path == "/tokeninfo":
            return 200, self.info
        told = self.polls.pop(0) if self.polls else self.granted
        return (400 if "error" in told else 200), told


class Handler(BaseHTTPRequestHandler):
    """One request of a sign-in."""

    idp: Idp

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/.well-known/openid-configuration":
            self._send(200, {"issuer": self.idp.url(), **self.idp.metadata})
            return
        self.send_response(302)
        self.send_header("Location", self.idp.back(dict(parse_qsl(parts.query))))
        self.end_headers()

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._send(*self.idp.answer(self.path, dict(parse_qsl(sent))))

    def _send(self, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def idp(tmp_path: Path) -> Iterator[Idp]:
    """A provider at https://localhost, which grants."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    idp = Idp(granted=granted())
    serving = type("Serving", (Handler,), {"idp": idp})
    with ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        idp.port = server.server_address[1]
        idp.metadata = {
            "authorization_endpoint": idp.url("/authorize"),
            "device_authorization_endpoint": idp.url("/device"),
            "token_endpoint": idp.url("/token"),
        }
        idp.device = {
            "device_code": DEVICE,
            "user_code": "WDJB-MJHT",
            "verification_uri": idp.url("/type-it-here"),
            "expires_in": 900,
            "interval": 1,
        }
        threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_S,), daemon=True).start()
        yield idp
        server.shutdown()


def access_token(**claims: Any) -> str:
    named = {"aud": "https://mail.contoso.com", "scp": "SMTP.Send", "upn": MAILBOX, **claims}
    return jwt.encode(named, "canary-key-" * 4, algorithm="HS256")


def granted(**more: Any) -> dict[str, Any]:
    named = {"token_type": "Bearer", "expires_in": 3600, "refresh_token": REFRESH, **more}
    return {"access_token": access_token(), **named}


# --- the command -------------------------------------------------------------------------------------------

BROWSER = """
import json, os, ssl, sys, urllib.request

context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with urllib.request.urlopen(sys.argv[1], context=context) as page:
    open("page.html", "wb").write(page.read())
    json.dump([sys.argv, dict(os.environ)], open("inherited.json", "w"))
"""


def browse(url: str, _profile: Profile) -> None:
    """What a browser does that somebody has signed in with before: it goes where it is sent."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(urllib.error.URLError),
        urllib.request.urlopen(url, context=context, timeout=LIMIT_S) as page,  # noqa: S310 - the page of this test
    ):
        Path("page.html").write_bytes(page.read())


def written(value: Any) -> str:
    """A value of a profile; a table stands there as it is."""
    return value if str(value).startswith("{") else json.dumps(value)


@dataclass(frozen=True)
class Ended:
    """How the command ended, and what it said."""

    status: int
    stdout: str
    stderr: str


@dataclass
class Command:
    """The command in a folder with one profile, ``contoso``."""

    folder: Path
    idp: Idp
    patch: pytest.MonkeyPatch
    said: pytest.CaptureFixture[str]

    def write(self, *more: str, provider: str = "custom", **oauth: Any) -> None:
        """Write the profile; keywords are keys of [oauth]."""
        keys = {
            "client_id": CLIENT,
            "client_type": "public",
            "grant": "authorization_code",
            "issuer": self.idp.url(),
            "scope": ["mail.send", "offline_access"],
            "store": str(self.folder / "store"),
        }
        shown = {key: one for key, one in {**keys, **oauth}.items() if one is not None}
        lines = [
            f'provider = "{provider}"',
            f'mailbox = "{MAILBOX}"',
            *more,
            "[smtp]",
            'host = "smtp.contoso.example"',
            "[tls]",
            f'ca_file = "{self.folder / "ca.pem"}"',
            "[limits]",
            "http_s = 20",
            "[oauth]",
            *(f"{key} = {written(one)}" for key, one in shown.items()),
        ]
        (self.folder / "profiles").mkdir(exist_ok=True)
        (self.folder / "profiles/contoso.toml").write_text("\n".join(lines), encoding="utf-8")

    def __call__(self, *args: str, stdin: str = "") -> Ended:
        """Carry it out in this process, without a terminal."""
        self.patch.chdir(self.folder)
        self.patch.setenv("CONTOSO_SECRET", SECRET)
        self.patch.setattr(desk, "open_browser", browse)
        self.patch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            status = cli.main(args or ("login", "contoso"))
        except SystemExit as end:
            status = int(end.code or 0)
        ended = Ended(status, *self.said.readouterr())
        self.no_canary_in(ended.stdout + ended.stderr)
        return ended

    def environment(self) -> dict[str, str]:
        """What a process of its own inherits."""
        kept = {key: one for key, one in os.environ.items() if not key.startswith(NOT_INHERITED)}
        return {**kept, "CONTOSO_SECRET": SECRET, "TERM": "xterm"}

    def apart(self, *args: str, **environment: str) -> Ended:
        """Carry it out in a process of its own, without a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "smtp_preflight.cli", *args],
            cwd=self.folder,
            env=self.environment() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )
        self.no_canary_in(done.stdout + done.stderr)
        return Ended(done.returncode, done.stdout, done.stderr)

    def spawn(self, *args: str) -> pexpect.spawn:
        """Start it at a terminal."""
        return pexpect.spawn(
            sys.executable,
            ["-m", "smtp_preflight.cli", *args],
            cwd=str(self.folder),
            env=self.environment(),
            timeout=LIMIT_S,
            encoding="utf-8",
            dimensions=(50, 200),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def page(self) -> str:
        """What the browser was shown in the end; it may take a moment longer than the command."""
        file, gives_up = self.folder / "page.html", time.monotonic() + LIMIT_S
        while not (file.exists() and file.stat().st_size) and time.monotonic() < gives_up:
            time.sleep(0.01)
        return file.read_text(encoding="utf-8")

    def no_canary_in(self, text: str) -> None:
        """Nothing that was planted, or made for this sign-in, is in what was said."""
        verifiers = [form.get("code_verifier", "") for _, form in self.idp.forms]
        tokens = [str(self.idp.granted.get(name, "")) for name in ("access_token", "id_token")]
        planted = [CODE, REFRESH, DEVICE, SECRET, *verifiers, *tokens]
        assert [one for one in planted if one and (one in text or quote(one) in text)] == []

    def kept(self) -> dict[str, Any] | None:
        """What the store holds."""
        files = list((self.folder / "store").glob("*.json"))
        if not files:
            return None
        assert oct(files[0].stat().st_mode & 0o777) == "0o600"
        read: dict[str, Any] = json.loads(files[0].read_text(encoding="utf-8"))
        return read


@pytest.fixture
def command(
    tmp_path: Path, idp: Idp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command, with a profile of a public client and nothing stored."""
    made = Command(tmp_path, idp, monkeypatch, capsys)
    made.write()
    return made


def sent(idp: Idp, path: str = "/token") -> list[dict[str, str]]:
    return [form for where, form in idp.forms if where == path]


def words(text: str) -> str:
    return " ".join(text.split())


# --- by browser --------------------------------------------------------------------------------------------


def test_a_browser_signs_in_and_the_token_is_stored(command: Command, idp: Idp) -> None:
    """From one command: page, redirect, code, token, store; and it says what came of it."""
    done = command()
    assert done.status == 0, done.stdout + done.stderr
    said = words(done.stdout)
    assert f"Signed in {MAILBOX}" in said
    assert f"For mailbox {MAILBOX}" in said
    assert "Permissions SMTP.Send" in said
    assert "access token" in said
    assert "Next: smtp-preflight check contoso" in said
    kept = command.kept()
    assert kept is not None
    assert kept["refresh_token"] == REFRESH
    assert (kept["endpoint"], kept["client_id"], kept["mailbox"]) == (idp.url("/token"), CLIENT, MAILBOX)
    assert kept["obtained_at"]
    assert "You can close this window" in command.page()
    (form,) = sent(idp)
    assert form["code"] == CODE
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", form["redirect_uri"])
    assert "client_secret" not in form


def test_the_address_is_shown_for_whoever_has_no_browser_here(command: Command) -> None:
    """At a terminal the wait counts down in one line; Ctrl-C ends it with exit 2 and one line."""
    child = command.spawn("login", "contoso")
    child.expect(r"https://localhost:\d+/authorize\?\S+code_challenge_method=S256\S*")
    child.expect(r"Waiting for the sign-in … \d+:\d\d left")
    child.sendintr()
    child.expect("smtp-preflight login: interrupted before the sign-in was complete\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert "Traceback" not in (child.before or "")
    assert command.kept() is None


def test_the_browser_is_the_user_s_own(command: Command) -> None:
    """The one that the environment names is started, with the address of the page, and is told no secret."""
    command.write(client_type="confidential", client_secret='{ env = "CONTOSO_SECRET" }')
    (command.folder / "browser.py").write_text(BROWSER, encoding="utf-8")
    done = command.apart("login", "contoso", BROWSER=f"{sys.executable} {command.folder / 'browser.py'} %s")
    assert done.status == 0, done.stdout + done.stderr
    assert "You can close this window" in command.page()
    assert sent(command.idp)[0]["client_secret"] == SECRET
    command.no_canary_in((command.folder / "inherited.json").read_text(encoding="utf-8"))


def test_nobody_comes_back(command: Command) -> None:
    """The wait has an end, and it is explained."""
    command.idp.redirect = {"state": "another"}
    command.patch.setattr(desk, "LIMIT_S", 0.3)
    done = command()
    assert done.status == 1
    assert "sign_in_not_completed" in done.stdout
    assert "`smtp-preflight login contoso --paste`" in words(done.stdout)


def test_a_refusal_on_the_page_is_explained(command: Command, idp: Idp) -> None:
    """Exit 1, as `explain` would say it, with the numbers a provider's support asks for."""
    idp.redirect = {
        "code": "",
        "error": "access_denied",
        "error_description": "AADSTS65004: User declined to consent. "
        "Trace ID: 0b7c2f4e-9d55-4a1c-8a53-6f1d2f0c9e34",
    }
    done = command()
    assert done.status == 1
    assert "user_declined_consent" in done.stdout
    assert "AADSTS65004" in done.stdout
    assert "0b7c2f4e-9d55-4a1c-8a53-6f1d2f0c9e34" in done.stdout
    assert "was not completed" in command.page()
    assert sent(idp) == []
    assert command.kept() is None


@pytest.mark.parametrize("told", [{}, {"iss": "https://evil.example"}], ids=["none", "another"])
def test_an_issuer_that_promised_to_name_itself_has_to(command: Command, idp: Idp, told: Any) -> None:
    """RFC 9207 section 2.4: the code is not redeemed."""
    idp.metadata["authorization_response_iss_parameter_supported"] = True
    idp.redirect = told
    done = command()
    assert done.status == 1
    assert "sign_in_answer_foreign" in done.stdout
    assert sent(idp) == []


def test_an_issuer_that_names_itself_is_taken(command: Command, idp: Idp) -> None:
    idp.metadata["authorization_response_iss_parameter_supported"] = True
    idp.redirect = {"iss": idp.url()}
    assert command().status == 0


def test_a_confidential_client_sends_its_secret(command: Command, idp: Idp) -> None:
    command.write(client_type="confidential", client_secret='{ env = "CONTOSO_SECRET" }')
    assert command().status == 0
    assert sent(idp)[0]["client_secret"] == SECRET


def test_a_secret_that_is_missing_is_said_before_anybody_signs_in(command: Command, idp: Idp) -> None:
    command.write(client_type="confidential", client_secret='{ env = "NOT_SET_ANYWHERE" }')
    done = command()
    assert done.status == 1
    assert "NOT_SET_ANYWHERE" in done.stdout
    assert "secret_unavailable" in done.stdout
    assert idp.pages == []


def test_a_store_that_others_can_read_is_said_before_anybody_signs_in(command: Command, idp: Idp) -> None:
    (command.folder / "store").mkdir()
    (command.folder / "store").chmod(0o755)
    done = command()
    assert done.status == 1
    assert "chmod 700" in done.stderr
    assert done.stdout == ""
    assert idp.pages == []


def test_an_endpoint_elsewhere_is_not_gone_to(command: Command, idp: Idp) -> None:
    """Metadata may name places on the issuer's host only; without a token endpoint nobody signs in."""
    idp.metadata["token_endpoint"] = "https://evil.example/token"
    done = command()
    assert done.status == 1
    assert idp.pages == []


def test_a_page_elsewhere_is_not_opened(command: Command, idp: Idp) -> None:
    idp.metadata["authorization_endpoint"] = "https://evil.example/authorize"
    done = command()
    assert done.status == 4
    assert "authorize_endpoint" in done.stderr
    assert "evil.example" not in done.stdout


def test_metadata_out_of_reach_are_explained(command: Command, idp: Idp) -> None:
    command.write(issuer=idp.url("/elsewhere"))
    idp.metadata = {}
    done = command()
    assert done.status == 1
    assert "Who can act" in done.stdout


def test_a_redirect_to_somewhere_else_can_be_pasted_only(command: Command) -> None:
    command.write(redirect_uri="https://login.microsoftonline.com/common/oauth2/nativeclient")
    done = command()
    assert done.status == 4
    assert "--paste" in done.stderr


def test_a_code_that_is_refused_is_explained(command: Command, idp: Idp) -> None:
    idp.granted = {"error": "invalid_client", "error_description": "AADSTS7000218: a secret is wanted"}
    done = command()
    assert done.status == 1
    assert "Who can act" in done.stdout
    assert command.kept() is None


def test_no_refresh_token_is_explained(command: Command, idp: Idp) -> None:
    """What to ask for, so that one is issued; nothing is stored."""
    del idp.granted["refresh_token"]
    done = command()
    assert done.status == 1
    assert "offline_access_not_requested" in done.stdout
    assert "access_type=offline" in done.stdout
    assert command.kept() is None


# --- who signed in -----------------------------------------------------------------------------------------


def test_another_account_is_said_at_once(command: Command, idp: Idp) -> None:
    """Where only the owner's token will do, it is an error."""
    idp.granted = granted(access_token=access_token(upn="bob@contoso.com"))
    done = command()
    assert done.status == 1
    assert "Signed in bob@contoso.com" in words(done.stdout)
    assert "token_user_mismatch" in done.stdout
    assert "bob@contoso.com" in words(done.stdout.partition("token_user_mismatch")[2])


def test_a_member_of_a_shared_mailbox_is_a_note(command: Command, idp: Idp) -> None:
    """Microsoft 365: plainly said, and no error."""
    command.write(
        provider="microsoft365",
        tenant="contoso.com",
        authorize_endpoint=idp.url("/authorize"),
        token_endpoint=idp.url("/token"),
        scope=None,
    )
    idp.granted = granted(access_token=access_token(upn="bob@contoso.com", aud="https://outlook.office.com"))
    done = command()
    assert done.status == 0, done.stdout + done.stderr
    assert f"Note: bob@contoso.com signed in, not {MAILBOX}." in done.stdout
    assert "- shared_mailbox_as_sasl_user: " in done.stdout
    (page,) = idp.pages
    assert page["scope"] == "https://outlook.office.com/SMTP.Send offline_access"
    assert re.fullmatch(r"http://localhost:\d+", page["redirect_uri"])
    assert page["login_hint"] == MAILBOX


def test_a_sign_in_that_does_not_permit_sending_is_said_at_once(command: Command, idp: Idp) -> None:
    """It is stored, and of no use: the explanation says what to ask for."""
    command.write(
        provider="microsoft365",
        tenant="contoso.com",
        authorize_endpoint=idp.url("/authorize"),
        token_endpoint=idp.url("/token"),
        scope=None,
    )
    idp.granted = granted(access_token=access_token(aud="https://outlook.office.com", scp="User.Read"))
    done = command()
    assert done.status == 1
    assert "token_missing_smtp_scope" in done.stdout.partition("Until when")[2]
    assert command.kept() is not None


def test_the_provider_says_whose_an_opaque_token_is(command: Command, idp: Idp) -> None:
    """Where the preset names a place to ask."""

    def with_a_place_to_ask(name: str) -> Profile:
        profile = profile_named(name)
        return replace(profile, oauth=replace(profile.oauth, token_info_uri=idp.url("/tokeninfo")))

    command.patch.setattr(login, "profile_named", with_a_place_to_ask)
    idp.granted = granted(access_token="canary-opaque-QxZ7planted")
    idp.info = {"email": "bob@contoso.com"}
    assert "Signed in bob@contoso.com" in words(command().stdout)
    assert [path for path, _ in idp.forms] == ["/token", "/tokeninfo"]


def test_the_id_token_says_who_where_the_access_token_is_opaque(command: Command, idp: Idp) -> None:
    command.write(scope=["openid", "email", "mail.send"])
    named = {"aud": CLIENT, "email": "bob@contoso.com"}
    nonces: list[str] = []
    idp.granted = granted(access_token="canary-opaque-QxZ7planted")

    def answer(path: str, form: dict[str, str]) -> tuple[int, Mapping[str, Any]]:
        nonces.append(idp.pages[-1]["nonce"])
        token = jwt.encode({**named, "nonce": nonces[-1]}, "canary-key-" * 4, algorithm="HS256")
        idp.granted["id_token"] = token
        return Idp.answer(idp, path, form)

    idp.answer = answer  # type: ignore[method-assign]  # for this one provider
    done = command()
    assert "Signed in bob@contoso.com" in words(done.stdout)
    assert nonces


def test_google_is_asked_for_consent_and_for_what_lasts(command: Command, idp: Idp) -> None:
    """Without both, Google issues no refresh token, or none the second time."""
    command.write(
        provider="google",
        issuer=None,
        scope=None,
        client_secret='{ env = "CONTOSO_SECRET" }',
        authorize_endpoint=idp.url("/authorize"),
        token_endpoint=idp.url("/token"),
    )
    child = command.spawn("login", "contoso", "--paste")
    child.expect(r"https://localhost:\d+/authorize\?(\S+)")
    assert child.match is not None
    query = dict(parse_qsl(child.match[1]))
    child.sendintr()
    child.expect(pexpect.EOF)
    assert (query["access_type"], query["prompt"]) == ("offline", "consent")
    assert query["scope"] == "https://mail.google.com/ openid email"


# --- by a pasted address -----------------------------------------------------------------------------------


def paste(command: Command, text: Callable[[dict[str, str]], str]) -> tuple[int | None, str]:
    """Sign in elsewhere, and paste what came of it; the exit status, and what was shown after the paste."""
    child = command.spawn("login", "contoso", "--paste")
    child.expect(r"https://localhost:\d+/authorize\?(\S+)")
    assert child.match is not None
    query = dict(parse_qsl(child.match[1]))
    child.expect("paste it here:\r\n")
    child.setecho(False)
    child.waitnoecho(5)
    child.sendline(text(query))
    child.expect(pexpect.EOF)
    child.close()
    shown = child.before or ""
    command.no_canary_in(shown)
    return child.exitstatus, shown


@pytest.mark.parametrize("way", ["address", "fragment", "query", "bare code"])
def test_what_was_pasted_is_redeemed(command: Command, idp: Idp, way: str) -> None:
    """The redirected address, with whatever else stands in it, or the code alone."""
    texts: dict[str, Callable[[dict[str, str]], str]] = {
        "address": idp.back,
        "fragment": lambda query: idp.back(query).replace("?", "#"),
        "query": lambda query: urlsplit(idp.back(query)).query,
        "bare code": lambda query: CODE,
    }
    status, shown = paste(command, texts[way])
    assert status == 0, shown
    assert f"Signed in    {MAILBOX}" in shown
    (form,) = sent(idp)
    assert form["code"] == CODE
    assert form["redirect_uri"] == "http://127.0.0.1"
    kept = command.kept()
    assert kept is not None
    assert kept["refresh_token"] == REFRESH


def test_a_pasted_error_is_explained(command: Command, idp: Idp) -> None:
    idp.redirect = {"code": "", "error": "access_denied", "error_description": "AADSTS65004: declined"}
    status, shown = paste(command, idp.back)
    assert status == 1
    assert "user_declined_consent" in shown


def test_an_address_of_an_earlier_try_is_refused(command: Command, idp: Idp) -> None:
    status, shown = paste(command, lambda query: idp.back({**query, "state": "an-earlier-one"}))
    assert status == 1
    assert "sign_in_answer_foreign" in shown
    assert sent(idp) == []


@pytest.mark.parametrize(
    "text", ["", "two words\n", "https://localhost/\n"], ids=["nothing", "words", "bare"]
)
def test_what_holds_no_code_is_one_line(command: Command, idp: Idp, text: str) -> None:
    done = command("login", "contoso", "--paste", stdin=text)
    assert done.status == 4
    assert done.stderr.splitlines()[-1] == (
        "smtp-preflight login: what was pasted holds neither a code nor an error"
    )
    assert sent(idp) == []


def test_somebody_who_pastes_something_else_is_asked_again(command: Command, idp: Idp) -> None:
    """Not more than twice, for the next paste would be no better."""
    child = command.spawn("login", "contoso", "--paste")
    child.expect("paste it here:\r\n")
    for _ in range(2):
        child.sendline("https://contoso.com/what-was-copied-before")
        child.expect(
            "That holds neither a code nor an error. Paste the address that the browser ends at:\r\n"
        )
    child.sendline(CODE)
    child.expect(r"Signed in +alerts@contoso.com\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert [form["code"] for form in sent(idp)] == [CODE]


def test_whoever_has_nothing_to_paste_is_not_asked_for_ever(command: Command, idp: Idp) -> None:
    child = command.spawn("login", "contoso", "--paste")
    child.expect("paste it here:\r\n")
    for _ in range(3):
        child.sendline("nothing of use")
    child.expect("smtp-preflight login: what was pasted holds neither a code nor an error\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, sent(idp)) == (4, [])


def test_a_code_can_come_from_a_file(command: Command) -> None:
    """Standard input need not be a terminal."""
    assert command("login", "contoso", "--paste", stdin=f"{CODE}\n").status == 0


def test_ctrl_c_ends_the_wait_for_a_paste(command: Command) -> None:
    child = command.spawn("login", "contoso", "--paste")
    child.expect("paste it here:\r\n")
    child.sendintr()
    child.expect("smtp-preflight login: interrupted before the sign-in was complete\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


# --- on another device -------------------------------------------------------------------------------------


def test_a_device_code_is_shown_and_waited_for(command: Command, idp: Idp) -> None:
    """At a terminal: the page, the code, a line that counts down with the code in it."""
    idp.polls = [{"error": "authorization_pending"}]
    idp.device["verification_uri_complete"] = idp.url("/type-it-here?code=WDJB-MJHT")
    child = command.spawn("login", "contoso", "--device")
    child.expect(r"Open https://localhost:\d+/type-it-here on any device, and type the code WDJB-MJHT\r\n")
    child.expect(r"or open https://localhost:\d+/type-it-here\?code=WDJB-MJHT\r\n")
    child.expect(r"Waiting for WDJB-MJHT to be typed … 1[45]:\d\d left")
    child.expect(r"Signed in +alerts@contoso.com\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert [form["device_code"] for form in sent(idp)] == [DEVICE, DEVICE]
    kept = command.kept()
    assert kept is not None
    assert kept["refresh_token"] == REFRESH


def test_without_a_terminal_the_progress_is_one_plain_line(command: Command) -> None:
    done = command("login", "contoso", "--device")
    assert done.status == 0
    assert done.stderr == "Waiting for WDJB-MJHT to be typed, at most 15 minutes\n"
    assert "\x1b" not in done.stdout + done.stderr


def test_the_profile_s_grant_says_the_way(command: Command, idp: Idp) -> None:
    command.write(grant="device_code")
    assert command("login", "contoso").status == 0
    assert idp.forms[0][0] == "/device"


def test_ctrl_c_ends_the_wait_for_a_device(command: Command, idp: Idp) -> None:
    idp.polls = [{"error": "authorization_pending"}] * 100
    child = command.spawn("login", "contoso", "--device")
    child.expect("Waiting for WDJB-MJHT to be typed … ")
    child.sendintr()
    child.expect("smtp-preflight login: interrupted before the sign-in was complete\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert command.kept() is None


@pytest.mark.parametrize(
    ("error", "code"),
    [("access_denied", "user_declined_consent"), ("expired_token", "device_code_not_completed")],
)
def test_a_device_sign_in_that_ends_is_explained(command: Command, idp: Idp, error: str, code: str) -> None:
    idp.polls = [{"error": error}]
    done = command("login", "contoso", "--device")
    assert done.status == 1
    assert code in done.stdout


def test_a_provider_without_device_codes_is_one_line(command: Command, idp: Idp) -> None:
    del idp.metadata["device_authorization_endpoint"]
    done = command("login", "contoso", "--device")
    assert done.status == 4
    assert "no device_endpoint is known" in done.stderr


# --- wrong usage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("login",), "required: NAME_OR_PATH"),
        (("login", "nobody"), "nobody: found no such profile"),
        (("login", "all"), "all: found several profiles"),
        (("login", "contoso", "--device", "--paste"), "not allowed with"),
    ],
)
def test_wrong_usage_is_one_line(command: Command, args: tuple[str, ...], told: str) -> None:
    done = command(*args)
    assert (done.status, done.stdout) == (4, "")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


@pytest.mark.parametrize(
    ("oauth", "told"),
    [
        ({"grant": "client_credentials"}, "its grant is client_credentials"),
        ({"grant": "access_token", "access_token": '{ env = "T" }'}, "its grant is access_token"),
        ({"grant": "refresh_token", "refresh_token": '{ env = "T" }'}, "its refresh token is given by env"),
        ({"refresh_token": '{ env = "T" }'}, "its refresh token is given by env"),
    ],
)
def test_a_profile_that_nobody_signs_in_for_says_so(
    command: Command, idp: Idp, oauth: dict[str, str], told: str
) -> None:
    command.write(**oauth)
    done = command()
    assert (done.status, done.stdout) == (4, "")
    assert done.stderr.count("\n") == 1
    assert f"contoso needs no sign-in: {told}" in done.stderr
    assert idp.pages == []


def test_a_profile_of_a_lab_says_how_to_keep_one(command: Command) -> None:
    command.write('lab = "microsoft365"')
    done = command()
    assert done.status == 4
    assert "smtp-preflight lab" in done.stderr


# --- what a run makes of it --------------------------------------------------------------------------------


def test_a_run_redeems_what_the_sign_in_has_stored(command: Command, idp: Idp) -> None:
    """The grant says how the token was first come by; a run redeems it, and keeps its successor."""
    assert command().status == 0
    idp.granted = granted(refresh_token="1.AX0Athe-next-one")
    done = command.apart("check", "contoso", "-k", "refresh")
    assert done.status == 0, done.stdout
    form = sent(idp)[-1]
    assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", REFRESH)
    kept = command.kept()
    assert kept is not None
    assert kept["refresh_token"] == "1.AX0Athe-next-one"


def test_explain_names_the_command_as_a_run_does(command: Command) -> None:
    """With the profile it is about; without one its name is left open."""
    assert (
        "`smtp-preflight login contoso`"
        in command("explain", "sign_in_needed", "--profile", "contoso").stdout
    )
    assert "`smtp-preflight login <profile>`" in command("explain", "sign_in_needed").stdout
    text = command("explain", "AADSTS50173: The grant has expired", "--profile", "contoso").stdout
    assert "`smtp-preflight login contoso`" in text


def test_without_a_sign_in_a_run_names_the_command(command: Command, idp: Idp) -> None:
    done = command.apart("check", "contoso", "-k", "refresh")
    assert done.status == 1
    assert "sign_in_needed" in done.stdout
    report = json.loads((command.folder / "reports/contoso/report.json").read_text(encoding="utf-8"))
    assert "`smtp-preflight login contoso`" in report["findings"][0]["remedy"][0]
    assert sent(idp) == []
