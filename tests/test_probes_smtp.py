"""The SMTP dialogue against servers that answer, stall, cut off, inject and echo; loopback only."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import email
import email.policy
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from smtp_preflight.model import (
    AuthExchange,
    Ehlo,
    Failure,
    Limits,
    OAuth,
    Profile,
    Provider,
    Send,
    Smtp,
    SmtpGreeting,
    SmtpStep,
)
from smtp_preflight.probes import smtp
from smtp_preflight.probes.smtp import (
    Dialogue,
    build_message,
    hang_up,
    probe_auth,
    probe_data,
    probe_ehlo,
    probe_greeting,
    probe_mail_from,
    probe_rcpt_to,
    probe_starttls,
)
from smtp_preflight.probes.stream import Stream
from smtp_preflight.secrets import Secret, Wallet

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = Limits(greeting_s=0.4, reply_s=0.4, data_s=0.4)
PATIENT = Limits(greeting_s=5, reply_s=5, data_s=5)
TOKEN = Secret(
    "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL291dGxvb2sifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg", "env:T"
)


def profile(limits: Limits = PATIENT, **settings: object) -> Profile:
    defaults: dict[str, object] = {
        "name": "contoso",
        "provider": Provider("custom", "Custom"),
        "mailbox": "alerts@contoso.com",
        "smtp": Smtp("mail.contoso.com", 587, ehlo_name="client.contoso.com"),
        "oauth": OAuth(),
        "limits": limits,
    }
    return Profile(**{**defaults, **settings})  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def dialogue_with(
    handler: Handler, limits: Limits = PATIENT, host: str = "127.0.0.1", **settings: object
) -> AsyncIterator[Dialogue]:
    """A dialogue with a server of one connection; the server's trouble is part of the test, never its end."""

    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, host, 0)
    port = server.sockets[0].getsockname()[1]
    dialogue = Dialogue(await Stream.connect(host, port), profile(limits, **settings), Wallet())
    try:
        yield dialogue
    finally:
        dialogue.stream.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


def says(*chunks: bytes, pause_s: float = 0.0, then: str = "stay") -> Handler:
    """A server that sends these bytes, then stays silent, closes or resets."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if then == "reset":
            reset(writer)
        elif then == "stay":
            await reader.read()

    return handler


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answers(*replies: bytes, heard: list[bytes] | None = None, after: str = "stay") -> Handler:
    """A server that answers each line with the next of these replies, then stays silent, closes or resets."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            line = await reader.readuntil(b"\n")
            if heard is not None:
                heard.append(line)
            writer.write(reply)
            await writer.drain()
        if after == "reset":
            reset(writer)
        elif after == "stay":
            rest = await reader.read()
            if heard is not None and rest:
                heard.append(rest)

    return handler


def greet(handler: Handler, limits: Limits = PATIENT) -> SmtpGreeting:
    async def run() -> SmtpGreeting:
        async with dialogue_with(handler, limits) as dialogue:
            return await probe_greeting(dialogue)

    return asyncio.run(run())


def texts(step: SmtpStep, who: str) -> list[str]:
    return [line.text for line in step.lines if line.who == who]


# --- the greeting ------------------------------------------------------------------------------------------


def test_greeting_of_several_lines_is_read_whole() -> None:
    greeting = greet(says(b"220-mail.contoso.com ESMTP\r\n220 ready\r\n"))
    assert greeting.reply is not None
    assert (greeting.reply.code, greeting.reply.lines) == (220, ("mail.contoso.com ESMTP", "ready"))
    assert greeting.is_smtp
    assert greeting.failure is None
    assert greeting.peer.startswith("127.0.0.1:")
    assert texts(greeting, "S") == ["220-mail.contoso.com ESMTP", "220 ready"]


def test_greeting_in_single_bytes_and_bare_line_feeds_is_read() -> None:
    greeting = greet(says(*(bytes([byte]) for byte in b"220-a\n220\n")))
    assert greeting.reply is not None
    assert greeting.reply.lines == ("a", "")


