"""The handshake against good, bad, old, silent and foreign servers, under a CA of our own; loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import errno
import ipaddress
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from smtp_preflight.model import Failure, Limits, OAuth, Profile, Provider, Smtp, TlsFailure, TlsHandshake
from smtp_preflight.oauth.trust import verifying_context
from smtp_preflight.probes.smtp import Dialogue, probe_ehlo, probe_greeting, probe_starttls
from smtp_preflight.probes.stream import Stream
from smtp_preflight.probes.tls import probe_tls, read_certificate
from smtp_preflight.secrets import Wallet

HOST = "mail.contoso.com"
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def profile(ca_file: str, *, tls: str = "implicit", host: str = HOST, limit_s: float = 5) -> Profile:
    return Profile(
        name="contoso",
        provider=Provider("custom", "Custom"),
        mailbox="alerts@contoso.com",
        smtp=Smtp(host, 465, tls, ehlo_name="client.contoso.com"),
        oauth=OAuth(),
        ca_file=ca_file,
        limits=Limits(greeting_s=5, reply_s=5, tls_s=limit_s),
    )


def server_context(leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if leaf is not None:
        leaf.configure_cert(context)
    return context


@contextlib.asynccontextmanager
async def listening(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        await asyncio.gather(*tasks)


async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def shake(setup: Profile, handler: Handler = quiet, context: ssl.SSLContext | None = None) -> TlsHandshake:
    """One handshake with a server of implicit TLS; whatever follows it does not matter."""

    async def run() -> TlsHandshake:
        async with listening(handler, context) as port:
            dialogue = Dialogue(await Stream.connect("127.0.0.1", port), setup, Wallet())
            try:
                handshake = await probe_tls(dialogue)
                assert handshake.verified is dialogue.verified
                assert handshake.verified is (dialogue.over is None)
                return handshake
            finally:
                dialogue.stream.close()

    return asyncio.run(run())


def shake_plainly(setup: Profile, context: ssl.SSLContext) -> TlsHandshake:
    """The same with a server of plain sockets: asyncio's drops the alert of a handshake that fails."""

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

    async def run(port: int) -> TlsHandshake:
        dialogue = Dialogue(await Stream.connect("127.0.0.1", port), setup, Wallet())
        with contextlib.closing(dialogue.stream):
            return await probe_tls(dialogue)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        handshake = asyncio.run(run(listener.getsockname()[1]))
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
    return handshake


# --- certificates of every kind ----------------------------------------------------------------------------


