"""What servers that are not ours have taught (docs/interop.md) lives on in the lab, and is what it says."""

from __future__ import annotations

import ast
import base64
import re
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from smtp_preflight.lab import FAULTS, Lab
from smtp_preflight.lab.conditions import Conditions, IdentityConditions, MailConditions, Manner, TokenFlaw
from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.google import Plain
from smtp_preflight.lab.smtp import Session
from smtp_preflight.lab.tokens import Mint, TokenFacts
from smtp_preflight.lab.wording import PLAIN
from smtp_preflight.lab.world import Account, World
from smtp_preflight.profile import load_profile, load_providers

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "interop.md").read_text(encoding="utf-8")
LIMIT_S = 30

MAILBOX = "alerts@contoso.example"
AUDIENCE = "https://smtp.contoso.example"
ACCOUNT = Account(client_id="mail-alerts", mailbox=MAILBOX, audiences=(AUDIENCE,), permissions=("smtp",))


def world(**conditions: Any) -> World:
    return World(Conditions(**conditions), PLAIN, Mint(), "", account=ACCOUNT)


# --- the page ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One row of "In the lab since": a lesson, and where it lives on."""

    lesson: str
    place: str


def lessons() -> list[str]:
    """What is in bold at the beginning of each point of the lists, without the stop or comma at its end."""
    lists = re.findall(r"^### What .*? taught us\n(.*?)(?=^#)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^- \*\*(.*?)[.,]?\*\*", "".join(lists), re.MULTILINE)


def rows() -> list[Row]:
    """The table, without its head."""
    table = PAGE.partition("\n## In the lab since\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (.*?) \| (.*?) \|$", table, re.MULTILINE)
    return [Row(*one) for one in cells[1:]]


def variations() -> set[str]:
    """The names that tests/test_healthy_variations.py gives its setups."""
    source = (ROOT / "tests" / "test_healthy_variations.py").read_text(encoding="utf-8")
    calls = (one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Call) and one.args)
    named = (one.args[0] for one in calls if isinstance(one.func, ast.Name) and one.func.id == "Variation")
    return {str(one.value) for one in named if isinstance(one, ast.Constant)}


def test_every_lesson_says_where_it_lives_on() -> None:
    assert [one.lesson for one in rows()] == lessons()


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.lesson)
def test_a_lesson_lives_on_in_what_there_is(row: Row) -> None:
    """A fault that the demonstration beside it can have, a healthy variation, or a reason why neither."""
    shown = re.findall(r"`--profile=([\w-]+) --fault=([\w:]+)`", row.place)
    varied = re.findall(r"“(.*?)”", row.place)
    assert shown or varied or row.place.startswith("no: ")
    assert set(varied) <= variations()
    for demo, name in shown:
        profile = load_profile(ROOT / "profiles" / f"{demo}.toml", load_providers())
        assert profile.lab in FAULTS[name].provider
        assert not FAULTS[name].lacks(profile)


# --- what the suite says ------------------------------------------------------------------------------------

ISSUER, TO = "test_tls.py::test_issuer_is_trusted", "test_rcpt_to.py::test_recipient_is_accepted"
OPENS = "test_mailbox_access.py::test_mailbox_opens"

SAID: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("server_tls_version_obsolete", {ISSUER: "blocked"}),
    ("token_missing_smtp_scope:everywhere", {f"{OPENS}[imap]": "blocked", f"{OPENS}[pop]": "blocked"}),
    (
        "send_as_denied:rcpt_to",
        {
            f"{TO}[one@contoso.example]": "failed",
            f"{TO}[two@contoso.example]": "blocked",
            f"{TO}[three@contoso.example]": "blocked",
        },
    ),
)


@pytest.mark.parametrize(("fault", "outcomes"), SAID, ids=[fault for fault, _ in SAID])
def test_what_another_check_has_shown_blocks(fault: str, outcomes: Mapping[str, str], run_suite: Any) -> None:
    """No second red line: of the issuer, of a mailbox, or of each further recipient."""
    told = run_suite("--profile=demo-custom", f"--fault={fault}").outcomes("demo-custom")
    assert outcomes.items() <= told.items()


def test_passwords_are_beside_nothing_where_there_is_nothing_else(run_suite: Any) -> None:
    report = run_suite("--profile=demo-custom", "--fault=xoauth2_not_advertised").report("demo-custom")
    assert "password_mechanisms_offered" not in {one["code"] for one in report["findings"]}


# --- on the wire -------------------------------------------------------------------------------------------


def session_in(there: World) -> Session:
    """A dialogue under TLS that has said EHLO."""
    session = Session(there, encrypted=True, peer="127.0.0.1")
    assert session.feed(b"EHLO client.example\r\n").startswith(b"250")
    return session


