"""Others' clients beside the suite: where it says that mail leaves, they send it; where not, they fail, too.

Each client goes as far as it can: ``openssl`` to the certificate, ``swaks`` (of this age) likewise, ``curl``
and ``msmtp`` sign in with a token and hand over a message.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HOST, MAILBOX = "submission.contoso.example", "alerts@contoso.example"
NOWHERE = "nobody@contoso.example"
LIMIT_S = 60
MESSAGE = f"From: {MAILBOX}\r\nTo: {MAILBOX}\r\nSubject: side by side\r\n\r\n{'Of another client. ' * 20}\r\n"


@dataclass(frozen=True)
class Setup:
    """A port of Postfix, who sends to whom there with which application's token."""

    name: str
    port: str
    to: str = MAILBOX
    client_id: str = "mail-alerts"

    @property
    def implicit(self) -> bool:
        """TLS from the first byte."""
        return self.port == "submissions"


SETUPS = (
    Setup("plain-good", "submission"),
    Setup("implicit-good", "submissions"),
    Setup("expired", "expired"),
    Setup("other-name", "other_name"),
    Setup("chainless", "chainless"),
    Setup("self-signed", "self_signed"),
    Setup("passwords", "of_passwords"),
    Setup("issuer", "of_another_issuer"),
    Setup("audience", "submission", client_id="for-calendars"),
    Setup("user", "submission", client_id="of-somebody-else"),
    Setup("recipient", "submission", to=NOWHERE),
    Setup("size", "small"),
    Setup("filter", "filtering"),
)
# Where they differ, and why: see docs/interop.md.
LETS_PASS = {("swaks", "other-name")}  # this version verifies the chain, and not the name
REACH = {"openssl": "tls", "swaks": "tls", "curl": "data", "msmtp": "data"}
STAGES = (
    *("dns", "tcp", "greeting", "starttls", "tls", "auth_offered", "token", "claims", "auth"),
    *("mail_from", "rcpt_to", "data"),
)


