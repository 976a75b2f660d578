"""One request over real TLS on loopback, against servers that misbehave in every way HTTP allows."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import gzip
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import trustme

from smtp_preflight.model import HttpExchange, HttpFailure, Limits, OAuth, Profile, Provider, Smtp
from smtp_preflight.oauth import http
from smtp_preflight.oauth.http import Request, exchange, json_object
from smtp_preflight.secrets import Secret, Wallet

HOST = "login.contoso.example"
CANARY = "canary~Q8-planted/secret+value"

Behaviour = Callable[[socket.socket], None]


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A response as a server that has nothing to hide writes it."""
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"))
    return head.encode() + b"\r\n" + body


def saying(*parts: bytes) -> Behaviour:
    return lambda connection: connection.sendall(b"".join(parts))


def silent(connection: socket.socket) -> None:
    """Hold the connection until the other side has had enough."""
    with contextlib.suppress(OSError):
        connection.recv(1)


def dripping(data: bytes) -> Behaviour:
    def drip(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for byte in data:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)

    return drip


class Server:
    """Takes connections on 127.0.0.1 and does to each what it is told; keeps the requests it has read."""

    def __init__(self, context: ssl.SSLContext | None, behave: Behaviour) -> None:
        self._context = context
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/token"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                connection.settimeout(10)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self.requests.append(read_request(connection))
                self._behave(connection)
                connection.shutdown(socket.SHUT_WR)
                silent(connection)