def login(token: str) -> bytes:
    """The response of XOAUTH2."""
    return base64.b64encode(f"user={MAILBOX}\x01auth=Bearer {token}\x01\x01".encode())


def opaque(there: World, size: int) -> str:
    """A token that this mail server takes, of so many bytes of chance."""
    facts = TokenFacts(AUDIENCE, frozenset({"smtp"}), MAILBOX, "mail-alerts", expires_at=4e9)
    return there.mint.opaque("lab-", size, facts)


def test_a_command_is_cut_and_an_answer_is_not() -> None:
    """Of a login with the command only the beginning counts; the same login in two steps is taken."""
    there = world(manner=Manner(command_bytes=2048))
    response = login(opaque(there, 2000))
    assert session_in(there).feed(b"AUTH XOAUTH2 " + response + b"\r\n")[:1] == b"5"
    session = session_in(there)
    assert session.feed(b"AUTH XOAUTH2\r\n") == b"334 \r\n"
    assert session.feed(response + b"\r\n").startswith(b"235")


def test_a_sender_can_be_refused_at_each_recipient() -> None:
    refusal = "553 5.7.1 <{sender}>: not owned by user {user}"
    there = world(mail=MailConditions(sender_refusal=refusal, sender_refused_late=True))
    session = session_in(there)
    session.feed(b"AUTH XOAUTH2 " + login(opaque(there, 40)) + b"\r\n")
    assert session.feed(b"MAIL FROM:<info@contoso.example>\r\n").startswith(b"250")
    told = f"553 5.7.1 <info@contoso.example>: not owned by user {MAILBOX}\r\n".encode()
    assert session.feed(b"RCPT TO:<one@contoso.example>\r\nRCPT TO:<two@contoso.example>\r\n") == told * 2


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[smtplib.SMTP]:
    """A client of Python's library at a lab with this fault, before TLS."""
    profile = load_profile(ROOT / "profiles" / "demo-custom.toml", load_providers())
    with Lab.start("custom", request.param) as lab:
        client = smtplib.SMTP("127.0.0.1", lab.overlay(profile).smtp.port, timeout=LIMIT_S)
        yield client
        client.close()


def trusting_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(
    ("client", "alert"),
    [
        pytest.param("server_tls_version_obsolete", "PROTOCOL_VERSION", id="said"),
        pytest.param("server_tls_version_obsolete:unsaid", "HANDSHAKE_FAILURE", id="unsaid"),
    ],
    indirect=["client"],
)
def test_an_old_server_says_why_or_does_not(client: smtplib.SMTP, alert: str) -> None:
    """What a client of today hears of a server that speaks TLS 1.0 only."""
    with pytest.raises(ssl.SSLError) as told:
        client.starttls(context=trusting_context())
    assert told.value.reason.endswith(alert)


@pytest.mark.parametrize("client", ["certificate_expired:anonymous"], indirect=True)
@pytest.mark.parametrize(("ciphers", "shown"), [("ALL:aNULL:@SECLEVEL=0", False), ("DEFAULT", True)])
def test_who_can_do_without_a_certificate_is_shown_none(
    client: smtplib.SMTP, ciphers: str, shown: bool
) -> None:
    context = trusting_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    client.starttls(context=context)
    assert isinstance(client.sock, ssl.SSLSocket)
    assert bool(client.sock.getpeercert(binary_form=True)) is shown


# --- tokens ------------------------------------------------------------------------------------------------


def granted(there: World) -> Mapping[str, Any]:
    """The answer of a provider that is nobody in particular to a user's application."""
    return Plain(there, "https://login.lab.example").grant_on_behalf(Consent(), "smtp")


def test_a_token_of_rfc_9068_is_one_and_is_taken() -> None:
    """Type and claims as in its sections 2.1 and 2.2; ``nbf`` is none of them."""
    there = world(manner=Manner(tokens_by_rfc9068=True))
    token = granted(there)["access_token"]
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope", "email"}
    assert there.admits(token, MAILBOX)


def test_a_token_that_is_issued_in_the_future_is_refused() -> None:
    """By the mail server itself, which says nothing of it."""
    conditions = IdentityConditions(token_flaw=TokenFlaw(begins_s=3600, life_s=7200))
    there = world(manner=Manner(tokens_by_rfc9068=True), identity=conditions)
    assert not there.admits(granted(there)["access_token"], MAILBOX)


def test_a_token_without_permission_is_refused_and_its_answer_names_none() -> None:
    there = world(identity=IdentityConditions(token_flaw=TokenFlaw(permits=False)))
    answer = granted(there)
    assert "scope" not in answer
    assert not there.admits(answer["access_token"], MAILBOX)


def test_an_opaque_token_of_nobody_in_particular_is_taken() -> None:
    there = world(manner=Manner(opaque_tokens=True))
    token = granted(there)["access_token"]
    assert "." not in token
    assert there.admits(token, MAILBOX)
