"""``smtp-preflight init``: what it finds out, what it asks, what it writes, and that it never overwrites."""

from __future__ import annotations

import asyncio
import io
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUDPServer

import dns.message
import dns.rrset
import pytest
import trustme

from smtp_preflight import cli
from smtp_preflight.cli.draft import Draft, variable
from smtp_preflight.cli.finding_out import Found, Network, Search
from smtp_preflight.model import GrantType, Profile, Provider, SecretRef
from smtp_preflight.profile import load_profile, load_providers

ROOT = Path(__file__).parent.parent
TENANT = "3f1c0b6e-8f0e-4c9b-9a7e-2b1f7f5f6a10"
CLIENT = "6731de76-14a6-49ae-97bc-6eba6914391e"
LOGIN = "login.lab.example"
SHUTDOWN_POLL_S = 0.02  # how soon a server of a test notices that it is to end
GRANTS = [
    (name, grant)
    for name, provider in load_providers().items()
    for grant in (provider.grants or tuple(GrantType))
]

Records = dict[tuple[str, str], tuple[str, ...]]


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, with nothing on standard input."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What somebody types, a line each."""
    return lambda *lines: monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{one}\n" for one in lines)))


def init(*args: str) -> int:
    return cli.main(["init", *args])


def made(name: str) -> Profile:
    return load_profile(Path("profiles") / f"{name}.toml", load_providers())


# --- a network ---------------------------------------------------------------------------------------------


@pytest.fixture
def records() -> Records:
    """What the name server knows; of any other name it says that there is none."""
    return {(LOGIN, "A"): ("127.0.0.1",)}


@pytest.fixture
def name_server(records: Records) -> Iterator[str]:
    """A name server on loopback: its address and port."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            wire, sock = self.request
            query = dns.message.from_wire(wire)
            reply = dns.message.make_response(query)
            name, rdtype = query.question[0].name, query.question[0].rdtype
            found = records.get((name.to_text(omit_final_dot=True), rdtype.name), ())
            if found:
                reply.answer.append(dns.rrset.from_text(name, 60, "IN", rdtype.name, *found))
            sock.sendto(reply.to_wire(), self.client_address)

    with ThreadingUDPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_S,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def identity_provider(authority: trustme.CA) -> Iterator[int]:
    """An identity provider where contoso.com is a domain of one tenant: its port on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.startswith("/contoso.com/")
            issuer = {"issuer": f"https://{LOGIN}/{TENANT}/v2.0"}
            body = json.dumps(issuer if known else {"error": "invalid_tenant"}).encode()
            self.send_response(200 if known else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(LOGIN).configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_S,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def network(name_server: str, authority: trustme.CA, tmp_path: Path) -> Network:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return Network((name_server,), str(tmp_path / "ca.pem"))


def search(mailbox: str, network: Network, port: int = 1) -> Search:
    """With the identity provider of Microsoft 365 on loopback."""
    presets = dict(load_providers())
    oauth = {
        **presets["microsoft365"].oauth,
        "issuer": f"https://{LOGIN}/{{tenant}}/v2.0",
        "discovery_uri": f"https://{LOGIN}:{port}/{{tenant}}/v2.0/.well-known/openid-configuration",
    }
    return Search(mailbox, presets | {"microsoft365": replace(presets["microsoft365"], oauth=oauth)}, network)


# --- finding out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mailbox", "provider"),
    [
        ("somebody@gmail.com", "google"),
        ("somebody@Hotmail.com", "outlook_personal"),
        ("alerts@contoso.onmicrosoft.com", "microsoft365"),
        ("alerts@contoso.partner.onmschina.cn", "microsoft365_21vianet"),
        ("somebody@yahoo.com", "yahoo"),
        ("somebody@ya.ru", "yandex"),
    ],
)
def test_a_providers_own_domain_tells_it_without_a_network(mailbox: str, provider: str) -> None:
    nowhere = Search(mailbox, load_providers(), Network(("127.0.0.1:9",)))
    assert asyncio.run(nowhere.provider()).value == provider


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("contoso-com.mail.protection.outlook.com.", "microsoft365"),
        ("contoso-com.m-v1.mx.microsoft.", "microsoft365"),
        ("contoso-com.mail.protection.office365.us.", "microsoft365_gcc_high"),
        ("contoso-com.mail.protection.apps.mil.", "microsoft365_dod"),
        ("contoso-com.mail.protection.partner.outlook.cn.", "microsoft365_21vianet"),
        ("smtp.google.com.", "google_workspace"),
        ("ALT1.aspmx.l.google.com.", "google_workspace"),
    ],
)
def test_who_takes_a_domains_mail_tells_the_provider(
    host: str, provider: str, records: Records, network: Network
) -> None:
    records["contoso.com", "MX"] = (f"10 {host}",)
    found = asyncio.run(search("alerts@contoso.com", network).provider())
    assert found == Found(provider, f"{host.lower().rstrip('.')} takes the mail of contoso.com")


