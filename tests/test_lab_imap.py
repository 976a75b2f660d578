"""The lab's mailboxes, seen by clients that know nothing of it: the standard library's imaplib and poplib."""

from __future__ import annotations

import email
import imaplib
import poplib
import smtplib
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from smtp_preflight.lab import FAULTS, Lab
from smtp_preflight.lab.conditions import HANG_UP, Conditions, MailboxConditions
from smtp_preflight.lab.faults import mailbox as faults
from smtp_preflight.model import (
    Delivery,
    GrantType,
    MailboxAccess,
    OAuth,
    Profile,
    Provider,
    SecretRef,
    Send,
    Smtp,
)

MAILBOX = "alerts@contoso.example"
SCOPES = ("SMTP.Send", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All")
PROFILE = Profile(
    name="demo",
    provider=Provider(name="microsoft365", title="Microsoft 365"),
    mailbox=MAILBOX,
    smtp=Smtp("smtp.office365.com"),
    oauth=OAuth(
        grant=GrantType.REFRESH_TOKEN,
        tenant="contoso.example",
        client_id="6731de76-14a6-49ae-97bc-6eba6914391e",
        scope=(*(f"https://outlook.office.com/{one}" for one in SCOPES), "offline_access"),
        client_secret=SecretRef("env", ("SECRET",)),
        refresh_token=SecretRef("env", ("TOKEN",)),
    ),
    send=Send(MAILBOX, (MAILBOX,)),
    delivery=Delivery(MAILBOX),
)
MESSAGE = (
    f"From: Alerts <{MAILBOX}>\r\nMessage-ID: <1@contoso.example>\r\nSubject: mark-4711\r\n\r\nhello\r\n"
)


class Imap(imaplib.IMAP4_SSL):
    """A client of a host that is found at loopback."""

    def __init__(self, at: MailboxAccess, context: ssl.SSLContext) -> None:
        super().__init__(at.host, at.port, ssl_context=context, timeout=20)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout)
        context: ssl.SSLContext = self.ssl_context
        return context.wrap_socket(plain, server_hostname=self.host)


class Pop(poplib.POP3_SSL):
    """The same for POP."""

    def __init__(self, at: MailboxAccess, context: ssl.SSLContext) -> None:
        super().__init__(at.host, at.port, context=context, timeout=20)

    def _create_socket(self, timeout: float) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout)
        context: ssl.SSLContext = self.context  # type: ignore[attr-defined] # poplib's own
        return context.wrap_socket(plain, server_hostname=self.host)


class Client:
    """What a mail client does with an overlaid profile."""

    def __init__(self, lab: Lab, profile: Profile = PROFILE) -> None:
        self.lab = lab
        self.profile = lab.overlay(profile)
        self.tls = ssl.create_default_context(cafile=self.profile.ca_file)

    def token(self, *permissions: str) -> str:
        oauth, secrets = self.profile.oauth, self.lab.secrets()
        scope = [f"https://outlook.office.com/{one}" for one in permissions or SCOPES]
        form = {
            "grant_type": "refresh_token",
            "client_id": oauth.client_id,
            "client_secret": secrets["client_secret"].reveal(),
            "refresh_token": secrets["refresh_token"].reveal(),
            "scope": " ".join(scope),
        }
        there = httpx.URL(oauth.token_endpoint)
        with httpx.Client(verify=self.tls, trust_env=False) as http:
            answer = http.post(
                there.copy_with(host="127.0.0.1"),
                data=form,
                headers={"Host": there.netloc.decode()},
                extensions={"sni_hostname": there.host},
            )
        return str(answer.json()["access_token"])

    def imap(self) -> Imap:
        return Imap(self.profile.imap, self.tls)

    def signed_in(self, *permissions: str, user: str = MAILBOX) -> Imap:
        imap, token = self.imap(), self.token(*permissions)
        imap.authenticate("XOAUTH2", lambda _: response(user, token))
        return imap

    def send(self, message: str = MESSAGE) -> None:
        smtp = smtplib.SMTP(timeout=20)
        smtp.connect("127.0.0.1", self.profile.smtp.port)
        smtp._host = self.profile.smtp.host  # type: ignore[attr-defined] # for the name in the handshake
        smtp.starttls(context=self.tls)
        smtp.ehlo()
        smtp.docmd("AUTH", f"XOAUTH2 {b64encode(response(MAILBOX, self.token())).decode()}")
        smtp.sendmail(MAILBOX, [MAILBOX], message)
        smtp.quit()


def response(user: str, token: str) -> bytes:
    return f"user={user}\x01auth=Bearer {token}\x01\x01".encode()


def under(**conditions: Any) -> Conditions:
    return Conditions(mailbox=MailboxConditions(**conditions))


@pytest.fixture(scope="module")
def healthy() -> Iterator[Lab]:
    with Lab.start() as lab:
        yield lab


