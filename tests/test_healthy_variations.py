"""Setups without fault that differ from the demonstrations: each is ready, nothing is said against it."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROFILES = Path(__file__).parent.parent / "profiles"

AT_ONCE = 6  # setups that are asked side by side in one process

# Before a profile's lab begins: what this setup is like; and limits that a busy machine can keep.
PLUGIN = """
import errno
import functools
import socket

import smtp_preflight.lab
from smtp_preflight.lab import Lab
from smtp_preflight.lab.conditions import *
from smtp_preflight.roster import Roster

CONDITIONS = {{{conditions}}}

start, enter = Lab.start, Roster._enter_lab

def enter_under_conditions(self, run):
    Lab.start = functools.partial(start, under=CONDITIONS[run.profile.name])
    enter(self, run)

smtp_preflight.lab.SHORTEST_LIMIT_S = 30
Roster._enter_lab = enter_under_conditions
{patch}
"""

# What a machine says that has IPv4 only.
NO_IPV6 = """
connect = socket.socket.connect

def without_ipv6(self, address):
    if self.family == socket.AF_INET6:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")
    connect(self, address)

socket.socket.connect = without_ipv6
"""


@dataclass(frozen=True)
class Variation:
    """One setup: which demonstration it begins with, what its profile adds, and how its servers differ."""

    name: str
    demo: str = "demo"
    profile: str = ""
    conditions: str = "Conditions()"
    shows: str = ""  # what has to stand in the evidence: that it really was such a setup
    notices: frozenset[str] = frozenset()  # what may be said beside what every demonstration hears
    patch: str = ""

    @property
    def needs_ipv6(self) -> bool:
        """Its mail server listens on an address that not every machine has."""
        return "::1" in self.conditions

    @property
    def alone(self) -> bool:
        """It cannot share a process with others."""
        return bool(self.patch) or self.needs_ipv6

    @property
    def stem(self) -> str:
        """The name of its profile."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def worded(**changes: Any) -> str:
    return f"Conditions(manner=Manner(wording={changes!r}))"


EXCHANGE_EXTENSIONS = ("PIPELINING", "DSN", "STARTTLS", "8BITMIME", "CHUNKING", "SMTPUTF8")
MONOSYLLABIC = {
    "extensions": EXCHANGE_EXTENSIONS,
    "starttls_ready": "220 Ready",
    "auth_ok": "235 Accepted",
    "mail_ok": "250 OK",
    "rcpt_ok": "250 OK",
    "accepted": "250 OK",
    "reset": "250 OK",
    "bye": "221 Bye",
}

VARIATIONS = (
    Variation(
        "implicit TLS",
        "demo-gmail",
        '[smtp]\nport = 465\ntls = "implicit"',
        shows='"smtp.tls": {"value": "implicit"',
    ),
    Variation(
        "OAUTHBEARER only",
        "demo-gmail",
        conditions=worded(mechanisms=("OAUTHBEARER",)),
        shows="AUTH OAUTHBEARER",
    ),
    Variation("app-only with roles", "demo-app", shows='"roles": \\["SMTP.SendAsApp"\\]'),
    Variation(
        "app-only by RBAC, without roles",
        "demo-app",
        '[oauth]\napp_permission = "rbac"',
        shows='^(?!.*"roles")',
    ),
    Variation(
        "a sender by Send As",
        profile='[send]\nsender = "info@contoso.example"\nto = ["probe@contoso.example"]',
        shows="MAIL FROM:<info@contoso.example>",
    ),
    Variation(
        "a shared mailbox, opened by somebody with full access",
        conditions="Conditions(manner=Manner(full_access=True), identity=IdentityConditions("
        'token_flaw=TokenFlaw(user="clerk@contoso.example")))',
        shows='"upn": "clerk@contoso.example"',
        notices=frozenset({"token_user_mismatch"}),
    ),
    Variation(
        "an alias as From",
        "demo-gmail",
        '[send]\nsender = "alias@gmail.example"\nto = ["user@gmail.example"]',
        shows="MAIL FROM:<alias@gmail.example>",
    ),
    Variation(
        "opaque tokens where they mostly can be read",
        conditions="Conditions(manner=Manner(opaque_tokens=True))",
        shows='"opaque": true',
    ),
    Variation("IPv4 only", shows='"address": "127.0.0.1"'),
    Variation(
        "IPv6 only",
        conditions='Conditions(manner=Manner(mail_address="::1"), '
        'names=NameConditions(host={"AAAA": ("::1",)}))',
        shows='"address": "::1"',
    ),
    Variation(
        "a machine without IPv6",
        conditions='Conditions(names=NameConditions(host={"A": ("127.0.0.1",), "AAAA": ("2001:db8::25",)}))',
        shows="ENETUNREACH",
        patch=NO_IPV6,
    ),
    Variation(
        "a host that is an alias",
        conditions='Conditions(names=NameConditions(host={"CNAME": ("login.lab.example.",)}))',
        shows='"aliases": \\["login.lab.example"\\]',
    ),
    Variation(
        "three recipients",
        profile='[send]\nto = ["one@contoso.example", "two@contoso.example", "three@contoso.example"]',
        shows="RCPT TO:<three@contoso.example>",
    ),
    Variation(
        "8 BITMIME with a blank",
        conditions=worded(extensions=("PIPELINING", "STARTTLS", "8 BITMIME")),
        shows="250 8 BITMIME",
    ),
    Variation(
        "EHLO in lower case",
        conditions="Conditions(manner=Manner(lower_case=True))",
        shows="auth login xoauth2",
    ),
    Variation(
        "a greeting of several lines",
        conditions=worded(greeting="220-smtp.lab.example ESMTP\n220-No spam, please.\n220 Ready"),
        shows="220-No spam, please.",
    ),
    Variation(
        "AUTH= for old clients",
        conditions="Conditions(manner=Manner(legacy_auth=True))",
        shows="AUTH=LOGIN XOAUTH2",
    ),
    Variation(
        "a token far over the limit of a line",
        conditions="Conditions(manner=Manner(groups=120, command_bytes=2048))",
        shows='"shape": "two_steps"',
    ),
    Variation("no enhanced codes", conditions=worded(**MONOSYLLABIC), shows="235 Accepted"),
    Variation(
        "slow, within the limits",
        conditions='Conditions(connection=ConnectionConditions(late_s={"greeting": 0.5, "EHLO": 0.5}), '
        'identity=IdentityConditions(instead={"token_endpoint": Instead(late_s=0.5)}), '
        "mail=MailConditions(message_late_s=0.5))",
        shows='"took_s": 0\\.[5-9]',
    ),
    Variation(
        "a token for 28 hours",
        conditions="Conditions(identity=IdentityConditions(token_flaw=TokenFlaw(life_s=100_800)))",
        shows='"expires_in_s": 100800',
    ),
    Variation(
        "refresh tokens that can be used once",
        conditions="Conditions(identity=IdentityConditions(reuse=Reuse.REVOKES))",
        shows='"refresh_token_rotated": true',
    ),
    Variation(
        "an audience that is an id",
        conditions="Conditions(identity=IdentityConditions(token_flaw=TokenFlaw("
        'audience="00000002-0000-0ff1-ce00-000000000000")))',
        shows='"aud": "00000002-0000-0ff1-ce00-000000000000"',
    ),
    Variation(
        "an audience with a slash at its end",
        conditions="Conditions(identity=IdentityConditions(token_flaw=TokenFlaw("
        'audience="https://outlook.office.com/")))',
        shows='"aud": "https://outlook.office.com/"',
    ),
    Variation(
        "tokens of RFC 9068",
        "demo-custom",
        conditions="Conditions(manner=Manner(tokens_by_rfc9068=True))",
        shows='"typ": "at\\+jwt".*"scope": "smtp imap offline_access"',
        notices=frozenset({"refresh_token_rotates", "excess_permissions"}),  # as of the demonstration itself
    ),
    Variation(
        "a user's permission of the resource for applications",
        profile='[oauth]\nscope = ["https://outlook.office365.com/SMTP.Send", "offline_access"]',
        shows='"aud": "https://outlook.office365.com"',
    ),
)

