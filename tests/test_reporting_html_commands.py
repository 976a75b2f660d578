"""The commands of a report ask the same again, show no secret, and run nothing but themselves."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lxml.html  # type: ignore[import-untyped] # ships no types
import pytest

from smtp_preflight.cli.lab import profile_lines
from smtp_preflight.evidence import encode
from smtp_preflight.lab import Lab
from smtp_preflight.model import (
    AuthExchange,
    DataExchange,
    DkimKeys,
    DnsAnswer,
    DnsStatus,
    Ehlo,
    Grant,
    GrantType,
    HttpExchange,
    MailboxLogin,
    MailboxProtocol,
    MailFrom,
    NameServers,
    OAuth,
    PortCheck,
    PortState,
    Profile,
    Published,
    RcptTo,
    ReaderGrant,
    Run,
    SecretCheck,
    SecretRef,
    Seen,
    ServerAnswer,
    ServiceCheck,
    SignatureCheck,
    SignatureState,
    Smtp,
    SmtpGreeting,
    StartTls,
    SystemAddresses,
    TcpAttempt,
    TcpConnects,
    TcpOutcome,
    TlsHandshake,
    TokenInfo,
    Until,
    Verdict,
)
from smtp_preflight.probes.questions import ROWS
from smtp_preflight.profile import load_profile, load_providers
from smtp_preflight.reporting.commands import repeats

ROOT = Path(__file__).parent.parent
AT = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
ENDPOINT = "https://login.microsoftonline.com/token"
LIMIT_S = 60

ProfileWith = Callable[..., Profile]
SeenWith = Callable[..., Seen]


def run_of(seen: Seen) -> Run:
    """A run of which only the questions matter."""
    return Run(
        profile=seen.profile.name,
        provider="microsoft365",
        tool="smtp-preflight 0.1.0",
        knowledge="2026-11-20",
        started=seen.started,
        duration_s=1,
        until=Until.ENVELOPE,
        verdict=Verdict.READY,
        proven=None,
        not_asked=(),
        settings={},
        findings=(),
        checks=(),
        selected=(),
        until_when=(),
        seen=seen,
        evidence=tuple(encode(seen)),
    )


def dns(name: str, rdtype: str = "A") -> DnsAnswer:
    return DnsAnswer(asked_at=AT, name=name, rdtype=rdtype, status=DnsStatus.NODATA)


def http(method: str = "POST", url: str = ENDPOINT, **more: Any) -> HttpExchange:
    return HttpExchange(method, url, **more)


GRANT = Grant(asked_at=AT, grant="client_credentials", http=http())
AUTH = AuthExchange(asked_at=AT)


@pytest.fixture
def lines(seen_with: SeenWith, profile_with: ProfileWith) -> Callable[..., list[str]]:
    """The commands for some answers, a second apart, line by line; keywords change the profile."""

    def make(*answers: Any, **changes: Any) -> list[str]:
        named = [one if isinstance(one, tuple) else ("", one) for one in answers]
        apart = [
            (subject, replace(answer, asked_at=AT + dt.timedelta(seconds=number)))
            for number, (subject, answer) in enumerate(named)
        ]
        seen = seen_with(*apart, profile=profile_with(**changes))
        return [line for one in repeats(run_of(seen)) for line in one.command.split("\n")]

    return make


Lines = Callable[..., list[str]]

# --- each kind of question ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "command"),
    [
        (SecretRef("env", ("CONTOSO_SECRET",)), 'printf %s "$CONTOSO_SECRET" | wc -c'),
        (SecretRef("env", ("NOT A NAME",)), 'printf %s "$CLIENT_SECRET" | wc -c'),
        (SecretRef("file", ("/run/secrets/my secret",)), "wc -c < '/run/secrets/my secret'"),
        (SecretRef("command", ("op", "read", "op://a/b c")), "op read 'op://a/b c' | wc -c"),
        (SecretRef("keyring", ("mail", "contoso")), "keyring get mail contoso | wc -c"),
        (SecretRef("stdin", ()), None),
    ],
)
def test_of_a_secret_only_the_length_is_shown(
    lines: Lines, reference: SecretRef, command: str | None
) -> None:
    """Wherever it is kept; what is handed over only once is not asked for again."""
    oauth = OAuth(client_secret=reference)
    check = SecretCheck(asked_at=AT, key="client_secret", reference=str(reference))
    assert lines(check, oauth=oauth) == ([command] if command else [])


def test_dns_is_asked_of_the_system_s_name_server(lines: Lines) -> None:
    """One query for each that was made, however deep it stands in an observation."""
    keys = DkimKeys(asked_at=AT, domain="contoso.com", answers=(dns("s1._domainkey.contoso.com", "TXT"),))
    addresses = SystemAddresses(asked_at=AT, host="smtp.office365.com")
    assert lines(dns("contoso.com", "MX"), keys, addresses) == [
        "dig contoso.com MX",
        "dig s1._domainkey.contoso.com TXT",
        "getent ahosts smtp.office365.com",
    ]


def test_a_profile_s_own_name_servers_are_asked_everywhere(lines: Lines) -> None:
    """Every host is looked up where the run looked it up."""
    servers = ("192.0.2.53:5353", "2001:db8::53")
    published = Published(dns("smtp.office365.com"), dns("smtp.office365.com", "AAAA"))
    each = tuple(ServerAnswer(one, published) for one in servers)
    found = lines(
        SystemAddresses(asked_at=AT, host="smtp.office365.com", by_system=False),
        NameServers(asked_at=AT, host="smtp.office365.com", each=each),
        TlsHandshake(asked_at=AT, host="smtp.office365.com"),
        ("greeting", SmtpGreeting(asked_at=AT)),
        dns_servers=servers,
    )
    asking = "dig @192.0.2.53 -p 5353 smtp.office365.com A"
    assert found[:2] == [asking, f"{asking}AAA"]
    assert found[2:6] == [
        asking,
        f"{asking}AAA",
        *(f"dig @2001:db8::53 smtp.office365.com {one}" for one in ("A", "AAAA")),
    ]
    address = "$(dig +short @192.0.2.53 -p 5353 smtp.office365.com A | tail -n 1)"
    assert f'-connect "{address}:587"' in found[6]
    assert f'--resolve "smtp.office365.com:587:{address}"' in found[7]


def test_connections_are_tried_to_each_address(lines: Lines) -> None:
    """With the profile's limit."""
    attempts = (
        TcpAttempt("192.0.2.1", 587, TcpOutcome.REFUSED),
        TcpAttempt("2001:db8::1", 587, TcpOutcome.OTHER),
    )
    found = lines(
        TcpConnects(asked_at=AT, family="ipv4", attempts=attempts),
        PortCheck(asked_at=AT, host="smtp.office365.com", port=465, state=PortState.OPEN),
    )
    assert found == [
        "nc -vz -w 10 192.0.2.1 587",
        "nc -vz -w 10 2001:db8::1 587",
        "nc -vz -w 10 smtp.office365.com 465",
    ]