def found_in(imap: Imap, folder: str) -> list[bytes]:
    """The messages of a folder that hold the mark."""
    assert imap.select(f'"{folder}"', readonly=True)[0] == "OK"
    _, (numbers,) = imap.uid("SEARCH", 'TEXT "mark-4711"')
    fetched = [imap.uid("FETCH", one.decode(), "(BODY.PEEK[]<0.49152>)") for one in (numbers or b"").split()]
    return [parts[0][1] for _, parts in fetched]


# --- IMAP --------------------------------------------------------------------------------------------------


def test_accepted_message_lies_in_the_inbox(healthy: Lab) -> None:
    """As the last server puts it there: with Received and what it found of SPF, DKIM and DMARC."""
    client = Client(healthy)
    client.send()
    with client.signed_in() as imap:
        message = email.message_from_bytes(found_in(imap, "INBOX")[-1])
        assert found_in(imap, "Junk Email") == []
    assert message["From"] == f"Alerts <{MAILBOX}>"
    assert message["Received"]
    assert [f"{one}=pass" in message["Authentication-Results"] for one in ("spf", "dkim", "dmarc")] == [
        True
    ] * 3
    assert message.get_payload() == "hello\r\n"


def test_folder_for_junk_is_marked(healthy: Lab) -> None:
    with Client(healthy).signed_in() as imap:
        _, listed = imap.list()
    assert b'(\\HasNoChildren \\Junk) "/" "Junk Email"' in listed


@pytest.mark.parametrize("permissions", [("SMTP.Send",), ("SMTP.Send", "POP.AccessAsUser.All")])
def test_imap_needs_its_own_permission(permissions: tuple[str, ...], healthy: Lab) -> None:
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATE failed"):
        Client(healthy).signed_in(*permissions)


def test_token_opens_its_users_mailbox_only(healthy: Lab) -> None:
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATE failed"):
        Client(healthy).signed_in(user="somebody.else@contoso.example")


def test_token_made_up_opens_nothing(healthy: Lab) -> None:
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATE failed"):
        Client(healthy).imap().authenticate("XOAUTH2", lambda _: response(MAILBOX, "made-up"))


def test_password_is_not_taken(healthy: Lab) -> None:
    imap = Client(healthy).imap()
    with pytest.raises(imaplib.IMAP4.error):
        imap.login(MAILBOX, "password")


def test_mailbox_stays_closed_before_the_login(healthy: Lab) -> None:
    imap = Client(healthy).imap()
    imap.send(b"a1 EXAMINE INBOX\r\n")
    assert imap.readline() == b"a1 BAD Command received in Invalid state.\r\n"


def test_log_holds_no_token(healthy: Lab) -> None:
    client = Client(healthy)
    token = client.token()
    client.imap().authenticate("XOAUTH2", lambda _: response(MAILBOX, token))
    noted = [one.what for one in healthy.log if one.server == "imap"]
    assert any(what.endswith("AUTHENTICATE XOAUTH2") for what in noted)
    assert not any(token in what or b64encode(token.encode()).decode()[:40] in what for what in noted)


@pytest.mark.parametrize("provider", ["google", "custom"])
def test_refusal_is_explained_where_the_provider_does_so(provider: str) -> None:
    """As JSON, which the client has to answer (RFC 7628 section 3.2.2)."""
    with Lab.start(provider) as lab:
        client = Client(lab, replace(PROFILE, provider=Provider(name=provider, title=provider)))
        heard: list[bytes] = []

        def answer(question: bytes) -> bytes:
            heard.append(question)
            return response(MAILBOX, "made-up") if not question else b""

        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.imap().authenticate("XOAUTH2", answer)
    assert b'"status": "400"' in heard[-1]


# --- POP ---------------------------------------------------------------------------------------------------


def test_pop_takes_the_token_in_two_steps(healthy: Lab) -> None:
    """As Exchange does; and counts what lies in the inbox."""
    client = Client(healthy)
    client.send()
    pop = Pop(client.profile.pop, client.tls)
    assert "XOAUTH2" in pop.capa()["SASL"]
    pop._putcmd("AUTH XOAUTH2")  # type: ignore[attr-defined] # poplib has no SASL
    assert pop._getline()[0] == b"+ "  # type: ignore[attr-defined] # likewise
    pop._putline(b64encode(response(MAILBOX, client.token())))  # type: ignore[attr-defined] # likewise
    assert pop._getresp().startswith(b"+OK")  # type: ignore[attr-defined] # likewise
    assert pop.stat()[0] >= 1
    pop.quit()


def test_pop_in_one_step_is_refused(healthy: Lab) -> None:
    client = Client(healthy)
    pop = Pop(client.profile.pop, client.tls)
    with pytest.raises(poplib.error_proto, match="Protocol error"):
        pop._shortcmd(f"AUTH XOAUTH2 {b64encode(response(MAILBOX, client.token())).decode()}")  # type: ignore[attr-defined] # likewise