def test_refusing_greeting_is_an_answer() -> None:
    greeting = greet(says(b"554 5.7.1 no service here\r\n"))
    assert greeting.is_smtp
    assert not greeting.accepted


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (says(), Failure.TIMEOUT),
        (says(b"2222"), Failure.NOT_SMTP),
        (says(*(bytes([byte]) for byte in b"220 " + b"a" * 100), pause_s=0.02), Failure.TIMEOUT),
        (says(b"220-a\r\n", b"220-b\r\n"), Failure.TIMEOUT),
        (says(then="close"), Failure.CLOSED),
        (says(b"220-half", then="close"), Failure.CLOSED),
        (says(then="reset"), Failure.RESET),
        (says(b"220-first\r\n250 second\r\n"), Failure.NOT_SMTP),
        (says(b"220_wrong\r\n"), Failure.NOT_SMTP),
        (says(b"700 wrong\r\n"), Failure.NOT_SMTP),
        (says(b"hello", then="close"), Failure.NOT_SMTP),
    ],
)
def test_each_way_a_greeting_can_fail_has_its_own_name(handler: Handler, failure: Failure) -> None:
    greeting = greet(handler, QUICK)
    assert greeting.failure is failure
    assert greeting.reply is None
    assert texts(greeting, "-")


def test_what_came_before_a_timeout_is_told() -> None:
    assert greet(says(b"220-one\r\n220-tw"), QUICK).detail == "220-tw"


@pytest.mark.parametrize(
    "handler",
    [
        says(*[b"220-" + b"x" * 60 + b"\r\n"] * 300),
        says(*[b"220-" + b"x" * 1000 + b"\r\n"] * 100),
        says(b"220 " + b"x" * 100_000),
        says(b"220 " + b"x" * 100_000 + b"\r\n"),
    ],
    ids=["lines", "bytes", "endless line", "giant line"],
)
def test_reply_that_does_not_end_is_cut(handler: Handler) -> None:
    greeting = greet(handler)
    assert greeting.failure is Failure.TOO_LONG
    assert greeting.reply is not None
    assert greeting.reply.cut
    assert len(greeting.reply.lines) <= 200
    assert sum(len(line) for line in greeting.reply.lines) <= 64 * 1024


@pytest.mark.parametrize(
    ("sent", "look"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "tls"),
        (b"\x16\x03\x03\x00\x7a\x02", "tls"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "ssh"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "http"),
        (b"<!DOCTYPE html>\n<html>", "http"),
        (b"<html>blocked", "http"),
        (b"* OK IMAP4rev1 ready\r\n", "imap"),
        (b"+OK POP3 ready\r\n", "pop3"),
        (b"Welcome\r\n", ""),
    ],
)
def test_what_answers_instead_of_smtp_is_recognised(sent: bytes, look: str) -> None:
    greeting = greet(says(sent, then="close"))
    assert greeting.failure is Failure.NOT_SMTP
    assert greeting.looks_like == look
    assert greeting.first_bytes
    assert greeting.first_bytes.isprintable()
    assert len(greeting.first_bytes) <= 200


def test_control_characters_and_undecodable_bytes_are_made_visible() -> None:
    greeting = greet(says(b"220 \x1b[31mred\x00 \xff \xe2\x80\xae caf\xc3\xa9\r\n"))
    assert greeting.reply is not None
    assert greeting.reply.lines == (r"\x1b[31mred\x00 \xff \u202e café",)


# --- EHLO and STARTTLS -------------------------------------------------------------------------------------


def test_capabilities_are_recorded_and_remembered() -> None:
    heard: list[bytes] = []

    async def run() -> tuple[Ehlo, Ehlo | None]:
        reply = b"250-mail.contoso.com\r\n250-STARTTLS\r\n250 AUTH LOGIN XOAUTH2\r\n"
        async with dialogue_with(answers(reply, heard=heard)) as dialogue:
            return await probe_ehlo(dialogue, encrypted=True), dialogue.ehlo

    ehlo, remembered = asyncio.run(run())
    assert heard == [b"EHLO client.contoso.com\r\n"]
    assert ehlo.mechanisms == ("LOGIN", "XOAUTH2")
    assert ehlo.encrypted
    assert ehlo is remembered