def test_smtp_before_and_after_tls(lines: Lines) -> None:
    """The dialogue up to EHLO by curl, the certificates by openssl; what is the same stands once."""
    clear, tls, encrypted = lines(
        SmtpGreeting(asked_at=AT),
        ("before TLS", Ehlo(asked_at=AT)),
        StartTls(asked_at=AT),
        TlsHandshake(asked_at=AT, host="smtp.office365.com"),
        ("after TLS", Ehlo(asked_at=AT, encrypted=True)),
        ca_file="/etc/ours.pem",
    )
    assert clear.endswith("--cacert /etc/ours.pem --verbose --request NOOP smtp://smtp.office365.com:587")
    assert encrypted.endswith("--verbose --ssl-reqd --request NOOP smtp://smtp.office365.com:587")
    assert tls == (
        "openssl s_client -starttls smtp -connect smtp.office365.com:587 -servername smtp.office365.com "
        "-verify_hostname smtp.office365.com -CAfile /etc/ours.pem -verify_return_error -showcerts </dev/null"
    )


def test_smtp_by_implicit_tls(lines: Lines) -> None:
    """The URL says so, and openssl begins at once; the name in EHLO is the profile's."""
    smtp = Smtp("smtp.contoso.com", 465, "implicit", ehlo_name="app.contoso.com")
    greeting, tls = lines(SmtpGreeting(asked_at=AT), TlsHandshake(asked_at=AT, host="x"), smtp=smtp)
    assert greeting.endswith("--request NOOP smtps://smtp.contoso.com:465/app.contoso.com")
    assert tls.startswith("openssl s_client -connect smtp.contoso.com:465 -servername")


