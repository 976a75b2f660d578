"""A whole mail setup of packaged servers, in one temporary folder, on loopback, without systemd.

Postfix takes messages and has Dovecot judge the tokens; Dovecot keeps the mailboxes; ``oidc-provider`` issues
the tokens; BIND signs the zones and Unbound validates them; postgrey turns first tries away. All are as
Debian and npm ship them. Nothing of ours stands among them, so that a misunderstanding of ours would show.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, TypeAlias

import jwt.algorithms
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NODE_MODULES = ROOT / "tests" / "node" / "node_modules"
TEMPLATE = ROOT / "profiles" / "templates" / "selfhosted.toml"

DOMAIN = "contoso.example"
HOSTS = (
    f"submission.{DOMAIN}",
    f"imap.{DOMAIN}",
    f"login.{DOMAIN}",
    "submission.expired.example",
    "localhost",
)
MAILBOX, PROBE, FULL = f"alerts@{DOMAIN}", f"probe@{DOMAIN}", f"full@{DOMAIN}"
AUDIENCE = f"https://mail.{DOMAIN}"
SECRET = "client-secret-of-the-interop-tests"
START_S, STOP_S, TRIES = 30, 10, 5
LIFE_S = 3600  # of a server, at most
AT_ONCE = 7  # setups that are asked side by side in one process

FreePorts: TypeAlias = Callable[[int], list[int]]


# --- programs ----------------------------------------------------------------------------------------------


# What hands on the signal to end, even to a program that has become another user's, and gets it when these
# tests are gone, however they went.
LEASH = ("setpriv", "--pdeathsig", "TERM", "timeout", str(LIFE_S))


class NotStarted(Exception):
    """A program has ended, or does not listen; with what it said."""


def listening(*ports: int) -> Callable[[], bool]:
    """Ask whether somebody takes connections at each of these."""

    def ask() -> bool:
        with contextlib.suppress(OSError):
            for port in ports:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False

    return ask


@contextlib.contextmanager
def running(command: Sequence[str | Path], log: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """Run a program in a session of its own, from when it is ready; end it and its children afterwards.

    Whatever becomes of these tests, it ends with them: its standard input ends, and so does its leash.
    """
    with log.open("ab") as said:
        process = subprocess.Popen(
            [*LEASH, *(str(one) for one in command)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        until_s = time.monotonic() + START_S
        while not ready():
            if process.poll() is not None or time.monotonic() > until_s:
                raise NotStarted(f"{command[0]}:\n{log.read_text('utf-8', 'replace')}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


Start: TypeAlias = Callable[[list[int]], AbstractContextManager[None]]


@contextlib.contextmanager
def on_free_ports(free_ports: FreePorts, count: int, start: Start) -> Iterator[list[int]]:
    """Have a program started on free ports, and on others where it does not start on these."""
    with contextlib.ExitStack() as stack:
        for left in reversed(range(TRIES)):
            ports = free_ports(count)
            try:
                stack.enter_context(start(ports))
            except NotStarted:
                if not left:
                    raise
            else:
                break
        yield ports


def filled_in(name: str, **values: object) -> str:
    """A configuration file from beside this one, with its blanks filled in."""
    return Template((HERE / name).read_text("utf-8")).substitute(values)


# --- certificates ------------------------------------------------------------------------------------------

BAD_CERTIFICATES = ("expired", "other_name", "chainless", "self_signed")


class Certificates:
    """An authority, what another one below it has signed for all servers, and what nobody has signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        below = authority.create_child_ca()
        leaf = below.issue_cert(*HOSTS)
        self.key, self.chain = leaf.private_key_pem.bytes(), [one.bytes() for one in leaf.cert_chain_pems]
        self._write("good", self.key, *self.chain)
        self._write("chainless", self.key, self.chain[0])
        now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
        ended = below.issue_cert(*HOSTS, not_before=now - 90 * day, not_after=now - day)
        self._write("expired", ended.private_key_and_cert_chain_pem.bytes())
        other = below.issue_cert(f"mx.{DOMAIN}")
        self._write("other_name", other.private_key_and_cert_chain_pem.bytes())
        self._write_self_signed()

    @property
    def key_digest(self) -> str:
        """The SHA-256 of the servers' public key, as TLSA records have it (RFC 6698 section 2.1.2)."""
        key = x509.load_pem_x509_certificate(self.chain[0]).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def path(self, name: str) -> Path:
        """A certificate, its key before it."""
        return self.folder / f"{name}.pem"

    def _write(self, name: str, *parts: bytes) -> None:
        self.path(name).touch(mode=0o600)
        self.path(name).write_bytes(b"".join(parts))

    def _write_self_signed(self) -> None:
        """As an administrator makes one in a hurry."""
        key, certificate = self.folder / "hasty.key", self.folder / "hasty.crt"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90"]
        named = ["-subj", f"/CN={HOSTS[0]}", "-addext", f"subjectAltName=DNS:{HOSTS[0]}"]
        written = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*command, *named, *written], check=True, capture_output=True)
        self._write("self_signed", key.read_bytes(), certificate.read_bytes())