def test_refused_ehlo_is_recorded_and_helo_not_tried() -> None:
    heard: list[bytes] = []

    async def run() -> Ehlo:
        async with dialogue_with(answers(b"502 5.5.1 what?\r\n", heard=heard)) as dialogue:
            return await probe_ehlo(dialogue, encrypted=False)

    ehlo = asyncio.run(run())
    assert ehlo.reply is not None
    assert ehlo.reply.code == 502
    assert heard == [b"EHLO client.contoso.com\r\n"]


@pytest.mark.parametrize(
    ("hostname", "address", "name"),
    [
        ("runner.contoso.com", "127.0.0.1", "runner.contoso.com"),
        ("runner", "127.0.0.1", "[127.0.0.1]"),
        ("bad_name.example", "127.0.0.1", "[127.0.0.1]"),
        ("runner", "::1", "[IPv6:::1]"),
    ],
)
def test_we_introduce_ourselves_by_full_name_or_address(
    hostname: str, address: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a configured name, and without asking DNS (RFC 5321 section 4.1.3)."""
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)

    async def run() -> Ehlo:
        unnamed = Smtp("mail.contoso.com")
        async with dialogue_with(answers(b"250 hi\r\n"), host=address, smtp=unnamed) as dialogue:
            return await probe_ehlo(dialogue, encrypted=False)

    assert asyncio.run(run()).name_sent == name


def test_name_that_would_be_two_lines_is_not_sent_and_the_dialogue_goes_on() -> None:
    heard: list[bytes] = []

    async def run() -> tuple[Ehlo, Failure | None]:
        two_lines = Smtp("mail.contoso.com", ehlo_name="a\r\nQUIT")
        async with dialogue_with(answers(heard=heard), smtp=two_lines) as dialogue:
            return await probe_ehlo(dialogue, encrypted=False), dialogue.over

    ehlo, over = asyncio.run(run())
    assert (ehlo.failure, over, heard) == (Failure.NOT_SENT, None, [])


@pytest.mark.parametrize(
    ("handler", "injected"),
    [
        (answers(b"220 go ahead\r\n"), ""),
        (answers(b"220 go ahead\r\n250 injected\r\n"), r"250 injected\r\n"),
        (answers(b"220-go\r\n220 ahead\r\n\x16\x03"), r"\x16\x03"),
    ],
)
def test_what_follows_the_220_in_the_clear_is_injected(handler: Handler, injected: str) -> None:
    async def run() -> None:
        async with dialogue_with(handler) as dialogue:
            answer = await probe_starttls(dialogue)
            assert answer.injected == injected
            assert answer.may_begin is not bool(injected)
            assert dialogue.over is Failure.TLS

    asyncio.run(run())


def test_bytes_a_moment_behind_the_220_are_injected() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n")
        writer.write(b"220 go ahead\r\n")
        await writer.drain()
        writer.write(b"250 late\r\n")
        await reader.read()

    async def run() -> None:
        async with dialogue_with(handler) as dialogue:
            assert (await probe_starttls(dialogue)).injected == r"250 late\r\n"

    asyncio.run(run())


def test_refused_starttls_leaves_the_dialogue_going() -> None:
    async def run() -> None:
        async with dialogue_with(answers(b"454 4.7.0 not now\r\n")) as dialogue:
            answer = await probe_starttls(dialogue)
            assert answer.reply is not None
            assert answer.reply.code == 454
            assert not answer.may_begin
            assert dialogue.over is None

    asyncio.run(run())


# --- a dialogue as a whole ---------------------------------------------------------------------------------


def test_after_a_failure_nothing_is_said() -> None:
    """A late reply would be taken for the next one's."""
    heard: list[bytes] = []

    async def run() -> Ehlo:
        async with dialogue_with(answers(heard=heard), QUICK) as dialogue:
            await probe_ehlo(dialogue, encrypted=False)
            return await probe_ehlo(dialogue, encrypted=False)

    second = asyncio.run(run())
    assert second.failure is Failure.TIMEOUT
    assert len(heard) <= 1


def test_reply_sent_before_the_server_left_is_still_read() -> None:
    async def run() -> Ehlo:
        async with dialogue_with(says(b"220 hi\r\n421 4.4.2 idle too long\r\n", then="close")) as dialogue:
            await probe_greeting(dialogue)
            await asyncio.sleep(0.05)
            return await probe_ehlo(dialogue, encrypted=False)

    ehlo = asyncio.run(run())
    assert ehlo.reply is not None
    assert ehlo.reply.code == 421


def test_steps_asked_at_once_take_turns() -> None:
    async def run() -> None:
        replies = (b"250 first\r\n", b"250 second\r\n")
        async with dialogue_with(answers(*replies)) as dialogue:
            first, second = await asyncio.gather(
                probe_mail_from(dialogue, "a@contoso.com"), probe_rcpt_to(dialogue, "b@contoso.com")
            )
            assert first.reply is not None
            assert second.reply is not None
            assert (first.reply.text, second.reply.text) == ("first", "second")

    asyncio.run(run())


def test_cancelled_step_ends_the_dialogue_and_leaves_it_closable() -> None:
    async def run() -> None:
        async with dialogue_with(says()) as dialogue:
            task = asyncio.create_task(probe_greeting(dialogue))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert dialogue.over is Failure.CLOSED
            await hang_up(dialogue)

    asyncio.run(run())


def test_transcript_has_times_since_the_connection_opened() -> None:
    async def run() -> Ehlo:
        async with dialogue_with(answers(b"250 hi\r\n")) as dialogue:
            return await probe_ehlo(dialogue, encrypted=False)

    ehlo = asyncio.run(run())
    assert [line.who for line in ehlo.lines] == ["C", "S"]
    assert 0 <= ehlo.lines[0].at_s <= ehlo.lines[1].at_s


@pytest.mark.parametrize(
    ("in_transaction", "goodbye"),
    [(False, [b"QUIT\r\n"]), (True, [b"RSET\r\n", b"QUIT\r\n"])],
)
def test_goodbye_is_said_where_a_dialogue_is_going_on(in_transaction: bool, goodbye: list[bytes]) -> None:
    heard: list[bytes] = []

    async def run() -> None:
        async with dialogue_with(
            answers(b"250 ok\r\n", b"221 bye\r\n", heard=heard, after="close")
        ) as dialogue:
            dialogue.greeted, dialogue.in_transaction = True, in_transaction
            await hang_up(dialogue)
            await hang_up(dialogue)

    asyncio.run(run())
    assert heard == goodbye


def test_goodbye_waits_neither_for_a_silent_server_nor_for_another_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smtp, "HANG_UP_S", 0.1)

    async def run() -> None:
        async with dialogue_with(says()) as dialogue:
            dialogue.greeted = True
            other = asyncio.create_task(probe_ehlo(dialogue, encrypted=False))
            await asyncio.sleep(0.02)
            await hang_up(dialogue)
            other.cancel()
        async with dialogue_with(says(b"220 hi\r\n")) as silent:
            await probe_greeting(silent)
            await hang_up(silent)

    asyncio.run(run())


