"""The lab speaks the wire as the providers do: a client that knows nothing of it is served, and refused."""

import contextlib
import smtplib
import socket
import ssl
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import httpx
import jwt
import pytest

from smtp_preflight.lab import FAULTS, Lab, sockets
from smtp_preflight.lab.conditions import Conditions, NameConditions
from smtp_preflight.lab.http import Request, parse
from smtp_preflight.lab.names import NameServer
from smtp_preflight.lab.smtp import Session
from smtp_preflight.lab.tokens import MOST_OPAQUE, Mint, TokenFacts
from smtp_preflight.lab.wording import PLAIN, Wording
from smtp_preflight.lab.world import World
from smtp_preflight.model import Expect, GrantType, OAuth, Profile, Provider, SecretRef, Send, Smtp, Stage

CLIENT_ID = "6731de76-14a6-49ae-97bc-6eba6914391e"
MAILBOX = "alerts@contoso.example"
SENDER = "noreply@contoso.example"
MESSAGE = f"From: Alerts <{SENDER}>\r\nMessage-ID: <1@contoso.example>\r\n\r\n.hello\r\n"

MICROSOFT = Provider(
    name="microsoft365",
    title="Microsoft 365",
    spf_include=("spf.protection.outlook.com",),
    dkim_selectors=("selector1", "selector2"),
)
GOOGLE = Provider(name="google", title="Gmail", spf_include=("_spf.google.com",), dkim_selectors=("google",))
CUSTOM = Provider(name="custom", title="Any server")

DELEGATED = ("https://outlook.office.com/SMTP.Send", "offline_access")
APPLICATION = ("https://outlook.office365.com/.default",)

PROFILE = Profile(
    name="demo",
    provider=MICROSOFT,
    mailbox=MAILBOX,
    smtp=Smtp("smtp.office365.com"),
    oauth=OAuth(
        grant=GrantType.REFRESH_TOKEN,
        tenant="contoso.example",
        client_id=CLIENT_ID,
        scope=DELEGATED,
        client_secret=SecretRef("env", ("SECRET",)),
        refresh_token=SecretRef("env", ("TOKEN",)),
    ),
    send=Send(SENDER, ("probe@contoso.example",)),
)
FOR_GOOGLE = replace(
    PROFILE, provider=GOOGLE, oauth=replace(PROFILE.oauth, tenant="", scope=("https://mail.google.com/",))
)
FOR_CUSTOM = replace(
    PROFILE,
    provider=CUSTOM,
    oauth=replace(PROFILE.oauth, scope=("mail.send",)),
    expect=Expect(aud=("urn:mail",), permissions=("mail.send",)),
)
PERSONAL = replace(PROFILE, oauth=replace(PROFILE.oauth, tenant="consumers"))
PROFILES = {"microsoft365": PROFILE, "outlook_personal": PERSONAL, "google": FOR_GOOGLE, "custom": FOR_CUSTOM}


