"""A Postfix of our own, in a temporary folder, with all that a mail setup has around it; loopback only.

The mail server is the packaged one, unpatched, and the profile is written as its user would write it. Ours
are the name server, the certificates and the far side of Dovecot's auth socket, behind which Postfix lets
others check credentials.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import os
import random
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.zone
import pytest
import trustme

DOMAIN = "contoso.example"
HOST = f"submission.{DOMAIN}"
MAILBOX = f"alerts@{DOMAIN}"
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)

START_S = 20  # for Postfix to listen on all its ports
STOP_S = 10  # for its processes to go
LIFE_S = 3600  # after which Postfix ends by itself, should nobody be left to end it
TRIES = 5  # a free port may be taken before a server listens on it
FIRST_PORT, LAST_PORT = 20_000, 32_000
PORT_WORKERS = 8

PASSWORDS = ("PLAIN\tplaintext", "LOGIN\tplaintext")  # as Dovecot tells them: name, then what they are
BEARER = ("XOAUTH2", "OAUTHBEARER")

# What each of the server's ports is like; all else is in main.cf. Settings of master.cf hold no blanks.
PORTS: Mapping[str, Mapping[str, str]] = {
    "passwords_only": {},
    "bearer": {"smtpd_sasl_path": "bearer"},
    "passwords_and_bearer": {"smtpd_sasl_path": "passwords_and_bearer"},
    "no_login": {"smtpd_sasl_auth_enable": "no"},
    "login_in_the_clear": {"smtpd_sasl_path": "bearer", "smtpd_tls_security_level": "may"},
    "no_tls": {"smtpd_tls_security_level": "none", "smtpd_sasl_auth_enable": "no"},
    "other_name": {"smtpd_tls_chain_files": "$config_directory/other_name.pem"},
    "expired": {"smtpd_tls_chain_files": "$config_directory/expired.pem"},
    "expired_tls12": {
        "smtpd_tls_chain_files": "$config_directory/expired.pem",
        "smtpd_tls_mandatory_protocols": "TLSv1.2",
        "tls_preempt_cipherlist": "yes",
    },
    "no_certificate": {"smtpd_tls_chain_files": "$config_directory/absent.pem"},
    "no_certificate_file": {
        "smtpd_tls_chain_files": "",
        "smtpd_tls_cert_file": "$config_directory/absent.pem",
    },
    "clients_by_certificate": {"smtpd_tls_ask_ccert": "yes", "smtpd_tls_req_ccert": "yes"},
    "implicit": {"smtpd_tls_wrappermode": "yes"},
    "implicit_bearer": {"smtpd_tls_wrappermode": "yes", "smtpd_sasl_path": "bearer"},
    "old_tls": {
        "smtpd_tls_mandatory_protocols": "TLSv1,TLSv1.1",
        "smtpd_tls_mandatory_ciphers": "medium",
        "tls_medium_cipherlist": "ALL:@SECLEVEL=0",
    },
}

MAIN_CF = f"""\
compatibility_level = 3.6
queue_directory = $folder/queue
data_directory = $folder/data
maillog_file = $folder/mail.log
maillog_file_prefixes = $folder

myhostname = {HOST}
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
smtpd_peername_lookup = no
notify_classes =
default_transport = discard:
virtual_transport = discard:
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = inline:{{{MAILBOX}=x, probe@{DOMAIN}=x}}

smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = $config_directory/good.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = passwords
smtpd_sender_login_maps = inline:{{{MAILBOX}={MAILBOX}}}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sender_restrictions = reject_sender_login_mismatch
"""

MASTER_CF = """\
postlog   unix-dgram n - n - 1     postlogd
tlsmgr    unix - - n 1000? 1       tlsmgr
rewrite   unix - - n -     -       trivial-rewrite
anvil     unix - - n -     1       anvil
proxymap  unix - - n -     -       proxymap
cleanup   unix n - n -     0       cleanup
qmgr      unix n - n 300   1       qmgr
bounce    unix - - n -     0       bounce
discard   unix - - n -     -       discard
lmtp      unix - - n -     -       lmtp
"""

ZONE = """\
$TTL 300
@           SOA   ns hostmaster 1 3600 600 86400 300
@           NS    ns
@           MX    10 mx
@           TXT   "v=spf1 mx -all"
_dmarc      TXT   "v=DMARC1; p=reject"
ns          A     127.0.0.1
mx          A     192.0.2.25
submission  A     127.0.0.1
"""


# --- around the mail server --------------------------------------------------------------------------------


class _NameServer(socketserver.ThreadingUDPServer):
    """Answers for one zone; of other names it says that they do not exist."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Query)
        self.origin = dns.name.from_text(DOMAIN)
        self.zone = dns.zone.from_text(ZONE, origin=self.origin, relativize=False)