def test_two_clouds_of_one_domain_are_told_apart_by_who_takes_the_mail(
    records: Records, network: Network
) -> None:
    """GCC High and DoD name their tenants alike."""
    records["contoso.onmicrosoft.us", "MX"] = ("10 contoso.mail.protection.office365.us.",)
    found = asyncio.run(search("alerts@contoso.onmicrosoft.us", network).provider())
    assert found.value == "microsoft365_gcc_high"


def test_behind_a_mail_filter_the_tenant_tells_the_provider(
    records: Records, network: Network, identity_provider: int
) -> None:
    records["contoso.com", "MX"] = ("10 mx.filter.example.",)
    found = asyncio.run(search("alerts@contoso.com", network, identity_provider).provider())
    assert found == Found(
        "microsoft365", "mx.filter.example takes the mail of contoso.com; contoso.com belongs to it"
    )


def test_a_domain_that_nobody_knows_is_said_to_be_so(network: Network, identity_provider: int) -> None:
    found = asyncio.run(search("alerts@fabrikam.com", network, identity_provider).provider())
    assert found == Found("", "no MX of fabrikam.com was found; fabrikam.com belongs to no tenant")


def test_the_tenants_id_is_found_by_its_domain(network: Network, identity_provider: int) -> None:
    found = asyncio.run(search("alerts@contoso.com", network, identity_provider).tenant("microsoft365"))
    assert found == Found(TENANT, "contoso.com belongs to it")


def test_without_a_network_the_tenant_is_not_found_and_nothing_breaks(network: Network) -> None:
    found = asyncio.run(search("alerts@contoso.com", network).tenant("microsoft365"))
    assert found == Found("", "the identity provider could not be asked for its tenant")


# --- what is written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider", "grant"), GRANTS)
def test_every_provider_and_grant_gets_a_profile_that_can_be_read(provider: str, grant: GrantType) -> None:
    """Commented, with the reader's own values, and asking nobody anything."""
    status = init(
        *("acme", "--email", "alerts@acme.example", "--provider", provider, "--grant", grant),
        *("--tenant", "acme.example", "--client-id", CLIENT, "--non-interactive"),
    )
    profile = made("acme")
    text = Path("profiles/acme.toml").read_text("utf-8")
    assert status == 0
    assert (profile.provider.name, profile.mailbox) == (provider, "alerts@acme.example")
    assert profile.oauth.grant == grant
    assert "contoso" not in re.sub("contoso-ca", "", text.lower())
    assert text.startswith("#:schema profile.schema.json\n# ")
    assert "Template" not in text
    assert "Copy to" not in text


def test_a_first_profile_says_what_was_found_and_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert init("mine", "--email", "somebody@gmail.com", "--non-interactive") == 0
    assert capsys.readouterr().out == (
        "Provider    Gmail, and Google Workspace where a user signs in (gmail.com is its own)\n"
        "Written     profiles/mine.toml\n"
        "To fill in  oauth.client_id\n"
        "\n"
        "Next:\n"
        "  fill in oauth.client_id\n"
        "  set the environment variable MINE_CLIENT_SECRET\n"
        "  smtp-preflight login mine\n"
        "  smtp-preflight check mine\n"
    )


