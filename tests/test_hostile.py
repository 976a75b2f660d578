"""Servers that drip, babble and lie: a run ends within its limits, with one red line, and reports.

Every server here keeps a naive client waiting for ever: one that waits anew for each byte, or for the end.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from smtp_preflight.lab.conditions import Conditions, NameConditions
from smtp_preflight.lab.names import NameServer
from smtp_preflight.lab.tokens import Mint
from smtp_preflight.lab.wording import PLAIN
from smtp_preflight.lab.world import World
from smtp_preflight.profile import load_profile, load_providers

PAUSE_S = 0.2  # between two bytes that drip; every limit is longer
SUBMISSION = ["auth", "mail_from", "rcpt_to"]
REPORTS = {"report.html", "report.json", "junit.xml", "summary.md"}

Serve = Callable[[socket.socket], None]


# --- servers -----------------------------------------------------------------------------------------------


class Server:
    """Listens on loopback and serves each connection in a thread of its own, until it is stopped."""

    def __init__(self, serve: Serve) -> None:
        self.asked = threading.Event()
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def stop(self) -> None:
        for one in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # stopped
            while True:
                connection, _ = self._listening.accept()
                self._open.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        self.asked.set()
        with contextlib.suppress(OSError), connection:  # the client has gone
            self._serve(connection)


class Names:
    """A name server on loopback, so that no question leaves this machine; it knows the profile's domain."""

    def __init__(self) -> None:
        world = World(conditions=Conditions(), wording=PLAIN, mint=Mint(), client_secret="")
        self._key = world.mint.public_key()
        self._known = NameServer(world, NameConditions())
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def know(self, profile: Path) -> None:
        """Publish what a healthy domain does."""
        written = load_profile(profile, load_providers())
        self._known.serve(written, self._key, dkim_by_alias=False)

    def stop(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # stopped
            while True:
                query, client = self._socket.recvfrom(4096)
                self._socket.sendto(self._known.answer(query), client)


def line_of(connection: socket.socket) -> bytes:
    """The next line; raises ConnectionError at the end."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError
        line += byte
    return line


def says(text: str) -> Serve:
    return lambda connection: connection.sendall(text.encode())


def drips(text: bytes) -> Serve:
    """Say it byte by byte, and the last byte again and again."""

    def serve(connection: socket.socket) -> None:
        for byte in itertools.chain(text, itertools.repeat(text[-1])):
            connection.sendall(bytes([byte]))
            time.sleep(PAUSE_S)

    return serve


def babbles(piece: bytes, first: bytes = b"") -> Serve:
    """Say it for ever, as fast as it is taken."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(piece)

    return serve


class Mail:
    """A submission service that does all it should, but for what a test puts in the place of a reply."""

    def __init__(self, context: ssl.SSLContext, **instead: Serve) -> None:
        self._context = context
        self._replies: dict[str, Serve] = {
            "GREETING": says("220 mail.example ESMTP\r\n"),
            "EHLO": says("250-mail.example\r\n250 STARTTLS\r\n"),
            "STARTTLS": says("220 go\r\n"),
            "HANDSHAKE": lambda _: None,
            "EHLO_TLS": says("250-mail.example\r\n250 AUTH XOAUTH2\r\n"),
            "AUTH": says("235 2.7.0 welcome\r\n"),
            "QUIT": says("221 bye\r\n"),
            **instead,
        }

    def __call__(self, connection: socket.socket) -> None:
        verb, suffix = "GREETING", ""
        while verb != "QUIT":
            self._replies.get(verb + suffix, self._replies.get(verb, says("250 ok\r\n")))(connection)
            if verb == "STARTTLS":
                self._replies["HANDSHAKE"](connection)
                connection, suffix = self._context.wrap_socket(connection, server_side=True), "_TLS"
            verb = line_of(connection).split()[0].decode().upper()


class Web:
    """A token endpoint that answers each request with the same bytes, or in the way a test wants."""

    def __init__(self, context: ssl.SSLContext, answer: Serve) -> None:
        self._context = context
        self._answer = answer

    def __call__(self, connection: socket.socket) -> None:
        secured = self._context.wrap_socket(connection, server_side=True)
        size = 0
        while (line := line_of(secured)) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        while size:
            size -= len(secured.recv(size))
        self._answer(secured)
        secured.unwrap()


def http(body: bytes, status: str = "200 OK", **headers: str) -> Serve:
    """One whole response; an underscore stands for a hyphen."""
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return lambda connection: connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)


