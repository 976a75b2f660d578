"""Reading mailboxes against IMAP and POP servers that answer, stall, inject and echo; loopback only."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from smtp_preflight.model import (
    Arrival,
    DataExchange,
    Limits,
    MailboxAccess,
    MailboxLogin,
    MailboxProtocol,
    MailboxTrouble,
    OAuth,
    Profile,
    Provider,
    Smtp,
    SmtpReply,
)
from smtp_preflight.probes.dns import resolver_for
from smtp_preflight.probes.imap import Imap
from smtp_preflight.probes.mailbox import Fate, close, leave, probe_arrival, probe_mailbox_login
from smtp_preflight.probes.pop import Pop
from smtp_preflight.secrets import Secret, Wallet

PATIENT = Limits(tcp_s=5, tls_s=5, greeting_s=5, reply_s=5)
QUICK = Limits(tcp_s=5, tls_s=5, greeting_s=0.4, reply_s=0.4)
TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "eyJhdWQiOiJodHRwczovL291dGxvb2sifQ" * 8 + ".c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
USER = "alerts@contoso.com"
MARKER = "0123456789abcdef"
ERROR = base64.b64encode(b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}').decode()


# --- servers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """A private CA, and a server's certificate for 127.0.0.1."""

    ca_file: str
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca, folder = trustme.CA(), tmp_path_factory.mktemp("ca")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return Authority(str(folder / "ca.pem"), context)


Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]


@dataclass
class Server:
    """A server of lines: what it answers by command, and what it heard.

    answers: by verb; "{tag}" is the command's tag, "" nothing. Several answers are given one after the other.
    """

    greeting: str = "* OK ready"
    answers: Mapping[str, Any] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    tag: str = ""

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        await self.say(writer, self.greeting)
        while line := (await reader.readline()).decode():
            self.heard.append(line.rstrip("\r\n"))
            await self.say(writer, self.reply_to(line))

    def reply_to(self, line: str) -> str:
        words = line.split()
        if len(words) > 1 and words[0].startswith("a") and words[0][1:].isdigit():
            self.tag, words = words[0], words[1:]
        verb = " ".join(words[:2]).upper() if words[:1] == ["UID"] else (words or [""])[0].upper()
        answer = self.answers.get(verb, self.answers.get("*", ""))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        return str(answer).replace("{tag}", self.tag)

    @staticmethod
    async def say(writer: Writer, text: str) -> None:
        if text:
            writer.write(text.replace("\n", "\r\n").encode() + b"\r\n")
            await writer.drain()


def imap(**answers: Any) -> Server:
    """An IMAP server in good order, but for these answers; ``*`` answers what is no command."""
    healthy = {
        "CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER SASL-IR\n{tag} OK",
        "AUTHENTICATE": "{tag} OK AUTHENTICATE completed.",
        "EXAMINE": "* 3 EXISTS\n{tag} OK [READ-ONLY] done",
        "LIST": '* LIST (\\HasNoChildren) "/" INBOX\n* LIST (\\Junk) "/" "Junk Email"\n'
        '* LIST () "/" "Private affairs"\n{tag} OK done',
        "UID SEARCH": "* SEARCH\n{tag} OK done",
        "LOGOUT": "* BYE\n{tag} OK done",
    }
    return Server(answers={**healthy, **answers})


def pop(**answers: Any) -> Server:
    """A POP server in good order, but for these answers."""
    healthy = {
        "CAPA": "+OK\nTOP\nSASL PLAIN XOAUTH2\n.",
        "AUTH": "+ ",
        "*": "+OK welcome",
        "STAT": "+OK 3 120",
        "QUIT": "+OK",
    }
    return Server("+OK ready", {**healthy, **answers})