def read_request(connection: socket.socket) -> bytes:
    """A request with its body, as far as its Content-Length goes."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    fields = [line.partition(b":") for line in head.lower().split(b"\r\n")]
    size = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
    while len(body) < size and (more := connection.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def context_for(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Callable[..., Server]]:
    """Start a server with a behaviour; by default it speaks TLS, in the right name."""
    running: list[Server] = []
    shown = context_for(authority, HOST)

    def start(behave: Behaviour, context: ssl.SSLContext | None = shown) -> Server:
        running.append(Server(context, behave))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def profile(ca_file: Path) -> Profile:
    return Profile(
        name="contoso",
        provider=Provider("custom", "A server"),
        mailbox="alerts@contoso.example",
        smtp=Smtp("smtp.contoso.example"),
        oauth=OAuth(),
        ca_file=str(ca_file),
        limits=Limits(http_s=10),
    )


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def to_loopback(_host: str) -> tuple[str, ...]:
    return ("127.0.0.1",)


def ask(
    profile: Profile, request: Request | str, wallet: Wallet | None = None, **how: object
) -> tuple[HttpExchange, bytes]:
    request = Request("GET", request) if isinstance(request, str) else request
    how = {"resolve": to_loopback, **how}
    return asyncio.run(exchange(request, profile, wallet or Wallet(), **how))  # type: ignore[arg-type] # as given


def briefly(profile: Profile, limit_s: float = 0.4) -> Profile:
    return replace(profile, limits=Limits(http_s=limit_s))


# --- what is sent ------------------------------------------------------------------------------------------


def test_a_form_is_posted_in_the_body_and_nothing_of_it_in_the_url(serve, profile):
    server = serve(saying(whole(b'{"ok": true}', "Content-Type: application/json")))
    request = Request(
        "POST", server.url, {"grant_type": "refresh_token", "refresh_token": Secret("a+b/c=", "test")}
    )
    found, body = ask(profile, request)
    head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /token http/1.1"
    assert f"host: {HOST}:{server.port}".encode() in lines
    assert b"accept-encoding: identity" in lines
    assert b"content-type: application/x-www-form-urlencoded" in lines
    assert sent == b"grant_type=refresh_token&refresh_token=a%2Bb%2Fc%3D"
    assert (found.status, found.is_json, found.sent, body) == (200, True, True, b'{"ok": true}')
    assert found.headers == {"content-type": "application/json"}


def test_basic_credentials_are_form_urlencoded_before_they_are_joined(serve, profile):
    """RFC 6749 section 2.3.1; a colon or a percent sign in either would otherwise be taken for ours."""
    server = serve(saying(whole(b"{}")))
    ask(profile, Request("POST", server.url, {"a": "b"}, basic=("id:1", Secret("s %+", "test"))))
    line = next(one for one in server.requests[0].split(b"\r\n") if one.lower().startswith(b"authorization:"))
    assert base64.b64decode(line.split()[-1]) == b"id%3A1:s+%25%2B"


def test_a_request_shows_where_its_secrets_are_from_and_not_what_they_are():
    request = Request(
        "POST", "https://x.example", {"s": Secret(CANARY, "env:S")}, ("id", Secret(CANARY, "env:S"))
    )
    assert CANARY not in repr(request)


def test_no_cookie_is_sent_back(serve, profile):
    server = serve(saying(whole(b"{}", "Set-Cookie: a=b")))
    for _ in range(2):
        ask(profile, server.url)
    assert not [one for one in server.requests if b"cookie" in one.lower()]


# --- to whom -----------------------------------------------------------------------------------------------


def test_the_certificate_is_verified_for_the_name_and_not_for_the_address(serve, profile, authority):
    other = serve(saying(whole(b"{}")), context_for(authority, "other.example", "127.0.0.1"))
    found, body = ask(profile, other.url)
    assert (found.failure, found.status, found.sent, body) == (HttpFailure.TLS, None, False, b"")
    assert HOST in found.detail
    assert other.requests == []


def test_a_certificate_of_an_unknown_authority_ends_it(serve, profile):
    stranger = serve(saying(whole(b"{}")), context_for(trustme.CA(), HOST))
    found, _ = ask(profile, stranger.url)
    assert (found.failure, found.sent) == (HttpFailure.TLS, False)
    assert "unable to get local issuer" in found.detail


def test_without_a_ca_file_the_systems_authorities_are_asked(serve, profile):
    found, _ = ask(replace(profile, ca_file=""), serve(saying(whole(b"{}"))).url)
    assert found.failure is HttpFailure.TLS


def test_a_ca_file_that_cannot_be_read_is_said(profile, tmp_path):
    found, _ = ask(replace(profile, ca_file=str(tmp_path / "none.pem")), f"https://{HOST}/")
    assert (found.failure, found.detail) == (HttpFailure.TLS, "no certificate authorities: ENOENT")


def test_a_server_without_tls_1_2_is_refused(serve, profile, authority):
    context = context_for(authority, HOST)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    found, _ = ask(profile, serve(saying(whole(b"{}")), context).url)
    assert found.failure is HttpFailure.TLS


def test_a_server_that_speaks_no_tls_is_told_from_one_that_hangs_up(profile):
    told = []
    for words in (b"220 smtp.example ESMTP\r\n", b""):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=answer_once, args=(listener, words), daemon=True).start()
            told.append(ask(profile, f"https://{HOST}:{listener.getsockname()[1]}/")[0])
    assert [(one.failure, one.sent) for one in told] == [(HttpFailure.TLS, False)] * 2
    assert told[0].detail != told[1].detail


def answer_once(listener: socket.socket, words: bytes) -> None:
    with listener.accept()[0] as connection:
        connection.recv(65536)
        connection.sendall(words)


def test_a_further_address_is_tried_when_the_first_refuses(serve, profile):
    async def resolve(host: str) -> tuple[str, ...]:
        assert host == HOST
        return "127.0.0.2", "::1", "127.0.0.1"

    server = serve(saying(whole(b"{}")))
    found, _ = ask(profile, server.url, resolve=resolve)
    assert (found.status, len(server.requests)) == (200, 1)


def test_an_address_that_says_nothing_does_not_use_up_the_time_of_the_others(serve, profile, monkeypatch):
    monkeypatch.setattr(http, "TRY_ADDRESS_S", 0.2)

    async def resolve(_host: str) -> tuple[str, ...]:
        return "127.0.0.2", "127.0.0.1"

    server = serve(saying(whole(b"{}")))
    with deaf("127.0.0.2", server.port):
        found, _ = ask(profile, server.url, resolve=resolve)
    assert (found.status, len(server.requests)) == (200, 1)


def test_a_slow_handshake_is_not_taken_for_an_address_that_says_nothing(serve, profile, monkeypatch):
    monkeypatch.setattr(http, "TRY_ADDRESS_S", 0.1)

    async def resolve(_host: str) -> tuple[str, ...]:
        return "127.0.0.1", "127.0.0.2"

    def late(connection: socket.socket) -> None:
        time.sleep(0.4)
        connection.sendall(whole(b"{}"))

    found, _ = ask(profile, serve(late).url, resolve=resolve)
    assert found.status == 200


def test_whoever_shows_a_wrong_certificate_ends_it_whatever_addresses_are_left(serve, profile, authority):
    async def resolve(_host: str) -> tuple[str, ...]:
        return "127.0.0.1", "127.0.0.1"

    server = serve(saying(whole(b"{}")), context_for(authority, "other.example"))
    found, _ = ask(profile, server.url, resolve=resolve)
    assert (found.failure, server.connections) == (HttpFailure.TLS, 1)


@contextlib.contextmanager
def deaf(address: str, port: int = 0) -> Iterator[int]:
    """A port of an address whose queue is full: it drops whoever wants to connect (Linux)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(3):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_where_every_address_refuses_the_last_ones_words_are_kept(profile):
    with socket.socket() as bound:  # and listening to nobody
        bound.bind(("127.0.0.1", 0))
        found, _ = ask(profile, f"https://{HOST}:{bound.getsockname()[1]}/")
    assert (found.failure, found.detail, found.sent) == (HttpFailure.CONNECT, "ECONNREFUSED", False)