@pytest.mark.parametrize(
    ("grant", "said"), [(GrantType.CLIENT_CREDENTIALS, True), (GrantType.AUTHORIZATION_CODE, False)]
)
def test_an_application_is_told_what_stays_untried_without_a_message(
    grant: GrantType, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exchange lets an application log in, and says of a message only whether it may send as the mailbox."""
    args = ("--provider", "microsoft365", "--tenant", TENANT, "--client-id", CLIENT, "--non-interactive")
    assert init("mine", "--email", "alerts@acme.example", "--grant", grant, *args) == 0
    told = "add [send]: without it, whether the application may send as alerts@acme.example stays untried"
    assert (told in capsys.readouterr().out) is said
    assert ("stays untried" in Path("profiles/mine.toml").read_text("utf-8")) is said


def test_what_is_given_stands_in_the_profile(tmp_path: Path) -> None:
    status = init(
        *("mine", "--email", "alerts@contoso.com", "--provider", "microsoft365", "--tenant", TENANT),
        *("--client-id", CLIENT, "--secret", "keyring:mail contoso", "--grant", "authorization_code"),
        *("--dns", "127.0.0.1:5353", "--ca-file", "../ca.pem", "--proxy", "http://proxy.contoso.com:8080"),
        "--non-interactive",
    )
    profile = made("mine")
    assert status == 0
    assert (profile.oauth.tenant, profile.oauth.client_id) == (TENANT, CLIENT)
    assert profile.oauth.client_secret == SecretRef("keyring", ("mail", "contoso"))
    assert profile.oauth.client_type == "confidential"
    assert (profile.dns_servers, profile.proxy) == (("127.0.0.1:5353",), "http://proxy.contoso.com:8080")
    assert profile.ca_file == str(tmp_path / "ca.pem")


def test_a_sign_in_without_a_secret_is_a_public_clients() -> None:
    assert init("mine", "--email", "somebody@outlook.com", "--client-id", CLIENT, "--non-interactive") == 0
    oauth = made("mine").oauth
    assert (oauth.client_type, oauth.client_secret) == ("public", None)


def test_an_unknown_end_of_the_secret_is_not_made_up() -> None:
    """The template's date is an example."""
    init(
        *("mine", "--email", "alerts@contoso.com", "--provider", "microsoft365", "--tenant", TENANT),
        "--non-interactive",
    )
    assert made("mine").oauth.secret_expires is None


def test_editors_are_led_to_the_schema(tmp_path: Path) -> None:
    """In a clone to the published one, elsewhere to one beside the profile."""
    init("one", "--email", "somebody@gmail.com", "--non-interactive")
    assert json.loads(Path("profiles/profile.schema.json").read_text("utf-8"))["title"]
    Path("docs").mkdir()
    Path("docs/profile.schema.json").touch()
    init("two", "--email", "somebody@gmail.com", "--non-interactive")
    assert Path("profiles/two.toml").read_text("utf-8").startswith("#:schema ../docs/profile.schema.json\n")


def test_a_profile_may_take_over_another(capsys: pytest.CaptureFixture[str]) -> None:
    """A lab's for one, that `smtp-preflight lab` has printed."""
    client_id = "1.apps.googleusercontent.com"
    init("base", "--email", "somebody@gmail.com", "--client-id", client_id, "--non-interactive")
    assert init("mine", "--email", "another@gmail.com", "--extends", "base") == 0
    profile = made("mine")
    assert (profile.mailbox, profile.provider.name) == ("another@gmail.com", "google")
    assert profile.oauth.client_id == client_id
    assert "Takes over  base.toml\n" in capsys.readouterr().out


def test_what_will_not_work_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert init("mine", "--email", "somebody@outlook.com", "--client-id", "my app", "--non-interactive") == 0
    assert capsys.readouterr().err == (
        "oauth.client_id: found my app; wanted the Application (client) ID, a GUID (client_id_wrong)\n"
    )


def test_a_variable_is_named_after_the_profile() -> None:
    assert variable("contoso.test-1", "client_secret") == "CONTOSO_TEST_1_CLIENT_SECRET"
    assert variable("365", "client_secret") == "_365_CLIENT_SECRET"


# --- asking ------------------------------------------------------------------------------------------------


def test_what_cannot_be_known_is_asked(
    answers: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The usual by an empty line; a choice that there is not is asked for again."""
    answers("implicit", "", "1.apps.googleusercontent.com", "file:~/secrets/google")
    assert init("mine", "--email", "somebody@gmail.com") == 0
    oauth = made("mine").oauth
    told = capsys.readouterr()
    assert oauth.grant is GrantType.AUTHORIZATION_CODE
    assert oauth.client_id == "1.apps.googleusercontent.com"
    assert oauth.client_secret is not None
    assert oauth.client_secret.kind == "file"
    assert "'implicit' is not among them" in told.err
    assert "To fill in" not in told.out


def test_a_provider_that_was_not_found_is_asked_for(answers: Callable[..., None], name_server: str) -> None:
    """With a server of one's own, its place and its issuer too."""
    answers("custom", "", "smtp-client", "", "mail.fabrikam.com", "https://login.fabrikam.com")
    assert init("mine", "--email", "alerts@fabrikam.com", "--dns", name_server) == 0
    profile = made("mine")
    assert (profile.provider.name, profile.smtp.host) == ("custom", "mail.fabrikam.com")
    assert profile.oauth.issuer == "https://login.fabrikam.com"


def test_a_tenant_that_was_not_found_is_asked_for(answers: Callable[..., None], name_server: str) -> None:
    """Its usual name is the mailbox's domain."""
    answers("", "", CLIENT, "")
    args = ("--email", "alerts@fabrikam.com", "--dns", name_server, "--provider", "microsoft365")
    assert init("mine", *args) == 0
    assert made("mine").oauth.tenant == "fabrikam.com"


def test_where_answers_end_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert init("mine", "--email", "somebody@gmail.com") == 4
    assert capsys.readouterr().err.endswith(
        "smtp-preflight init: no answer came; --non-interactive asks nothing\n"
    )
    assert not Path("profiles").exists()


def test_ctrl_c_leaves_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*args: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin.readline", interrupt)
    assert init("mine", "--email", "somebody@gmail.com") == 2
    assert capsys.readouterr().err.endswith("smtp-preflight init: interrupted; nothing was written\n")
    assert not Path("profiles").exists()


# --- refusals ----------------------------------------------------------------------------------------------

REFUSALS: Mapping[str, tuple[list[str], str]] = {
    "no name": (["a b", "--email", "a@gmail.com"], "'a b' is no name for a profile; one is contoso"),
    "every name": (["all", "--email", "a@gmail.com"], "'all' is no name for a profile; one is contoso"),
    "no address": (
        ["mine", "--email", "gmail.com"],
        "'gmail.com' is no mail address; one is alerts@contoso.com",
    ),
    "a secret for its place": (
        ["mine", "--email", "a@gmail.com", "--secret", "hunter2-canary", "--non-interactive"],
        "what was given (not shown) is no place of a secret; one is env or file or keyring or command:…",
    ),
    "a variable that is none": (
        ["mine", "--email", "a@gmail.com", "--secret", "env:hunter2-canary", "--non-interactive"],
        "profiles/mine.toml: oauth.client_secret: found something else after env (not shown); wanted the "
        'name of an environment variable, such as { env = "CONTOSO_CLIENT_SECRET" }',
    ),
    "nobody's base": (
        ["mine", "--email", "a@gmail.com", "--extends", "nobody"],
        "profiles/mine.toml: extends: found 'nobody'; wanted one that exists",
    ),
}


@pytest.mark.parametrize(("args", "line"), REFUSALS.values(), ids=REFUSALS)
def test_wrong_usage_is_one_line_and_leaves_no_profile(
    args: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(*args) == 4
    assert capsys.readouterr().err == f"smtp-preflight init: {line}\n"
    assert list(Path().rglob("*.toml")) == []


def test_no_profile_is_ever_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    init("mine", "--email", "somebody@gmail.com", "--non-interactive")
    before = Path("profiles/mine.toml").read_bytes()
    assert init("mine", "--email", "another@gmail.com", "--non-interactive") == 4
    assert capsys.readouterr().err.endswith(
        "smtp-preflight init: profiles/mine.toml is there already, and stays as it is\n"
    )
    assert Path("profiles/mine.toml").read_bytes() == before


def test_a_folder_that_cannot_be_written_to_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("profiles").write_text("a file")
    assert init("mine", "--email", "somebody@gmail.com", "--non-interactive") == 4
    assert "profiles/mine.toml cannot be written" in capsys.readouterr().err


def test_offline_and_silent_an_unknown_provider_is_asked_for_by_option(
    name_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("mine", "--email", "alerts@fabrikam.com", "--dns", name_server, "--non-interactive")
    assert init(*args) == 4
    assert capsys.readouterr().err.splitlines() == [
        "The provider was not found out: no MX of fabrikam.com was found; the identity provider could not be "
        "asked for its tenant.",
        "smtp-preflight init: no provider is known for fabrikam.com; name one, --provider custom say",
    ]


# --- templates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", load_providers().values(), ids=lambda one: one.name)
def test_every_line_of_a_template_that_is_not_filled_in_stays(provider: Provider) -> None:
    """A draft without any values is its template but for the header and the examples' names."""
    grant = GrantType(next(iter(provider.grants), GrantType.CLIENT_CREDENTIALS))
    text = Draft("contoso", "somebody@contoso.com", provider, grant, {}, "x").text
    body = text.partition("\n\n")[2]
    templates = [one.read_text("utf-8") for one in (ROOT / "profiles" / "templates").glob("*.toml")]
    assert any(body.count("\n") == one.partition("\n\n")[2].count("\n") for one in templates)
    assert body.startswith("provider = ")