class Client:
    """What any mail client does with an overlaid profile, with the standard library and httpx."""

    def __init__(self, lab: Lab, profile: Profile) -> None:
        self.lab = lab
        self.profile = lab.overlay(profile)
        self.tls = ssl.create_default_context(cafile=self.profile.ca_file)

    def http(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        there = httpx.URL(url)
        headers = {"Host": there.netloc.decode(), **arguments.pop("headers", {})}
        with httpx.Client(verify=self.tls, trust_env=False) as client:
            return client.request(
                method,
                there.copy_with(host="127.0.0.1"),
                headers=headers,
                extensions={"sni_hostname": there.host},
                **arguments,
            )

    def secret(self, key: str) -> str:
        return self.lab.secrets()[key].reveal()

    def form(self, **changes: str) -> dict[str, str]:
        form = {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "client_secret": self.secret("client_secret"),
            "refresh_token": self.secret("refresh_token"),
            "scope": " ".join(self.profile.oauth.scope),
            **changes,
        }
        return {key: value for key, value in form.items() if value}

    def token_answer(self, **changes: str) -> httpx.Response:
        return self.http("POST", self.profile.oauth.token_endpoint, data=self.form(**changes))

    def token(self, **changes: str) -> str:
        return str(self.token_answer(**changes).json()["access_token"])

    def claims(self, token: str) -> Mapping[str, Any]:
        keys = self.http("GET", self.profile.oauth.jwks_uri).json()
        key = jwt.PyJWK(
            next(one for one in keys["keys"] if one["kid"] == jwt.get_unverified_header(token)["kid"])
        )
        claims: Mapping[str, Any] = jwt.decode(token, key, options={"verify_aud": False})
        return claims

    def connect(self) -> smtplib.SMTP:
        smtp = self.profile.smtp
        return LoopbackSmtp(smtp.host, smtp.port, self.tls if smtp.tls == "implicit" else None)

    def secured(self) -> smtplib.SMTP:
        mail = self.connect()
        mail.starttls(context=self.tls)
        mail.ehlo()
        return mail

    def log(self, server: str) -> list[str]:
        return [event.what for event in self.lab.log if event.server == server]


class LoopbackSmtp(smtplib.SMTP):
    """Connects to this machine whatever the host is called; with a context, TLS begins at the first byte."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        super().__init__(host, port, local_hostname="client.example", timeout=5)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", port), timeout)
        return self._tls.wrap_socket(plain, server_hostname=host) if self._tls else plain


def xoauth2(user: str, token: str) -> bytes:
    return b64encode(f"user={user}\x01auth=Bearer {token}\x01\x01".encode())


def oauthbearer(user: str, token: str) -> bytes:
    return b64encode(f"n,a={user},\x01host=h\x01port=587\x01auth=Bearer {token}\x01\x01".encode())


def authenticate(mail: smtplib.SMTP, answer: bytes, mechanism: str = "XOAUTH2") -> tuple[int, bytes]:
    """Both steps of RFC 4954 section 4: the mechanism, then the answer."""
    assert mail.docmd("AUTH", mechanism)[0] == 334
    return mail.docmd(answer.decode())


def ask(
    profile: Profile, name: str, rdtype: str, *, tcp: bool = False, edns: bool = True
) -> dns.message.Message:
    address, _, port = profile.dns_servers[0].partition(":")
    query = dns.message.make_query(name, rdtype, use_edns=0 if edns else False, payload=1232)
    over = dns.query.tcp if tcp else dns.query.udp
    reply: dns.message.Message = over(query, address, port=int(port), timeout=5)
    return reply


@pytest.fixture(scope="module", params=list(PROFILES))
def any_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with Lab.start(request.param) as lab:
        yield Client(lab, PROFILES[request.param])


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Lab.start() as lab:
        yield Client(lab, PROFILE)


@pytest.fixture(scope="module")
def gmail() -> Iterator[Client]:
    with Lab.start("google") as lab:
        yield Client(lab, FOR_GOOGLE)


@pytest.fixture(scope="module")
def custom() -> Iterator[Client]:
    with Lab.start("custom") as lab:
        yield Client(lab, FOR_CUSTOM)


# --- start, overlay, stop ----------------------------------------------------------------------------------


def test_a_stopped_lab_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    lab = Lab.start()
    profile = lab.overlay(PROFILE)
    with LoopbackSmtp("smtp.lab.example", profile.smtp.port) as mail:
        lab.stop()
        lab.stop()
        with pytest.raises(smtplib.SMTPServerDisconnected):
            mail.noop()
    assert not Path(profile.ca_file).parent.exists()
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", profile.smtp.port))


def test_a_lab_stops_in_the_middle_of_a_handshake() -> None:
    lab = Lab.start()
    with LoopbackSmtp("smtp.lab.example", lab.overlay(PROFILE).smtp.port) as mail:
        mail.ehlo()
        assert mail.docmd("STARTTLS")[0] == 220
        lab.stop()


def test_two_labs_run_side_by_side_and_share_nothing() -> None:
    with Lab.start() as one, Lab.start() as other:
        here, there = Client(one, PROFILE), Client(other, PROFILE)
        assert here.secret("client_secret") != there.secret("client_secret")
        answer = there.token_answer(client_secret=here.secret("client_secret"))
        assert answer.json()["error_codes"] == [7000215]
        mail = there.secured()
        assert authenticate(mail, xoauth2(MAILBOX, here.token()))[0] == 535
        mail.quit()


def test_the_overlay_points_everything_at_the_lab_and_keeps_what_was_written(client: Client) -> None:
    there = client.profile
    assert there.written == PROFILE
    assert (there.smtp.host, there.origins["smtp.host"]) == ("smtp.lab.example", "lab")
    assert there.oauth.refresh_token == SecretRef("lab", ("refresh_token",))
    assert there.oauth.token_endpoint.startswith("https://login.lab.example:")
    assert there.oauth.store.startswith(str(Path(there.ca_file).parent))
    assert (there.limits.greeting_s, there.limits.tcp_slow_s) == (3, 2)
    assert (there.expect, there.thresholds) == (PROFILE.expect, PROFILE.thresholds)


def test_the_overlay_invents_no_secret_that_the_profile_does_not_name() -> None:
    with Lab.start() as lab:
        public = lab.overlay(replace(PROFILE, oauth=replace(PROFILE.oauth, client_secret=None)))
    assert public.oauth.client_secret is None
    assert "oauth.client_secret" not in public.origins


def test_secrets_do_not_show() -> None:
    with Lab.start() as lab:
        shown = repr(lab.secrets())
        assert not any(one.reveal() in shown for one in lab.secrets().values())


def test_the_ca_file_is_all_that_lies_on_disk(client: Client) -> None:
    ca_file = Path(client.profile.ca_file)
    assert list(ca_file.parent.iterdir()) == [ca_file]


@pytest.mark.parametrize(
    ("provider", "fault", "words"),
    [
        (
            "microsoft365",
            "gremlins",
            "unknown fault 'gremlins': `smtp-preflight faults` lists those there are",
        ),
        ("microsoft365", "mx_mising", "did you mean mx_missing?"),
        ("google", "send_as_denied", "send_as_denied does not exist at google; it does at microsoft365"),
        ("yahoo", None, "no lab for provider 'yahoo'; there is one for microsoft365"),
    ],
)
def test_what_a_lab_cannot_be_is_named_with_what_it_can(provider: str, fault: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Lab.start(provider, *([fault] if fault else []))


# --- DNS ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("SMTP.lab.example", "A", "127.0.0.1"),
        ("contoso.example", "MX", "10 mx.contoso.example."),
        ("mx.contoso.example", "A", "192.0.2.25"),
        ("contoso.example", "TXT", '"v=spf1 include:spf.protection.outlook.com -all"'),
        ("spf.protection.outlook.com", "TXT", '"v=spf1 ip4:192.0.2.0/24 -all"'),
        ("_dmarc.contoso.example", "TXT", '"v=DMARC1; p=reject; rua=mailto:dmarc@contoso.example"'),
        (
            "selector2._domainkey.contoso.example",
            "CNAME",
            "selector2-contoso-example._domainkey.tenant.lab.example.",
        ),
    ],
)
def test_names_of_the_setup_resolve(client: Client, name: str, rdtype: str, expected: str, tcp: bool) -> None:
    reply = ask(client.profile, name, rdtype, tcp=tcp)
    assert [record.to_text() for answer in reply.answer for record in answer] == [expected]
    assert reply.flags & dns.flags.RA


def test_a_dkim_key_is_found_behind_its_alias(client: Client) -> None:
    alias, key = ask(client.profile, "selector1._domainkey.contoso.example", "TXT").answer
    assert alias.rdtype == dns.rdatatype.CNAME
    assert b"".join(key[0].strings).startswith(b"v=DKIM1; k=rsa; p=MII")


def test_google_keys_stand_at_the_selector_itself(gmail: Client) -> None:
    (key,) = ask(gmail.profile, "google._domainkey.contoso.example", "TXT").answer
    assert key.rdtype == dns.rdatatype.TXT


def test_a_domain_without_a_known_provider_lets_its_own_mail_servers_send(custom: Client) -> None:
    assert '"v=spf1 mx -all"' in ask(custom.profile, "contoso.example", "TXT").to_text()


def test_nodata_and_nxdomain_are_told_apart(client: Client) -> None:
    nodata = ask(client.profile, "smtp.lab.example", "AAAA")
    nothing = ask(client.profile, "_mta-sts.contoso.example", "TXT")
    between = ask(client.profile, "_domainkey.contoso.example", "TXT")
    assert [one.rcode() for one in (nodata, nothing, between)] == [
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
        dns.rcode.NOERROR,
    ]
    assert not nodata.answer
    assert nodata.authority[0].rdtype == dns.rdatatype.SOA


def test_an_answer_too_long_for_udp_is_cut_and_whole_over_tcp(client: Client) -> None:
    name = "selector1._domainkey.contoso.example"
    assert ask(client.profile, name, "TXT", edns=False).flags & dns.flags.TC
    assert len(ask(client.profile, name, "TXT", edns=False, tcp=True).answer) == 2


def test_what_is_no_query_gets_no_answer(client: Client) -> None:
    address, _, port = client.profile.dns_servers[0].partition(":")
    with socket.create_connection((address, int(port)), timeout=5) as tcp:
        tcp.sendall(b"\x00\x03\x01")
        tcp.sendall(b"\x02\x03")
        assert tcp.recv(1) == b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"\x01\x02\x03", (address, int(port)))
    assert ask(client.profile, "smtp.lab.example", "A").answer


def test_aliases_that_go_in_circles_end() -> None:
    server = NameServer(World(Conditions(), PLAIN, Mint(), ""), NameConditions())
    server.records = {("a.example", "CNAME"): ("b.example.",), ("b.example", "CNAME"): ("a.example.",)}
    reply = dns.message.from_wire(server.answer(dns.message.make_query("a.example", "A").to_wire()))
    assert len(reply.answer) == 2


def test_a_port_must_be_free_for_both_tcp_and_udp(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(sockets, "listener", lambda: socket.create_server(taken.getsockname()))
        with pytest.raises(OSError, match="no port is free for both TCP and UDP"):
            sockets.listener_and_datagrams()


def test_a_query_without_a_question_is_a_format_error(client: Client) -> None:
    address, _, port = client.profile.dns_servers[0].partition(":")
    empty = dns.message.QueryMessage()
    assert dns.query.udp(empty, address, port=int(port), timeout=5).rcode() == dns.rcode.FORMERR


def test_every_query_is_logged(client: Client) -> None:
    ask(client.profile, "nothing.contoso.example", "MX")
    assert client.log("dns")[-1] == "nothing.contoso.example MX NXDOMAIN"


# --- the identity provider ---------------------------------------------------------------------------------


def test_discovery_names_the_endpoints_of_the_overlay(any_client: Client) -> None:
    oauth = any_client.profile.oauth
    told = any_client.http("GET", oauth.discovery_uri).json()
    assert told["token_endpoint"] == oauth.token_endpoint
    assert told["jwks_uri"] == oauth.jwks_uri
    assert told["authorization_endpoint"] == oauth.authorize_endpoint
    assert told["device_authorization_endpoint"] == oauth.device_endpoint


def test_entra_names_the_tenant_by_its_id(client: Client) -> None:
    told = client.http("GET", client.profile.oauth.discovery_uri).json()
    assert told["issuer"].endswith(f"/{client.claims(client.token())['tid']}/v2.0")


@pytest.mark.parametrize(
    ("tenant", "issuer"),
    [
        ("common", "{tenantid}"),
        ("consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"),
        ("11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-555555555555"),
    ],
)
def test_the_issuer_depends_on_the_kind_of_tenant(tenant: str, issuer: str) -> None:
    with Lab.start() as lab:
        client = Client(lab, replace(PROFILE, oauth=replace(PROFILE.oauth, tenant=tenant)))
        told = client.http("GET", client.profile.oauth.discovery_uri).json()
    assert told["issuer"].endswith(f"/{issuer}/v2.0")


def test_a_refresh_token_buys_a_signed_token_for_exchange(client: Client) -> None:
    answer = client.token_answer()
    body = answer.json()
    claims = client.claims(body["access_token"])
    assert (answer.status_code, body["token_type"], body["scope"]) == (200, "Bearer", DELEGATED[0])
    assert (claims["aud"], claims["scp"], claims["upn"]) == (
        "https://outlook.office.com",
        "SMTP.Send",
        MAILBOX,
    )
    assert (claims["appid"], claims["appidacr"], claims["ver"]) == (CLIENT_ID, "1", "1.0")
    assert 3600 <= body["expires_in"] <= 5399
    assert answer.headers["cache-control"].startswith("no-store")


def test_entra_issues_a_new_refresh_token_and_the_old_one_keeps_working(client: Client) -> None:
    successor = client.token_answer().json()["refresh_token"]
    assert successor != client.secret("refresh_token")
    assert client.token_answer(refresh_token=successor).status_code == 200
    assert client.token_answer().status_code == 200


def test_openid_scopes_are_named_in_the_answer(client: Client) -> None:
    body = client.token_answer(scope=f"openid profile {DELEGATED[0]} offline_access").json()
    assert body["scope"].split() == [DELEGATED[0], "openid", "profile"]


def test_without_a_scope_the_token_is_for_what_was_consented_to(client: Client) -> None:
    assert client.claims(client.token(scope=""))["scp"] == "SMTP.Send"


def test_a_scope_without_its_resource_makes_a_graph_token(client: Client) -> None:
    assert client.claims(client.token(scope="SMTP.Send"))["aud"] == "https://graph.microsoft.com"


def test_an_application_gets_a_token_with_roles(client: Client) -> None:
    body = client.token_answer(grant_type="client_credentials", scope=APPLICATION[0], refresh_token="").json()
    claims = client.claims(body["access_token"])
    assert set(body) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert (claims["aud"], claims["roles"]) == ("https://outlook.office365.com", ["SMTP.SendAsApp"])
    assert (claims["idtyp"], claims["oid"]) == ("app", claims["sub"])
    assert "scp" not in claims


def test_with_rbac_for_applications_a_token_has_no_roles_and_is_taken() -> None:
    oauth = replace(
        PROFILE.oauth, grant=GrantType.CLIENT_CREDENTIALS, app_permission="rbac", scope=APPLICATION
    )
    with Lab.start() as lab:
        client = Client(lab, replace(PROFILE, oauth=oauth))
        token = client.token(grant_type="client_credentials")
        assert "roles" not in client.claims(token)
        mail = client.secured()
        assert authenticate(mail, xoauth2(MAILBOX, token))[0] == 235
        mail.quit()


def test_an_application_may_show_its_secret_by_basic_authentication(client: Client) -> None:
    form = client.form(client_id="", client_secret="")
    credentials = b64encode(f"{CLIENT_ID}:{client.secret('client_secret')}".encode()).decode()
    endpoint = client.profile.oauth.token_endpoint
    good = client.http("POST", endpoint, data=form, headers={"Authorization": f"Basic {credentials}"})
    assert good.status_code == 200
    for broken in ("Basic !", "Basic /////w==", "Bearer x"):
        assert client.http("POST", endpoint, data=form, headers={"Authorization": broken}).status_code == 400


def test_a_public_client_has_no_secret_and_must_send_none() -> None:
    oauth = replace(PROFILE.oauth, client_type="public", client_secret=None)
    with Lab.start() as lab:
        client = Client(lab, replace(PROFILE, oauth=oauth))
        assert client.claims(client.token(client_secret=""))["appidacr"] == "0"
        assert client.token_answer().json()["error_codes"] == [700025]


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [
        ({"grant_type": ""}, 400, "invalid_request", 900144),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"client_id": "somebody"}, 400, "unauthorized_client", 700016),
        ({"client_secret": ""}, 401, "invalid_client", 7000218),
        ({"client_secret": "wröng"}, 401, "invalid_client", 7000215),
        ({"refresh_token": "nonsense"}, 400, "invalid_grant", 70000),
        ({"scope": "https://outlook.office.com/SMTP.Fly"}, 400, "invalid_grant", 65001),
        ({"scope": "https://mail.example/SMTP.Send"}, 400, "invalid_resource", 500011),
        ({"scope": f"{DELEGATED[0]} User.Read"}, 400, "invalid_request", 28000),
        ({"grant_type": "client_credentials", "scope": DELEGATED[0]}, 400, "invalid_scope", 1002012),
    ],
)
def test_entra_refuses_in_its_own_form(
    client: Client, changes: dict[str, str], status: int, error: str, code: int
) -> None:
    answer = client.token_answer(**changes)
    body = answer.json()
    assert (answer.status_code, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    for named in ("trace_id", "correlation_id", "timestamp"):
        assert body[named] in body["error_description"]
    assert body["error_uri"].endswith(f"/error?code={code}")
    assert "{" not in body["error_description"]


def test_a_tenant_that_does_not_exist_is_refused_at_every_endpoint(client: Client) -> None:
    oauth = client.profile.oauth
    for method, url in (
        ("GET", oauth.discovery_uri),
        ("GET", oauth.jwks_uri),
        ("POST", oauth.token_endpoint),
    ):
        answer = client.http(method, url.replace("/contoso.example/", "/contosso.example/"))
        assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])


def test_personal_accounts_get_opaque_tokens_and_no_application_tokens() -> None:
    with Lab.start("outlook_personal") as lab:
        client = Client(lab, PERSONAL)
        assert client.token().startswith("EwB")
        refused = client.token_answer(grant_type="client_credentials", scope=APPLICATION[0])
        assert refused.json()["error_codes"] == [9001023]


def test_google_keeps_the_refresh_token_and_explains_its_opaque_token(gmail: Client) -> None:
    body = gmail.token_answer().json()
    told = gmail.http(
        "POST", gmail.profile.oauth.token_info_uri, data={"access_token": body["access_token"]}
    ).json()
    assert set(body) == {"access_token", "expires_in", "scope", "token_type"}
    assert body["access_token"].startswith("ya29.")
    assert (told["aud"], told["scope"], told["email"]) == (CLIENT_ID, "https://mail.google.com/", MAILBOX)
    unknown = gmail.http("POST", gmail.profile.oauth.token_info_uri, data={"access_token": "ya29.x"})
    assert (unknown.status_code, unknown.json()["error"]) == (400, "invalid_token")


@pytest.mark.parametrize(
    ("changes", "status", "body"),
    [
        ({"refresh_token": "1//x"}, 400, {"error": "invalid_grant", "error_description": "Bad Request"}),
        ({"client_secret": "x"}, 401, {"error": "invalid_client", "error_description": "Unauthorized"}),
        (
            {"grant_type": "client_credentials"},
            400,
            {"error": "unsupported_grant_type", "error_description": "Invalid grant_type"},
        ),
        (
            {"scope": "https://www.googleapis.com/auth/gmail.send"},
            400,
            {
                "error": "invalid_scope",
                "error_description": "Some requested scopes were invalid: "
                "https://www.googleapis.com/auth/gmail.send",
            },
        ),
    ],
)
def test_google_refuses_in_its_own_form(
    gmail: Client, changes: dict[str, str], status: int, body: dict[str, str]
) -> None:
    answer = gmail.token_answer(**changes)
    assert (answer.status_code, answer.json()) == (status, body)


def test_a_custom_provider_grants_what_the_profile_expects(custom: Client) -> None:
    for grant in ("refresh_token", "client_credentials"):
        claims = custom.claims(custom.token(grant_type=grant))
        assert (claims["aud"], claims["scp"]) == ("urn:mail", "mail.send")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /x HTTP/1.1\r\nX: " + b"x" * 20_000,
    ],
)
def test_what_is_no_bounded_request_is_refused(client: Client, request_bytes: bytes) -> None:
    port = httpx.URL(client.profile.oauth.issuer).port
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    with client.tls.wrap_socket(plain, server_hostname="login.lab.example") as tls:
        tls.sendall(request_bytes)
        tls.sendall(b"more")
        assert tls.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_request_is_awaited_until_it_is_whole() -> None:
    assert parse(b"POST / HTTP/1.1\r\nContent-Length: 2") is None
    assert parse(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n1") is None
    assert parse(b"POST /a?b HTTP/1.1\r\nContent-Length: 2\r\n\r\n12") == Request(
        "POST", "/a", {"content-length": "2"}, b"12"
    )


def test_a_path_nobody_serves_is_not_found(client: Client) -> None:
    assert client.http("GET", client.profile.oauth.issuer + "/favicon.ico").status_code == 404


# --- tokens ------------------------------------------------------------------------------------------------


def test_an_expired_token_stands_for_nothing() -> None:
    mint, now = Mint(), time.time()
    for exp, readable in ((now + 60, True), (now - 1, False)):
        opaque = mint.opaque("ya29.", 20, TokenFacts("aud", frozenset(), MAILBOX, CLIENT_ID, exp))
        signed = mint.signed({"aud": "aud", "exp": int(exp)})
        assert [mint.read(token) is not None for token in (opaque, signed)] == [readable, readable]


def test_of_very_many_opaque_tokens_the_oldest_is_forgotten() -> None:
    mint = Mint()
    facts = TokenFacts("aud", frozenset(), MAILBOX, CLIENT_ID, time.time() + 60)
    oldest, *_, newest = (mint.opaque("ya29.", 20, facts) for _ in range(MOST_OPAQUE + 1))
    assert (mint.read(oldest), mint.read(newest)) == (None, facts)


# --- the mail server ---------------------------------------------------------------------------------------


def test_a_message_goes_all_the_way(any_client: Client) -> None:
    """STARTTLS with a verified certificate, XOAUTH2 with a token from the endpoint; the message is kept."""
    mail = any_client.secured()
    assert "auth" in mail.esmtp_features
    assert "starttls" not in mail.esmtp_features
    assert authenticate(mail, xoauth2(MAILBOX, any_client.token()))[0] == 235
    mail.sendmail(SENDER, ["probe@contoso.example"], MESSAGE)
    mail.quit()
    assert any_client.lab.messages[-1] == MESSAGE.encode()


def test_the_token_may_come_with_the_command(client: Client) -> None:
    """The initial response of RFC 4954 section 4, however long the line."""
    mail = client.secured()
    assert mail.docmd("AUTH", f"XOAUTH2 {xoauth2(MAILBOX, client.token()).decode()}")[0] == 235
    assert mail.docmd("AUTH", "XOAUTH2")[0] == 503
    mail.quit()


def test_an_application_may_log_in_for_the_mailbox(client: Client) -> None:
    mail = client.secured()
    token = client.token(grant_type="client_credentials", scope=APPLICATION[0])
    assert authenticate(mail, xoauth2(MAILBOX, token))[0] == 235
    mail.quit()


def test_tls_from_the_first_byte() -> None:
    with Lab.start("google") as lab:
        client = Client(lab, replace(FOR_GOOGLE, smtp=Smtp("smtp.gmail.com", 465, "implicit")))
        mail = client.connect()
        mail.ehlo()
        assert authenticate(mail, xoauth2(MAILBOX, client.token()))[0] == 235
        mail.quit()


def test_exchange_greets_and_offers_as_exchange_does(client: Client) -> None:
    mail = client.connect()
    mail.ehlo()
    assert list(mail.esmtp_features) == [
        "size",
        "pipelining",
        "dsn",
        "enhancedstatuscodes",
        "starttls",
        "8bitmime",
        "binarymime",
        "chunking",
        "smtputf8",
    ]
    assert mail.ehlo_resp is not None
    assert b".outlook.office365.com Hello [127.0.0.1]" in mail.ehlo_resp
    mail.starttls(context=client.tls)
    mail.ehlo()
    assert mail.esmtp_features["auth"].split() == ["LOGIN", "XOAUTH2"]
    mail.quit()


def refused_tokens(client: Client) -> Iterator[tuple[str, str]]:
    good = client.token()
    header, payload, signature = good.split(".")
    yield "somebody@contoso.example", good
    yield MAILBOX, f"{header}.{payload}.{signature[::-1]}"
    yield MAILBOX, client.token(scope="https://graph.microsoft.com/Mail.Send")
    yield MAILBOX, client.token(scope="https://outlook.office.com/IMAP.AccessAsUser.All")
    yield MAILBOX, "no token"


def test_exchange_refuses_without_a_reason(client: Client) -> None:
    for user, token in refused_tokens(client):
        mail = client.secured()
        code, text = authenticate(mail, xoauth2(user, token))
        assert code == 535
        assert text.startswith(b"5.7.3 Authentication unsuccessful [LB")
        mail.quit()


def test_gmail_refuses_by_a_challenge_first(gmail: Client) -> None:
    mail = gmail.secured()
    code, challenge = authenticate(mail, xoauth2(MAILBOX, "ya29.x"))
    assert (code, b64decode(challenge)) == (
        334,
        b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}',
    )
    code, text = mail.docmd("")
    assert code == 535
    assert text.startswith(b"5.7.8 Username and Password not accepted. For more information, go to\n5.7.8 ")
    mail.quit()


@pytest.mark.parametrize("user", [MAILBOX, MAILBOX.upper()])
def test_oauthbearer_is_taken_where_it_is_offered(gmail: Client, user: str) -> None:
    mail = gmail.secured()
    assert authenticate(mail, oauthbearer(user, gmail.token()), "OAUTHBEARER")[0] == 235
    mail.quit()


@pytest.mark.parametrize("answer", [oauthbearer(MAILBOX, "x"), b64encode(b"n,,\x01auth=\x01\x01"), b"AQ=="])
def test_oauthbearer_refuses_as_rfc_7628_says(custom: Client, answer: bytes) -> None:
    mail = custom.secured()
    code, challenge = authenticate(mail, answer, "OAUTHBEARER")
    assert (code, b64decode(challenge)) == (
        334,
        b'{"status":"invalid_token","schemes":"Bearer","scope":"mail.send"}',
    )
    assert mail.docmd("AQ==") == (535, b"5.7.8 Authentication credentials invalid")
    mail.quit()


def test_passwords_are_refused_in_the_providers_words(client: Client, gmail: Client) -> None:
    mail = client.secured()
    assert mail.docmd("AUTH", "LOGIN") == (334, b"VXNlcm5hbWU6")
    assert mail.docmd("dXNlcg==") == (334, b"UGFzc3dvcmQ6")
    code, text = mail.docmd("cGFzc3dvcmQ=")
    assert (code, text.partition(b" [")[0]) == (
        535,
        b"5.7.139 Authentication unsuccessful, basic authentication is disabled.",
    )
    mail.quit()
    mail = gmail.secured()
    assert mail.docmd("AUTH", "PLAIN AHVzZXIAcGFzc3dvcmQ=")[0] == 534
    mail.quit()


def test_an_exchange_can_be_cancelled_garbled_or_too_long(client: Client) -> None:
    mail = client.secured()
    assert authenticate(mail, b"*")[0] == 501
    assert authenticate(mail, b"!") == (501, b"5.5.124 Invalid XOAUTH2 auth data")
    assert authenticate(mail, b"A" * 13_000)[0] == 500
    assert mail.docmd("AUTH", "XOAUTH2 =")[0] == 535
    assert mail.docmd("AUTH", "OAUTHBEARER")[0] == 504
    mail.quit()


def test_commands_out_of_turn_are_refused(client: Client) -> None:
    mail = client.connect()
    for command, code in (
        ("MAIL FROM:<a@b>", 503),
        ("AUTH XOAUTH2", 503),
        ("EHLO", 501),
        ("HELO x", 250),
        ("AUTH XOAUTH2", 504),
        ("MAIL FROM:<a@b>", 530),
        ("RCPT TO:<a@b>", 503),
        ("DATA", 503),
        ("STARTTLS now", 501),
        ("VRFY me", 500),
        ("NOOP", 250),
        ("RSET", 250),
    ):
        assert mail.docmd(command)[0] == code, command
    mail.starttls(context=client.tls)
    mail.ehlo()
    assert mail.docmd("STARTTLS")[0] == 503
    authenticate(mail, xoauth2(MAILBOX, client.token()))
    for command, code in (
        ("MAIL FROM:nobody", 501),
        ("MAIL FROM:<a@b> SIZE=999999999", 552),
        (f"MAIL FROM:<{SENDER}> SIZE=100", 250),
        (f"MAIL FROM:<{SENDER}>", 503),
        ("RCPT TO:nobody", 501),
    ):
        assert mail.docmd(command)[0] == code, command
    mail.quit()


def test_unauthenticated_mail_is_refused_as_exchange_does(client: Client) -> None:
    mail = client.secured()
    code, text = mail.mail(SENDER)
    assert (code, text.partition(b" [")[0]) == (530, b"5.7.57 Client not authenticated to send mail.")
    mail.quit()


def test_commands_behind_starttls_are_never_carried_into_it(client: Client) -> None:
    """RFC 3207 section 4.2: what was said before TLS is forgotten."""
    mail = client.connect()
    mail.ehlo()
    assert mail.sock is not None
    mail.sock.sendall(b"STARTTLS\r\nNOOP\r\n")
    assert mail.getreply()[0] == 501
    assert mail.docmd("NOOP")[0] == 250
    mail.quit()


def shaken(tls: ssl.SSLObject) -> bool:
    """Go on with a handshake; whether it is over, as far as this side goes."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def test_a_command_that_comes_with_the_end_of_the_handshake_is_heard(client: Client) -> None:
    """The last flight of the handshake and the first EHLO in one segment."""
    mail = client.connect()
    mail.ehlo()
    assert mail.docmd("STARTTLS")[0] == 220
    assert mail.sock is not None
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.tls.wrap_bio(incoming, outgoing, server_hostname="smtp.lab.example")
    while not shaken(tls):
        mail.sock.sendall(outgoing.read())
        incoming.write(mail.sock.recv(65536))
    tls.write(b"EHLO client.example\r\n")
    mail.sock.sendall(outgoing.read())
    answer = b""
    while b"SMTPUTF8" not in answer:
        incoming.write(mail.sock.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            answer += tls.read()
    assert b"250-AUTH LOGIN XOAUTH2\r\n" in answer
    mail.close()


def test_a_line_without_an_end_ends_the_connection(client: Client) -> None:
    mail = client.connect()
    assert mail.sock is not None
    mail.sock.sendall(b"x" * 70_000)
    assert mail.getreply()[0] == 500
    mail.close()


def test_a_message_can_come_in_chunks(client: Client) -> None:
    """RFC 3030, which Exchange offers."""
    mail = client.secured()
    authenticate(mail, xoauth2(MAILBOX, client.token()))
    assert mail.docmd("BDAT", "many")[0] == 501
    mail.send(b"BDAT 2\r\nhi")
    assert mail.getreply()[0] == 503
    mail.mail(SENDER)
    mail.rcpt("probe@contoso.example")
    head, tail = MESSAGE[:20].encode(), MESSAGE[20:].encode()
    for piece in (f"BDAT {len(head)}\r\n".encode() + head, f"BDAT {len(tail)}\r\n".encode() + tail):
        mail.send(piece[:-5])
        mail.send(piece[-5:])
        assert mail.getreply()[0] == 250
    assert mail.docmd("BDAT 0 LAST")[0] == 250
    assert client.lab.messages[-1] == MESSAGE.encode()
    mail.quit()


def test_chunks_are_unknown_where_they_are_not_offered(custom: Client) -> None:
    mail = custom.secured()
    assert mail.docmd("BDAT", "2")[0] == 500
    mail.quit()


def test_a_message_larger_than_announced_is_refused_once_it_is_whole() -> None:
    world = World(Conditions(), Wording(size_bytes=50), Mint(), "")
    session = Session(world, encrypted=True, peer="127.0.0.1")
    session._user = MAILBOX
    session.feed(b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
    session.feed(b"Subject: long\r\n" * 10)
    assert session.feed(b".\r\n").startswith(b"552 5.3.4 ")
    assert world.messages == []


def test_a_sender_the_mailbox_may_not_use_is_refused_after_the_message(client: Client) -> None:
    """In the envelope or in the header: Exchange looks at both."""
    for envelope, header in (("boss@contoso.example", SENDER), (SENDER, "boss@contoso.example")):
        mail = client.secured()
        authenticate(mail, xoauth2(MAILBOX, client.token()))
        with pytest.raises(smtplib.SMTPDataError) as refused:
            mail.sendmail(envelope, ["probe@contoso.example"], f"From: {header}\r\n\r\n")
        assert refused.value.smtp_code == 554
        assert (
            b"alerts@contoso.example not allowed to send as boss@contoso.example" in refused.value.smtp_error
        )
        mail.quit()


# --- the faults --------------------------------------------------------------------------------------------


@pytest.fixture
def faulty(request: pytest.FixtureRequest) -> Iterator[Client]:
    with Lab.start("microsoft365", request.param) as lab:
        yield Client(lab, PROFILE)


def fault(code: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("faulty", [code], indirect=True, ids=[code])


@fault("starttls_not_offered")
def test_fault_starttls_not_offered(faulty: Client) -> None:
    mail = faulty.connect()
    mail.ehlo()
    assert "starttls" not in mail.esmtp_features
    assert mail.docmd("STARTTLS")[0] == 500
    mail.quit()


@pytest.mark.parametrize(
    ("faulty", "verify_code"),
    [("certificate_expired", 10), ("certificate_name_mismatch", 62)],
    indirect=["faulty"],
    ids=["certificate_expired", "certificate_name_mismatch"],
)
def test_fault_certificate(faulty: Client, verify_code: int) -> None:
    """The mail server's certificate is refused for that reason, the identity provider's is good."""
    mail = faulty.connect()
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        mail.starttls(context=faulty.tls)
    assert refused.value.verify_code == verify_code
    assert faulty.token_answer().status_code == 200
    mail.close()


@fault("xoauth2_not_advertised")
def test_fault_xoauth2_not_advertised(faulty: Client) -> None:
    mail = faulty.secured()
    assert mail.esmtp_features["auth"].split() == ["LOGIN"]
    assert mail.docmd("AUTH", "XOAUTH2")[0] == 504
    mail.quit()


@fault("client_secret_expired")
def test_fault_client_secret_expired(faulty: Client) -> None:
    answer = faulty.token_answer()
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert f"AADSTS7000222: The provided client secret keys for app '{CLIENT_ID}' are expired" in answer.text


@fault("refresh_token_expired_inactivity")
def test_fault_refresh_token_expired_inactivity(faulty: Client) -> None:
    answer = faulty.token_answer()
    assert (answer.status_code, answer.json()["suberror"]) == (400, "bad_token")
    assert answer.json()["error_codes"] == [700082]
    assert "was inactive for 90.00:00:00." in answer.json()["error_description"]


@fault("token_wrong_audience")
def test_fault_token_wrong_audience(faulty: Client) -> None:
    """A Graph token, nonce and all; whoever checks its signature as it stands finds it wrong."""
    token = faulty.token()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["aud"], claims["scp"]) == ("00000003-0000-0000-c000-000000000000", "Mail.Send")
    assert "nonce" in jwt.get_unverified_header(token)
    with pytest.raises(jwt.InvalidSignatureError):
        faulty.claims(token)
    mail = faulty.secured()
    assert authenticate(mail, xoauth2(MAILBOX, token))[0] == 535
    mail.quit()


@fault("token_missing_smtp_scope")
def test_fault_token_missing_smtp_scope(faulty: Client) -> None:
    answer = faulty.token_answer().json()
    claims = faulty.claims(answer["access_token"])
    assert (claims["aud"], claims["scp"]) == ("https://outlook.office.com", "IMAP.AccessAsUser.All")
    assert answer["scope"] == "https://outlook.office.com/IMAP.AccessAsUser.All"
    mail = faulty.secured()
    assert authenticate(mail, xoauth2(MAILBOX, answer["access_token"]))[0] == 535
    mail.quit()


@fault("smtp_auth_disabled_mailbox")
def test_fault_smtp_auth_disabled_mailbox(faulty: Client) -> None:
    """The switch shows only to a good token; another is refused without a reason."""
    mail = faulty.secured()
    _, text = authenticate(mail, xoauth2(MAILBOX, faulty.token()))
    assert text.startswith(
        b"5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit "
        b"https://aka.ms/smtp_auth_disabled for more information. [LB"
    )
    assert authenticate(mail, xoauth2(MAILBOX, "x"))[1].startswith(b"5.7.3 ")
    mail.quit()


@fault("send_as_denied")
def test_fault_send_as_denied(faulty: Client) -> None:
    mail = faulty.secured()
    assert authenticate(mail, xoauth2(MAILBOX, faulty.token()))[0] == 235
    assert mail.mail(SENDER)[0] == 250
    assert mail.rcpt("probe@contoso.example")[0] == 250
    code, text = mail.data(MESSAGE)
    assert code == 554
    assert text.startswith(
        b"5.2.252 SendAsDenied; alerts@contoso.example not allowed to send as noreply@contoso.example; "
        b"STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process"
    )
    assert faulty.lab.messages == []
    mail.quit()


def test_the_table_of_faults_is_keyed_by_code_and_says_where_each_shows() -> None:
    assert all(name == row.name and row.line and row.provider for name, row in FAULTS.items())
    assert FAULTS["send_as_denied"].stage is Stage.DATA


# --- the log -----------------------------------------------------------------------------------------------


def test_the_log_shows_every_command_and_no_credential() -> None:
    """However they are sent: in one line, in two, in the wrong place, to the wrong server."""
    with Lab.start() as lab:
        client = Client(lab, PROFILE)
        token = client.token()
        sasl = xoauth2(MAILBOX, token).decode()
        mail = client.secured()
        mail.docmd(sasl)
        mail.docmd("AUTH", sasl)
        mail.docmd("AUTH", "XOAUTH2")
        mail.docmd("*")
        mail.docmd("AUTH", f"XOAUTH2 {sasl}")
        mail.quit()
        client.http("GET", f"{client.profile.oauth.token_endpoint}?access_token={token}")
        client.token_answer(grant_type=client.secret("client_secret"))
        secrets = [token, sasl, *(one.reveal() for one in lab.secrets().values())]
        shown = repr(lab.log)
    assert not any(one[:40] in shown for one in secrets)
    assert client.log("smtp") == [
        "(connected)",
        "EHLO client.example",
        "STARTTLS",
        "EHLO client.example",
        f"<{len(sasl)} bytes>",
        f"AUTH <{len(sasl)} bytes>",
        "AUTH XOAUTH2",
        "(AUTH) <1 bytes>",
        f"AUTH XOAUTH2 <{len(sasl)} bytes>",
        "QUIT",
    ]
    assert client.log("http") == [
        "POST /contoso.example/oauth2/v2.0/token refresh_token 200",
        "GET /contoso.example/oauth2/v2.0/token 404",
        "POST /contoso.example/oauth2/v2.0/token 400",
    ]