def test_an_address_in_the_url_is_not_resolved(serve, profile, authority):
    server = serve(saying(whole(b"{}")), context_for(authority, "127.0.0.1"))
    found, _ = ask(profile, f"https://127.0.0.1:{server.port}/", resolve=None)
    assert found.status == 200


def test_a_name_without_addresses_is_a_matter_of_dns(profile):
    async def resolve(_host: str) -> tuple[str, ...]:
        return ()

    found, _ = ask(profile, f"https://{HOST}/", resolve=resolve)
    assert (found.failure, found.detail, found.sent) == (HttpFailure.DNS, "no address", False)


def test_a_resolver_without_an_answer_is_a_matter_of_dns(profile):
    async def resolve(_host: str) -> tuple[str, ...]:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits that long")

    found, _ = ask(briefly(profile, 0.1), f"https://{HOST}/", resolve=resolve)
    assert (found.failure, found.detail) == (HttpFailure.DNS, "after 0.1 s, while resolving the name")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "EAI_NONAME"),
        (socket.gaierror(12345, "who knows"), "[Errno 12345] who knows"),
        (UnicodeError("label too long"), "not a host name"),
    ],
)
def test_without_name_servers_of_its_own_the_system_is_asked(profile, monkeypatch, problem, words):
    def getaddrinfo(*_args: object, **_more: object) -> object:
        raise problem

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    found, _ = ask(profile, f"https://{HOST}/", resolve=None)
    assert (found.failure, found.detail) == (HttpFailure.DNS, words)


@pytest.mark.usefixtures("no_proxies")
def test_the_systems_answer_is_connected_to(serve, profile, authority):
    server = serve(saying(whole(b"{}")), context_for(authority, "localhost"))
    found, _ = ask(profile, f"https://localhost:{server.port}/", resolve=None)
    assert found.status == 200


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://{HOST}/", "not https"),
        ("https://", "not https"),
        ("/token", "not https"),
        (f"https://user:{quote(CANARY, safe='')}@{HOST}/", "credentials in the URL"),
        ("https://a\x00b/", "not a URL"),
        ("https://[1/", "not a URL"),
        (f"https://{HOST}\\@other.example/", "credentials in the URL"),
        ("https://login\u3002contoso.example/", "not a URL"),
    ],
)
def test_only_https_is_spoken_and_no_url_brings_credentials(profile, url, words):
    wallet = Wallet()
    wallet.put("client_secret", Secret(CANARY, "test"))
    found, _ = ask(profile, url, wallet)
    assert (found.failure, found.detail, found.sent) == (HttpFailure.PROTOCOL, words, False)
    assert CANARY not in found.url


# --- servers that misbehave --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behave", [silent, dripping(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 1000)], ids=["silence", "dripping"]
)
def test_the_deadline_is_for_the_whole_answer_and_not_for_each_byte(serve, profile, behave):
    found, body = ask(briefly(profile), serve(behave).url)
    assert (found.failure, found.status, found.sent, body) == (HttpFailure.TIMEOUT, None, True, b"")
    assert found.detail == "after 0.4 s, while waiting for the answer"


