"""A certified OpenID provider that others have written takes what we send: our reading of the RFCs is theirs.

Authorization code with PKCE, device code, refresh tokens that can be used once, and client credentials by
secret and by certificate, each by the commands and the suite as their users run them.
"""

import datetime as dt
import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import jwt
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HERE = Path(__file__).parent
NODE_MODULES = HERE.parent / "node" / "node_modules"
MAILBOX = "alerts@contoso.example"
SECRET = "client-secret-of-the-interop-tests"
LIMIT_S = 60
STEPS = 20  # of a browser, at most, from the first page to the last
COMMAND = (sys.executable, "-m", "smtp_preflight.cli")
ENVIRONMENT = {
    key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
}


# --- the provider ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenIdProvider:
    """A running one, and what its clients need."""

    issuer: str
    ca_file: Path
    certificate_file: Path


def _certificate(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A self-signed certificate with its key, in a file; and the public key as the provider has it."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "interop")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "client.pem"
    file.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
    file.chmod(0o600)
    return file, json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))


def _clients(jwk: dict[str, Any]) -> list[dict[str, Any]]:
    by_person = {
        "grant_types": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "redirect_uris": ["http://127.0.0.1"],
        "application_type": "native",
        "token_endpoint_auth_method": "none",
    }
    by_itself = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    secret = {"client_secret": SECRET, "scope": "smtp"}
    keys = {"jwks": {"keys": [jwk]}, "token_endpoint_auth_signing_alg": "PS256", "scope": "smtp"}
    return [
        {"client_id": "native", **by_person},
        {"client_id": "post", "token_endpoint_auth_method": "client_secret_post", **by_itself, **secret},
        {"client_id": "basic", "token_endpoint_auth_method": "client_secret_basic", **by_itself, **secret},
        {"client_id": "jwt", "token_endpoint_auth_method": "private_key_jwt", **by_itself, **keys},
    ]