def test_pop_needs_its_own_permission(healthy: Lab) -> None:
    client = Client(healthy)
    pop = Pop(client.profile.pop, client.tls)
    pop._putcmd("AUTH XOAUTH2")  # type: ignore[attr-defined] # likewise
    pop._getline()  # type: ignore[attr-defined] # likewise
    pop._putline(b64encode(response(MAILBOX, client.token("SMTP.Send", "IMAP.AccessAsUser.All"))))  # type: ignore[attr-defined] # likewise
    with pytest.raises(poplib.error_proto, match="unknown user name or bad password"):
        pop._getresp()  # type: ignore[attr-defined] # likewise


# --- conditions --------------------------------------------------------------------------------------------


def test_message_that_is_never_delivered() -> None:
    with Lab.start(under=under(delivers=False)) as lab:
        client = Client(lab)
        client.send()
        assert len(lab.messages) == 1
        with client.signed_in() as imap:
            assert found_in(imap, "INBOX") == []


def test_message_that_arrives_late() -> None:
    with Lab.start(under=under(late_s=0.5)) as lab:
        client = Client(lab)
        client.send()
        with client.signed_in() as imap:
            for _ in range(100):
                if found_in(imap, "INBOX"):
                    break
                time.sleep(0.1)
            assert found_in(imap, "INBOX")


def test_message_in_junk_with_another_sender_and_other_results() -> None:
    conditions = under(to_junk=True, author="relay@lab.example", results={"dmarc": "fail"})
    with Lab.start(under=conditions) as lab:
        client = Client(lab)
        client.send()
        with client.signed_in() as imap:
            message = email.message_from_bytes(found_in(imap, "Junk Email")[0])
    assert message["From"] == "relay@lab.example"
    assert "dmarc=fail" in message["Authentication-Results"]


def test_bounce_is_a_report_that_others_can_read() -> None:
    """multipart/report with a delivery status and the headers of the message (RFC 3462, RFC 3464)."""
    with Lab.start(under=under(bounce="550 5.1.1 no such user")) as lab:
        client = Client(lab)
        client.send()
        with client.signed_in() as imap:
            report = email.message_from_bytes(found_in(imap, "INBOX")[0])
    assert report.get_content_type() == "multipart/report"
    parts = {part.get_content_type(): part for part in report.walk()}
    assert "mark-4711" in str(parts["text/rfc822-headers"])
    told = str(parts["message/delivery-status"])
    assert "Action: failed" in told
    assert "Status: 5.1.1" in told


def test_imap_that_is_switched_off() -> None:
    """Exchange takes the token and keeps the mailbox closed."""
    closed = pytest.raises(imaplib.IMAP4.error, match="authenticated but not connected")
    with Lab.start(under=under(imap_enabled=False)) as lab, Client(lab).signed_in() as imap, closed:
        imap.select("INBOX", readonly=True)


def test_without_sasl_ir_the_response_may_not_come_at_once() -> None:
    with Lab.start(under=under(initial_response=False)) as lab:
        client = Client(lab)
        imap = client.imap()
        assert "SASL-IR" not in imap.capabilities
        imap.send(b"a1 AUTHENTICATE XOAUTH2 dXNlcj0=\r\n")
        assert imap.readline().startswith(b"a1 BAD")
        imap.send(b"a2 AUTHENTICATE XOAUTH2\r\n")
        assert imap.readline() == b"+ \r\n"


def test_server_that_hangs_up_on_the_login() -> None:
    broken_off = pytest.raises((imaplib.IMAP4.error, OSError))
    with Lab.start(under=under(instead={"AUTHENTICATE": HANG_UP})) as lab, broken_off:
        Client(lab).signed_in()


# --- another profile's login -------------------------------------------------------------------------------


def test_reader_gets_a_token_for_the_recipients_mailbox_only(healthy: Lab) -> None:
    """Its own, for reading and nothing else; the account under test gets no further right by it."""
    reader = replace(PROFILE, name="reader", mailbox="probe@contoso.example")
    delivery = Delivery("probe@contoso.example", "reader")
    client = Client(healthy, replace(PROFILE, delivery=delivery, reader=reader))
    of_lab = client.profile.reader
    assert of_lab is not None
    assert of_lab.oauth.grant is GrantType.ACCESS_TOKEN
    assert of_lab.imap == client.profile.imap
    token = healthy.secrets()["reader.access_token"].reveal()
    imap = client.imap()
    imap.authenticate("XOAUTH2", lambda _: response("probe@contoso.example", token))
    with pytest.raises(imaplib.IMAP4.error):
        client.imap().authenticate("XOAUTH2", lambda _: response(MAILBOX, token))


def test_every_fault_of_this_part_is_listed() -> None:
    """None is hidden behind another one of its name."""
    assert {row.name for row in faults.ROWS} <= set(FAULTS)
    assert len({row.name for row in faults.ROWS}) == len(faults.ROWS)
    assert all(FAULTS[row.name] is row for row in faults.ROWS)
