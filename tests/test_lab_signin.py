"""Each grant of the lab's identity providers, from the first request to a message that was accepted.

Sign-ins are by `smtp-preflight login`, once through a real browser; what follows is the suite as its users
run it, in processes of their own.
"""

import base64
import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from smtp_preflight.cli.lab import LAB_PROFILES, profile_lines
from smtp_preflight.lab import Lab
from smtp_preflight.lab.conditions import Conditions, IdentityConditions, Reuse
from smtp_preflight.model import GrantType, Profile, SecretRef
from smtp_preflight.profile import load_profile, load_providers

ROOT = Path(__file__).parent.parent
LIMIT_S = 120  # for what takes seconds; a busy machine takes its time
SHUTDOWN_POLL_S = 0.02  # how soon a server of a test notices that it is to end
RACES = 25  # pairs of redemptions at the same moment; by hand: drivers/store.py races --number 200
KILLS = 25  # likewise: drivers/store.py kills --number 200
PAIRS = 5  # of whole runs
COMMAND = (sys.executable, "-m", "smtp_preflight.cli")
ENVIRONMENT = {
    key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
}


# --- a lab and a profile file for it -----------------------------------------------------------------------


@dataclass
class Setup:
    """A running lab, the file of a profile that is signed up there, and what that file refers to."""

    lab: Lab
    profile: Profile
    file: Path
    environment: Mapping[str, str]

    def rewritten(self, key: str, reference: str, **environment: str) -> "Setup":
        """The same with a secret kept elsewhere: the line of its key refers to that."""
        ours = re.compile(rf"^{key} = .*$", re.MULTILINE)
        text, found = ours.subn(lambda _line: f"{key} = {reference}", self.file.read_text(encoding="utf-8"))
        assert found == 1
        self.file.write_text(text, encoding="utf-8")
        kept = {name: value for name, value in self.environment.items() if name != f"LAB_{key.upper()}"}
        return replace(self, environment={**kept, **environment})

    def suite(self, run_suite: Any, *args: str) -> Any:
        """A run of the suite with this profile."""
        return run_suite(f"--profile={self.file}", *args, environment=self.environment)

    def command(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        """Start one of the commands with this profile."""
        return subprocess.Popen(
            [*COMMAND, *args, str(self.file)],
            env={**ENVIRONMENT, **self.environment, **options.pop("environment", {})},
            stdin=options.pop("stdin", subprocess.PIPE),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def login(self, *args: str, typed: Callable[[str], str]) -> str:
        """Sign in; ``typed`` makes what goes to standard input from the first line of what is said."""
        status, said, told = talked(self.command("login", *args), typed)
        assert status == 0, said + told
        return said

    def stored(self) -> dict[str, Any]:
        """What the store holds of the one login."""
        (file,) = Path(self.profile.oauth.store).glob("*.json")
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def talked(process: subprocess.Popen[str], typed: Callable[[str], str]) -> tuple[int, str, str]:
    """Answer a command's first line; its exit status, and what it said on both outputs."""
    watch = threading.Timer(LIMIT_S, process.kill)
    watch.start()
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        said, told = process.communicate(typed(first))
    finally:
        watch.cancel()
        process.kill()
        process.communicate()
    return process.returncode, first + said, told


@pytest.fixture
def signed_up(tmp_path: Path) -> Iterator[Callable[..., Setup]]:
    """Sign a profile up at a lab of its own.

    Keywords replace settings under ``[oauth]``, None takes one away; ``lines`` are more of that table.
    """
    with contextlib.ExitStack() as stack:

        def sign_up(
            provider: str = "microsoft365",
            *lines: str,
            under: Conditions | None = None,
            **oauth: Any,
        ) -> Setup:
            lab = stack.enter_context(Lab.start(provider, under=under))
            profile = load_profile(ROOT / "profiles" / LAB_PROFILES[provider], load_providers())
            origins = {**profile.origins, **{f"oauth.{key}": "profile" for key in oauth}}
            profile = replace(profile, oauth=replace(profile.oauth, **oauth), origins=origins)
            profile = lab.overlay(profile)
            written = list(profile_lines(profile))
            here = written.index("[oauth]") + 1
            written[here:here] = lines
            file = tmp_path / "lab.toml"
            file.write_text("\n".join(written) + "\n", encoding="utf-8")
            held = lab.secrets()
            named = [key for key in profile.oauth.secrets() if key in held]
            environment = {f"LAB_{key.upper()}": held[key].reveal() for key in named}
            return Setup(lab, profile, file, environment)

        yield sign_up


def sent_a_message(done: Any, name: str) -> bool:
    """Whether a run was ready, and a message was accepted in it."""
    assert done.status == 0, done.stdout + done.stderr
    report = done.report(name)
    return (report["verdict"], report["proven"]) == ("ready", "data")


# --- grants that need nobody -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["demo", "demo-app", "demo-certificate", "demo-gmail", "demo-outlook", "demo-workspace"],
)
def test_each_demonstration_ends_in_a_sent_message(run_suite: Any, name: str) -> None:
    assert sent_a_message(run_suite(f"--profile={name}"), name)


APPLICATION = {
    "grant": GrantType.CLIENT_CREDENTIALS,
    "scope": ("https://outlook.office365.com/.default",),
    "refresh_token": None,
}
SOMEWHERE = SecretRef("env", ("SOMEWHERE",))


@pytest.mark.parametrize(
    "oauth",
    [
        pytest.param({"client_auth": "basic"}, id="secret-by-basic"),
        pytest.param({"client_auth": "post"}, id="secret-in-the-body"),
        pytest.param({"client_secret": None, "certificate": SOMEWHERE}, id="certificate"),
        pytest.param({"client_secret": None, "federated": SOMEWHERE}, id="federated"),
    ],
)
def test_an_application_sends_by_whatever_shows_who_it_is(
    signed_up: Callable[..., Setup], run_suite: Any, oauth: dict[str, Any]
) -> None:
    setup = signed_up(**APPLICATION, **oauth)
    assert sent_a_message(setup.suite(run_suite), "lab")
    assert len(setup.lab.messages) == 1


@pytest.mark.parametrize("place", ["file", "base64"])
def test_an_application_sends_by_a_locked_pfx(
    signed_up: Callable[..., Setup], run_suite: Any, tmp_path: Path, place: str
) -> None:
    setup = signed_up(**APPLICATION, client_secret=None, certificate=SOMEWHERE)
    locked = pfx_of(setup.lab.secrets()["certificate"].reveal(), PASSPHRASE)
    (tmp_path / "app.pfx").write_bytes(locked)
    where = {"file": f'file = "{tmp_path / "app.pfx"}"', "base64": 'env = "APP_PFX"'}[place]
    environment = {"APP_PFX": base64.b64encode(locked).decode(), "APP_PASSPHRASE": PASSPHRASE}
    reference = f'{{ {where}, passphrase = {{ env = "APP_PASSPHRASE" }} }}'
    setup = setup.rewritten("certificate", reference, **environment)
    assert sent_a_message(setup.suite(run_suite), "lab")
    assert len(setup.lab.messages) == 1


PASSPHRASE = "passphrase of the tests"


def pfx_of(pem: str, passphrase: str) -> bytes:
    """Key and certificate as PKCS#12, locked."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return pkcs12.serialize_key_and_certificates(
        b"app",
        key,
        x509.load_pem_x509_certificate(pem.encode()),
        None,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )


AUDIENCE = "api://AzureADTokenExchange"
PERMIT = "permit-of-a-job-of-github-actions"


class Actions(BaseHTTPRequestHandler):
    """Where a job of GitHub Actions asks for its token; ``server.token`` is that."""

    def do_GET(self) -> None:
        there = urlsplit(self.path)
        asked = (there.path, parse_qs(there.query), self.headers["Authorization"])
        permitted = asked == ("/job", {"api": ["2"], "audience": [AUDIENCE]}, f"Bearer {PERMIT}")
        body = json.dumps({"value": self.server.token} if permitted else {}).encode()  # type: ignore[attr-defined]  # ours
        self.send_response(200 if permitted else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def actions(tmp_path: Path) -> Iterator[Any]:
    """A service like that of GitHub Actions over TLS, and the file of its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "actions-ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Actions) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_S,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(("permit", "status"), [(PERMIT, 0), ("of-another-job", 1)])
def test_a_job_of_github_actions_sends_by_its_own_token(
    signed_up: Callable[..., Setup], run_suite: Any, actions: Any, tmp_path: Path, permit: str, status: int
) -> None:
    """Asked for over real TLS, and shown to the identity provider as a federated credential."""
    setup = signed_up(**APPLICATION, client_secret=None, federated=SOMEWHERE)
    actions.token = setup.lab.secrets()["federated"].reveal()
    setup = setup.rewritten(
        "federated",
        f'{{ github = "{AUDIENCE}" }}',
        ACTIONS_ID_TOKEN_REQUEST_URL=f"https://127.0.0.1:{actions.server_port}/job?api=2",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN=permit,
    )
    authorities = Path(setup.profile.ca_file)
    authorities.write_text(authorities.read_text() + (tmp_path / "actions-ca.pem").read_text())
    done = setup.suite(run_suite)
    assert done.status == status, done.stdout
    if status:
        assert "GitHub gives this job no token: HTTP 403" in done.stdout
    else:
        assert sent_a_message(done, "lab")
    assert not any(secret in done.stdout for secret in (permit, actions.token))


@pytest.mark.parametrize("kind", ["env", "file", "command", "stdin"])
def test_an_access_token_from_elsewhere_sends(
    signed_up: Callable[..., Setup], tmp_path: Path, kind: str
) -> None:
    setup = signed_up(grant=GrantType.ACCESS_TOKEN, access_token=SOMEWHERE, refresh_token=None)
    person = Person(setup)
    form = {
        "grant_type": "refresh_token",
        "client_id": setup.profile.oauth.client_id,
        "client_secret": setup.lab.secrets()["client_secret"].reveal(),
        "refresh_token": setup.lab.secrets()["refresh_token"].reveal(),
    }
    token = person.ask("POST", setup.profile.oauth.token_endpoint, data=form).json()["access_token"]
    (tmp_path / "token").write_text(token)
    reading = json.dumps([sys.executable, "-c", "print(open('token').read())"])
    references = {
        "env": '{ env = "THE_TOKEN" }',
        "file": '{ file = "token" }',
        "command": f"{{ command = {reading} }}",
        "stdin": "{ stdin = true }",
    }
    setup = setup.rewritten("access_token", references[kind], THE_TOKEN=token if kind == "env" else "")
    process = setup.command("check", cwd=tmp_path)
    said, told = process.communicate(token if kind == "stdin" else "", timeout=LIMIT_S)
    assert process.returncode == 0, said + told
    report = json.loads((tmp_path / "reports" / "lab" / "report.json").read_text(encoding="utf-8"))
    assert (report["verdict"], report["proven"]) == ("ready", "data")
    assert token not in said + told


# --- somebody signs in -------------------------------------------------------------------------------------


class Person:
    """Somebody who opens pages and sends their forms, by hand."""

    def __init__(self, setup: Setup) -> None:
        self.mailbox = setup.profile.mailbox
        self._tls = ssl.create_default_context(cafile=setup.profile.ca_file)

    def ask(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        """One request to the lab, in the name of the URL's host."""
        there = httpx.URL(url)
        with httpx.Client(verify=self._tls, trust_env=False, timeout=LIMIT_S) as client:
            return client.request(
                method,
                there.copy_with(host="127.0.0.1"),
                headers={"Host": there.netloc.decode()},
                extensions={"sni_hostname": there.host},
                **arguments,
            )

    def send_form(self, url: str, **filled_in: str) -> httpx.Response:
        """Open a page and send its form."""
        page = self.ask("GET", url)
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
        form = {name: unescape(value) for name, value in hidden}
        return self.ask("POST", url, data={**form, "decision": "allow", "account": self.mailbox, **filled_in})

    def sign_in(self, url: str, **filled_in: str) -> str:
        """Sign in, and say where the browser is sent back to."""
        location: str = self.send_form(url.strip(), **filled_in).headers["location"]
        return location

    def come_back(self, url: str, **filled_in: str) -> str:
        """Sign in, and let the browser go back to whoever listens on this machine."""
        assert httpx.get(self.sign_in(url, **filled_in), trust_env=False).status_code == 200
        return ""

    def enter(self, line: str, **filled_in: str) -> str:
        """Do what a device says: open the page, type the code."""
        found = re.search(r"Open (\S+) on any device, and type the code (\S+)", line)
        assert found, line
        assert "Connected" in self.send_form(found[1], user_code=found[2], **filled_in).text
        return ""


BY_CODE = {"grant": GrantType.AUTHORIZATION_CODE, "refresh_token": None}


@pytest.mark.parametrize("provider", ["microsoft365", "outlook_personal", "google", "custom"])
def test_a_pasted_sign_in_ends_in_a_sent_message(
    signed_up: Callable[..., Setup], run_suite: Any, provider: str
) -> None:
    setup = signed_up(provider, **BY_CODE)
    said = setup.login("--paste", typed=lambda url: Person(setup).sign_in(url) + "\n")
    assert setup.profile.mailbox in said
    done = setup.suite(run_suite)
    assert done.report("lab")["verdict"] == "ready", done.stdout
    assert len(setup.lab.messages) == (1 if setup.profile.send else 0)


def test_a_sign_in_that_comes_back_to_this_machine_ends_in_a_sent_message(
    signed_up: Callable[..., Setup], run_suite: Any
) -> None:
    setup = signed_up(**BY_CODE)
    setup.login(typed=Person(setup).come_back)
    assert sent_a_message(setup.suite(run_suite), "lab")
    assert len(setup.lab.messages) == 1


def test_another_device_signs_in_and_a_message_is_sent(
    signed_up: Callable[..., Setup], run_suite: Any
) -> None:
    setup = signed_up(grant=GrantType.DEVICE_CODE, refresh_token=None)
    setup.login(typed=Person(setup).enter)
    assert sent_a_message(setup.suite(run_suite), "lab")


def test_another_account_than_the_mailbox_is_said_at_once(signed_up: Callable[..., Setup]) -> None:
    setup = signed_up(**BY_CODE)
    colleague = "colleague@contoso.example"
    said = setup.login("--paste", typed=lambda url: Person(setup).sign_in(url, account=colleague) + "\n")
    assert f"Note: {colleague} signed in, not {setup.profile.mailbox}." in said


@pytest.mark.parametrize("provider", ["outlook_personal", "google"])
def test_another_account_is_said_at_once_where_tokens_name_nobody(
    provider: str, signed_up: Callable[..., Setup]
) -> None:
    """Only that account's own mail could be sent with it: exit 1, before any run."""
    setup = signed_up(provider, **BY_CODE)
    colleague = setup.profile.mailbox.replace("user@", "colleague@")
    status, said, _ = talked(
        setup.command("login", "--paste"),
        lambda url: Person(setup).sign_in(url, account=colleague) + "\n",
    )
    assert (status, "token_user_mismatch" in said, colleague in said) == (1, True, True)


def test_whoever_declines_is_told_what_that_means(signed_up: Callable[..., Setup]) -> None:
    setup = signed_up(**BY_CODE)
    status, said, _ = talked(
        setup.command("login", "--paste"), lambda url: Person(setup).sign_in(url, decision="deny") + "\n"
    )
    assert (status, "user_declined_consent" in said) == (1, True)


def test_a_run_redeems_what_the_sign_in_has_stored_and_keeps_its_successor(
    signed_up: Callable[..., Setup], run_suite: Any
) -> None:
    setup = signed_up(under=Conditions(identity=IdentityConditions(reuse=Reuse.REVOKES)), **BY_CODE)
    setup.login("--paste", typed=lambda url: Person(setup).sign_in(url) + "\n")
    tokens = [setup.stored()["refresh_token"]]
    for _ in range(2):
        assert sent_a_message(setup.suite(run_suite), "lab")
        tokens.append(setup.stored()["refresh_token"])
    assert len(set(tokens)) == 3


# --- by browser --------------------------------------------------------------------------------------------

LAST_LINE = "What the servers are asked is shown below. Ctrl-C ends them.\n"


@pytest.fixture
def kept_lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """`smtp-preflight lab > profiles/lab.toml`, kept running; the environment with what it says to export.

    Its options can be given as parameter.
    """
    options = getattr(request, "param", ("--grant=authorization_code",))
    (tmp_path / "profiles").mkdir()
    with (
        (tmp_path / "profiles" / "lab.toml").open("w") as file,
        subprocess.Popen(
            [*COMMAND, "lab", *options], stdout=file, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        watch = threading.Timer(LIMIT_S, process.kill)
        watch.start()
        try:
            assert process.stderr is not None
            told = "".join(iter(process.stderr.readline, LAST_LINE))
            yield {**ENVIRONMENT, **dict(re.findall(r"^export (\w+)='?([^'\n]+)'?$", told, re.MULTILINE))}
        finally:
            watch.cancel()
            process.send_signal(signal.SIGTERM)
            process.communicate()


@contextlib.contextmanager
def opened_page(chromium: str) -> Iterator[Any]:
    """A page in a real browser, which knows nothing of the lab's private authority."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with browser, browser.new_context(ignore_https_errors=True) as context:
            yield context.new_page()


def test_signing_in_by_browser_at_a_kept_lab_ends_in_a_sent_message(
    kept_lab: dict[str, str], tmp_path: Path, needed: Callable[[str], str]
) -> None:
    """As somebody tries it out: `smtp-preflight lab`, `login lab`, a browser, `check lab`."""
    chromium = needed("chromium")
    in_folder: dict[str, Any] = {
        "cwd": tmp_path,
        "env": kept_lab,
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    shown = []

    def in_browser(url: str) -> str:
        with opened_page(chromium) as page:
            page.goto(url.strip())
            assert page.get_by_label("Account").input_value() == "alerts@contoso.example"
            page.get_by_role("button", name="Sign in and allow").click()
            page.wait_for_url(re.compile("^http://localhost:"))
            shown.append(page.inner_text("body"))
        return ""

    status, said, told = talked(subprocess.Popen([*COMMAND, "login", "lab"], **in_folder), in_browser)
    assert status == 0, said + told
    assert "alerts@contoso.example" in said
    assert shown[0]
    done = subprocess.run(
        [*COMMAND, "check", "lab"], timeout=LIMIT_S, check=False, **{**in_folder, "stdin": None}
    )
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / "reports" / "lab" / "report.json").read_text(encoding="utf-8"))
    assert (report["verdict"], report["proven"]) == ("ready", "data")


@pytest.mark.parametrize(
    ("kept_lab", "told", "status"),
    [
        ((), "a new one came, and is kept", 0),
        (("--rotation=strict",), "a new one came, and is kept", 1),
        (("--rotation=none",), "no new one came", 0),
    ],
    indirect=["kept_lab"],
)
def test_how_a_kept_lab_rotates_can_be_chosen(
    kept_lab: dict[str, str], tmp_path: Path, told: str, status: int
) -> None:
    """Where it is strict, somebody with a copy of the first token is refused, and ends the whole sign-in."""

    def token(name: str) -> Any:
        return subprocess.run(
            [*COMMAND, "token", name],
            cwd=tmp_path,
            env=kept_lab,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    for _ in range(2):
        done = token("lab")
        assert (done.returncode, told in done.stdout) == (0, True), done.stdout + done.stderr
    profile = (tmp_path / "profiles" / "lab.toml").read_text()
    elsewhere = re.sub("^store = .*$", f'store = "{tmp_path / "copy"}"', profile, flags=re.MULTILINE)
    (tmp_path / "profiles" / "copy.toml").write_text(elsewhere)
    assert [token(name).returncode for name in ("copy", "lab")] == [status, status]


def test_a_service_account_s_profile_has_nobody_to_sign_in() -> None:
    done = subprocess.run(
        [*COMMAND, "lab", "--provider=google_workspace", "--grant=device_code"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 4
    assert "no user signs in with the lab's profile of google_workspace" in done.stderr


# --- the store under pressure ------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "number"), [("races", RACES), ("kills", KILLS)])
def test_the_store_loses_no_token(what: str, number: int) -> None:
    """Neither where two processes redeem at the same moment, nor where one is killed at any moment."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "drivers" / "store.py"), what, f"--number={number}"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)[what] == number


def test_two_runs_that_start_together_both_send_and_the_newest_token_stays(
    signed_up: Callable[..., Setup], run_suite: Any
) -> None:
    """Where each refresh token can be used once, and another use ends the whole sign-in."""
    setup = signed_up(under=Conditions(identity=IdentityConditions(reuse=Reuse.REVOKES)))
    for _ in range(PAIRS):
        pair = [run_suite.start(f"--profile={setup.file}", environment=setup.environment) for _ in range(2)]
        for done in [run_suite.completed(*one) for one in pair]:
            assert sent_a_message(done, "lab")
    assert len(setup.lab.messages) == 2 * PAIRS
    assert sent_a_message(setup.suite(run_suite), "lab"), "the store holds the only token that is still good"


# --- who can see what --------------------------------------------------------------------------------------

WITNESS = """
import os, pathlib, subprocess, sys

seen, until, *words = sys.argv[1:]
received = sys.stdin.buffer.read() if words == ["rotation"] else b""
found, pid = [subprocess.run(["ps", "-eww", "-o", "args"], stdout=subprocess.PIPE).stdout], os.getpid()
while pid not in (0, 1, int(until)):
    process = pathlib.Path("/proc", str(pid))
    found += [(process / name).read_bytes() for name in ("cmdline", "environ")]
    pid = int((process / "stat").read_text().rpartition(")")[2].split()[1])
name = words[0] if words[0] in ("secret", "rotation") else "browser"
pathlib.Path(seen, f"{name}-{os.getpid()}").write_bytes(b"\\0".join(found))
if name == "secret":
    print(pathlib.Path(words[1]).read_text())
if name == "rotation":
    pathlib.Path(seen).with_name("handed_on").write_bytes(received)
"""
"""Called as the command for a secret, as the browser, and for a rotated token: writes down whatever anybody
could see of itself, of all that stand above it, and of every process on this machine."""


@pytest.fixture
def witness(tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of the witness; what it sees goes to the folder ``seen``."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("this system has no /proc")
    (tmp_path / "seen").mkdir()
    (tmp_path / "witness.py").write_text(WITNESS)
    fixed = [sys.executable, str(tmp_path / "witness.py"), str(tmp_path / "seen"), str(os.getpid())]
    return lambda *words: [*fixed, *words]


def wait_until(holds: Callable[[], bool]) -> None:
    """Look again and again, as long as anything may take."""
    give_up_at = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < give_up_at, "it never came about"
        time.sleep(0.02)


CHILD = """
import os, pathlib, sys

pathlib.Path(sys.argv[1]).write_text(repr(dict(os.environ)))
print(pathlib.Path(sys.argv[2]).read_text())
"""


def test_no_child_inherits_a_secret(signed_up: Callable[..., Setup], run_suite: Any, tmp_path: Path) -> None:
    """Of those that our own environment holds, because the profile says so."""
    token, heirs = tmp_path / "token", [tmp_path / "reader", tmp_path / "keeper"]
    (tmp_path / "child.py").write_text(CHILD)
    child = [sys.executable, str(tmp_path / "child.py")]
    reader, keeper = (json.dumps([*child, str(one), str(token)]) for one in heirs)
    setup = signed_up("microsoft365", f"on_rotation = {{ command = {keeper} }}")
    token.write_text(setup.environment["LAB_REFRESH_TOKEN"])
    setup = setup.rewritten("refresh_token", f"{{ command = {reader} }}")
    assert sent_a_message(setup.suite(run_suite), "lab")
    secret = setup.environment["LAB_CLIENT_SECRET"]
    assert all("PATH" in one.read_text() and secret not in one.read_text() for one in heirs)


def test_no_process_and_no_artifact_shows_a_secret(
    signed_up: Callable[..., Setup], run_suite: Any, witness: Callable[..., list[str]], tmp_path: Path
) -> None:
    """While somebody signs in and while a run goes on: in no argument, environment, output or report."""
    secret_file = tmp_path / "secret"
    handed_on = json.dumps(witness("rotation"))
    setup = signed_up(
        "microsoft365",
        f"client_secret = {{ command = {json.dumps(witness('secret', str(secret_file)))} }}",
        f"on_rotation = {{ command = {handed_on} }}",
        grant=GrantType.AUTHORIZATION_CODE,
        refresh_token=None,
        client_secret=None,
    )
    secret = setup.lab.secrets()["client_secret"].reveal()
    secret_file.write_text(secret)
    browser = " ".join(witness("%s"))
    codes: list[str] = []

    def sign_in(url: str) -> str:
        wait_until(lambda: any((tmp_path / "seen").glob("browser-*")))
        location = Person(setup).sign_in(url)
        codes.append(parse_qs(urlsplit(location).query)["code"][0])
        httpx.get(location, trust_env=False)
        return ""

    status, said, told = talked(setup.command("login", environment={"BROWSER": browser}), sign_in)
    assert status == 0, said + told
    first = setup.stored()["refresh_token"]
    done = setup.suite(run_suite)
    assert sent_a_message(done, "lab")
    newest = setup.stored()["refresh_token"]
    assert (tmp_path / "handed_on").read_text() == newest

    seen = sorted((tmp_path / "seen").iterdir())
    assert {one.name.partition("-")[0] for one in seen} == {"secret", "browser", "rotation"}
    artifacts = [one for one in done.folder.rglob("*") if one.is_file()]
    assert {one.suffix for one in artifacts} >= {".html", ".json", ".xml", ".md"}
    everything = [one.read_bytes() for one in (*seen, *artifacts)]
    everything += [text.encode() for text in (said, told, done.stdout, done.stderr)]
    for planted in (secret, codes[0], first, newest, "eyJ0eXAiOiJKV1Qi", "eyJhbGciOi"):
        assert not any(planted.encode() in one for one in everything), planted[:6]