# --- AUTH --------------------------------------------------------------------------------------------------


def authenticate(
    *replies: bytes,
    user: str = "alerts@contoso.com",
    token: Secret = TOKEN,
    mechanism: str = "XOAUTH2",
    verified: bool = True,
    after: str = "stay",
) -> tuple[AuthExchange, list[bytes]]:
    heard: list[bytes] = []

    async def run() -> AuthExchange:
        async with dialogue_with(answers(*replies, heard=heard, after=after)) as dialogue:
            dialogue.verified = verified
            return await probe_auth(dialogue, user=user, token=token, mechanism=mechanism)

    return asyncio.run(run()), heard


def test_short_response_goes_with_the_command() -> None:
    """The published vector of the XOAUTH2 message."""
    token = Secret("EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA", "env:T")
    exchange, heard = authenticate(b"235 2.7.0 ok\r\n", user="test@contoso.onmicrosoft.com", token=token)
    blob = (
        b"dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFB"
        b"bDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ=="
    )
    assert heard == [b"AUTH XOAUTH2 " + blob + b"\r\n"]
    assert exchange.accepted
    assert exchange.shape == "initial_response"
    assert exchange.response_bytes == len(blob)
    assert texts(exchange, "C") == [f"AUTH XOAUTH2 <{len(blob)} bytes>"]