# --- the identity provider ---------------------------------------------------------------------------------


def client(**token: Any) -> dict[str, Any]:
    """What an application's tokens are like; as the mail servers want them, but for what is named."""
    return {
        "audience": AUDIENCE,
        "scope": "smtp",
        "format": "jwt",
        "typ": "JWT",
        "life_s": 3600,
        "claims": {"email": MAILBOX},
        **token,
    }


CLIENTS: Mapping[str, dict[str, Any]] = {
    "mail-alerts": client(),
    "mail-rotating": client(),
    "opaque": client(format="opaque"),
    "reader-of-full": client(claims={"email": FULL}),
    "of-somebody-else": client(claims={"email": PROBE}),
    "for-calendars": client(audience=f"https://calendar.{DOMAIN}"),
    "without-permission": client(scope="calendar"),
    "short-lived": client(life_s=1),
    "of-rfc9068": client(typ="at+jwt"),
}


CLOCKS = {"right": (), "an_hour_slow": ("faketime", "-f", "-70m"), "an_hour_fast": ("faketime", "-f", "+70m")}


@dataclass(frozen=True)
class IdentityProvider:
    """A running ``oidc-provider``."""

    issuer: str
    refresh_token: str  # of the client whose tokens rotate


def _given(certificates: Certificates, key: rsa.RSAPrivateKey) -> Mapping[str, Any]:
    """What a provider is started with."""
    signing = {**jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "of-interop", "use": "sig"}
    del signing["key_ops"]
    by_itself = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    by_person = {"grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [AUDIENCE]}
    return {
        "host": f"login.{DOMAIN}",
        "key": certificates.key.decode(),
        "certificate": b"".join(certificates.chain).decode(),
        "clients": [
            {
                "client_id": name,
                "client_secret": SECRET,
                "token_endpoint_auth_method": "client_secret_post",
                **(by_person if name == "mail-rotating" else by_itself),
            }
            for name in CLIENTS
        ],
        "resource": CLIENTS,
        "mailbox": MAILBOX,
        "jwks": {"keys": [signing]},
        "cookie_key": "of the interop tests",
    }


@contextlib.contextmanager
def identity_providers(
    folder: Path, certificates: Certificates, key: rsa.RSAPrivateKey
) -> Iterator[Mapping[str, IdentityProvider]]:
    """Start one by each of ``CLOCKS``; all sign with the same key."""
    folder.mkdir()
    given = folder / "given.json"
    given.write_text(json.dumps(_given(certificates, key)))
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(_identity_provider(folder / f"{name}.log", given, before))
            for name, before in CLOCKS.items()
        }