def test_a_look_at_another_service(lines: Lines) -> None:
    """By openssl, at its own port and in its own mode."""
    (found,) = lines(ServiceCheck(asked_at=AT, host="login.contoso.com", port=443, tls="https"))
    assert found.startswith("openssl s_client -connect login.contoso.com:443 ")


SAID = "--data-urlencode"
ID = f"{SAID} client_id=app"


@pytest.mark.parametrize(
    ("oauth", "form"),
    [
        (
            OAuth(client_id="app", scope=("a", "b"), client_secret=SecretRef("env", ("X",))),
            f"{SAID} grant_type=client_credentials {SAID} 'scope=a b' {ID} "
            f'{SAID} client_secret@<(printf %s "$X")',
        ),
        (
            OAuth(client_id="app", client_auth="basic", client_secret=SecretRef("file", ("/x",))),
            f"{SAID} grant_type=client_credentials "
            """--config <(printf 'user = "%s:%s"' app "$CLIENT_SECRET")""",
        ),
        (
            OAuth(client_id="app", certificate=SecretRef("file", ("/x",))),
            f"{SAID} grant_type=client_credentials {ID} "
            f"{SAID} client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer "
            f'{SAID} client_assertion@<(printf %s "$CLIENT_ASSERTION")',
        ),
        (
            OAuth(
                grant=GrantType.DEVICE_CODE,
                client_id="app",
                client_type="public",
                client_secret=SecretRef("env", ("X",)),
            ),
            f'{SAID} grant_type=refresh_token {SAID} refresh_token@<(printf %s "$REFRESH_TOKEN") {ID}',
        ),
        (
            OAuth(grant=GrantType.JWT_BEARER, service_account=SecretRef("file", ("/x",))),
            f"{SAID} grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer "
            f'{SAID} assertion@<(printf %s "$ASSERTION")',
        ),
        (OAuth(), f"{SAID} grant_type=client_credentials"),
    ],
    ids=["secret", "basic", "certificate", "public", "service_account", "nobody"],
)
def test_a_token_request_has_its_grant_s_form(lines: Lines, oauth: OAuth, form: str) -> None:
    """Secrets are variables that the shell itself reads; tokens in the answer are masked."""
    (found,) = lines(GRANT, oauth=oauth)
    assert f"--include {form} {ENDPOINT} | sed" in found


def test_what_http_asked(lines: Lines) -> None:
    """A proxy that was used is used again; nothing was asked, nothing is repeated."""
    info = TokenInfo(asked_at=AT, http=http(proxy="http://proxy.contoso.com:3128"))
    (found,) = lines(
        info,
        Grant(asked_at=AT, grant="access_token"),
        SignatureCheck(asked_at=AT, state=SignatureState.VALID),
    )
    assert "--proxy http://proxy.contoso.com:3128" in found
    assert 'access_token@<(printf %s "$ACCESS_TOKEN")' in found


def test_the_reader_s_token_request_is_its_own(lines: Lines, profile_with: ProfileWith) -> None:
    """By the grant and the secrets of the profile whose login reads the mailbox."""
    oauth = OAuth(grant=GrantType.REFRESH_TOKEN, client_id="reader", client_type="public")
    reader = profile_with(name="reader", oauth=oauth)
    (found,) = lines(ReaderGrant(asked_at=AT, profile="reader", grant=GRANT), reader=reader)
    assert "client_id=reader" in found
    assert lines(ReaderGrant(asked_at=AT, profile="reader", problem="no such variable"), reader=reader) == []