@contextlib.asynccontextmanager
async def listening(handler: Handler, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """The port of a server; its own trouble is part of the test, never its end."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: Reader, writer: Writer) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def profile(port: int, authority: Authority, limits: Limits = PATIENT, **settings: Any) -> Profile:
    at = MailboxAccess("127.0.0.1", port)
    defaults: dict[str, Any] = {
        "name": "contoso",
        "provider": Provider("custom", "Custom"),
        "mailbox": USER,
        "smtp": Smtp("127.0.0.1"),
        "oauth": OAuth(),
        "imap": at,
        "pop": at,
        "limits": limits,
        "ca_file": authority.ca_file,
    }
    return Profile(**{**defaults, **settings})


def wallet_with(token: str) -> Wallet:
    wallet = Wallet()
    wallet.put("access_token", Secret(token, "test"))
    return wallet


async def logged_in(
    of: Profile, protocol: str = "imap", token: str = TOKEN
) -> tuple[MailboxLogin, Imap | Pop | None]:
    return await probe_mailbox_login(of, wallet_with(token), resolver_for(of), MailboxProtocol(protocol))


def login_to(
    server: Handler,
    authority: Authority,
    protocol: str = "imap",
    *,
    token: str = TOKEN,
    implicit: bool = True,
    limits: Limits = PATIENT,
    **settings: Any,
) -> MailboxLogin:
    """What comes of a login at this server."""

    async def log_in() -> MailboxLogin:
        async with listening(server, authority.server if implicit else None) as port:
            login, session = await logged_in(profile(port, authority, limits, **settings), protocol, token)
            await leave(session)
            return login

    return asyncio.run(log_in())


def plain(response: str) -> str:
    return base64.b64decode(response).decode()


# --- IMAP: the login ---------------------------------------------------------------------------------------


def test_token_goes_with_the_command_where_the_server_takes_it_so(authority: Authority) -> None:
    """SASL-IR (RFC 4959): one line, and no wait for the server's question."""
    server = imap()
    login = login_to(server, authority)
    assert (login.opened, login.mechanism, login.shape) == (True, "XOAUTH2", "initial_response")
    command = next(line for line in server.heard if "AUTHENTICATE" in line)
    assert plain(command.split()[-1]) == f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01"


def test_without_sasl_ir_the_token_waits_to_be_asked_for(authority: Authority) -> None:
    server = imap(
        **{
            "CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\n{tag} OK done",
            "AUTHENTICATE": "+ ",
            "*": "{tag} OK done",
        }
    )
    login = login_to(server, authority)
    assert (login.opened, login.shape) == (True, "two_steps")
    assert [line.split(" ", 1)[1] for line in server.heard if "AUTHENTICATE" in line] == [
        "AUTHENTICATE XOAUTH2"
    ]


def test_oauthbearer_where_only_that_is_offered(authority: Authority) -> None:
    """It names host and port as well (RFC 7628 section 3.1)."""
    server = imap(CAPABILITY="* CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER SASL-IR\n{tag} OK done")
    login = login_to(server, authority)
    assert (login.opened, login.mechanism) == (True, "OAUTHBEARER")
    response = plain(next(line for line in server.heard if "AUTHENTICATE" in line).split()[-1])
    assert response.startswith(f"n,a={USER},\x01host=127.0.0.1\x01port=")


@pytest.mark.parametrize(("mechanism", "answer"), [("XOAUTH2", ""), ("OAUTHBEARER", "AQ==")])
def test_refusal_that_is_explained_is_decoded_and_answered(
    mechanism: str, answer: str, authority: Authority
) -> None:
    """Only then does the server say NO."""
    server = imap(
        **{
            "CAPABILITY": f"* CAPABILITY IMAP4rev1 AUTH={mechanism} SASL-IR\n{{tag}} OK done",
            "AUTHENTICATE": f"+ {ERROR}",
            "": "{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            "AQ==": "{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        }
    )
    login = login_to(server, authority)
    assert login.trouble is MailboxTrouble.REFUSED
    assert login.reply == "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
    assert login.challenge == {"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"}
    assert server.heard[-2] == answer


@pytest.mark.parametrize(
    ("answers", "trouble", "reply"),
    [
        ({"AUTHENTICATE": "{tag} NO AUTHENTICATE failed."}, "refused", "NO AUTHENTICATE failed."),
        ({"EXAMINE": "{tag} BAD User is authenticated but not connected."}, "not_opened", "BAD User is"),
        ({"CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=PLAIN\n{tag} OK"}, "not_offered", "PLAIN"),
        ({"CAPABILITY": "220 mail ESMTP"}, "not_spoken", "220 mail ESMTP"),
        ({"CAPABILITY": "* BYE too many connections"}, "hung_up", "BYE too many connections"),
        ({"EXAMINE": "* OK {99999999}\n{tag} OK"}, "too_long", "99999999 bytes at once"),
        ({"EXAMINE": "* 1 EXISTS\n" * 2001 + "{tag} OK"}, "too_long", "more than 2000 lines"),
        ({"EXAMINE": "* " + "x" * 300_000 + "\n{tag} OK"}, "too_long", "more than 262144 bytes"),
    ],
)
def test_what_ends_a_login_is_kept_apart(
    answers: Mapping[str, str], trouble: str, reply: str, authority: Authority
) -> None:
    """By how far it came, with the server's words."""
    login = login_to(imap(**answers), authority)
    assert login.trouble == trouble
    assert login.reply.startswith(reply)


@pytest.mark.parametrize(
    ("greeting", "trouble"),
    [("+OK POP3 ready", "not_spoken"), ("* BYE not now", "hung_up"), ("", "no_answer")],
)
def test_greeting_that_is_none(greeting: str, trouble: str, authority: Authority) -> None:
    server = replace(imap(), greeting=greeting)
    assert login_to(server, authority, limits=QUICK).trouble == trouble


def test_silence_after_the_token_has_its_limit(authority: Authority) -> None:
    """One for the whole login, so that a server that drips gains nothing."""
    login = login_to(imap(AUTHENTICATE=""), authority, limits=QUICK)
    assert (login.trouble, login.reply) == ("no_answer", "nothing more within 0.4 s")


def test_dripping_server_has_the_same_limit(authority: Authority) -> None:
    async def drip(_reader: Reader, writer: Writer) -> None:
        while True:
            writer.write(b"*")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert login_to(drip, authority, limits=QUICK).trouble == "no_answer"


def test_server_that_hangs_up(authority: Authority) -> None:
    async def hang_up(_reader: Reader, writer: Writer) -> None:
        writer.close()

    assert login_to(hang_up, authority).trouble == "hung_up"


def test_nothing_is_said_to_a_server_whose_certificate_is_not_trusted(
    authority: Authority, tmp_path: Path
) -> None:
    """No token, and no word of IMAP either."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    server = imap()
    login = login_to(server, authority, ca_file=str(other))
    assert login.trouble is MailboxTrouble.TLS
    assert "certificate" in login.reply
    assert server.heard == []


def test_certificate_has_to_be_for_the_host(authority: Authority) -> None:
    """It names the address; the profile names the host."""

    async def log_in() -> MailboxLogin:
        async with listening(imap(), authority.server) as port:
            of = profile(port, authority, imap=MailboxAccess("localhost", port))
            return (await logged_in(of))[0]

    assert asyncio.run(log_in()).trouble is MailboxTrouble.TLS


def test_no_server_there(authority: Authority) -> None:
    """A port that is bound and does not listen."""

    async def log_in() -> MailboxLogin:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            return (await logged_in(profile(bound.getsockname()[1], authority)))[0]

    login = asyncio.run(log_in())
    assert (login.trouble, login.reply) == ("unreachable", "ECONNREFUSED")


def test_handshake_that_never_ends(authority: Authority) -> None:
    async def wait(reader: Reader, _writer: Writer) -> None:
        await reader.read(-1)

    login = login_to(wait, authority, implicit=False, limits=replace(QUICK, tls_s=0.4))
    assert (login.trouble, login.reply) == ("tls", "no handshake within 0.4 s")


@pytest.mark.parametrize("char", ["\n", "\x00", "\x7f"])
def test_token_with_a_control_character_is_not_sent(char: str, authority: Authority) -> None:
    server = imap()
    assert login_to(server, authority, token=f"{TOKEN}{char}").trouble == "not_sent"
    assert not any("AUTHENTICATE" in line for line in server.heard)


def test_what_a_server_echoes_of_the_token_is_not_kept(authority: Authority) -> None:
    """Neither whole nor cut, neither in base64 nor as it is."""
    coded = base64.b64encode(f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01".encode()).decode()
    server = imap(AUTHENTICATE=f"* OK you said {coded[40:120]}\n{{tag}} NO {TOKEN} is no good")
    login = login_to(server, authority)
    shown = "\n".join([login.reply, *(line.text for line in login.lines)])
    assert "<redacted>" in shown
    assert not any(TOKEN[at : at + 16] in shown for at in range(len(TOKEN) - 16))
    assert not any(coded[at : at + 16] in shown for at in range(60, len(coded) - 40))


def test_transcript_shows_the_size_of_what_is_secret(authority: Authority) -> None:
    login = login_to(imap(), authority)
    assert any(line.text.startswith("a2 AUTHENTICATE XOAUTH2 <") for line in login.lines)
    assert "Bearer" not in "".join(line.text for line in login.lines)


# --- STARTTLS ----------------------------------------------------------------------------------------------


def upgrading(server: Server, authority: Authority, behind: bytes = b"") -> Handler:
    """The same server, in the clear until it is asked for TLS; ``behind``: bytes behind its yes."""

    async def serve(reader: Reader, writer: Writer) -> None:
        await server.say(writer, server.greeting)
        while line := (await reader.readline()).decode():
            server.heard.append(f"(clear) {line.strip()}")
            reply = server.reply_to(line)
            writer.write(reply.replace("\n", "\r\n").encode() + b"\r\n" + (behind if "TLS" in line else b""))
            await writer.drain()
            if line.strip().endswith(("STARTTLS", "STLS")):
                break
        await writer.start_tls(authority.server)
        while line := (await reader.readline()).decode():
            server.heard.append(line.rstrip("\r\n"))
            await server.say(writer, server.reply_to(line))

    return serve


def starttls(monkeypatch: pytest.MonkeyPatch, kind: type[Imap] | type[Pop]) -> None:
    """Take every port for the one of STARTTLS, which only the system may listen at."""

    class AnyPort(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    monkeypatch.setattr(kind, "starttls_port", AnyPort())


def test_starttls_comes_before_the_token(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what the server offered in the clear is asked for again."""
    starttls(monkeypatch, Imap)
    server = imap(
        CAPABILITY=[
            "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\n{tag} OK done",
            "* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR\n{tag} OK done",
        ],
        STARTTLS="{tag} OK begin",
    )
    login = login_to(upgrading(server, authority), authority, implicit=False)
    assert login.opened
    assert [line for line in server.heard if line.startswith("(clear)")] == [
        "(clear) a1 CAPABILITY",
        "(clear) a2 STARTTLS",
    ]


def test_bytes_behind_the_yes_to_starttls_end_it(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever put them there would be read as protected (CVE-2011-0411)."""
    starttls(monkeypatch, Imap)
    server = imap(CAPABILITY="* CAPABILITY IMAP4rev1 STARTTLS\n{tag} OK done", STARTTLS="{tag} OK begin")
    injecting = upgrading(server, authority, b"* CAPABILITY AUTH=XOAUTH2\r\n")
    login = login_to(injecting, authority, implicit=False)
    assert (login.trouble, login.reply) == ("not_spoken", "bytes in the clear before the handshake")


@pytest.mark.parametrize(("kind", "server", "protocol"), [(Imap, imap, "imap"), (Pop, pop, "pop")])
def test_without_starttls_nothing_is_shown(
    kind: type[Imap] | type[Pop],
    server: Callable[[], Server],
    protocol: str,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starttls(monkeypatch, kind)
    login = login_to(server(), authority, protocol, implicit=False)
    assert login.trouble is MailboxTrouble.NOT_OFFERED


# --- POP ---------------------------------------------------------------------------------------------------


def test_pop_takes_the_token_in_two_lines(authority: Authority) -> None:
    """As Exchange wants it, and as the length of a command's line does (RFC 5034 section 4)."""
    server = pop()
    login = login_to(server, authority, "pop")
    assert (login.opened, login.mechanism, login.shape) == (True, "XOAUTH2", "two_steps")
    assert server.heard[1] == "AUTH XOAUTH2"
    assert plain(server.heard[2]) == f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01"
    assert server.heard[3:] == ["STAT", "QUIT"]


def test_short_token_goes_with_the_command(authority: Authority) -> None:
    server = pop(AUTH="+OK welcome")
    login = login_to(server, authority, "pop", token="short-token-of-a-small-server")
    assert (login.opened, login.shape) == (True, "initial_response")


@pytest.mark.parametrize(
    ("answers", "trouble", "reply"),
    [
        ({"*": "-ERR Authentication failure: unknown user name or bad password."}, "refused", "-ERR Auth"),
        ({"STAT": "-ERR no mailbox"}, "not_opened", "-ERR no mailbox"),
        ({"CAPA": "-ERR what?"}, "not_offered", "no mechanism"),
        ({"CAPA": "+OK\n" + "X\n" * 2001 + "."}, "too_long", "more than 2000 lines"),
        ({"STAT": "* OK"}, "not_spoken", "* OK"),
    ],
)
def test_what_ends_a_login_to_pop(
    answers: Mapping[str, str], trouble: str, reply: str, authority: Authority
) -> None:
    login = login_to(pop(**answers), authority, "pop")
    assert login.trouble == trouble
    assert login.reply.startswith(reply)


def test_refusal_of_pop_that_is_explained(authority: Authority) -> None:
    """A second question holds the reason; the answer to it is an empty line."""
    server = pop(**{"AUTH": "+ ", "*": f"+ {ERROR}", "": "-ERR [AUTH] Invalid credentials"})
    login = login_to(server, authority, "pop")
    assert login.trouble is MailboxTrouble.REFUSED
    assert login.challenge["status"] == "400"


def test_server_that_asks_without_end_is_cancelled(authority: Authority) -> None:
    server = pop(**{"AUTH": "+ ", "*": f"+ {ERROR}", "": f"+ {ERROR}"})
    login = login_to(server, authority, "pop", limits=QUICK)
    assert login.trouble in ("refused", "no_answer")
    assert "*" in server.heard


# --- the message -------------------------------------------------------------------------------------------

RESULTS = (
    "Authentication-Results: mx.contoso.com; spf=pass (sender IP is 192.0.2.1)\r\n"
    " smtp.mailfrom=contoso.com; dkim=fail header.d=a.example; dkim=pass header.d=contoso.com;\r\n"
    " dmarc=pass action=none header.from=contoso.com;compauth=pass\r\n"
)
MESSAGE = (
    f"{RESULTS}Authentication-Results: forged.example; dmarc=fail\r\nFrom: Alerts <{USER}>\r\n"
    f"X-SMTP-Preflight: {MARKER}\r\nSubject: test {MARKER}\r\n\r\nMarker: {MARKER}\r\n"
)
BOUNCE = (
    'From: postmaster@contoso.com\r\nContent-Type: multipart/report; boundary="b"\r\n\r\n'
    "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
    "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.contoso.com\r\n\r\n"
    "Final-Recipient: rfc822; probe@contoso.com\r\nAction: {action}\r\nStatus: 5.1.1\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 no such\r\n user here\r\n\r\n--b--\r\n"
)


def holding(*messages: str, folder: str = "INBOX", after: int = 0) -> Server:
    """An IMAP server with these messages in a folder, once it was searched so many times."""

    class Holding(Server):
        opened = ""
        searched = 0

        def reply_to(self, line: str) -> str:
            if "EXAMINE" in line:
                self.opened = line.split(" ", 2)[2].strip().strip('"')
            here = self.opened == folder
            if "UID SEARCH" in line:
                self.searched += here
                there = here and self.searched > after
                numbers = " ".join(str(one) for one in range(1, len(messages) + 1)) if there else ""
                super().reply_to(line)
                return f"* SEARCH {numbers}\n{self.tag} OK done"
            if "UID FETCH" in line:
                super().reply_to(line)
                text = messages[int(line.split()[3]) - 1]
                literal = f"{{{len(text.encode())}}}\n{text.replace(chr(13), '')}"
                return f"* 1 FETCH (UID 1 BODY[]<0> {literal})\n{self.tag} OK done"
            return super().reply_to(line)

    return Holding(answers=imap().answers)


def accepted(at: dt.datetime | None = None) -> DataExchange:
    """The message, as the server accepted it a moment ago."""
    return DataExchange(
        asked_at=at or dt.datetime.now(dt.UTC),
        reply=SmtpReply(250, ("Ok",)),
        marker=MARKER,
        message_id="<1@c>",
    )


def looked_for(
    server: Server, authority: Authority, *, within_s: float = 5, limits: Limits = PATIENT
) -> Arrival:
    """What is found of the message in a mailbox."""

    async def look() -> Arrival:
        async with listening(server, authority.server) as port:
            of = profile(port, authority, limits)
            login, session = await logged_in(of)
            assert isinstance(session, Imap), login.trouble
            try:
                return await probe_arrival(session, Fate(accepted(), within_s), limits, USER)
            finally:
                close(session)

    return asyncio.run(look())


def test_message_is_found_by_its_marker(authority: Authority) -> None:
    """Of several that hold the marker it is the one that bears it; who sent it and what the receiver says."""
    arrival = looked_for(holding(f"Subject: Re: {MARKER}\r\n\r\nhello\r\n", MESSAGE), authority)
    assert arrival.found
    assert arrival.message is not None
    assert (arrival.message.folder, arrival.message.in_inbox, arrival.message.author) == ("INBOX", True, USER)
    assert [arrival.message.result_of(one) for one in ("spf", "dkim", "dmarc")] == ["pass", "pass", "pass"]
    assert arrival.missing_after_s == 0


def test_only_the_topmost_results_count(authority: Authority) -> None:
    """Whoever wrote the ones below may have been anybody (RFC 8601 section 5)."""
    arrival = looked_for(holding(MESSAGE), authority)
    assert arrival.message is not None
    assert "forged" not in arrival.message.authentication_results


def test_message_in_the_folder_for_junk(authority: Authority) -> None:
    """By the folder's mark (RFC 6154)."""
    arrival = looked_for(holding(MESSAGE, folder="Junk Email"), authority)
    assert arrival.message is not None
    assert (arrival.message.folder, arrival.message.in_inbox) == ("Junk Email", False)


@pytest.mark.parametrize(
    "name", ["Spam", '"[Gmail]/Spam"', "INBOX.Junk", '"Junk E-mail"', '"Bulk Mail"', "JUNK"]
)
def test_folder_for_junk_without_a_mark(name: str, authority: Authority) -> None:
    """By the names it usually has."""
    server = holding(MESSAGE, folder=name.strip('"'))
    server.answers = {**server.answers, "LIST": f'* LIST () "/" {name}\n{{tag}} OK done'}
    assert looked_for(server, authority).found


def test_bounce_is_recognised(authority: Authority) -> None:
    """What failed, for whom, in whose words."""
    arrival = looked_for(holding(BOUNCE.replace("{action}", "failed")), authority)
    assert not arrival.found
    assert arrival.bounce is not None
    assert (arrival.bounce.status, arrival.bounce.recipient) == ("5.1.1", "probe@contoso.com")
    assert arrival.bounce.diagnostic == "550 5.1.1 no such user here"


def test_bounce_as_gmail_marks_it(authority: Authority) -> None:
    arrival = looked_for(holding("X-Failed-Recipients: probe@contoso.com\r\n\r\nsorry\r\n"), authority)
    assert arrival.bounce is not None
    assert arrival.bounce.recipient == "probe@contoso.com"


def test_report_of_a_delay_is_no_bounce(authority: Authority) -> None:
    """The message may still arrive."""
    arrival = looked_for(holding(BOUNCE.replace("{action}", "delayed")), authority, within_s=0.3)
    assert (arrival.bounce, arrival.found) == (None, False)


def test_it_is_looked_again_until_the_message_is_there(authority: Authority) -> None:
    arrival = looked_for(holding(MESSAGE, after=2), authority, within_s=20)
    assert arrival.found
    assert arrival.looks == 3
    assert arrival.missing_after_s > 0


def test_looking_ends_with_the_time_allowed(authority: Authority) -> None:
    """There is a last look when it is over."""
    arrival = looked_for(holding(), authority, within_s=0.3)
    assert not arrival.found
    assert arrival.looks >= 2
    assert arrival.missing_after_s >= 0.3


def test_one_look_is_taken_however_late(authority: Authority) -> None:
    assert looked_for(holding(MESSAGE), authority, within_s=-60).found


def test_watch_that_learns_of_it_sends_the_other_home(authority: Authority) -> None:
    """A bounce in the sender's mailbox: nobody goes on waiting at the recipient's."""

    async def look() -> tuple[Arrival, Arrival]:
        bounced, empty = holding(BOUNCE.replace("{action}", "failed"), after=1), holding()
        async with (
            listening(bounced, authority.server) as first,
            listening(empty, authority.server) as second,
        ):
            sessions = [(await logged_in(profile(port, authority)))[1] for port in (first, second)]
            fate = Fate(accepted(), 60)
            watches = [probe_arrival(one, fate, PATIENT, USER) for one in sessions if isinstance(one, Imap)]
            async with asyncio.timeout(30):
                return tuple(await asyncio.gather(*watches))  # type: ignore[return-value]

    first, second = asyncio.run(look())
    assert first.bounce
    assert (second.bounce, second.found, second.trouble) == (None, False, None)


@pytest.mark.parametrize(
    ("answers", "trouble"),
    [
        ({"UID SEARCH": ""}, "no_answer"),
        ({"UID SEARCH": "{tag} NO not here"}, "not_spoken"),
        ({"LIST": "* BYE shutting down"}, "hung_up"),
        ({"UID SEARCH": "* SEARCH 1\n{tag} OK", "UID FETCH": "* 1 FETCH (BODY[] {9999999}"}, "too_long"),
    ],
)
def test_looking_that_breaks_off_says_how(
    answers: Mapping[str, str], trouble: str, authority: Authority
) -> None:
    assert looked_for(imap(**answers), authority, limits=QUICK).trouble == trouble


def test_nothing_is_changed_in_the_mailbox(authority: Authority) -> None:
    """Folders are opened read-only, messages read without being marked as read."""
    server = holding(MESSAGE)
    looked_for(server, authority)
    said = " ".join(server.heard)
    assert "SELECT" not in said
    assert "BODY.PEEK" in said
    assert "BODY[" not in said


def test_what_else_lies_in_the_mailbox_is_nobodys_business(authority: Authority) -> None:
    """Neither the names of folders nor the text of messages are recorded."""
    arrival = looked_for(holding(f"Subject: {MARKER}\r\n\r\nvery private\r\n"), authority, within_s=0.3)
    shown = "\n".join(line.text for line in arrival.lines)
    assert "Private affairs" not in shown
    assert "very private" not in shown


def test_transcript_of_many_looks_is_short(authority: Authority) -> None:
    """The first one and the last."""
    arrival = looked_for(holding(), authority, within_s=2)
    assert arrival.looks > 3
    assert sum("UID SEARCH" in line.text for line in arrival.lines) <= 4