class Clients:
    """The four, each called as its manual says, with the same authority's certificate."""

    def __init__(self, needed: Callable[[str], str], service: Any) -> None:
        self._needed = needed
        self._service = service
        self._ca_file = str(service.certificates.ca_file)

    def succeeds(self, client: str, setup: Setup) -> bool:
        """Whether it has come as far as it can, by its own account: its exit status."""
        self._needed(client)
        command, said = getattr(self, f"_{client}")(setup, str(self._service.ports[setup.port]))
        done = subprocess.run(
            command, input=said, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        return done.returncode == 0

    def _openssl(self, setup: Setup, port: str) -> tuple[list[str], str]:
        begun = [] if setup.implicit else ["-starttls", "smtp"]
        trusted = ["-CAfile", self._ca_file, "-verify_return_error", "-verify_hostname", HOST]
        place = ["-connect", f"127.0.0.1:{port}", "-servername", HOST]
        return ["openssl", "s_client", *begun, *trusted, *place], "QUIT\r\n"

    def _swaks(self, setup: Setup, port: str) -> tuple[list[str], str]:
        begun = "--tls-on-connect" if setup.implicit else "--tls"
        trusted = ["--tls-verify", "--tls-ca-path", self._ca_file]
        place = ["--server", "127.0.0.1", "--port", port, "--quit-after", "EHLO", "--to", setup.to]
        return ["swaks", begun, *trusted, *place], ""

    def _curl(self, setup: Setup, port: str) -> tuple[list[str], str]:
        scheme = "smtps" if setup.implicit else "smtp"
        trusted = ["--ssl-reqd", "--cacert", self._ca_file, "--resolve", f"{HOST}:{port}:127.0.0.1"]
        login = ["--user", MAILBOX, "--oauth2-bearer", self._service.token(setup.client_id)]
        mail = ["--mail-from", MAILBOX, "--mail-rcpt", setup.to, "--upload-file", "-"]
        return ["curl", "-s", *trusted, *login, *mail, f"{scheme}://{HOST}:{port}"], MESSAGE

    def _msmtp(self, setup: Setup, port: str) -> tuple[list[str], str]:
        begun = "off" if setup.implicit else "on"
        trusted = ["--tls=on", f"--tls-starttls={begun}", f"--tls-trust-file={self._ca_file}"]
        place = ["--host=127.0.0.1", f"--tls-host-override={HOST}", f"--port={port}"]
        token = self._service.token(setup.client_id)
        login = ["--auth=xoauth2", f"--user={MAILBOX}", f"--passwordeval=echo {token}"]
        return ["msmtp", *place, *trusted, *login, f"--from={MAILBOX}", "--", setup.to], MESSAGE


@pytest.fixture(scope="module")
def red_stage(in_batches: Callable[..., Any], mail_service: Any) -> Callable[[Setup], str]:
    """The stage at which our run on one of these is red; none where it is ready."""

    def write(setup: Setup) -> Path:
        profile: Path = mail_service.profile(
            f"beside-{setup.name}",
            port=setup.port,
            smtp={"tls": "implicit" if setup.implicit else "starttls"},
            oauth={"client_id": setup.client_id},
            send={"to": [setup.to]},
        )
        return profile

    run_of = in_batches(SETUPS, write)

    def stage(setup: Setup) -> str:
        red = run_of(setup).having("failed", f"beside-{setup.name}")
        return str(red[0]).removeprefix("test_").partition(".py")[0] if red else ""

    return stage


@pytest.fixture(scope="module")
def clients(needed: Callable[[str], str], mail_service: Any) -> Clients:
    return Clients(needed, mail_service)


@pytest.mark.parametrize("client", REACH)
@pytest.mark.parametrize("setup", SETUPS, ids=lambda one: one.name)
def test_the_others_say_so_too(
    setup: Setup, client: str, red_stage: Callable[[Setup], str], clients: Clients
) -> None:
    """A client fails exactly where our red line stands at a stage that it reaches."""
    red = red_stage(setup)
    fails = bool(red) and STAGES.index(red) <= STAGES.index(REACH[client])
    fails = fails and (client, setup.name) not in LETS_PASS
    assert clients.succeeds(client, setup) is not fails


# --- names -------------------------------------------------------------------------------------------------

# By name: our finding; and what dig hears from the resolver: the status, then the one with checking disabled.
NAMES = {
    HOST: (None, "NOERROR", "NOERROR"),
    "submission.expired.example": ("dnssec_bogus", "SERVFAIL", "NOERROR"),
    "submission.broken.example": ("dns_server_failure", "SERVFAIL", "SERVFAIL"),
    "smtp.contoso.example": ("host_name_wrong", "NXDOMAIN", "NXDOMAIN"),
}


def dig(name: str, port: int, *options: str) -> str:
    place = ["dig", "@127.0.0.1", "-p", str(port), "+tries=1", *options, name, "A"]
    return subprocess.run(place, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout


def test_dig_hears_the_same_of_the_names(
    needed: Callable[[str], str], preflight_all: Callable[..., Any], mail_service: Any
) -> None:
    """Whether a name is there, fails, or is signed wrongly; the healthy one is marked as validated."""
    needed("dig")
    profiles = [
        mail_service.profile(f"name-{number}", smtp={"host": name}) for number, name in enumerate(NAMES)
    ]
    run = preflight_all(*profiles)
    port = mail_service.names.port
    for number, (name, (code, status, unchecked)) in enumerate(NAMES.items()):
        findings = run.report(f"name-{number}")["findings"]
        assert next((one["code"] for one in findings if one["stage"] == "dns"), None) == code
        assert f"status: {status}" in dig(name, port)
        assert f"status: {unchecked}" in dig(name, port, "+cdflag")
    assert re.search(r"flags:[a-z ]* ad[ ;]", dig(HOST, port, "+dnssec"))


# --- the mailbox -------------------------------------------------------------------------------------------


def test_curl_finds_the_very_message_that_was_sent(
    preflight_all: Callable[..., Any], mail_service: Any
) -> None:
    """By its marker, over IMAP with a token of its own."""
    run = preflight_all(mail_service.profile("sent", send={"to": [MAILBOX]}, delivery={"within_s": LIMIT_S}))
    evidence = run.report("sent")["evidence"]
    (marker,) = [one["value"]["marker"] for one in evidence if one["kind"] == "DataExchange"]
    imap = f"imap.contoso.example:{mail_service.dovecots['by_signature'].imap}"
    trusted = ["--cacert", str(mail_service.certificates.ca_file), "--resolve", f"{imap}:127.0.0.1"]
    login = ["--user", MAILBOX, "--oauth2-bearer", mail_service.token("mail-alerts")]
    look = ["--request", f'SEARCH HEADER X-SMTP-Preflight "{marker}"', f"imaps://{imap}/INBOX"]
    found = subprocess.run(
        ["curl", "-s", *trusted, *login, *look], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"\* SEARCH \d+", found.stdout.strip())