def test_long_response_waits_for_the_challenge() -> None:
    """RFC 4954 section 4: a command line never exceeds 512 octets."""
    exchange, heard = authenticate(b"334 \r\n", b"235 ok\r\n", token=Secret("x" * 1500, "env:T"))
    assert exchange.accepted
    assert exchange.shape == "two_steps"
    assert heard[0] == b"AUTH XOAUTH2\r\n"
    assert len(heard[1]) == exchange.response_bytes + 2
    assert texts(exchange, "C") == ["AUTH XOAUTH2", f"<{exchange.response_bytes} bytes>"]


@pytest.mark.parametrize(("length", "shape"), [(339, "initial_response"), (340, "two_steps")])
def test_shape_turns_at_512_octets(length: int, shape: str) -> None:
    exchange, heard = authenticate(b"535 no\r\n", token=Secret("x" * length, "env:T"), user="u@contoso.com")
    assert exchange.shape == shape
    assert len(heard[0]) <= 512


def test_oauthbearer_message_is_that_of_rfc_7628() -> None:
    token = Secret("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "env:T")
    exchange, heard = authenticate(
        b"235 ok\r\n", user="us=er,1@example.com", token=token, mechanism="oauthbearer"
    )
    plain = base64.b64decode(heard[0].split()[2])
    assert heard[0].startswith(b"AUTH OAUTHBEARER ")
    assert plain == (
        b"n,a=us=3Der=2C1@example.com,\x01host=mail.contoso.com\x01port=587\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert exchange.mechanism == "OAUTHBEARER"


ERROR = {"status": "401", "schemes": "bearer mac", "scope": "https://mail.google.com/", "n": 1}


@pytest.mark.parametrize(("mechanism", "answer"), [("XOAUTH2", b"\r\n"), ("OAUTHBEARER", b"AQ==\r\n")])
def test_error_challenge_is_decoded_and_answered(mechanism: str, answer: bytes) -> None:
    challenge = b"334 " + base64.b64encode(json.dumps(ERROR).encode()) + b"\r\n"
    exchange, heard = authenticate(challenge, b"535-5.7.8 no\r\n535 5.7.8 really\r\n", mechanism=mechanism)
    assert exchange.challenge == {**ERROR, "n": "1"}
    assert heard[1] == answer
    assert exchange.reply is not None
    assert exchange.reply.code == 535
    assert not exchange.accepted


def test_error_challenge_after_two_steps_is_answered_too() -> None:
    challenge = b"334 " + base64.b64encode(json.dumps(ERROR).encode()) + b"\r\n"
    exchange, heard = authenticate(b"334 \r\n", challenge, b"535 no\r\n", token=Secret("x" * 900, "env:T"))
    assert exchange.challenge["status"] == "401"
    assert heard[2] == b"\r\n"


def test_server_that_ignores_an_initial_response_is_given_it_once_more() -> None:
    exchange, heard = authenticate(b"334 \r\n", b"235 ok\r\n")
    assert exchange.accepted
    assert heard[1].strip() == heard[0].split()[2]


@pytest.mark.parametrize(
    ("challenge", "text"),
    [
        (b"!!!not base64", "!!!not base64"),
        (base64.b64encode(b"Username:"), "Username:"),
        (base64.b64encode(b"[1, 2]"), "[1, 2]"),
        (base64.b64encode(b"\xff\x1b"), r"\xff\x1b"),
    ],
)
def test_challenge_that_is_no_json_object_is_kept_as_text(challenge: bytes, text: str) -> None:
    exchange, _ = authenticate(b"334 " + challenge + b"\r\n", b"535 no\r\n")
    assert (exchange.challenge, exchange.challenge_text) == ({}, text)


def test_challenge_is_bounded() -> None:
    members = {f"key{number}": "x" * 1000 for number in range(30)}
    challenge = b"334 " + base64.b64encode(json.dumps(members).encode()) + b"\r\n"
    exchange, _ = authenticate(challenge, b"535 no\r\n")
    assert len(exchange.challenge) == 20
    assert all(len(value) < 400 for value in exchange.challenge.values())


def test_endless_challenges_are_cancelled() -> None:
    exchange, heard = authenticate(*[b"334 \r\n"] * 4, b"501 5.7.0 cancelled\r\n")
    assert heard[-1] == b"*\r\n"
    assert len(heard) == 5
    assert exchange.reply is not None
    assert exchange.reply.code == 501


def test_response_leaves_at_most_twice() -> None:
    _, heard = authenticate(*[b"334 \r\n"] * 4, b"501 cancelled\r\n")
    blob = heard[0].split()[2]
    assert sum(blob in line for line in heard) == 2


def test_plus_instead_of_334_is_no_smtp_reply() -> None:
    """Yahoo's oddity: the continuation of IMAP."""
    exchange, _ = authenticate(b"+ \r\n")
    assert exchange.failure is Failure.NOT_SMTP
    assert exchange.detail == "+ "


def test_503_is_no_success() -> None:
    exchange, _ = authenticate(b"503 5.5.1 bad sequence\r\n")
    assert not exchange.accepted


@pytest.mark.parametrize(
    ("user", "token"),
    [("a\r\nb", "tok"), ("a", "to\nk"), ("a\x00", "tok"), ("a", "tok\x01auth=Bearer other"), ("a", "tok\r")],
)
def test_control_characters_in_user_or_token_are_never_sent(user: str, token: str) -> None:
    exchange, heard = authenticate(user=user, token=Secret(token, "env:T"))
    assert exchange.failure is Failure.NOT_SENT
    assert exchange.detail.startswith("control character in the ")
    assert heard == []


def test_token_is_not_sent_without_verified_tls() -> None:
    exchange, heard = authenticate(b"235 ok\r\n", verified=False)
    assert exchange.failure is Failure.NOT_SENT
    assert heard == []


def test_connection_lost_after_the_challenge_keeps_the_challenge() -> None:
    challenge = b"334 " + base64.b64encode(json.dumps(ERROR).encode()) + b"\r\n"
    exchange, _ = authenticate(challenge, after="close")
    assert exchange.challenge["status"] == "401"
    assert exchange.failure in (Failure.CLOSED, Failure.RESET)


def test_echoes_of_the_credential_are_redacted_whole_and_in_pieces() -> None:
    plain = f"user=alerts@contoso.com\x01auth=Bearer {TOKEN.reveal()}\x01\x01".encode()
    blob = base64.b64encode(plain).decode()
    signature = TOKEN.reveal().rpartition(".")[2]
    echo = f"501-5.5.2 cannot decode '{blob}'\r\n501-cut-{blob[:70]}...\r\n501-{signature}\r\n"
    exchange, _ = authenticate(f"{echo}501 alerts@contoso.com\r\n".encode())
    kept = repr((exchange.reply, exchange.lines, exchange.detail))
    assert exchange.reply is not None
    assert exchange.reply.lines[0] == "5.5.2 cannot decode '<redacted>'"
    assert exchange.reply.lines[3] == "alerts@contoso.com"
    assert blob[:40] not in kept
    assert signature not in kept


def test_token_echoed_in_a_challenge_is_redacted() -> None:
    async def run() -> AuthExchange:
        body = json.dumps({"status": "401", "token": TOKEN.reveal()}).encode()
        replies = (b"334 " + base64.b64encode(body) + b"\r\n", b"535 no\r\n")
        async with dialogue_with(answers(*replies)) as dialogue:
            dialogue.verified = True
            dialogue.wallet.put("access_token", TOKEN)
            return await probe_auth(dialogue, user="u@contoso.com", token=TOKEN, mechanism="XOAUTH2")

    exchange = asyncio.run(run())
    assert exchange.challenge["token"] == "<redacted>"
    encoded = base64.b64encode(TOKEN.reveal().encode()).decode()
    assert not any(encoded[8:40] in line.text for line in exchange.lines)


# --- the envelope ------------------------------------------------------------------------------------------


def test_envelope_is_sent_as_it_stands() -> None:
    heard: list[bytes] = []

    async def run() -> None:
        replies = (b"250 2.1.0 ok\r\n", b"550 5.1.1 unknown\r\n")
        async with dialogue_with(answers(*replies, heard=heard)) as dialogue:
            assert (await probe_mail_from(dialogue, "a@contoso.com")).accepted
            assert dialogue.in_transaction
            refused = await probe_rcpt_to(dialogue, "b@contoso.com")
            assert refused.reply is not None
            assert refused.reply.enhanced == "5.1.1"

    asyncio.run(run())
    assert heard == [b"MAIL FROM:<a@contoso.com>\r\n", b"RCPT TO:<b@contoso.com>\r\n"]


@pytest.mark.parametrize("address", ["a@b\r\nDATA", "a>@b", "<a@b", "a\x00@b"])
def test_address_that_could_break_out_is_not_sent(address: str) -> None:
    heard: list[bytes] = []

    async def run() -> None:
        async with dialogue_with(answers(heard=heard)) as dialogue:
            assert (await probe_mail_from(dialogue, address)).failure is Failure.NOT_SENT
            assert (await probe_rcpt_to(dialogue, address)).failure is Failure.NOT_SENT

    asyncio.run(run())
    assert heard == []


def test_international_address_goes_with_smtputf8_where_offered() -> None:
    heard: list[bytes] = []

    async def run() -> None:
        replies = (b"250-hi\r\n250 SMTPUTF8\r\n", b"250 ok\r\n", b"250 ok\r\n")
        async with dialogue_with(answers(*replies, heard=heard)) as dialogue:
            await probe_ehlo(dialogue, encrypted=True)
            await probe_mail_from(dialogue, "jürgen@contoso.com")
            await probe_rcpt_to(dialogue, "jürgen@contoso.com")

    asyncio.run(run())
    assert heard[1] == "MAIL FROM:<jürgen@contoso.com> SMTPUTF8\r\n".encode()
    assert heard[2] == "RCPT TO:<jürgen@contoso.com>\r\n".encode()


def test_international_address_is_not_sent_where_smtputf8_is_not_offered() -> None:
    async def run() -> None:
        async with dialogue_with(answers(b"250 hi\r\n")) as dialogue:
            await probe_ehlo(dialogue, encrypted=True)
            refused = await probe_mail_from(dialogue, "jürgen@contoso.com")
            assert (refused.failure, refused.detail) == (Failure.NOT_SENT, "SMTPUTF8 is not offered")

    asyncio.run(run())


# --- DATA --------------------------------------------------------------------------------------------------


def takes_message(
    *, final: bytes, received: list[bytes], stop_after: int = -1, then: str = "stay"
) -> Handler:
    """A server that takes DATA, reads the message or some bytes of it, and says ``final``."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n")
        writer.write(b"354 go ahead\r\n")
        read = reader.readuntil(b"\r\n.\r\n") if stop_after < 0 else reader.readexactly(stop_after)
        received.append(await read)
        writer.write(final)
        if then == "reset":
            reset(writer)
        elif then == "stay":
            await reader.read()

    return handler


def test_message_is_dot_stuffed_and_its_acceptance_recorded() -> None:
    received: list[bytes] = []
    message = b"Subject: x\r\n\r\n.one\r\n..two\r\nthree.\r\n.\r\n"

    async def run() -> None:
        handler = takes_message(final=b"250 2.0.0 queued as ABC123\r\n", received=received)
        async with dialogue_with(handler) as dialogue:
            dialogue.in_transaction = True
            exchange = await probe_data(dialogue, message, message_id="<m@c>", marker="abc")
            assert exchange.accepted
            assert exchange.queue_id == "ABC123"
            assert exchange.go_ahead is not None
            assert (exchange.body_sent, exchange.size_bytes) == (True, len(message))
            assert (exchange.message_id, exchange.marker) == ("<m@c>", "abc")
            assert texts(exchange, "C") == ["DATA", f"<{len(message)} bytes>", "."]
            assert not dialogue.in_transaction

    asyncio.run(run())
    assert received == [b"Subject: x\r\n\r\n..one\r\n...two\r\nthree.\r\n..\r\n.\r\n"]


def test_message_without_a_last_line_end_gets_one() -> None:
    received: list[bytes] = []

    async def run() -> None:
        async with dialogue_with(takes_message(final=b"250 ok\r\n", received=received)) as dialogue:
            await probe_data(dialogue, b"a: b\r\n\r\nc", message_id="", marker="")

    asyncio.run(run())
    assert received == [b"a: b\r\n\r\nc\r\n.\r\n"]


@pytest.mark.parametrize(
    ("then", "failures"),
    [("stay", {Failure.TIMEOUT}), ("close", {Failure.CLOSED, Failure.RESET}), ("reset", {Failure.RESET})],
)
def test_loss_after_the_body_says_that_the_body_was_sent(then: str, failures: set[Failure]) -> None:
    async def run() -> None:
        handler = takes_message(final=b"", received=[], stop_after=4, then=then)
        async with dialogue_with(handler, QUICK) as dialogue:
            exchange = await probe_data(dialogue, b"a: b\r\n\r\nc\r\n", message_id="", marker="")
            assert exchange.body_sent
            assert exchange.failure in failures
            assert not exchange.accepted

    asyncio.run(run())


def test_refused_message_is_an_answer() -> None:
    async def run() -> None:
        handler = takes_message(final=b"554 5.2.252 SendAsDenied\r\n", received=[])
        async with dialogue_with(handler) as dialogue:
            exchange = await probe_data(dialogue, b"a: b\r\n\r\nc\r\n", message_id="", marker="")
            assert exchange.reply is not None
            assert exchange.reply.enhanced == "5.2.252"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "failure", "code"),
    [(b"550 5.7.60 no\r\n", None, 550), (b"250 what?\r\n", Failure.NOT_SMTP, 0), (b"", Failure.TIMEOUT, 0)],
)
def test_without_a_354_no_byte_of_the_message_leaves(
    reply: bytes, failure: Failure | None, code: int
) -> None:
    heard: list[bytes] = []

    async def run() -> None:
        async with dialogue_with(answers(reply, heard=heard), QUICK) as dialogue:
            exchange = await probe_data(dialogue, b"a: b\r\n\r\nc\r\n", message_id="", marker="")
            assert not exchange.body_sent
            assert exchange.go_ahead is None
            assert exchange.failure is failure
            assert (exchange.reply.code if exchange.reply else 0) == code
            assert not exchange.accepted

    asyncio.run(run())
    assert heard == [b"DATA\r\n"]


def test_built_message_says_what_it_is() -> None:
    sent_at = dt.datetime(2026, 11, 20, 7, 0, tzinfo=dt.UTC)
    setup = profile(send=Send("alerts@contoso.com", ("probe@contoso.com", "other@fabrikam.com")))
    raw, message_id, marker = build_message(setup, sent_at=sent_at, token="0123456789abcdef")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert message["From"] == "alerts@contoso.com"
    assert message["To"] == "probe@contoso.com, other@fabrikam.com"
    assert message["Message-ID"] == message_id
    assert message_id.endswith("@contoso.com>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-SMTP-Preflight"] == marker == "0123456789abcdef"
    assert marker in message["Subject"]
    assert message["Date"] == "Fri, 20 Nov 2026 07:00:00 +0000"
    assert message.get_content_type() == "text/plain"
    assert "Nobody needs to answer" in message.get_content()
    assert max(map(len, raw.splitlines())) < 998


def test_built_message_keeps_international_addresses_and_long_domains() -> None:
    setup = profile(send=Send(f"jürgen@{'long.' * 20}contoso.com", ("probe@contoso.com",)))
    raw, message_id, _ = build_message(setup, sent_at=dt.datetime.now(dt.UTC), token="0" * 16)
    assert "jürgen@".encode() in raw
    assert message_id.encode() in raw


def test_built_message_is_seven_bit_whatever_the_profile_is_called() -> None:
    raw, _, _ = build_message(profile(name="büro"), sent_at=dt.datetime.now(dt.UTC), token="0" * 16)
    assert raw.isascii()