class _Query(socketserver.BaseRequestHandler):
    server: _NameServer

    def handle(self) -> None:
        wire, listening = self.request
        reply = dns.message.make_response(dns.message.from_wire(wire))
        reply.flags |= dns.flags.RA
        name, rdtype = reply.question[0].name, reply.question[0].rdtype
        inside = name.is_subdomain(self.server.origin)
        if inside and (found := self.server.zone.get_rrset(name, rdtype)):
            reply.answer.append(found)
        elif not inside or self.server.zone.get_node(name) is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        listening.sendto(reply.to_wire(), self.client_address)


class _AuthServer(socketserver.ThreadingUnixStreamServer):
    """Dovecot's side of its auth protocol, version 1.2, as far as Postfix speaks it.

    A bearer token is right if it is one of ``tokens``; any other credential is wrong.
    """

    def __init__(self, path: Path, mechanisms: tuple[str, ...], tokens: set[str]) -> None:
        super().__init__(str(path), _AuthConversation)
        shutil.chown(path, "postfix")
        self.mechanisms = mechanisms
        self.tokens = tokens


class _AuthConversation(socketserver.StreamRequestHandler):
    """One Postfix process; lines of words with tabs between them."""

    server: _AuthServer

    def handle(self) -> None:
        self._say("VERSION", "1", "2")
        for mechanism in self.server.mechanisms:
            self._say("MECH", mechanism)
        self._say("SPID", "1")
        self._say("CUID", "1")
        self._say("COOKIE", "0" * 32)
        self._say("DONE")
        for line in self.rfile:
            verb, *words = line.decode().rstrip("\n").split("\t")
            if verb == "AUTH":
                number, response = words[0], words[-1].partition("resp=")[2]
                self._judge(number, response) if response else self._say("CONT", number, "")
            elif verb == "CONT":
                self._judge(*words)

    def _judge(self, number: str, response: str) -> None:
        """Say OK for a right token; what comes after an explained refusal is of no matter."""
        fields = _decoded(response).split("\x01")
        bearer = next((one for one in fields if one.startswith("auth=Bearer ")), "")
        if bearer.removeprefix("auth=Bearer ") in self.server.tokens:
            self._say("OK", number, f"user={MAILBOX}")
        elif bearer:
            told = json.dumps({"status": "invalid_token", "schemes": "bearer", "scope": "smtp"})
            self._say("CONT", number, base64.b64encode(told.encode()).decode())
        else:
            self._say("FAIL", number, "reason=authentication failed")

    def _say(self, *words: str) -> None:
        self.wfile.write("\t".join(words).encode() + b"\n")


def _decoded(response: str) -> str:
    """What a client said, or nothing: Postfix hands on what it cut short."""
    with contextlib.suppress(ValueError):
        return base64.b64decode(response, validate=True).decode()
    return ""


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- Postfix -----------------------------------------------------------------------------------------------


class Postfix:
    """One Postfix in a folder, with ``etc`` in it, that the user postfix may enter."""

    def __init__(
        self, folder: Path, main_cf: str, ports: Mapping[str, Mapping[str, str]], *, services: str = ""
    ) -> None:
        """Take ``main_cf``, where ``$folder`` is known, and the settings of each port by its name.

        services: further lines of master.cf.
        """
        self.folder = folder
        self.ports: Mapping[str, int] = {}
        self._main_cf = main_cf
        self._master_cf = MASTER_CF + services
        self._settings = ports
        self._master: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What Postfix has logged so far."""
        path = self.folder / "mail.log"
        return path.read_text("utf-8", "replace") if path.exists() else "nothing logged"

    def configure(self) -> None:
        """Write the configuration and have Postfix make its queue's folders as this version wants them."""
        (self.folder / "queue").mkdir()
        (self.folder / "data").mkdir(mode=0o700)
        shutil.chown(self.folder / "data", "postfix")
        (self.folder / "etc/main.cf").write_text(f"folder = {self.folder}\n{self._main_cf}")
        (self.folder / "etc/master.cf").write_text(self._master_cf)
        check = [_tool("command_directory", "postfix"), "-c", str(self.folder / "etc"), "check"]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Listen, on other ports if one of those chosen was taken meanwhile."""
        for _ in range(TRIES):
            self.ports = dict(zip(self._settings, _free_ports(len(self._settings)), strict=True))
            (self.folder / "etc/master.cf").write_text(self._master_cf + self._services())
            master = [_tool("daemon_directory", "master"), "-c", str(self.folder / "etc"), "-e", str(LIFE_S)]
            self._master = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *master],  # it ends with these tests, however they go
                start_new_session=True,
            )
            if self._has_started():
                return
            self.stop()
        pytest.fail(f"Postfix does not start:\n{self.log}")

    def stop(self) -> None:
        """End the master, which takes its children along; then whoever of them is left."""
        if self._master is None:
            return
        self._master.terminate()
        try:
            self._master.wait(STOP_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._master.pid, signal.SIGKILL)
            self._master.wait()
            self._master = None

    def _services(self) -> str:
        """The services of the ports, for master.cf."""
        return "".join(
            f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd -o syslog_name=postfix/{name} "
            + " ".join(f"-o {key}={value}" for key, value in settings.items())
            + "\n"
            for name, settings in self._settings.items()
        )

    def _has_started(self) -> bool:
        """Whether Postfix says so, which it does once it listens on all ports; it ends where it cannot."""
        assert self._master is not None
        until_s = time.monotonic() + START_S
        while self._master.poll() is None and time.monotonic() < until_s:
            if "daemon started" in self.log:
                return True
            time.sleep(0.02)
        return False


def _tool(setting: str, name: str) -> str:
    """A program of Postfix, in the folder this build has it in."""
    folder = subprocess.run(["postconf", "-dh", setting], capture_output=True, text=True, check=True)
    return f"{folder.stdout.strip()}/{name}"


def _free_ports(count: int) -> list[int]:
    """Ports to be bound soon, of none that the system gives to whoever asks for any.

    Each process of pytest-xdist chooses among its own; others may still come in between.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PORT_WORKERS
    mine = range(FIRST_PORT + worker, LAST_PORT, PORT_WORKERS)
    free: list[int] = []
    for port in random.sample(mine, len(mine)):
        if len(free) == count:
            break
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            free.append(port)
    return free