@contextlib.contextmanager
def _identity_provider(log: Path, given: Path, before: Sequence[str]) -> Iterator[IdentityProvider]:
    def said(beginning: str) -> list[str]:
        lines = log.read_text("utf-8").splitlines(keepends=True)
        return [line.strip() for line in lines if line.startswith(beginning) and line.endswith("\n")]

    command: list[str | Path] = [*before, "node", HERE.parent / "oidc_provider.mjs", given]
    with running(command, log, lambda: bool(said("mail-rotating "))):
        yield IdentityProvider(said("https://")[0], said("mail-rotating ")[0].split()[1])


# --- Dovecot -----------------------------------------------------------------------------------------------

TOKENS = "xoauth2 oauthbearer"


@dataclass(frozen=True)
class Judge:
    """How one Dovecot judges who signs in; by default by the tokens' signature."""

    mechanisms: str = TOKENS
    issuer: str = ""  # another one than the tokens'
    scope: str = "smtp"
    asks: bool = False  # the identity provider, in the place of reading the token


JUDGES: Mapping[str, Judge] = {
    "by_signature": Judge(),
    "by_asking": Judge(asks=True),
    "of_another_issuer": Judge(issuer=f"https://elsewhere.{DOMAIN}"),
    "of_passwords": Judge(mechanisms="plain login"),
}


class Dovecot:
    """One running Dovecot; all keep the same mailboxes, and each judges tokens in its own way."""

    def __init__(
        self, folder: Path, name: str, issuers: Sequence[str], public_key: bytes, certificates: Certificates
    ) -> None:
        """Put its configuration into ``folder``; ``public_key`` (PEM) is that of all the issuers."""
        self.etc = folder / "dovecot" / name
        self.etc.mkdir(parents=True)
        self.log = self.etc / "log"
        self.run = self.etc / "run"
        self.imap = self.pop = 0
        self._mail = folder / "mail"
        self._certificates = certificates
        self._write_key(public_key)
        self._write_passdb(JUDGES[name], issuers)
        self._passdb = self._of(JUDGES[name])
        self._mechanisms = JUDGES[name].mechanisms

    @contextlib.contextmanager
    def listening(self, ports: list[int]) -> Iterator[None]:
        """Serve IMAP and POP on these ports."""
        self.imap, self.pop = ports
        config = filled_in(
            "dovecot.conf",
            run=self.run,
            log=self.log,
            certificate=self._certificates.path("good"),
            mail=self._mail,
            users=self._mail / "users",
            mechanisms=self._mechanisms,
            passdb=self._passdb,
            imap=self.imap,
            pop=self.pop,
        )
        (self.etc / "dovecot.conf").write_text(config)
        self.log.touch()
        with running(["dovecot", "-F", "-c", self.etc / "dovecot.conf"], self.log, listening(*ports)):
            yield

    def _of(self, judge: Judge) -> str:
        if judge.mechanisms != TOKENS:
            return "passdb {\n  driver = static\n  args = password=never-tried\n}"
        args = self.etc / "oauth2.conf"
        return f"passdb {{\n  driver = oauth2\n  mechanisms = {TOKENS}\n  args = {args}\n}}"

    def _write_key(self, public_key: bytes) -> None:
        """Where a key is looked for: by application (here all), algorithm and the key's name in the token."""
        keys = self.etc / "keys" / "default" / "RS256"
        keys.mkdir(parents=True)
        (keys / "of-interop").write_bytes(public_key)

    def _write_passdb(self, judge: Judge, issuers: Sequence[str]) -> None:
        port = issuers[0].rpartition(":")[2]
        locally = f"introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={self.etc}/keys/"
        asking = (
            "introspection_mode = post\n"
            f"introspection_url = https://opaque:{SECRET}@localhost:{port}/token/introspection"
        )
        config = filled_in(
            "dovecot-oauth2.conf",
            ca_file=self._certificates.ca_file,
            issuers=judge.issuer or " ".join(issuers),
            scope=judge.scope,
            audience=AUDIENCE,
            how=asking if judge.asks else locally,
        )
        (self.etc / "oauth2.conf").write_text(config)


