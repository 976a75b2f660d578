"""A message on its way through servers that are not ours, and back: ready, and nothing said against them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

MAILBOX = "alerts@contoso.example"
DELIVERED = {"send": {"to": [MAILBOX]}, "delivery": {"within_s": 60}}


@dataclass(frozen=True)
class Healthy:
    """A way through the servers, and what the evidence holds if it was really taken."""

    name: str
    port: str = "submission"
    mailboxes: str = "by_signature"
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shows: tuple[str, ...] = ()
    proves: tuple[str, ...] = ()  # checks that have to pass beside those that every way passes


HEALTHY = (
    Healthy(
        "starttls",
        shows=("AUTH XOAUTH2", '"opaque": false', '"mechanism": "XOAUTH2"'),
        proves=(
            "test_claims.py::test_signature_is_valid",
            "test_tls.py::test_certificate_is_the_one_announced",
        ),
    ),
    Healthy(
        "implicit-tls",
        "submissions",
        tables={"smtp": {"tls": "implicit", "mechanism": "oauthbearer"}},
        shows=("AUTH OAUTHBEARER", '"smtp.tls": {"value": "implicit"'),
        proves=("test_tls.py::test_certificate_is_the_one_announced",),
    ),
    Healthy(
        "judge-that-asks-the-provider",
        "by_asking",
        "by_asking",
        {"oauth": {"client_id": "opaque"}},
        shows=('"opaque": true',),
    ),
)
ARRIVED = (
    "test_data.py::test_message_is_accepted",
    "test_delivery.py::test_message_arrives",
    "test_delivery.py::test_message_is_in_the_inbox",
    "test_mailbox_access.py::test_mailbox_opens[imap]",
    "test_mailbox_access.py::test_mailbox_opens[pop]",
)


@pytest.fixture(scope="module")
def healthy(preflight_all: Callable[..., Any], mail_service: Any) -> Any:
    """A run of the suite on all of these."""
    profiles = (
        mail_service.profile(one.name, port=one.port, mailboxes=one.mailboxes, **DELIVERED, **one.tables)
        for one in HEALTHY
    )
    return preflight_all(*profiles)


@pytest.mark.parametrize("way", HEALTHY, ids=lambda one: one.name)
def test_message_arrives_and_is_read_back(way: Healthy, healthy: Any) -> None:
    """Signed names, submission, the judge of tokens, LMTP, and the mailbox over IMAP and POP: all hold."""
    report = healthy.report(way.name)
    assert (report["verdict"], report["proven"], report["findings"]) == ("ready", "delivery", [])
    outcomes = healthy.outcomes(way.name)
    assert {outcomes[check] for check in (*ARRIVED, *way.proves)} == {"passed"}
    evidence = json.dumps(report)
    assert [text for text in way.shows if text not in evidence] == []


def test_refresh_tokens_rotate_and_one_used_twice_ends_them_all(
    preflight_all: Callable[..., Any], mail_service: Any
) -> None:
    """Two runs use each once; a third, which knows only the first, uses that again; then all are void.

    The provider tells nobody why: used up stands beside unknown.
    """
    given = mail_service.providers["right"].refresh_token
    scope = ["openid", "offline_access", "smtp"]
    oauth = {"client_id": "mail-rotating", "grant": "refresh_token", "scope": scope}
    seeded = {**oauth, "refresh_token": {"env": "INTEROP_REFRESH_TOKEN"}}
    kept = mail_service.profile("rotating", oauth=seeded)
    elsewhere = mail_service.profile(
        "forgetful", oauth={**seeded, "store": str(mail_service.folder / "another store")}
    )
    for _ in range(2):
        run = preflight_all(kept, INTEROP_REFRESH_TOKEN=given)
        assert run.report("rotating")["verdict"] == "ready"
        assert {one["severity"] for one in run.report("rotating")["findings"]} <= {"notice"}
    for profile in (elsewhere, kept):
        run = preflight_all(profile, INTEROP_REFRESH_TOKEN=given)
        (finding,) = run.report(profile.stem)["findings"]
        assert finding["code"] == "refresh_token_invalid"
        assert "refresh_token_reused" in [one["code"] for one in finding["alternatives"]]