@pytest.fixture(scope="module")
def openid(
    tmp_path_factory: pytest.TempPathFactory, needed: Callable[[str], str]
) -> Iterator[OpenIdProvider]:
    """Start the provider; it ends with the tests, or when they are gone."""
    node = needed("node")
    if not (NODE_MODULES / "oidc-provider").is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("oidc-provider is not installed: make test")
    folder = tmp_path_factory.mktemp("openid")
    authority, (certificate, jwk) = trustme.CA(), _certificate(folder)
    leaf = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    given = {
        "key": leaf.private_key_pem.bytes().decode(),
        "certificate": "".join(one.bytes().decode() for one in leaf.cert_chain_pems),
        "clients": _clients(jwk),
        "cookie_key": "of the interop tests",
    }
    (folder / "given.json").write_text(json.dumps(given))
    with (
        (folder / "stderr").open("w") as stderr,
        subprocess.Popen(
            [node, str(HERE / "oidc_provider.mjs"), str(folder / "given.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            issuer = process.stdout.readline().strip()
            assert issuer, (folder / "stderr").read_text()
            yield OpenIdProvider(issuer, folder / "ca.pem", certificate)
        finally:
            process.kill()


# --- its users ---------------------------------------------------------------------------------------------


class _Form(HTMLParser):
    """The first form of a page, with what stands in its fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = given.get("action", "")
        if tag == "input" and given.get("name"):
            self.fields[given["name"]] = given.get("value", "")


class Person:
    """Somebody with a browser that keeps cookies, who signs in as the mailbox and agrees to everything."""

    def __init__(self, openid: OpenIdProvider) -> None:
        self._tls = ssl.create_default_context(cafile=openid.ca_file)

    def walk(self, url: str, **filled_in: str) -> tuple[str, str]:
        """Go from page to page; the address outside of the provider, or none, and the last page's text."""
        with httpx.Client(verify=self._tls, trust_env=False, timeout=LIMIT_S) as client:
            return self._walk(client, url, filled_in)

    def _walk(self, client: httpx.Client, url: str, filled_in: Mapping[str, str]) -> tuple[str, str]:
        known = {"login": MAILBOX, "password": "any", **filled_in}
        form: dict[str, str] = {}
        for _ in range(STEPS):
            answer = client.request("POST" if form else "GET", url, data=form or None)
            if answer.is_redirect:
                url, form = urljoin(url, answer.headers["location"]), {}
                if url.startswith("http://"):
                    return url, ""
                continue
            page = _Form(answer.text)
            if page.action is None:
                return "", answer.text
            url = urljoin(url, page.action)
            form = {name: known.get(name, value) for name, value in page.fields.items()}
        raise AssertionError(f"no end of pages at {url}")


@dataclass(frozen=True)
class Setup:
    """A profile at this provider; its mail server is nobody's business here."""

    file: Path

    def command(self, *args: str, typed: Callable[[str], str] | None = None) -> tuple[int, str, str]:
        """Run a command on the profile; ``typed`` makes its standard input from the first line it says."""
        process = subprocess.Popen(
            [*COMMAND, *args, str(self.file)],
            env={**ENVIRONMENT, "INTEROP_SECRET": SECRET},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        watch = threading.Timer(LIMIT_S, process.kill)
        watch.start()
        try:
            assert process.stdout is not None
            first = process.stdout.readline() if typed else ""
            said, told = process.communicate(typed(first) if typed else None)
        finally:
            watch.cancel()
            process.kill()
            process.communicate()
        return process.returncode, first + said, told

    def stored(self) -> str:
        """The refresh token in the store."""
        (file,) = (self.file.parent / "store").glob("*.json")
        return str(json.loads(file.read_text())["refresh_token"])


@pytest.fixture
def signed_up(openid: OpenIdProvider, tmp_path: Path) -> Callable[..., Setup]:
    """Write a profile; arguments are lines of ``[oauth]``."""

    def write(*oauth: str) -> Setup:
        file = tmp_path / "interop.toml"
        lines = [
            'provider = "custom"',
            f'mailbox = "{MAILBOX}"',
            "[smtp]",
            'host = "smtp.contoso.example"',
            "[tls]",
            f'ca_file = "{openid.ca_file}"',
            "[oauth]",
            f'issuer = "{openid.issuer}"',
            f'store = "{tmp_path / "store"}"',
            *oauth,
        ]
        file.write_text("\n".join(lines) + "\n")
        return Setup(file)

    return write


NATIVE = ('client_id = "native"', 'client_type = "public"')
CODE = ('grant = "authorization_code"', 'scope = ["openid", "offline_access", "smtp"]')
CONSENT = 'authorize_params = { prompt = "consent" }'  # without it there is no offline access (OIDC core 11)


def redeemed(run_suite: Any, setup: Setup) -> Mapping[str, str]:
    """The outcomes of the checks of token and refresh in a run."""
    done = run_suite(
        f"--profile={setup.file}",
        "-m",
        "discovery or token or refresh",
        environment={"INTEROP_SECRET": SECRET},
    )
    assert done.status == 0, done.stdout
    outcomes: Mapping[str, str] = done.outcomes("interop")
    return outcomes


def test_a_code_is_redeemed_and_its_refresh_tokens_one_after_the_other(
    signed_up: Callable[..., Setup], openid: OpenIdProvider, run_suite: Any
) -> None:
    """RFC 6749 section 4.1, RFC 7636, and a nonce; then each refresh token once, by three runs."""
    setup = signed_up(*NATIVE, *CODE, CONSENT)
    status, said, told = setup.command(
        "login", "--paste", typed=lambda url: Person(openid).walk(url.strip())[0] + "\n"
    )
    assert status == 0, said + told
    assert MAILBOX in said
    tokens = [setup.stored()]
    for _ in range(3):
        assert redeemed(run_suite, setup)["test_refresh.py::test_new_refresh_token_is_kept"] == "passed"
        tokens.append(setup.stored())
    assert len(set(tokens)) == 4


def test_the_browser_comes_back_to_this_machine(
    signed_up: Callable[..., Setup], openid: OpenIdProvider
) -> None:
    """RFC 8252 section 7.3: the redirect URI is registered without the port."""
    setup = signed_up(*NATIVE, *CODE, CONSENT)

    def sign_in(url: str) -> str:
        location, _ = Person(openid).walk(url.strip())
        assert httpx.get(location, trust_env=False).status_code == 200
        return ""

    status, said, told = setup.command("login", typed=sign_in)
    assert status == 0, said + told


def test_a_sign_in_without_offline_access_is_said_to_bring_no_refresh_token(
    signed_up: Callable[..., Setup], openid: OpenIdProvider
) -> None:
    setup = signed_up(*NATIVE, 'grant = "authorization_code"', 'scope = ["openid", "smtp"]')
    status, said, _ = setup.command(
        "login", "--paste", typed=lambda url: Person(openid).walk(url.strip())[0] + "\n"
    )
    assert (status, "refresh token" in said) == (1, True)


def test_a_device_is_connected(
    signed_up: Callable[..., Setup], openid: OpenIdProvider, run_suite: Any
) -> None:
    """RFC 8628."""
    setup = signed_up(
        *NATIVE, 'grant = "device_code"', 'scope = ["openid", "offline_access", "smtp"]', CONSENT
    )

    def enter(line: str) -> str:
        found = re.search(r"Open (\S+) on any device, and type the code (\S+)", line)
        assert found, line
        _, page = Person(openid).walk(found[1], user_code=found[2])
        assert "Sign-in Success" in page, page
        return ""

    status, said, told = setup.command("login", typed=enter)
    assert status == 0, said + told
    before = setup.stored()
    redeemed(run_suite, setup)
    assert setup.stored() != before


@pytest.mark.parametrize("way", ["post", "basic", "jwt"])
def test_an_application_shows_who_it_is(
    signed_up: Callable[..., Setup], openid: OpenIdProvider, run_suite: Any, way: str
) -> None:
    """RFC 6749 section 2.3.1, and RFC 7523 section 2.2 by certificate."""
    secret = ('client_secret = { env = "INTEROP_SECRET" }', f'client_auth = "{way}"')
    certificate = (f'certificate = {{ file = "{openid.certificate_file}" }}',)
    setup = signed_up(
        f'client_id = "{way}"',
        'grant = "client_credentials"',
        'scope = ["smtp"]',
        *(certificate if way == "jwt" else secret),
    )
    outcomes = redeemed(run_suite, setup)
    assert outcomes["test_token.py::test_token_is_granted"] == "passed"