def certificate(
    folder: Path,
    *,
    names: tuple[str, ...] = (HOST,),
    begins: dt.datetime = NOW - DAY,
    ends: dt.datetime = NOW + 30 * DAY,
    issuer: trustme.CA | None = None,
    key: CertificateIssuerPrivateKeyTypes | None = None,
) -> ssl.SSLContext:
    """A server context whose certificate has these dates; signed by the CA, or by itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    issuer_name, issuer_key = subject, key
    if issuer is not None:
        pem = issuer.private_key_pem.bytes()
        issuer_name = x509.load_pem_x509_certificate(issuer.cert_pem.bytes()).subject
        issuer_key = _load_key(pem)
    alternatives = [x509.DNSName(name) for name in names]
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + built.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def _load_key(pem: bytes) -> CertificateIssuerPrivateKeyTypes:
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return key


def test_verified_handshake_records_version_cipher_and_chain(ca: trustme.CA, ca_file: str) -> None:
    leaf = ca.issue_cert(HOST, "10.1.2.3", "*.contoso.org")
    handshake = shake(profile(ca_file), context=server_context(leaf))
    assert handshake.verified
    assert handshake.version == "TLSv1.3"
    assert handshake.cipher.startswith("TLS_")
    assert not handshake.diagnosed
    assert handshake.leaf is not None
    assert set(handshake.leaf.names) == {HOST, "10.1.2.3", "*.contoso.org"}
    assert handshake.leaf.not_before < NOW < handshake.leaf.not_after
    assert handshake.leaf.not_after.tzinfo is dt.UTC
    assert handshake.leaf.key_type == "EC"
    assert handshake.leaf.key_bits == 256
    assert handshake.leaf.signature_hash == "sha256"
    assert len(handshake.leaf.sha256) == len(handshake.leaf.spki_sha256) == 64
    assert handshake.lines[0].text == f"TLS established: TLSv1.3 {handshake.cipher}"


def test_chain_is_kept_as_sent(ca_file: str, ca: trustme.CA) -> None:
    """An intermediate that the server sends is in the chain, the root that it does not send is not."""
    leaf = ca.create_child_ca().issue_cert(HOST)
    handshake = shake(profile(ca_file), context=server_context(leaf))
    assert handshake.verified
    assert len(handshake.chain) == 2
    assert handshake.chain[0].issuer == handshake.chain[1].subject


def test_ip_literal_is_verified_as_an_address(ca: trustme.CA, ca_file: str) -> None:
    context = server_context(ca.issue_cert("127.0.0.1"))
    assert shake(profile(ca_file, host="127.0.0.1"), context=context).verified


def test_expired_certificate_is_refused_and_shown(ca: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    context = certificate(tmp_path, begins=NOW - 30 * DAY, ends=NOW - DAY, issuer=ca)
    handshake = shake(profile(ca_file), context=context)
    assert handshake.failure is TlsFailure.VERIFY
    assert handshake.verify_code == 10
    assert "expired" in handshake.verify_message
    assert handshake.diagnosed
    assert handshake.version == "TLSv1.3"
    assert handshake.leaf is not None
    assert handshake.leaf.not_after < NOW
    assert [line.who for line in handshake.lines] == ["-", "-"]


def test_certificate_that_has_not_begun_is_refused(ca: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    handshake = shake(profile(ca_file), context=certificate(tmp_path, begins=NOW + DAY, issuer=ca))
    assert (handshake.failure, handshake.verify_code) == (TlsFailure.VERIFY, 9)


def test_certificate_for_another_name_is_refused(ca: trustme.CA, ca_file: str) -> None:
    handshake = shake(profile(ca_file), context=server_context(ca.issue_cert("other.contoso.com")))
    assert (handshake.failure, handshake.verify_code) == (TlsFailure.VERIFY, 62)
    assert handshake.leaf is not None
    assert handshake.leaf.names == ("other.contoso.com",)


def test_certificate_for_another_address_is_refused(ca: trustme.CA, ca_file: str) -> None:
    context = server_context(ca.issue_cert(HOST))
    handshake = shake(profile(ca_file, host="127.0.0.1"), context=context)
    assert (handshake.failure, handshake.verify_code) == (TlsFailure.VERIFY, 64)


def test_self_signed_certificate_is_refused(ca_file: str, tmp_path: Path) -> None:
    handshake = shake(profile(ca_file), context=certificate(tmp_path))
    assert (handshake.failure, handshake.verify_code) == (TlsFailure.VERIFY, 18)
    assert handshake.leaf is not None
    assert handshake.leaf.self_issued


def test_unknown_issuer_is_refused(ca_file: str) -> None:
    handshake = shake(profile(ca_file), context=server_context(trustme.CA().issue_cert(HOST)))
    assert handshake.failure is TlsFailure.VERIFY
    assert handshake.verify_code in (19, 20)
    assert not handshake.issuer_trusted


def test_old_version_is_refused_and_read_by_the_second_look(ca: trustme.CA, ca_file: str) -> None:
    context = server_context(ca.issue_cert(HOST))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    handshake = shake_plainly(profile(ca_file), context)
    assert handshake.failure is TlsFailure.VERSION
    assert handshake.diagnosed
    assert handshake.version == "TLSv1.1"
    assert handshake.leaf is not None


def test_alert_is_told_apart(ca: trustme.CA, ca_file: str) -> None:
    """With a key of elliptic curves there is no cipher that exchanges keys by RSA."""
    context = server_context(ca.issue_cert(HOST, key_type=trustme.KeyType.ECDSA))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA")
    handshake = shake_plainly(profile(ca_file), context)
    assert handshake.failure is TlsFailure.ALERT
    assert "alert handshake failure" in handshake.detail
    assert not handshake.diagnosed
    assert handshake.lines[-1].text == "TLS unverified, on another connection: no handshake"


# --- what is no handshake ----------------------------------------------------------------------------------


def says(data: bytes, *, then: str = "stay") -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        await writer.drain()
        if then == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif then == "stay":
            await reader.read()

    return handler


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (says(b""), TlsFailure.TIMEOUT),
        (says(b"\x16\x03\x03"), TlsFailure.TIMEOUT),
        (says(b"", then="reset"), TlsFailure.RESET),
        (says(b"220 mail.contoso.com ESMTP\r\n"), TlsFailure.NOT_TLS),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), TlsFailure.NOT_TLS),
        (says(b"22"), TlsFailure.NOT_TLS),
        (says(b"\x16\x03\x03\x00\x04\xff\x00\x00\x00"), TlsFailure.OTHER),
        (says(b"\x15\x03\x01\x00\x02\x02\x46"), TlsFailure.VERSION),
        (says(b"\x15\x03\x01\x00\x02\x02\x28"), TlsFailure.ALERT),
    ],
)
def test_each_way_a_handshake_can_fail_has_its_own_name(
    handler: Handler, failure: TlsFailure, ca_file: str
) -> None:
    handshake = shake(profile(ca_file, limit_s=0.4), handler)
    assert handshake.failure is failure
    assert handshake.version == ""
    assert handshake.chain == ()


def test_plaintext_answer_is_shown_inert(ca_file: str) -> None:
    detail = shake(profile(ca_file), says(b"220 mail \x1b[0m ESMTP\r\n")).detail
    assert r"220 mail \x1b[0m ESMTP" in detail


def test_server_that_closes_is_told_apart(ca_file: str) -> None:
    async def reads_and_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64 * 1024)  # what stays unread would make the close a reset

    assert shake(profile(ca_file), reads_and_closes).failure is TlsFailure.CLOSED


def test_error_of_the_network_has_its_systems_name(ca_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_: object) -> None:
        raise OSError(errno.EHOSTUNREACH, "no route to host")

    monkeypatch.setattr(Stream, "start_tls", unreachable)
    handshake = shake(profile(ca_file))
    assert (handshake.failure, handshake.detail) == (TlsFailure.OTHER, "EHOSTUNREACH")


def test_dripping_handshake_meets_the_deadline(ca: trustme.CA, ca_file: str) -> None:
    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 1000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    assert shake(profile(ca_file, limit_s=0.3), drips).failure is TlsFailure.TIMEOUT


def test_cancelled_handshake_ends_the_dialogue(ca_file: str) -> None:
    async def run() -> None:
        async with listening(quiet) as port:
            dialogue = Dialogue(await Stream.connect("127.0.0.1", port), profile(ca_file), Wallet())
            task = asyncio.create_task(probe_tls(dialogue))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert dialogue.over is Failure.TLS
            dialogue.stream.close()

    asyncio.run(run())


# --- trust stores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nbad\n"])
def test_ca_file_that_cannot_be_loaded_is_named_and_the_server_still_looked_at(
    content: str | None, ca: trustme.CA, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    handshake = shake(profile(str(path)), context=server_context(ca.issue_cert(HOST)))
    assert handshake.failure is TlsFailure.OTHER
    assert handshake.ca_problem.startswith(str(path))
    assert len(handshake.ca_problem) > len(str(path)) + 3
    assert handshake.diagnosed
    assert handshake.leaf is not None


def test_machine_without_authorities_is_recognised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ca: trustme.CA
) -> None:
    """OpenSSL itself says nothing, and every certificate would look untrusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    handshake = shake(profile(""), context=server_context(ca.issue_cert(HOST)))
    assert handshake.failure is TlsFailure.OTHER
    assert handshake.ca_problem == "ENOENT"