# What demonstrations hear in any case: LOGIN stands beside XOAUTH2, Google ends sign-ins with the password.
ALWAYS = frozenset({"password_mechanisms_offered", "refresh_token_ends_with_password"})


def has_ipv6_loopback() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def batches() -> list[tuple[Variation, ...]]:
    """Those that can share a process, some at a time, and the others."""
    plain = [one for one in VARIATIONS if not one.alone]
    alone = [(one,) for one in VARIATIONS if one.alone]
    return [tuple(plain[at : at + AT_ONCE]) for at in range(0, len(plain), AT_ONCE)] + alone


@pytest.fixture(scope="session")
def suite_with(run_suite: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Variation], Any]:
    """Run the suite on a variation, and on those that share its process, once."""
    done: dict[str, Any] = {}
    folder = tmp_path_factory.mktemp("profiles")
    for demo in PROFILES.glob("demo*.toml"):
        shutil.copy(demo, folder)

    def run(batch: tuple[Variation, ...]) -> Any:
        for one in batch:
            text = f'extends = "{one.demo}"\n{one.profile}\n'
            (folder / f"{one.stem}.toml").write_text(text, encoding="utf-8")
        conditions = ", ".join(f"{one.stem!r}: {one.conditions}" for one in batch)
        plugin = PLUGIN.format(conditions=conditions, patch=batch[0].patch)
        return run_suite(*(f"--profile={folder / one.stem}.toml" for one in batch), plugin=plugin)

    def suite(variation: Variation) -> Any:
        if variation.stem not in done:
            batch = next(one for one in batches() if variation in one)
            done.update(dict.fromkeys((one.stem for one in batch), run(batch)))
        return done[variation.stem]

    return suite


@dataclass(frozen=True)
class Ready:
    """A variation and the report of its run."""

    variation: Variation
    report: dict[str, Any]


# With the scope of the module, the tests of a variation follow each other.
@pytest.fixture(scope="module", params=VARIATIONS, ids=lambda one: one.stem)
def ready(request: pytest.FixtureRequest, suite_with: Callable[[Variation], Any]) -> Ready:
    variation = request.param
    if variation.needs_ipv6 and not has_ipv6_loopback():
        pytest.skip("this machine has no IPv6, not even for itself")
    return Ready(variation, suite_with(variation).report(variation.stem))


def test_it_is_ready(ready: Ready) -> None:
    """The message is accepted, every check that applies has passed, none has even warned."""
    assert (ready.report["verdict"], ready.report["proven"]) == ("ready", "data")
    assert {check["outcome"] for check in ready.report["checks"]} == {"passed", "skipped"}


def test_nothing_is_said_against_it(ready: Ready) -> None:
    """There are notices only, and no more of them than belong to it; none is a prediction left open."""
    findings = ready.report["findings"]
    assert {one["severity"] for one in findings} <= {"notice"}
    assert {one["code"] for one in findings} - ALWAYS <= ready.variation.notices
    assert not any(one["predicted"] for one in findings)


def test_it_is_what_it_is_called(ready: Ready) -> None:
    """The evidence shows the peculiarity, so that nothing was proven of a plain demonstration."""
    evidence = json.dumps([ready.report["evidence"], ready.report["settings"]])
    assert re.search(ready.variation.shows, evidence), evidence[:3000]
