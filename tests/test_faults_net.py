"""The lab misbehaves for real: names, ports, greetings and TLS, seen by a client that knows nothing of it."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from smtp_preflight.lab import FAULTS, Lab, mistaken
from smtp_preflight.lab.conditions import Conditions, ConnectionConditions, NameConditions, combined
from smtp_preflight.model import Profile, SecretRef
from smtp_preflight.profile import load_profile, load_providers

ROOT = Path(__file__).parent.parent
DEMO = load_profile(ROOT / "profiles" / "demo.toml", load_providers())
HOST = "smtp.lab.example"
SOON_S = 0.5  # how long nothing has to come for nothing to come at all
PATIENT_S = 10


@pytest.fixture
def broken(request: pytest.FixtureRequest) -> Iterator[Profile]:
    """The demonstration, pointed at a lab with this fault."""
    with Lab.start("microsoft365", request.param) as lab:
        yield lab.overlay(DEMO)


def with_fault(name: str, *more: object) -> object:
    return pytest.param(name, *more, id=name)


def ask(
    profile: Profile, name: str, rdtype: str, *, server: int = 0, checking: bool = True
) -> dns.message.Message:
    address, _, port = profile.dns_servers[server].partition(":")
    query = dns.message.make_query(name, rdtype)
    if not checking:
        query.flags |= dns.flags.CD
    reply: dns.message.Message = dns.query.udp(query, address, port=int(port), timeout=PATIENT_S)
    return reply


def records(reply: dns.message.Message) -> list[str]:
    return sorted(str(record) for rrset in reply.answer for record in rrset)


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "name", "rdtype", "rcode", "expected"),
    [
        with_fault("dns_no_address", HOST, "A", "NOERROR", []),
        with_fault("dns_server_failure", HOST, "AAAA", "SERVFAIL", []),
        with_fault("address_unreachable", HOST, "A", "NOERROR", ["127.0.0.1", "127.0.0.2"]),
        with_fault("tcp_port_blocked:no_route", HOST, "A", "NOERROR", ["224.0.0.1"]),
        with_fault("mx_missing", "contoso.example", "MX", "NOERROR", []),
        with_fault("mx_null", "contoso.example", "MX", "NOERROR", ["0 ."]),
        with_fault("mx_unresolvable", "gone.contoso.example", "A", "NXDOMAIN", []),
        with_fault(
            "mx_is_alias", "alias.contoso.example", "A", "NOERROR", ["192.0.2.25", "mx.contoso.example."]
        ),
        with_fault(
            "spf_multiple", "contoso.example", "TXT", "NOERROR", ['"v=spf1 -all"', '"v=spf1 mx -all"']
        ),
        with_fault("dmarc_missing", "_dmarc.contoso.example", "TXT", "NXDOMAIN", []),
        with_fault("dkim_selector_missing", "selector1._domainkey.contoso.example", "TXT", "NXDOMAIN", []),
        with_fault("mta_sts_invalid", "_mta-sts.contoso.example", "TXT", "NOERROR", ['"v=STSv1; id="']),
    ],
    indirect=["broken"],
)
def test_other_things_are_published(
    broken: Profile, name: str, rdtype: str, rcode: str, expected: list[str]
) -> None:
    reply = ask(broken, name, rdtype)
    assert (dns.rcode.to_text(reply.rcode()), records(reply)) == (rcode, expected)


@pytest.mark.parametrize("broken", ["dnssec_bogus"], indirect=True)
def test_a_bogus_name_resolves_where_nobody_checks(broken: Profile) -> None:
    assert ask(broken, HOST, "A").rcode() == dns.rcode.SERVFAIL
    assert records(ask(broken, HOST, "A", checking=False)) == ["127.0.0.1"]


@pytest.mark.parametrize("broken", ["dns_servers_disagree"], indirect=True)
def test_two_name_servers_say_different_things(broken: Profile) -> None:
    answers = [records(ask(broken, HOST, "A", server=number)) for number in range(2)]
    assert answers == [["127.0.0.1"], []]


@pytest.mark.parametrize("broken", ["dns_resolution_failure"], indirect=True)
def test_a_silent_name_server_says_nothing(broken: Profile) -> None:
    address, _, port = broken.dns_servers[0].partition(":")
    query = dns.message.make_query(HOST, "A")
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(query, address, port=int(port), timeout=SOON_S)


@pytest.mark.parametrize("broken", ["tlsa_mismatch"], indirect=True)
def test_another_certificate_is_announced(broken: Profile) -> None:
    assert records(ask(broken, f"_{broken.smtp.port}._tcp.{HOST}", "TLSA")) == ["3 1 1 " + "0" * 64]


# --- ports -------------------------------------------------------------------------------------------------


def connected(profile: Profile, limit_s: float = PATIENT_S) -> socket.socket:
    return socket.create_connection(("127.0.0.1", profile.smtp.port), limit_s)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [with_fault("tcp_refused", ConnectionRefusedError), with_fault("tcp_port_blocked", TimeoutError)],
    indirect=["broken"],
)
def test_no_connection_comes_about(broken: Profile, problem: type[OSError]) -> None:
    """Refused at once, or as if packets were dropped."""
    with pytest.raises(problem):
        connected(broken, SOON_S)


@pytest.mark.parametrize("broken", ["greeting_timeout", "greeting_timeout:unattended"], indirect=True)
def test_nobody_greets(broken: Profile) -> None:
    with connected(broken, SOON_S) as sock, pytest.raises(TimeoutError):
        sock.recv(1)


# --- greeting and STARTTLS ---------------------------------------------------------------------------------


def said(sock: socket.socket, command: str = "") -> bytes:
    """What comes in answer to a command, up to the end of a reply; nothing where the server hangs up."""
    if command:
        sock.sendall(command.encode() + b"\r\n")
    heard = b""
    while not heard.endswith(b"\r\n") or re.match(rb"\d{3}-", heard.splitlines()[-1]):
        data = sock.recv(65536)
        if not data:
            break
        heard += data
    return heard


@pytest.mark.parametrize(
    ("broken", "begins"),
    [
        with_fault("service_unavailable", b"421 "),
        with_fault("client_address_refused", b"554 "),
        with_fault("not_smtp", b"SSH-2.0-"),
        with_fault("not_smtp:http", b"HTTP/1.1 400"),
        with_fault("connection_lost", b""),
    ],
    indirect=["broken"],
)
def test_the_greeting_is_no_welcome(broken: Profile, begins: bytes) -> None:
    with connected(broken) as sock:
        heard = said(sock)
    assert heard.startswith(begins)
    assert bool(heard) == bool(begins)


@pytest.mark.parametrize(
    ("broken", "commands", "last"),
    [
        with_fault("ehlo_argument_rejected", ["EHLO client.example"], b"501 "),
        with_fault("connection_lost:ehlo", ["EHLO client.example"], b""),
        with_fault("starttls_refused", ["EHLO client.example", "STARTTLS"], b"454 "),
        with_fault("connection_lost:starttls", ["EHLO client.example", "STARTTLS"], b""),
    ],
    indirect=["broken"],
)
def test_the_dialogue_ends_early(broken: Profile, commands: list[str], last: bytes) -> None:
    with connected(broken) as sock:
        said(sock)
        heard = [said(sock, command) for command in commands][-1]
    assert heard.startswith(last)
    assert bool(heard) == bool(last)


@pytest.mark.parametrize(
    ("broken", "listed", "not_listed"),
    [
        with_fault("starttls_not_offered", b"SIZE", b"STARTTLS"),
        with_fault("starttls_stripped", b"XXXXXXXA", b"STARTTLS"),
        with_fault("auth_offered_without_tls", b"AUTH LOGIN XOAUTH2", b"XXXXXXXA"),
    ],
    indirect=["broken"],
)
def test_capabilities_differ(broken: Profile, listed: bytes, not_listed: bytes) -> None:
    with connected(broken) as sock:
        said(sock)
        capabilities = said(sock, "EHLO client.example")
    assert listed in capabilities
    assert not_listed not in capabilities


@pytest.mark.parametrize("broken", ["starttls_plaintext_injected"], indirect=True)
def test_something_is_slipped_in_behind_the_220(broken: Profile) -> None:
    with connected(broken) as sock:
        said(sock)
        said(sock, "EHLO client.example")
        assert said(sock, "STARTTLS").splitlines()[1:] == [b"250 2.0.0 OK"]


# --- TLS ---------------------------------------------------------------------------------------------------


def begun(profile: Profile, stack: contextlib.ExitStack) -> socket.socket:
    """A connection on which the handshake may begin."""
    sock = stack.enter_context(connected(profile))
    said(sock)
    said(sock, "EHLO client.example")
    assert said(sock, "STARTTLS").startswith(b"220 ")
    return sock


def lenient() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is looked for
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def shown(profile: Profile) -> tuple[str, x509.Certificate]:
    """Version and certificate, by a client that takes anything."""
    with contextlib.ExitStack() as stack:
        tls = stack.enter_context(lenient().wrap_socket(begun(profile, stack), server_hostname=HOST))
        der = tls.getpeercert(binary_form=True)
        assert der is not None
        return str(tls.version()), x509.load_der_x509_certificate(der)


@pytest.mark.parametrize(
    ("broken", "verify_code"),
    [
        with_fault("certificate_not_yet_valid", 9),
        with_fault("certificate_self_signed", 18),
        with_fault("certificate_issuer_untrusted", 19),
        with_fault("tls_interception", 19),
        with_fault("certificate_chain_incomplete", 20),
        with_fault("certificate_key_weak", 66),
        with_fault("certificate_signature_weak", 68),
    ],
    indirect=["broken"],
)
def test_openssl_does_not_trust_the_certificate(broken: Profile, verify_code: int) -> None:
    """For that very reason, which it gives by number (X509_V_ERR_…)."""
    context = ssl.create_default_context(cafile=broken.ca_file)
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    with contextlib.ExitStack() as stack, pytest.raises(ssl.SSLCertVerificationError) as refused:
        context.wrap_socket(begun(broken, stack), server_hostname=HOST)
    assert refused.value.verify_code == verify_code


@pytest.mark.parametrize("broken", ["certificate_key_weak"], indirect=True)
def test_a_weak_key_is_one(broken: Profile) -> None:
    key = shown(broken)[1].public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 1024


@pytest.mark.parametrize("broken", ["certificate_signature_weak"], indirect=True)
def test_a_weak_signature_is_one(broken: Profile) -> None:
    algorithm = shown(broken)[1].signature_hash_algorithm
    assert algorithm is not None
    assert algorithm.name == "sha1"


@pytest.mark.parametrize("broken", ["server_tls_version_obsolete"], indirect=True)
def test_an_obsolete_version_is_all_that_is_spoken(broken: Profile) -> None:
    assert shown(broken)[0] == "TLSv1"
    with contextlib.ExitStack() as stack, pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        ssl.create_default_context(cafile=broken.ca_file).wrap_socket(
            begun(broken, stack), server_hostname=HOST
        )


@pytest.mark.parametrize("broken", ["client_certificate_required"], indirect=True)
def test_without_a_certificate_of_its_own_a_client_is_turned_away(broken: Profile) -> None:
    """In TLS 1.3 it hears so only once it has finished (RFC 8446 section 4.4.2.4)."""
    with contextlib.ExitStack() as stack:
        context = ssl.create_default_context(cafile=broken.ca_file)
        tls = stack.enter_context(context.wrap_socket(begun(broken, stack), server_hostname=HOST))
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate required"):
            tls.recv(1)


@pytest.mark.parametrize("broken", ["certificate_missing"], indirect=True)
def test_tls_without_a_certificate_is_for_those_who_ask_for_it(broken: Profile) -> None:
    with contextlib.ExitStack() as stack, pytest.raises(ssl.SSLError):
        ssl.create_default_context(cafile=broken.ca_file).wrap_socket(
            begun(broken, stack), server_hostname=HOST
        )
    with contextlib.ExitStack() as stack:
        context = lenient()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aNULL:@SECLEVEL=0")
        tls = stack.enter_context(context.wrap_socket(begun(broken, stack), server_hostname=HOST))
        assert tls.getpeercert(binary_form=True) is None


@pytest.mark.parametrize(
    ("broken", "problem"),
    [with_fault("tls_handshake_timeout", TimeoutError), with_fault("tls_handshake_closed", OSError)],
    indirect=["broken"],
)
def test_the_handshake_is_not_answered(broken: Profile, problem: type[OSError]) -> None:
    with contextlib.ExitStack() as stack:
        sock = begun(broken, stack)
        sock.settimeout(SOON_S)
        with pytest.raises(problem):
            lenient().wrap_socket(sock, server_hostname=HOST)


# --- what somebody has written into the profile ------------------------------------------------------------


def test_a_mistake_stands_in_the_profile_as_written_and_as_pointed_at_the_lab() -> None:
    """Only the account is the owner's own, and the port the lab's."""
    with Lab.start("microsoft365", "wrong_submission_host", "secret_unavailable") as lab:
        pointed = lab.overlay(DEMO)
        assert pointed.written is not None
        assert pointed.smtp.host == pointed.written.smtp.host == "contoso-example.mail.protection.outlook.com"
        assert pointed.smtp.port != pointed.written.smtp.port
        assert pointed.oauth.client_secret == SecretRef("env", ("A_VARIABLE_THAT_NOBODY_SETS",))
        assert "client_secret" not in lab.secrets()
        assert mistaken(DEMO, ["wrong_submission_host", "secret_unavailable"]) == pointed.written


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("app_rbac_assignment_missing", lambda profile: profile.oauth.app_permission == "rbac"),
        ("send_as_denied:rcpt_to", lambda profile: len(set(profile.recipients)) == 3),
    ],
)
def test_what_a_fault_is_about_stands_in_the_profile(fault: str, told: Callable[[Profile], bool]) -> None:
    """That it counts on a role assignment; that it has three recipients."""
    assert (told(DEMO), told(mistaken(DEMO, [fault]))) == (False, True)


def test_a_fault_says_what_it_takes() -> None:
    public = replace(DEMO, oauth=replace(DEMO.oauth, client_secret=None))
    assert FAULTS["client_secret_missing"].lacks(DEMO) == ""
    assert FAULTS["client_secret_missing"].lacks(public) == "has a client secret"


# --- several at once ---------------------------------------------------------------------------------------


def test_faults_of_different_things_are_combined() -> None:
    one = Conditions(names=NameConditions(domain={("", "MX"): ()}))
    other = Conditions(
        names=NameConditions(domain={("_dmarc", "TXT"): ()}),
        connection=ConnectionConditions(auth_offered=False),
    )
    both = combined(one, other)
    assert both.names.domain == {("", "MX"): (), ("_dmarc", "TXT"): ()}
    assert not both.connection.auth_offered
    assert combined(both, Conditions()) == combined(Conditions(), both) == both


def test_faults_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="both say otherwise of"):
        Lab.start("microsoft365", "service_unavailable", "client_address_refused")
