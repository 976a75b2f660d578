"""What to do, as a run says it: for the set-up that was checked, and for no other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smtp_preflight.diagnosis.dns import why_no_address
from smtp_preflight.diagnosis.rank import rank
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.diagnosis.token import why_not_granted
from smtp_preflight.knowledge import entry
from smtp_preflight.model import (
    AuthExchange,
    Cause,
    DnsAnswer,
    DnsStatus,
    Grant,
    OAuthError,
    Profile,
    Seen,
    SmtpReply,
    Stage,
    SystemAddresses,
)

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
HOST = "smtp.office365.com"

MakeSeen = Callable[..., Seen]
MakeProfile = Callable[..., Profile]


def nothing_resolves(profile: Profile, seen_with: MakeSeen, *, asked: bool = True) -> Cause:
    """The cause where no name server can be reached; asked: by queries of ours, too."""
    refused = DnsAnswer(asked_at=NOW, name=HOST, rdtype="A", status=DnsStatus.UNREACHABLE)
    by_system = not profile.dns_servers
    system = SystemAddresses(asked_at=NOW, host=HOST, error="UNREACHABLE", by_system=by_system)
    answers = [(f"{HOST} A", refused), (f"{HOST} AAAA", replace(refused, rdtype="AAAA"))] if asked else []
    return why_no_address(seen_with(*answers, (HOST, system), profile=profile)).causes[0]


def steps(cause: Cause) -> str:
    return "\n".join(entry(cause.code).steps(cause.facts))


def test_name_servers_of_the_profile_are_not_called_the_machines(
    profile_with: MakeProfile, seen_with: MakeSeen
) -> None:
    """Who has named the servers to ask is told of these, and not to read what the system asks."""
    cause = nothing_resolves(profile_with(dns_servers=("127.0.0.1:1", "192.0.2.1")), seen_with)
    assert cause.code == "dns_resolution_failure"
    assert cause.facts["seen"].startswith("the profile's name servers (127.0.0.1:1, 192.0.2.1): ")
    assert "this machine" not in cause.facts["seen"]
    assert "127.0.0.1:1, 192.0.2.1" in steps(cause)
    assert "resolv.conf" not in steps(cause)
    assert "set `servers`" not in steps(cause)
    assert "system itself" not in entry(cause.code).told(cause.facts)


def test_where_only_addresses_were_asked_for_their_servers_are_named_all_the_same(
    profile_with: MakeProfile, seen_with: MakeSeen
) -> None:
    """What a narrowed run has seen is not lost."""
    cause = nothing_resolves(profile_with(dns_servers=("127.0.0.1:1",)), seen_with, asked=False)
    assert cause.facts["seen"] == "the profile's name servers (127.0.0.1:1): UNREACHABLE"


def test_without_name_servers_in_the_profile_it_is_the_machine_that_asks(
    profile_with: MakeProfile, seen_with: MakeSeen
) -> None:
    """Nothing is said of a setting that is not there, nor that an unknown name is right."""
    cause = nothing_resolves(profile_with(), seen_with)
    assert "this machine's resolver: UNREACHABLE" in cause.facts["seen"]
    assert "resolv.conf" in steps(cause)
    assert "The profile has" not in steps(cause)
    assert "name is right" not in entry(cause.code).told(cause.facts)


def findings(done: Any, profile: str) -> dict[str, dict[str, Any]]:
    return {one["code"]: one for one in done.report(profile)["findings"]}


@pytest.mark.parametrize(
    ("profile", "fault"),
    [("demo", "send_as_denied"), ("demo", "send_as_denied:mail_from"), ("demo-outlook", "send_as_denied")],
)
def test_the_lab_refuses_a_sender_that_is_another(run_suite: Any, profile: str, fault: str) -> None:
    """The demonstration shows the case that everybody meets: one mailbox logs in, another is in From."""
    told = findings(run_suite(f"--profile={profile}", f"--fault={fault}"), profile)["send_as_denied"]
    assert "noreply@" in told["seen"] or "noreply@" in told["meaning"]
    assert any("instead of noreply@" in step for step in told["remedy"])
    assert not [step for step in told["remedy"] if "Postfix" in step]


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("B4D1E0C8A7F60123456789ABCDEF0123456789AB", True),
        ("aB_3-dEfGhIjKlMnOpQrStUvWxYz0123456789abcde", True),
        ("no thumbprint, but a sentence", False),
    ],
)
def test_the_thumbprint_that_entra_names_is_told(seen_with: MakeSeen, named: str, told: bool) -> None:
    """What is compared with the portal need not be searched for in an answer."""
    words = "not registered. [Reason - The key was not found., Thumbprint of key used by client: '{}']"
    error = OAuthError("invalid_client", words.format(named), codes=("700027",))
    cause = why_not_granted(seen_with(Grant(asked_at=NOW, grant="client_credentials", error=error))).causes[0]
    assert cause.code == "assertion_signing_key_unknown"
    assert (f"has the thumbprint `{named}`." in entry(cause.code).told(cause.facts)) is told
    assert "Google" not in steps(cause)


def test_the_port_in_what_was_seen_is_the_one_in_what_it_means(run_suite: Any) -> None:
    """The port of the profile, not the lab's; and what the second look heard stands beside it."""
    done = run_suite("--profile=demo-gmail", "--fault=tls_mode_mismatch:starttls")
    told = findings(done, "demo-gmail")["tls_mode_mismatch"]
    assert "The profile says port 465 with `starttls`" in told["meaning"]
    assert "smtp.tls: starttls on port 465" in told["seen"]
    assert "(implicit): 220 " in told["seen"]


def test_a_run_names_no_cause_that_it_rules_out_itself(run_suite: Any) -> None:
    """This suite sends tokens only; who asks for a browser did not get a password from it."""
    done = run_suite("--profile=demo-gmail", "--fault=google_security_challenge")
    told = findings(done, "demo-gmail")["google_security_challenge"]
    assert "client_used_password_auth" not in [one["code"] for one in told["alternatives"]]


def test_that_it_was_this_suite_that_sent_auth_is_a_sign(seen_with: MakeSeen) -> None:
    """Whatever the mail server calls it: the words of a refusal prove no password."""
    refusal = SmtpReply(535, ("5.7.139 Authentication unsuccessful, basic authentication is disabled",))
    signs = signs_of(seen_with(AuthExchange(asked_at=NOW, reply=refusal)))
    assert "client_used_password_auth" not in {one.code for one in rank(signs, Stage.AUTH)}


def test_a_second_factor_that_the_mail_server_wants_is_not_the_token_requests(run_suite: Any) -> None:
    """The token was granted; whoever reads this is not told that asking for it failed."""
    done = run_suite("--profile=demo", "--fault=mfa_required:auth")
    told = findings(done, "demo")["mfa_required"]
    assert "the mail server" in told["meaning"]
    assert "token request" not in told["meaning"]