def test_what_was_there_before_the_deadline_is_kept(serve, profile):
    head = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\n"
    found, body = ask(
        briefly(profile), serve(lambda one: (one.sendall(head), dripping(b"." * 100)(one))[0]).url
    )
    assert (found.failure, found.status, body) == (HttpFailure.TIMEOUT, 503, b"")
    assert found.headers["retry-after"] == "7"


def test_a_handshake_without_an_answer_meets_the_deadline(profile):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found, _ = ask(briefly(profile, 0.2), f"https://{HOST}:{listener.getsockname()[1]}/")
    assert (found.failure, found.sent) == (HttpFailure.TIMEOUT, False)
    assert found.detail == "after 0.2 s, while shaking hands"


def test_a_connection_that_does_not_come_about_meets_the_deadline(profile):
    with deaf("127.0.0.1") as port:
        found, _ = ask(briefly(profile, 0.2), f"https://{HOST}:{port}/")
    assert (found.failure, found.sent) == (HttpFailure.TIMEOUT, False)
    assert found.detail == "after 0.2 s, while connecting"


def test_a_connection_closed_before_the_answer_was_still_sent_a_request(serve, profile):
    found, _ = ask(profile, serve(saying()).url)
    assert (found.failure, found.status, found.sent) == (HttpFailure.CLOSED, None, True)


def test_a_connection_reset_before_the_answer_is_closed_too(serve, profile):
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        socket.socket.close(connection)

    found, _ = ask(profile, serve(reset).url)
    assert (found.failure, found.sent) == (HttpFailure.CLOSED, True)


def test_a_body_that_ends_too_early_is_no_answer(serve, profile):
    found, body = ask(profile, serve(saying(whole(b'{"access_token": "a"}')[:-3])).url)
    assert (found.failure, found.status, found.is_json, body) == (HttpFailure.CLOSED, 200, False, b"")


def test_what_is_not_http_is_said_to_be_that(serve, profile):
    found, _ = ask(profile, serve(saying(b"220 smtp.example ESMTP\r\n\r\n")).url)
    assert (found.failure, found.status, found.sent) == (HttpFailure.PROTOCOL, None, True)


def test_headers_without_end_are_given_up(serve, profile):
    endless = b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 300_000
    found, _ = ask(profile, serve(saying(endless)).url)
    assert found.failure is HttpFailure.PROTOCOL


def test_no_more_than_one_mebibyte_is_read(serve, profile):
    found, body = ask(profile, serve(saying(whole(b'"' + b"a" * (2 * 1024 * 1024) + b'"'))).url)
    assert (found.failure, found.cut, found.size_bytes, len(body)) == (None, True, 1 << 20, 1 << 20)
    assert (found.is_json, len(found.excerpt)) == (False, 300)


def test_a_redirect_is_recorded_and_not_followed(serve, profile):
    server = serve(saying(whole(b"", "Location: https://elsewhere.example/", status="302 Found")))
    found, _ = ask(profile, server.url)
    assert (found.status, found.headers["location"]) == (302, "https://elsewhere.example/")
    assert len(server.requests) == 1


def test_an_encoded_answer_is_recorded_and_not_decoded(serve, profile):
    packed = gzip.compress(b'{"access_token": "a"}')
    found, body = ask(profile, serve(saying(whole(packed, "Content-Encoding: gzip"))).url)
    assert (found.is_json, found.excerpt, found.headers["content-encoding"]) == (False, "", "gzip")
    assert body == packed


def test_a_web_page_leaves_an_inert_excerpt(serve, profile):
    page = "<html>\r\n  <title>Sign in\x1b[31m \u202eto Wi-Fi</title>" + "x" * 1000
    found, _ = ask(profile, serve(saying(whole(page.encode(), "Content-Type: text/html"))).url)
    assert found.excerpt.startswith(r"<html> <title>Sign in\x1b[31m \u202eto Wi-Fi</title>x")
    assert (len(found.excerpt), found.is_json) == (300, False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"token_type": "Bearer", "access_token": "ya29.only-half-of-th',
        b"refresh_token=0.AXoA-as-a-form",
        b'["eyJhbGciOiJSUzI1NiJ9.e30.x"]',
    ],
)
def test_what_may_hold_a_token_leaves_no_excerpt(serve, profile, body):
    """The answer that brought it broke, so that no wallet knows it yet."""
    found, _ = ask(profile, serve(saying(whole(body))).url)
    assert (found.is_json, found.excerpt) == (False, "(not shown, for it may hold a token)")


