"""Another mail server, on another TLS library: Exim with GnuTLS, at the stages before the mailbox."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
USER = "Debian-exim"  # which this build of Exim insists on
LIMIT_S = 30
UID = 65533  # anybody's: libnss_wrapper tells Exim that it is this user's


@dataclass(frozen=True)
class Server:
    """How one Exim is started, and what is found there: nothing, where it is ready."""

    name: str
    code: str = ""
    stage: str = ""
    macros: Mapping[str, str] = field(default_factory=dict)
    tls: str = "starttls"


SERVERS = (
    Server("exim-starttls"),
    Server("exim-implicit", tls="implicit"),
    Server("exim-refuses-the-address", "client_address_refused", "greeting", {"CONNECT": "deny"}),
    Server("exim-is-busy", "service_unavailable", "greeting", {"MOST": "1"}),
    Server("exim-refuses-ehlo", "ehlo_argument_rejected", "greeting", {"HELO": "deny"}),
    Server("exim-without-tls", "starttls_not_offered", "starttls", {"ADVERTISES": ":"}),
    Server("exim-expired", "certificate_expired", "tls", {"CERTIFICATE": "expired"}),
    Server("exim-other-name", "certificate_name_mismatch", "tls", {"CERTIFICATE": "other_name"}),
    Server("exim-chainless", "certificate_chain_incomplete", "tls", {"CERTIFICATE": "chainless"}),
    Server("exim-self-signed", "certificate_self_signed", "tls", {"CERTIFICATE": "self_signed"}),
    Server("exim-no-certificate", "starttls_refused", "starttls", {"CERTIFICATE": "nonexistent"}),
    Server(
        "exim-tls10",
        "server_tls_version_obsolete",
        "tls",
        {"CIPHERS": "NORMAL:-VERS-ALL:+VERS-TLS1.0:%COMPAT"},
    ),
    Server("exim-passwords", "xoauth2_not_advertised", "auth_offered", {"MECHANISM": "LOGIN"}),
)
MACROS = {
    "ADVERTISES": "*",
    "CERTIFICATE": "good",
    "CIPHERS": "NORMAL",
    "CONNECT": "accept",
    "HELO": "accept",
    "MECHANISM": "XOAUTH2",
    "MOST": "0",
}


@pytest.fixture(scope="session")
def program(needed: Callable[[str], str]) -> str:
    """Exim; looked for before anything else is started."""
    return needed("exim4")


@pytest.fixture(scope="module")
def exim(program: str, mail_service: Any, start: Callable[..., int]) -> Callable[[Server], int]:
    """Start one of these, and say at which port it listens."""
    folder = mail_service.folder / "exim"
    folder.mkdir()
    users = folder / "passwd"
    users.write_text(f"root:x:0:0::/:/bin/sh\n{USER}:x:{UID}:{UID}::/:/bin/false\n")
    groups = folder / "group"
    groups.write_text(f"root:x:0:\n{USER}:x:{UID}:\n")
    known = (f"NSS_WRAPPER_PASSWD={users}", f"NSS_WRAPPER_GROUP={groups}", "LD_PRELOAD=libnss_wrapper.so")

    def begin(server: Server) -> int:
        own = folder / server.name
        (own / "spool").mkdir(parents=True)
        macros = {**MACROS, **server.macros}
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(mail_service.certificates.path(macros["CERTIFICATE"]), own / "certificate.pem")
        macros |= {"CERTIFICATE": str(own / "certificate.pem"), "FOLDER": str(own)}
        for path in (own, *own.rglob("*")):
            os.chown(path, UID, UID)

        def command(port: int) -> list[str]:
            macros["IMPLICIT"] = str(port) if server.tls == "implicit" else "0"
            config = (HERE / "exim.conf").read_text("utf-8")
            for name, value in macros.items():
                config = config.replace(name, value)
            (own / "exim.conf").write_text(config)
            return ["env", *known, program, "-bdf", "-oX", f"127.0.0.1.{port}", "-C", f"{own}/exim.conf"]

        return start(command, own / "log")

    return begin


def held(port: int) -> socket.socket:
    """A connection that is greeted: one before it may not have been counted off yet."""
    until_s = time.monotonic() + LIMIT_S
    while time.monotonic() < until_s:
        connection = socket.create_connection(("127.0.0.1", port))
        if connection.recv(3) == b"220":
            return connection
        connection.close()
    raise TimeoutError(port)


@pytest.fixture(scope="module")
def run_of(
    exim: Callable[[Server], int], in_batches: Callable[..., Any], mail_service: Any
) -> Iterator[Callable[[Server], Any]]:
    """A run of the suite on each, while somebody holds the one connection that one of them allows."""
    no_mailboxes = {"imap": {"check": False}, "pop": {"check": False}}
    with contextlib.ExitStack() as connected:

        def write(server: Server) -> Path:
            port = exim(server)
            if "MOST" in server.macros:
                connected.enter_context(held(port))
            profile: Path = mail_service.profile(
                server.name, smtp={"port": port, "tls": server.tls}, **no_mailboxes
            )
            return profile

        yield in_batches(SERVERS, write)


@pytest.mark.parametrize("server", SERVERS, ids=lambda one: one.name)
def test_what_is_found(server: Server, run_of: Callable[[Server], Any]) -> None:
    """Ready up to RCPT TO without a word against it, or one red line with the one cause."""
    run = run_of(server)
    report = run.report(server.name)
    found = [(one["code"], one["stage"]) for one in report["findings"]]
    if server.code:
        assert (report["verdict"], found) == ("not_ready", [(server.code, server.stage)])
        assert len(run.having("failed", server.name)) == 1
    else:
        assert (report["verdict"], report["proven"], found) == ("ready", "rcpt_to", [])