GRANTED = json.dumps({"access_token": "a-token-nobody-reads", "token_type": "Bearer", "expires_in": 3600})
RECORD = b"\x16\x03\x03\x40\x00\x02"  # how a handshake of 16 KiB begins


# --- a profile for them ------------------------------------------------------------------------------------


PROFILE = """
provider = "custom"
mailbox  = "alerts@contoso.com"

[smtp]
host = "127.0.0.1"
port = {mail}

[dns]
servers = ["127.0.0.1:{names}"]

[tls]
ca_file = "ca.pem"

[oauth]
{endpoint} = "https://127.0.0.1:{web}/token"
client_id      = "smtp-client"
client_secret  = {{ env = "HOSTILE_CLIENT_SECRET" }}
grant          = "client_credentials"

[limits]
{limits}
"""
LIMITS = {"greeting_s": 1.0, "reply_s": 1.0, "tls_s": 1.0, "http_s": 1.0}


class House:
    """A mail server and a token endpoint, and a profile that names them."""

    def __init__(self, folder: Path) -> None:
        self.environment = {"HOSTILE_CLIENT_SECRET": "a-secret-of-some-length"}
        self.servers: list[Server] = []
        self.names = Names()
        self._folder = folder
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.context)

    def profile(
        self,
        mail: Serve | None = None,
        web: Serve | None = None,
        endpoint: str = "token_endpoint",
        **limits: float,
    ) -> str:
        """Start both, healthy where nothing is said, and write the profile; return its option."""
        mail_server = Server(mail or Mail(self.context))
        web_server = Server(web or Web(self.context, http(GRANTED.encode())))
        self.servers += [mail_server, web_server]
        text = PROFILE.format(
            mail=mail_server.port,
            web=web_server.port,
            names=self.names.port,
            endpoint=endpoint,
            limits="\n".join(f"{name} = {value}" for name, value in (LIMITS | limits).items()),
        )
        path = self._folder / "hostile.toml"
        path.write_text(text, encoding="utf-8")
        self.names.know(path)
        return f"--profile={path}"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.names.stop()
    for server in made.servers:
        server.stop()


def red(done: Any) -> tuple[int, list[str | None], set[str]]:
    """How a run ended, the codes of its red lines, and the names of the reports it wrote."""
    codes = [done.codes("hostile")[check] for check in done.having("failed", "hostile")]
    return done.status, codes, {file.name for file in (done.folder / "hostile").iterdir() if file.is_file()}


def test_the_servers_are_well_otherwise(house: House, run_suite: Any) -> None:
    """Without a trick all holds: what the other tests see is the trick's doing."""
    done = run_suite(house.profile(), environment=house.environment)
    assert (done.status, done.report("hostile")["verdict"]) == (0, "ready")


# --- the mail server ---------------------------------------------------------------------------------------

MAIL = {
    "a greeting that drips": ({"GREETING": drips(b"220 mail.exampl")}, "greeting_timeout"),
    "a greeting without end": ({"GREETING": babbles(b"220-and another thing\r\n")}, "not_smtp"),
    "a line without end": ({"GREETING": babbles(b"220 " + b"x" * 4096)}, "not_smtp"),
    "an EHLO reply that drips": ({"EHLO": drips(b"250-mail.example\r\n250")}, "reply_timeout"),
    "a STARTTLS reply that drips": ({"STARTTLS": drips(b"220 g")}, "reply_timeout"),
    "a handshake that drips": ({"HANDSHAKE": drips(RECORD)}, "tls_handshake_timeout"),
    "a second EHLO reply that drips": ({"EHLO_TLS": drips(b"250-mail.ex")}, "reply_timeout"),
    "an AUTH reply that drips": ({"AUTH": drips(b"235 2.7.0 ok")}, "auth_no_answer"),
    "an AUTH reply without end": ({"AUTH": babbles(b"235-2.7.0 welcome\r\n")}, "auth_connection_closed"),
    "challenges without end": ({"AUTH": babbles(b"334 \r\n")}, "token_rejected_by_server"),
    "a MAIL reply that drips": ({"MAIL": drips(b"250 2")}, "reply_timeout"),
}