def test_signing_in_and_the_envelope(lines: Lines) -> None:
    """AUTH by curl; the envelope by openssl, ended by RSET; only the reader's own message is ever sent."""
    auth, sender, recipient, data = lines(
        AUTH,
        MailFrom(asked_at=AT, sender="alerts@contoso.com"),
        RcptTo(asked_at=AT, recipient="probe@contoso.com"),
        DataExchange(asked_at=AT),
    )
    assert "--login-options AUTH=XOAUTH2 --user alerts@contoso.com" in auth
    assert "MAIL FROM:<alerts@contoso.com>" in sender
    assert "RCPT TO" not in sender
    assert "RCPT TO:<probe@contoso.com>" in recipient
    assert all("echo RSET; sleep 1; echo QUIT" in one for one in (sender, recipient))
    assert "--mail-rcpt probe@contoso.com --upload-file message.eml" in data
    assert not any("--upload-file" in one for one in (auth, sender, recipient))


def test_oauthbearer_is_said_where_it_was(lines: Lines) -> None:
    """In the form of RFC 7628, the user escaped as RFC 5801 wants it."""
    auth, sender = lines(
        replace(AUTH, mechanism="OAUTHBEARER"), MailFrom(asked_at=AT, sender="x"), mailbox="a=b@contoso.com"
    )
    assert "AUTH=OAUTHBEARER" in auth
    assert r"'n,a=%s,\001auth=Bearer %s\001\001' a=3Db@contoso.com" in sender


@pytest.mark.parametrize(
    ("protocol", "port", "url"),
    [
        ("imap", 993, "--request NOOP imaps://outlook.office365.com:993"),
        ("imap", 143, "--request NOOP imap://outlook.office365.com:143"),
        ("pop", 995, "--request NOOP pop3s://outlook.office365.com:995"),
    ],
)
def test_a_mailbox_is_opened_by_curl(lines: Lines, protocol: str, port: int, url: str) -> None:
    """By the protocol's own scheme, TLS first or demanded."""
    (found,) = lines(
        MailboxLogin(
            asked_at=AT, protocol=MailboxProtocol(protocol), host="outlook.office365.com", port=port, user="x"
        )
    )
    assert url in found
    assert ("--ssl-reqd" in found) is (port == 143)


def test_whatever_was_seen_has_commands_or_none(lines: Lines, filled: Callable[[type], Any]) -> None:
    """No kind of observation, however strange its values, breaks the report."""
    assert lines(*((f"no. {number}", filled(kind)) for number, kind in enumerate(ROWS)))


# --- nothing else is run -----------------------------------------------------------------------------------

STRANGE = (
    "x; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    "a\ntouch pwned",
    "\u202e$(touch pwned)",
    "-o pwned",
    "<pwned>",
)
PROGRAMS = ("curl", "dig", "openssl", "nc", "getent", "keyring", "sleep")