def test_an_answer_that_repeats_our_secrets_does_not_repeat_them_in_the_evidence(serve, profile):
    wallet = Wallet()
    wallet.put("client_secret", Secret(CANARY, "test"))
    echo = f"<p>{CANARY}</p>".encode()
    server = serve(saying(whole(echo, f"Server: {CANARY}", f"Location: /?s={CANARY}")))
    found, _ = ask(profile, server.url, wallet)
    assert found.excerpt == "<p><redacted></p>"
    assert found.headers == {"server": "<redacted>", "location": "/?s=<redacted>"}


def test_too_many_requests_keeps_when_to_come_back(serve, profile):
    answer = whole(b"{}", "Retry-After: 120", "X-Secret: no", status="429 Too Many Requests")
    found, _ = ask(profile, serve(saying(answer)).url)
    assert (found.status, found.headers) == (429, {"retry-after": "120"})


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Sat, 21 Nov 2026 06:00:00 GMT", dt.datetime(2026, 11, 21, 6, tzinfo=dt.UTC)),
        ("Sat, 21 Nov 2026 07:00:00 +0100", dt.datetime(2026, 11, 21, 6, tzinfo=dt.UTC)),
        ("Sat, 21 Nov 2026 06:00:00 -0000", dt.datetime(2026, 11, 21, 6, tzinfo=dt.UTC)),
        ("yesterday", None),
        ("Sat, 21 Nov 2026 06:00:00 +99999999999", None),
    ],
)
def test_the_date_is_read_where_it_is_one(serve, profile, text, date):
    found, _ = ask(profile, serve(saying(whole(b"{}", f"Date: {text}"))).url)
    assert found.date == date


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"\xef\xbb\xbf{}", {}),
        (b"[]", None),
        (b"null", None),
        (b"", None),
        (b"{", None),
        (b"\xff", None),
        (b'{"a": ' + b"9" * 5000 + b"}", None),
        (b'{"a":' * 100_000, None),
    ],
)
def test_an_object_is_told_from_everything_else(body: bytes, found: Mapping[str, object] | None):
    assert json_object(body) == found


# --- proxies -----------------------------------------------------------------------------------------------