def _write_mailboxes(mail: Path) -> None:
    """Everybody's, of one user of the system who is nobody else; one is full already."""
    mail.mkdir()
    shutil.chown(mail, "nobody", "nogroup")
    of = "::65534:65534::/nonexistent::"
    users = [f"{MAILBOX}{of}", f"{PROBE}{of}", f"{FULL}{of}userdb_quota_rule=*:bytes=1"]
    (mail / "users").write_text("\n".join(users) + "\n")


# --- Postfix, and what it asks -----------------------------------------------------------------------------


def submission_ports(judges: Mapping[str, Dovecot], greylist: int) -> Mapping[str, Mapping[str, str]]:
    """What each port of Postfix is like; all else is in main.cf. Settings here hold no blanks."""
    return {
        "submission": {},
        "submissions": {"smtpd_tls_wrappermode": "yes"},
        **{name: {"smtpd_sasl_path": str(dovecot.run / "for_postfix")} for name, dovecot in judges.items()},
        **{name: {"smtpd_tls_chain_files": f"$config_directory/{name}.pem"} for name in BAD_CERTIFICATES},
        "small": {"message_size_limit": "300"},
        "greylisting": {"smtpd_recipient_restrictions": f"check_policy_service,inet:127.0.0.1:{greylist}"},
        "filtering": {"cleanup_service_name": "filtering"},
        "holding": {"smtpd_recipient_restrictions": "check_recipient_access,static:HOLD"},
        "one_at_a_time": {"smtpd_client_connection_count_limit": "1"},
    }


MAIN_CF = f"""\
compatibility_level = 3.6
queue_directory = $folder/queue
data_directory = $folder/data
maillog_file = $folder/mail.log
maillog_file_prefixes = $folder

myhostname = submission.{DOMAIN}
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
smtpd_peername_lookup = no
default_transport = discard:
virtual_transport = lmtp:unix:$mailboxes
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = inline:{{{MAILBOX}=x, {PROBE}=x, {FULL}=x}}

smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = $config_directory/good.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = $judge
smtpd_sender_login_maps = static:{MAILBOX}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sender_restrictions = reject_sender_login_mismatch
"""

SERVICES = "filtering unix n - n - 0 cleanup -o header_checks=static:REJECT\n"


def greylist(folder: Path, ports: list[int]) -> AbstractContextManager[None]:
    """Start postgrey, to which everybody is a stranger."""
    known = folder / "postgrey"
    known.mkdir(exist_ok=True)
    shutil.chown(known, "postgrey")
    place = [f"--inet=127.0.0.1:{ports[0]}", f"--dbdir={known}", f"--pidfile={known}/pid"]
    return running(["postgrey", *place], known / "log", listening(*ports))


# --- names -------------------------------------------------------------------------------------------------

SIGNED = {
    "contoso": ("now-3600", "now+864000"),
    "expired": ("now-864000", "now-86400"),
}  # from when until when