@pytest.mark.parametrize("what", MAIL)
def test_a_mail_server_cannot_hold_a_run_up(what: str, house: House, run_suite: Any) -> None:
    """A limit is one for the whole reply, and a reply has a size."""
    instead, code = MAIL[what]
    done = run_suite(house.profile(mail=Mail(house.context, **instead)), environment=house.environment)
    status, codes, reports = red(done)
    assert (status, codes) == (1, [code])
    assert reports >= REPORTS


# --- the token endpoint ------------------------------------------------------------------------------------

WRONG_TYPES = {"access_token": 5, "token_type": {}, "expires_in": "soon", "scope": [1], "error": ["no"]}
WEB = {
    "headers that drip": (drips(b"HTTP/1.1 200 OK\r\nX: "), "token_endpoint_unreachable"),
    "headers without end": (babbles(b"X: y\r\n", b"HTTP/1.1 200 OK\r\n"), "token_endpoint_unreachable"),
    "a body that drips": (
        drips(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{ "),
        "token_endpoint_unreachable",
    ),
    "a body without end": (babbles(b" " * 65536, b"HTTP/1.1 200 OK\r\n\r\n{"), "token_response_not_json"),
    "no HTTP": (says("+OK POP3 ready\r\n"), "token_endpoint_unreachable"),
    "nothing": (lambda _: None, "token_endpoint_unreachable"),
    "a web page": (
        http(b"<html><h1>Sign in to the network</h1>", Content_Type="text/html"),
        "token_response_not_json",
    ),
    "half of the JSON": (http(GRANTED[:40].encode()), "token_response_not_json"),
    "less than was promised": (http(GRANTED.encode(), Content_Length="4096"), "token_endpoint_unreachable"),
    "a list": (http(b"[]"), "token_response_not_json"),
    "nesting without end": (http(b"[" * 100_000), "token_response_not_json"),
    "a compressed body": (
        http(gzip.compress(GRANTED.encode()), Content_Encoding="gzip"),
        "token_response_not_json",
    ),
    "a way to somewhere in the clear": (
        http(b"", "302 Found", Location="http://127.0.0.1/token"),
        "token_response_not_json",
    ),
    "values of other types": (http(json.dumps(WRONG_TYPES).encode()), "unexplained"),
}


@pytest.mark.parametrize("what", WEB)
def test_a_token_endpoint_cannot_hold_a_run_up(what: str, house: House, run_suite: Any) -> None:
    """It is one red line of stage token; mail server and run go on."""
    answer, code = WEB[what]
    done = run_suite(house.profile(web=Web(house.context, answer)), environment=house.environment)
    status, codes, reports = red(done)
    assert (status, codes) == (1, [code])
    assert reports >= REPORTS
    report = done.report("hostile")
    assert report["findings"][0]["stage"] == "token"
    assert report["proven"] == "auth_offered"


def test_a_token_endpoint_that_drips_its_handshake(house: House, run_suite: Any) -> None:
    """It cannot be reached, which is what the report says."""
    done = run_suite(house.profile(web=drips(RECORD)), environment=house.environment)
    assert red(done)[:2] == (1, ["token_endpoint_unreachable"])


METADATA = {
    "nothing": (lambda _: None, "discovery_unreachable"),
    "a web page": (http(b"<html>"), "discovery_invalid"),
    "a token endpoint elsewhere": (
        http(b'{"issuer": "https://127.0.0.1/token", "token_endpoint": "https://contoso.example/"}'),
        "discovery_invalid",
    ),
}


@pytest.mark.parametrize("what", METADATA)
def test_without_metadata_no_token_is_asked_for(what: str, house: House, run_suite: Any) -> None:
    """Where the endpoint is left to them: one red line, at the first check that it prevents."""
    answer, code = METADATA[what]
    option = house.profile(web=Web(house.context, answer), endpoint="issuer")
    done = run_suite(option, environment=house.environment)
    assert red(done)[:2] == (1, [code])
    outcomes = {one["stage"]: one["outcome"] for one in done.report("hostile")["checks"]}
    assert {outcomes[stage] for stage in SUBMISSION} == {"blocked"}
    assert not done.having("error", "hostile")


# --- the run's own end -------------------------------------------------------------------------------------


def test_the_limit_of_a_run_ends_it(house: House, run_suite: Any) -> None:
    """Whatever the limits of its questions; what had been answered by then is judged."""
    slow = Mail(house.context, GREETING=drips(b"220 mail.exampl"))
    done = run_suite(house.profile(mail=slow, run_s=2.0, greeting_s=100.0), environment=house.environment)
    status, codes, reports = red(done)
    assert (status, codes) == (1, ["run_limit_reached"])
    assert reports >= REPORTS
    assert done.report("hostile")["cut_short"] == "run_limit"
    assert "test_token.py::test_token_is_granted" in done.having("passed", "hostile")


def test_ctrl_c_ends_it_with_reports(house: House, run_suite: Any) -> None:
    """Exit 2 in the middle of an answer that drips; the verdict is that nobody knows."""
    option = house.profile(web=Web(house.context, drips(b"HTTP/1.1 200 OK\r\nX: ")), http_s=100.0)
    process, folder = run_suite.start(option, environment=house.environment)
    assert all(server.asked.wait(30) for server in house.servers)
    time.sleep(2 * PAUSE_S)  # into the headers; were it still before them, the run would end in the same way
    process.send_signal(signal.SIGINT)
    done = run_suite.completed(process, folder)
    assert done.status == 2
    assert done.report("hostile")["verdict"] == "incomplete"
    assert {file.name for file in (folder / "hostile").iterdir()} >= REPORTS


# --- only what is needed, and what cannot be read ----------------------------------------------------------

DIARY = """
import json, os
from pathlib import Path

from smtp_preflight.lab import Lab

begin, labs = Lab.start.__func__, []

def start(kind, *args):
    labs.append(begin(kind, *args))
    return labs[-1]

Lab.start = classmethod(start)

def pytest_unconfigure(config):
    Path(os.environ["DIARY"]).write_text(json.dumps([event.server for lab in labs for event in lab.log]))
"""


@pytest.mark.parametrize(
    ("selected", "servers"),
    [("-kdns", {"dns"}), ("-mtcp", {"dns", "smtp"}), ("-mdiscovery", {"dns", "http"}), ("-mprofile", set())],
)
def test_only_what_is_needed_is_asked(
    selected: str, servers: set[str], run_suite: Any, tmp_path: Path
) -> None:
    """By what the servers have seen: a look at DNS speaks to no mail server, nor asks for a token."""
    diary = tmp_path / "diary.json"
    done = run_suite("--profile=demo", selected, plugin=DIARY, environment={"DIARY": str(diary)})
    assert done.status == 0
    assert set(json.loads(diary.read_text(encoding="utf-8"))) == servers


@pytest.mark.parametrize("value", [{}, {"HOSTILE_CLIENT_SECRET": ""}], ids=["unset", "empty"])
def test_a_secret_that_cannot_be_read_is_a_finding(
    value: dict[str, str], house: House, run_suite: Any
) -> None:
    """Nothing is asked of the token endpoint; the mail server is, as far as that goes without a token."""
    done = run_suite(house.profile(), environment=value)
    status, codes, reports = red(done)
    assert (status, codes) == (1, ["secret_unavailable"])
    assert reports >= REPORTS
    assert not house.servers[1].asked.is_set()
    outcomes: dict[str, set[str]] = {}
    for check in done.report("hostile")["checks"]:
        outcomes.setdefault(check["stage"], set()).add(check["outcome"])
    assert {stage: outcomes[stage] - {"skipped"} for stage in ("token", *SUBMISSION)} == {
        stage: {"blocked"} for stage in ("token", *SUBMISSION)
    }
    for stage in ("tcp", "greeting", "starttls", "tls", "auth_offered"):
        assert outcomes[stage] <= {"passed", "skipped"}