def tunnel_to(port: int) -> Behaviour:
    """What a proxy does to whoever has asked it to CONNECT."""

    def carry(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        onward = socket.create_connection(("127.0.0.1", port))
        back = threading.Thread(target=pump, args=(onward, connection), daemon=True)
        back.start()
        pump(connection, onward)
        back.join(5)

    return carry


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("way", ["profile", "HTTPS_PROXY", "ALL_PROXY", "no scheme"])
def test_a_proxy_is_used_and_recorded_without_its_password(serve, profile, monkeypatch, way):
    server = serve(saying(whole(b"{}")))
    proxy = serve(tunnel_to(server.port), None)
    place = f"user:{quote(CANARY, safe='')}@127.0.0.1:{proxy.port}"
    if way == "profile":
        profile = replace(profile, proxy=f"http://127.0.0.1:{proxy.port}")
    else:
        name, scheme = ("https_proxy", "") if way == "no scheme" else (way, "http://")
        monkeypatch.setenv(name, scheme + place)
    found, _ = ask(profile, server.url, resolve=None)
    assert (found.status, found.proxy) == (200, f"http://127.0.0.1:{proxy.port}")
    assert proxy.requests[0].startswith(f"CONNECT {HOST}:{server.port} ".encode())
    assert (b"proxy-authorization" in proxy.requests[0].lower()) == (way != "profile")
    assert CANARY not in repr(found)


@pytest.mark.usefixtures("no_proxies")
def test_a_host_that_needs_no_proxy_is_asked_directly(serve, profile, authority, monkeypatch):
    server = serve(saying(whole(b"{}")), context_for(authority, "localhost"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "localhost")
    found, _ = ask(profile, f"https://localhost:{server.port}/", resolve=None)
    assert (found.status, found.proxy) == (200, "")


def test_with_name_servers_of_its_own_a_profile_uses_no_proxy_of_the_environment(serve, profile, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    found, _ = ask(profile, serve(saying(whole(b"{}"))).url)
    assert (found.status, found.proxy) == (200, "")


def test_a_proxy_that_wants_a_password_is_a_matter_of_the_proxy(serve, profile):
    proxy = serve(saying(whole(b"", status="407 Proxy Authentication Required")), None)
    found, _ = ask(replace(profile, proxy=f"http://127.0.0.1:{proxy.port}"), f"https://{HOST}/")
    assert (found.failure, found.status, found.sent) == (HttpFailure.PROXY, None, False)
    assert found.detail == "407 Proxy Authentication Required"


def test_a_proxy_that_hangs_up_or_does_not_listen_is_a_matter_of_the_proxy(serve, profile):
    for place in (f"127.0.0.1:{serve(saying(), None).port}", "localhost:1"):
        found, _ = ask(replace(profile, proxy=f"http://{place}"), f"https://{HOST}/")
        assert (found.failure, found.sent) == (HttpFailure.PROXY, False)
        assert found.detail


def test_of_a_proxy_with_several_addresses_the_first_ones_words_are_kept(profile, monkeypatch):
    def getaddrinfo(_host: object, port: int, *_args: object, **_more: object) -> object:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.1", "127.0.0.2")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    found, _ = ask(replace(profile, proxy="http://proxy.contoso.example:1"), f"https://{HOST}/")
    assert (found.failure, found.detail) == (HttpFailure.PROXY, "ECONNREFUSED")


def test_a_certificate_is_verified_through_a_proxy_too(serve, profile, authority):
    server = serve(saying(whole(b"{}")), context_for(authority, "other.example"))
    proxy = serve(tunnel_to(server.port), None)
    found, _ = ask(replace(profile, proxy=f"http://127.0.0.1:{proxy.port}"), server.url)
    assert (found.failure, found.sent) == (HttpFailure.TLS, False)


def test_a_proxy_over_tls_is_verified_by_the_same_authorities(serve, profile, authority):
    server = serve(saying(whole(b"{}")))
    proxy = serve(tunnel_to(server.port), context_for(authority, "127.0.0.1"))
    found, _ = ask(replace(profile, proxy=f"https://127.0.0.1:{proxy.port}"), server.url)
    assert found.failure in (None, HttpFailure.PROXY, HttpFailure.TLS)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://127.0.0.1:1", "neither an http nor an https proxy"),
        (f"http://user:{CANARY}@127.0.0.1:1", "the proxy's URL cannot be read"),
    ],
)
def test_a_proxy_of_another_kind_is_said_to_be_that(profile, monkeypatch, proxy, words):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    found, _ = ask(profile, f"https://{HOST}/", resolve=None)
    assert (found.failure, found.detail) == (HttpFailure.PROXY, words)
    assert CANARY not in repr(found)


# --- in place of the network -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "failure", "sent"),
    [
        (httpx.ConnectError("refused"), HttpFailure.CONNECT, False),
        (httpx.ReadTimeout("late"), HttpFailure.TIMEOUT, True),
        (httpx.ReadError(""), HttpFailure.CLOSED, True),
        (httpx.LocalProtocolError("a bad header"), HttpFailure.PROTOCOL, True),
    ],
)
def test_a_transport_takes_the_place_of_the_network_and_of_dns(profile, problem, failure, sent):
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise problem

    found, _ = ask(profile, f"https://{HOST}/", resolve=None, transport=httpx.MockTransport(refuse))
    assert (found.failure, found.sent) == (failure, sent)
    assert found.detail


def test_an_answer_that_was_complete_stays_so_when_hanging_up_takes_too_long(profile):
    class Lingering(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b'{"a": 1}'

        async def aclose(self) -> None:
            await asyncio.sleep(60)

    transport = httpx.MockTransport(lambda _request: httpx.Response(200, stream=Lingering()))
    found, body = ask(briefly(profile, 0.2), f"https://{HOST}/", resolve=None, transport=transport)
    assert (found.failure, found.is_json, body) == (None, True, b'{"a": 1}')


# --- what is said elsewhere --------------------------------------------------------------------------------


def test_neither_httpx_nor_httpcore_logs_anything(serve, profile, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.connection", "httpcore.http11"):
        caplog.set_level(logging.DEBUG, name)
    server = serve(saying(whole(b"{}")))
    ask(profile, Request("POST", server.url, {"client_secret": Secret(CANARY, "test")}))
    assert [one.name for one in caplog.records if one.name.startswith("http")] == []
    assert CANARY not in caplog.text