def test_folder_of_authorities_is_a_trust_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ca: trustme.CA
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    ca.cert_pem.write_to_path(str(tmp_path / "some.pem"))
    assert verifying_context("").minimum_version is ssl.TLSVersion.TLSv1_2


def test_verdict_does_not_depend_on_the_python_version(ca_file: str) -> None:
    """Python 3.13 made contexts stricter in one way and laxer in another."""
    flags = verifying_context(ca_file).verify_flags
    assert not flags & (ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN)


# --- STARTTLS ----------------------------------------------------------------------------------------------


def submission(context: ssl.SSLContext, heard: list[bytes], *, greeting: bytes = b"220 hi\r\n") -> Handler:
    """A server that speaks SMTP, and TLS after STARTTLS; keeps what it hears, ``<TLS>`` for the handshake."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while line := await reader.readline():
            heard.append(line)
            if line == b"STARTTLS\r\n":
                writer.write(b"220 go ahead\r\n")
                await writer.drain()
                loop, protocol = asyncio.get_running_loop(), writer.transport.get_protocol()
                transport = await loop.start_tls(writer.transport, protocol, context, server_side=True)
                writer._transport = transport  # type: ignore[attr-defined]
                heard.append(b"<TLS>")
            elif line.startswith(b"EHLO"):
                writer.write(b"250-hi\r\n250 STARTTLS\r\n" if b"<TLS>" not in heard else b"250 hi again\r\n")
            else:
                writer.write(b"221 bye\r\n")

    return handler


async def up_to_tls(port: int, setup: Profile) -> tuple[Dialogue, TlsHandshake]:
    dialogue = Dialogue(await Stream.connect("127.0.0.1", port), setup, Wallet())
    await probe_greeting(dialogue)
    await probe_ehlo(dialogue, encrypted=False)
    await probe_starttls(dialogue)
    return dialogue, await probe_tls(dialogue)


def test_after_starttls_the_dialogue_goes_on_protected(ca: trustme.CA, ca_file: str) -> None:
    heard: list[bytes] = []

    async def run() -> None:
        async with listening(submission(server_context(ca.issue_cert(HOST)), heard)) as port:
            dialogue, handshake = await up_to_tls(port, profile(ca_file, tls="starttls"))
            assert handshake.verified
            assert dialogue.ehlo is None, "what was learned in the clear is forgotten (RFC 3207 section 4.2)"
            again = await probe_ehlo(dialogue, encrypted=True)
            assert again.reply is not None
            assert again.reply.text == "hi again"
            dialogue.stream.close()

    asyncio.run(run())
    assert heard[-2:] == [b"<TLS>", b"EHLO client.contoso.com\r\n"]


def test_second_look_says_ehlo_starttls_and_quit_and_nothing_else(ca: trustme.CA, ca_file: str) -> None:
    heard: list[bytes] = []

    async def run() -> TlsHandshake:
        context = server_context(ca.issue_cert("other.contoso.com"))
        async with listening(submission(context, heard)) as port:
            dialogue, handshake = await up_to_tls(port, profile(ca_file, tls="starttls"))
            dialogue.stream.close()
            return handshake

    handshake = asyncio.run(run())
    assert handshake.failure is TlsFailure.VERIFY
    assert handshake.diagnosed
    before = [b"EHLO client.contoso.com\r\n", b"STARTTLS\r\n"]
    assert heard == [*before, *before, b"<TLS>", b"QUIT\r\n"]


@pytest.mark.parametrize(
    "second", [b"421 too many connections\r\n", b"", b"220 hi\r\n" + b"220 surplus\r\n" * 3]
)
def test_second_look_that_gets_nowhere_leaves_the_first_as_it_is(
    second: bytes, ca: trustme.CA, ca_file: str
) -> None:
    greetings = iter((b"220 hi\r\n", second))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = server_context(ca.issue_cert("other.contoso.com"))
        await submission(context, [], greeting=next(greetings))(reader, writer)

    async def run() -> TlsHandshake:
        async with listening(handler) as port:
            setup = profile(ca_file, tls="starttls")
            setup = replace(setup, limits=replace(setup.limits, greeting_s=0.3))
            dialogue, handshake = await up_to_tls(port, setup)
            dialogue.stream.close()
            return handshake

    handshake = asyncio.run(run())
    assert handshake.failure is TlsFailure.VERIFY
    assert not handshake.diagnosed
    assert handshake.version == ""


def test_garbage_instead_of_a_handshake_after_starttls(ca_file: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        for reply in (b"250 STARTTLS\r\n", b"220 go ahead\r\n"):
            await reader.readuntil(b"\n")
            writer.write(reply)
        await reader.read(1)
        writer.write(b"500 5.5.2 what was that?\r\n")
        await reader.read()

    async def run() -> TlsHandshake:
        async with listening(handler) as port:
            dialogue, handshake = await up_to_tls(port, profile(ca_file, tls="starttls"))
            again = await probe_ehlo(dialogue, encrypted=True)
            assert again.failure is Failure.TLS, "nothing is said after a handshake that failed"
            dialogue.stream.close()
            return handshake

    handshake = asyncio.run(run())
    assert handshake.failure is TlsFailure.NOT_TLS
    assert "what was that?" in handshake.detail


def test_connection_that_breaks_inside_tls_is_a_tls_failure(ca: trustme.CA, ca_file: str) -> None:
    """A record nobody encrypted, right behind a good handshake."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        transport = writer.transport
        raw = transport._ssl_protocol._transport  # type: ignore[attr-defined]
        raw.write(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        await reader.read()

    async def run() -> None:
        async with listening(handler, server_context(ca.issue_cert(HOST))) as port:
            dialogue = Dialogue(await Stream.connect("127.0.0.1", port), profile(ca_file), Wallet())
            assert (await probe_tls(dialogue)).verified
            ehlo = await probe_ehlo(dialogue, encrypted=True)
            assert ehlo.failure is Failure.TLS
            assert ehlo.detail
            dialogue.stream.close()

    asyncio.run(run())


# --- reading certificates ----------------------------------------------------------------------------------


def der_of(key: object, *, extensions: tuple[x509.ExtensionType, ...] = ()) -> bytes:
    issuer = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\x1bb")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key)  # type: ignore[arg-type]
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer, hashes.SHA384()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("key", "kind", "bits"),
    [
        (rsa.generate_private_key(65537, 1024), "RSA", 1024),  # noqa: S505 - weak keys are to be recognised
        (ec.generate_private_key(ec.SECP384R1()), "EC", 384),
        (dsa.generate_private_key(1024), "DSA", 1024),  # noqa: S505 - weak keys are to be recognised
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519", 256),
    ],
)
def test_kind_and_size_of_a_key_are_read(key: rsa.RSAPrivateKey, kind: str, bits: int) -> None:
    found = read_certificate(der_of(key.public_key()))
    assert found is not None
    assert (found.key_type, found.key_bits, found.signature_hash) == (kind, bits, "sha384")
    assert found.names == ()
    assert found.subject.isprintable()


def test_signature_without_a_hash_of_its_own_has_none() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("2001:db8::1"))]), critical=False
        )
        .sign(key, None)
    )
    found = read_certificate(built.public_bytes(Encoding.DER))
    assert found is not None
    assert found.signature_hash == ""
    assert found.names == ("2001:db8::1",)


def test_signature_of_an_unknown_kind_has_no_hash() -> None:
    der = der_of(ec.generate_private_key(ec.SECP256R1()).public_key())
    ecdsa_with_sha384 = bytes.fromhex("2a8648ce3d040303")
    found = read_certificate(der.replace(ecdsa_with_sha384, ecdsa_with_sha384[:-1] + b"\x7f"))
    assert found is not None
    assert found.signature_hash == ""


def test_unreadable_certificate_is_nothing() -> None:
    assert read_certificate(b"\x30\x03\x02\x01\x01") is None