def _need_postfix() -> None:
    """Skip where Postfix cannot run; continuous integration has it, so there its absence is a failure."""
    if shutil.which("postconf") is None:
        missing = "Postfix is not installed"
    elif os.geteuid() != 0:
        missing = "Postfix wants to be started by root"
    else:
        return
    (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


# --- what the tests use ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def new_postfix() -> Callable[..., Postfix]:
    """Make a Postfix, to be configured, started and stopped; skipped where there is none."""
    _need_postfix()
    return Postfix


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Find ports for servers that cannot choose one themselves; try again where one was taken meanwhile."""
    return _free_ports


class MailSetup:
    """What a user of the suite would have before them: a server, a name server, a CA file, a mailbox."""

    def __init__(self, postfix: Postfix, name_server: int, tokens: set[str]) -> None:
        self.postfix = postfix
        self.tokens = tokens  # those the server takes; add to them
        self._name_server = name_server

    def profile(
        self,
        port: str,
        *,
        tls: str = "starttls",
        mechanism: str = "xoauth2",
        ca_file: bool = True,
        more: str = "",
    ) -> Path:
        """Write ``postfix.toml`` for one of ``PORTS``, into a folder of its own.

        ca_file: whether the server's private authority is named.
        more: further tables.
        """
        path = Path(tempfile.mkdtemp(dir=self.postfix.folder)) / "postfix.toml"
        path.write_text(
            f"""\
provider = "custom"
mailbox  = "{MAILBOX}"

[smtp]
host = "{HOST}"
port = {self.postfix.ports[port]}
tls  = "{tls}"
mechanism = "{mechanism}"

[dns]
servers = ["127.0.0.1:{self._name_server}"]

[tls]
{f'ca_file = "{self.postfix.folder}/etc/ca.pem"' if ca_file else ""}

[oauth]
grant        = "access_token"
access_token = {{ env = "CONTOSO_ACCESS_TOKEN" }}

{more}
"""
        )
        return path


def _write_certificates(folder: Path) -> None:
    """The authority, and each server certificate with its key before it, in one file as Postfix wants it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, leaf in (
        ("good", authority.issue_cert(HOST, not_after=NOW + 90 * DAY)),
        ("other_name", authority.issue_cert(f"mx.{DOMAIN}", not_after=NOW + 90 * DAY)),
        ("expired", authority.issue_cert(HOST, not_before=NOW - 90 * DAY, not_after=NOW - DAY)),
    ):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(path))


@pytest.fixture(scope="session")
def mail_setup() -> Iterator[MailSetup]:
    """Postfix and all around it, once per process; nothing of it is left afterwards."""
    _need_postfix()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interop-postfix-")))
        folder.chmod(0o755)  # the user postfix has to get in, which pytest's own folders do not allow
        (folder / "etc").mkdir()
        _write_certificates(folder / "etc")
        postfix = Postfix(folder, MAIN_CF, PORTS)
        postfix.configure()
        names = _NameServer()
        tokens: set[str] = set()
        mechanisms = {"passwords": PASSWORDS, "bearer": BEARER, "passwords_and_bearer": PASSWORDS + BEARER}
        auth = [_AuthServer(folder / "queue" / name, told, tokens) for name, told in mechanisms.items()]
        for server in (names, *auth):
            stack.enter_context(_serving(server))
        stack.callback(postfix.stop)
        postfix.start()
        yield MailSetup(postfix, names.server_address[1], tokens)


@pytest.fixture(scope="session")
def preflight(mail_setup: MailSetup, run_suite: Any) -> Callable[..., Any]:
    """Run the suite on one of the server's ports; arguments are the suite's own, keywords the profile's."""

    def run(port: str, *args: str, token: str = "an-unknown-token", **options: Any) -> Any:
        profile = mail_setup.profile(port, **options)
        done = run_suite(f"--profile={profile}", *args, environment={"CONTOSO_ACCESS_TOKEN": token})
        assert done.path("postfix").exists(), done.stdout + done.stderr
        return done

    return run