@pytest.fixture
def harmless(tmp_path: Path) -> Callable[[str], list[str]]:
    """Run a command with stand-ins for its programs; returns what they were called with, word by word."""
    stubs, asked = tmp_path / "stubs", tmp_path / "asked"
    stubs.mkdir()
    for program in PROGRAMS:
        (stubs / program).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {asked}\n', encoding="utf-8")
        (stubs / program).chmod(0o755)
    room = tmp_path / "room"
    room.mkdir()

    def run(command: str) -> list[str]:
        environment = {"PATH": f"{stubs}:/usr/bin:/bin"}
        subprocess.run(
            ["bash", "-c", command],
            cwd=room,
            env=environment,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert list(room.iterdir()) == []
        return asked.read_text(encoding="utf-8").splitlines() if asked.exists() else []

    return run


@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_value_stays_a_value(
    lines: Lines, harmless: Callable[[str], list[str]], strange: str
) -> None:
    """Whatever stands where a host, an address, a URL or a name should be: no other command is run."""
    oauth = OAuth(
        grant=GrantType.REFRESH_TOKEN,
        client_id=strange,
        scope=(strange,),
        client_secret=SecretRef("env", (strange,)),
        refresh_token=SecretRef("file", (strange,)),
    )
    found = lines(
        SecretCheck(asked_at=AT, key="client_secret", reference="x"),
        ("file", SecretCheck(asked_at=AT, key="refresh_token", reference="x")),
        dns(strange, strange),
        SystemAddresses(asked_at=AT, host=strange),
        TcpConnects(asked_at=AT, family="ipv4", attempts=(TcpAttempt(strange, 587, TcpOutcome.OTHER),)),
        SmtpGreeting(asked_at=AT),
        TlsHandshake(asked_at=AT, host=strange),
        Grant(asked_at=AT, grant="refresh_token", http=http(url=f"https://x/{strange}", proxy=strange)),
        AUTH,
        RcptTo(asked_at=AT, recipient=strange),
        DataExchange(asked_at=AT),
        MailboxLogin(asked_at=AT, protocol=MailboxProtocol.IMAP, host=strange, port=993, user=strange),
        mailbox=strange,
        smtp=Smtp(strange, ehlo_name=strange),
        oauth=oauth,
        ca_file=strange,
        dns_servers=(strange,),
    )
    assert len(found) >= 12
    for one in found:
        harmless(one)


# --- against servers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repeated(run_suite: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The commands of a report, by question, and what a shell needs to run them while the lab is there."""
    folder = tmp_path_factory.mktemp("repeated")
    providers = load_providers()
    with Lab.start() as lab:
        profile = lab.overlay(load_profile(ROOT / "profiles" / "demo-app.toml", providers))
        (folder / "lab.toml").write_text("\n".join(profile_lines(profile)), encoding="utf-8")
        secrets = {f"LAB_{key.upper()}": one.reveal() for key, one in lab.secrets().items()}
        done = run_suite(f"--profile={folder / 'lab.toml'}", environment=secrets)
        assert done.status == 0, done.stdout
        page = lxml.html.parse(str(done.folder / "lab" / "report.html"))
        commands = {
            one.findtext("dt"): one.findtext(".//pre").split("\n")[0]
            for one in page.iterfind(".//dl[@class='commands']/div")
        }
        yield commands, secrets


@pytest.fixture
def shell(repeated: Any, needed: Callable[[str], str], tmp_path: Path) -> Callable[[str], str]:
    """Run the command of a question as its reader would; returns everything that it shows."""
    for program in ("bash", "curl", "dig", "openssl"):
        needed(program)
    commands, secrets = repeated
    quick = tmp_path / "sleep"
    quick.write_text("#!/bin/sh\nexec /bin/sleep 0.3\n", encoding="utf-8")
    quick.chmod(0o755)

    def run(question: str, *, unmasked: bool = False, **variables: str) -> str:
        command = commands[question].partition(" | sed")[0] if unmasked else commands[question]
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **secrets, **variables}
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return done.stdout + done.stderr

    return run


@pytest.fixture
def access_token(shell: Callable[..., str]) -> str:
    """A token by the report's own token request, its mask taken off."""
    answer = shell("Token request", unmasked=True)
    token: str = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])["access_token"]
    return token


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("DNS smtp.lab.example A", "127.0.0.1"),
        ("Metadata of the identity provider", '"token_endpoint"'),
        ("Token request", '"access_token": "<token>"'),
        ("Greeting, EHLO before TLS", "STARTTLS"),
        ("STARTTLS, TLS handshake", "Verify return code: 0 (ok)"),
        ("EHLO after TLS", "XOAUTH2"),
    ],
)
def test_a_reader_gets_the_same_answer(
    shell: Callable[..., str],
    repeated: tuple[Mapping[str, str], Mapping[str, str]],
    question: str,
    answer: str,
) -> None:
    """Each command works as it stands in the report, and shows no secret."""
    shown = shell(question)
    assert answer in shown
    assert not any(one in shown for one in repeated[1].values())


@pytest.mark.parametrize(
    ("question", "answer"),
    [("AUTH", "235 2.7.0"), ("RCPT TO probe@contoso.example", "250 2.1.5")],
)
def test_a_reader_with_a_token_gets_further(
    shell: Callable[..., str], access_token: str, question: str, answer: str
) -> None:
    """Up to the recipient, without a message; the token is not shown, nor anything as long as it."""
    shown = shell(question, ACCESS_TOKEN=access_token)
    assert answer in shown
    assert not re.search(r"[A-Za-z0-9+/=_-]{200}", shown)
