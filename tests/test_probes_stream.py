"""Streams byte by byte: what the kernel holds, what TLS adds, and what cancelling leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trustme

from smtp_preflight.probes.stream import Stream, endpoint_name, error_name, printable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HOST = "mail.contoso.com"


@contextlib.asynccontextmanager
async def connected(
    handler: Handler, *, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[Stream]:
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=context)
    stream = await Stream.connect(host, server.sockets[0].getsockname()[1])
    try:
        yield stream
    finally:
        stream.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's, under one CA."""
    ca = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert(HOST).configure_cert(server)
    ca.configure_trust(client)
    return server, client


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(64 * 1024):
        writer.write(data)
        await writer.drain()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(64 * 1024)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:")])
def test_bytes_go_out_and_come_back_over_both_families(host: str, shown: str) -> None:
    async def run() -> None:
        async with connected(echo, host=host) as stream:
            await stream.write(b"hello")
            assert await stream.read() == b"hello"
            assert stream.peer.startswith(shown)
            assert stream.local_address == host
            assert stream.tls is None

    asyncio.run(run())


def test_end_of_the_connection_reads_as_nothing() -> None:
    async def run() -> None:
        async with connected(closes) as stream:
            await stream.write(b"x")
            assert await stream.read() == b""

    asyncio.run(run())


def test_reset_raises() -> None:
    async def run() -> None:
        async with connected(resets) as stream:
            with pytest.raises(ConnectionResetError):
                await stream.read()

    asyncio.run(run())


def test_refused_connection_raises_and_leaves_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(Stream.connect("127.0.0.1", port))


def test_waiting_shows_what_has_arrived_and_never_waits() -> None:
    async def speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"x" * 40_000)
        await reader.read()

    async def run() -> None:
        async with connected(speaks) as stream:
            assert stream.waiting() == b""
            await stream.write(b"go")
            await asyncio.sleep(0.1)
            assert stream.waiting() == b"x" * 40_000
            assert stream.waiting() == b""

    asyncio.run(run())


def test_waiting_at_the_end_of_the_connection_is_nothing() -> None:
    async def run() -> None:
        async with connected(closes) as stream:
            await stream.write(b"x")
            await asyncio.sleep(0.05)
            assert stream.waiting() == b""

    asyncio.run(run())


def test_large_messages_pass_through_tls(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    data = bytes(range(256)) * 1000

    async def run() -> None:
        async with connected(echo, context=contexts[0]) as stream:
            await stream.start_tls(contexts[1], HOST)
            assert stream.tls is not None
            assert stream.waiting() == b"", "protected bytes are never handed out raw"
            await stream.write(b"")
            sending = asyncio.create_task(stream.write(data))
            received = b""
            while len(received) < len(data):
                received += await stream.read()
            await sending
            assert received == data

    asyncio.run(run())


def test_end_of_a_protected_connection_reads_as_nothing(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """With TLS's own goodbye and without it."""

    async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport._ssl_protocol._transport.close()  # type: ignore[attr-defined]

    async def run(handler: Handler) -> None:
        async with connected(handler, context=contexts[0]) as stream:
            await stream.start_tls(contexts[1], HOST)
            await stream.write(b"x")
            assert await stream.read() == b""

    asyncio.run(run(closes))
    asyncio.run(run(cuts))


def test_cut_handshake_raises_eof(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def run() -> None:
        async with connected(closes) as stream:
            with pytest.raises(EOFError):
                await stream.start_tls(contexts[1], HOST)
            assert stream.tls is None

    asyncio.run(run())


def test_first_bytes_that_are_no_handshake_are_kept(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.contoso.com ESMTP " + b"x" * 300)
        await reader.read()

    async def run() -> None:
        async with connected(speaks) as stream:
            with pytest.raises(ssl.SSLError):
                await stream.start_tls(contexts[1], HOST)
            assert stream.handshake_head.startswith(b"220 mail.contoso.com")
            assert len(stream.handshake_head) == 200

    asyncio.run(run())


def test_server_learns_why_we_refuse_its_certificate(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Our alert is sent before the error is raised."""
    received = asyncio.Queue[bytes]()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        engine = contexts[0].wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(await reader.read(64 * 1024))
        with contextlib.suppress(ssl.SSLWantReadError):
            engine.do_handshake()
        writer.write(outgoing.read())
        received.put_nowait(await reader.read(64 * 1024))

    async def run() -> None:
        async with connected(relay) as stream:
            with pytest.raises(ssl.SSLCertVerificationError):
                await stream.start_tls(ssl.create_default_context(), HOST)
            assert await asyncio.wait_for(received.get(), 5)

    asyncio.run(run())


def test_cancelled_read_leaves_the_stream_usable_and_closable() -> None:
    async def run() -> None:
        async with connected(echo) as stream:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stream.read()
            await stream.write(b"still here")
            assert await stream.read() == b"still here"

    asyncio.run(run())


def test_cancelled_write_leaves_the_stream_closable() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async def run() -> None:
        async with connected(deaf) as stream:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await stream.write(b"x" * 50_000_000)

    asyncio.run(run())


def test_close_under_a_pending_read_frees_the_descriptor_for_others() -> None:
    """A stale entry in the selector would break whoever gets the same descriptor next."""

    async def run() -> None:
        async with connected(echo) as stream:
            reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0.02)
            stream.close()
            stream.close()
            async with connected(echo) as other:
                await other.write(b"x")
                assert await asyncio.wait_for(other.read(), 5) == b"x"
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(run())


def test_close_after_the_loop_has_ended_still_closes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = asyncio.run(Stream.connect("127.0.0.1", listener.getsockname()[1]))
        peer, _ = listener.accept()
        with peer:
            stream.close()
            assert peer.recv(1) == b""


def test_names_of_endpoints_and_errors() -> None:
    assert endpoint_name("192.0.2.1", 587) == "192.0.2.1:587"
    assert endpoint_name("2001:db8::1", 587) == "[2001:db8::1]:587"
    assert error_name(ConnectionRefusedError(111, "refused")) == "ECONNREFUSED"
    assert error_name(OSError("strange")) == "strange"


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain ü text", "plain ü text"),
        ("\x1b[2J\r\n\t", r"\x1b[2J\r\n\t"),
        ("a\u202eb\u2028c\u200bd", r"a\u202eb\u2028c\u200bd"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("\x85\x9b", r"\x85\x9b"),
    ],
)
def test_foreign_text_is_made_inert(foreign: str | bytes, shown: str) -> None:
    assert printable(foreign) == shown