class Names:
    """BIND with its zones, two of them signed, and Unbound in front of it, which believes their keys."""

    def __init__(self, folder: Path, announced: str) -> None:
        """Sign the zones; ``announced`` is the digest of a key, and the ports where the key is shown."""
        self.folder = folder / "names"
        self.folder.mkdir(mode=0o755)
        self.port = 0
        self._announced = announced
        (self.folder / "broken.zone").write_text("this is no zone\n")
        for name, (begins, ends) in SIGNED.items():
            self._sign(name, begins, ends)

    def _sign(self, name: str, begins: str, ends: str) -> None:
        zone = f"{name}.example"
        plain = (HERE / f"{name}.zone").read_text("utf-8")
        (self.folder / f"{name}.zone").write_text(plain + (self._announced if name == "contoso" else ""))
        key = ["dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-K", str(self.folder)]
        made = subprocess.run([*key, "-f", "KSK", zone], check=True, capture_output=True, text=True)
        subprocess.run([*key, zone], check=True, capture_output=True)
        with (self.folder / "anchors").open("a") as anchors:
            anchors.write((self.folder / f"{made.stdout.strip()}.key").read_text())
        sign = ["dnssec-signzone", "-q", "-S", "-P", "-K", str(self.folder), "-d", str(self.folder)]
        valid = ["-s", begins, "-e", ends, "-o", zone, "-f", str(self.folder / f"{name}.signed")]
        subprocess.run([*sign, *valid, str(self.folder / f"{name}.zone")], check=True, capture_output=True)

    @contextlib.contextmanager
    def listening(self, ports: list[int]) -> Iterator[None]:
        """Serve on these ports: BIND on the first, Unbound on the other, which is the one to ask."""
        authority, self.port = ports
        named, unbound = self.folder / "named.conf", self.folder / "unbound.conf"
        named.write_text(filled_in("named.conf", folder=self.folder, port=authority))
        unbound.write_text(filled_in("unbound.conf", folder=self.folder, port=self.port, authority=authority))
        log = self.folder / "log"
        with (
            running(["named", "-g", "-c", named], log, listening(authority)),
            running(["unbound", "-d", "-d", "-p", "-c", unbound], log, listening(self.port)),
        ):
            yield


# --- all of it ---------------------------------------------------------------------------------------------

NEEDED = ("faketime", "curl", "dovecot", "named", "dnssec-signzone", "unbound", "postgrey", "openssl", "node")


class MailService:
    """What an integrator has before them: names, ports, an authority's certificate, and a template."""

    def __init__(
        self,
        folder: Path,
        certificates: Certificates,
        providers: Mapping[str, IdentityProvider],
        dovecots: Mapping[str, Dovecot],
        postfix: Any,
        names: Names,
    ) -> None:
        self.folder = folder
        self.certificates = certificates
        self.providers = providers
        self.dovecots = dovecots
        self.ports: Mapping[str, int] = postfix.ports
        self.names = names
        self._postfix = postfix
        self._profiles = folder / "profiles"
        self._profiles.mkdir()
        shutil.copy(TEMPLATE, self._profiles)

    @property
    def log(self) -> str:
        """What Postfix has logged so far."""
        return str(self._postfix.log)

    def profile(
        self, name: str, *, port: str = "submission", mailboxes: str = "by_signature", **tables: Any
    ) -> Path:
        """Write a profile from the template: names stay as they are there, and this service's ports come in.

        port: one of Postfix's. mailboxes: through which Dovecot they are read.
        tables: what it says in these tables beside, or instead of it; a plain value is a key of the file.
        """
        dovecot = self.dovecots[mailboxes]
        said: dict[str, dict[str, Any]] = {
            "smtp": {"port": self.ports[port]},
            "dns": {"servers": [f"127.0.0.1:{self.names.port}"]},
            "tls": {"ca_file": str(self.certificates.ca_file)},
            "oauth": {"issuer": self.providers["right"].issuer, "store": str(self.folder / "store")},
            "imap": {"port": dovecot.imap},
            "pop": {"port": dovecot.pop},
        }
        keys = {key: value for key, value in tables.items() if not isinstance(value, dict)}
        for table, of in tables.items():
            if isinstance(of, dict):
                said[table] = {**said.get(table, {}), **of}
        path = self._profiles / f"{name}.toml"
        path.write_text(_toml({"extends": TEMPLATE.stem, **keys}, said))
        return path

    def token(self, client_id: str) -> str:
        """An access token, got with curl."""
        told = {"grant_type": "client_credentials", "client_id": client_id, "scope": "smtp"}
        issuer = self.providers["right"].issuer
        endpoint = f"{issuer.replace(f'login.{DOMAIN}', 'localhost')}/token"
        data = [part for key, value in told.items() for part in ("-d", f"{key}={value}")]
        command = ["curl", "-s", "--cacert", str(self.certificates.ca_file), *data, "-d", "@-", endpoint]
        done = subprocess.run(
            command, input=f"client_secret={SECRET}", check=True, capture_output=True, text=True
        )
        return str(json.loads(done.stdout)["access_token"])


def _toml(keys: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in keys.items()]
    for table, of in tables.items():
        lines += [f"[{table}]", *(f"{key} = {_value(value)}" for key, value in of.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture(scope="session")
def mail_service(
    needed: Callable[[str], str], new_postfix: Callable[..., Any], free_ports: FreePorts
) -> Iterator[MailService]:
    """All servers, once per process; nothing of them is left afterwards."""
    for program in NEEDED:
        needed(program)
    if not (NODE_MODULES / "oidc-provider").is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("oidc-provider is not installed: make test")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interop-")))
        folder.chmod(0o755)  # all servers have to get in, each as its own user
        (folder / "etc").mkdir()
        certificates = Certificates(folder / "etc")
        key = rsa.generate_private_key(65537, 2048)
        public_key = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        providers = stack.enter_context(identity_providers(folder / "providers", certificates, key))
        issuers = [one.issuer for one in providers.values()]
        _write_mailboxes(folder / "mail")
        judges = {name: Dovecot(folder, name, issuers, public_key, certificates) for name in JUDGES}
        for dovecot in judges.values():
            stack.enter_context(on_free_ports(free_ports, 2, dovecot.listening))
        start_greylist = functools.partial(greylist, folder)
        (stranger,) = stack.enter_context(on_free_ports(free_ports, 1, start_greylist))
        mailboxes = judges["by_signature"]
        places = f"mailboxes = {mailboxes.run}/lmtp\njudge = {mailboxes.run}/for_postfix\n"
        ports = submission_ports(judges, stranger)
        postfix = new_postfix(folder, places + MAIN_CF, ports, services=SERVICES)
        postfix.configure()
        stack.callback(postfix.stop)
        postfix.start()
        shown = [postfix.ports[name] for name in ("submission", "submissions")]
        tlsa = "".join(f"_{port}._tcp.submission TLSA 3 1 1 {certificates.key_digest}\n" for port in shown)
        names = Names(folder, tlsa)
        stack.enter_context(on_free_ports(free_ports, 2, names.listening))
        yield MailService(folder, certificates, providers, judges, postfix, names)


@pytest.fixture(scope="session")
def start(free_ports: FreePorts) -> Iterator[Callable[..., int]]:
    """Start a further program for these tests: its command line, by its port, and where its words go."""
    with contextlib.ExitStack() as stack:

        def begin(command: Callable[[int], Sequence[str | Path]], log: Path) -> int:
            def listen(ports: list[int]) -> AbstractContextManager[None]:
                return running(command(ports[0]), log, listening(*ports))

            (port,) = stack.enter_context(on_free_ports(free_ports, 1, listen))
            return port

        yield begin


@pytest.fixture(scope="session")
def preflight_all(run_suite: Any) -> Callable[..., Any]:
    """Run the suite on several profiles, side by side; keywords are secrets, by their variable."""

    def run(*profiles: Path, **secrets: str) -> Any:
        environment = {"CONTOSO_CLIENT_SECRET": SECRET, **secrets}
        done = run_suite(*(f"--profile={one}" for one in profiles), environment=environment)
        unread = [one.stem for one in profiles if not done.path(one.stem).exists()]
        assert not unread, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def in_batches(preflight_all: Callable[..., Any]) -> Callable[..., Callable[[Any], Any]]:
    """Run the suite on each of many cases, some side by side, and only on those that are looked at."""

    def prepare(cases: Sequence[Any], write: Callable[[Any], Path], **secrets: str) -> Callable[[Any], Any]:
        @functools.cache
        def batch(number: int) -> Any:
            begin = number * AT_ONCE
            return preflight_all(*map(write, cases[begin : begin + AT_ONCE]), **secrets)

        return lambda case: batch(cases.index(case) // AT_ONCE)

    return prepare
