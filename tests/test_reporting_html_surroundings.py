"""The environment of a report says over what and by which clock it was made, and what was left out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import lxml.html  # type: ignore[import-untyped] # ships no types
import pytest

from smtp_preflight.evidence import encode
from smtp_preflight.model import (
    Discovery,
    HttpExchange,
    Run,
    Seen,
    TcpAttempt,
    TcpConnects,
    TcpOutcome,
    Until,
    Verdict,
)
from smtp_preflight.reporting.surroundings import environment

AT = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
FAILED, CONNECTED = TcpOutcome.NO_ROUTE, TcpOutcome.CONNECTED


@pytest.fixture
def told(seen_with: Callable[..., Seen]) -> Callable[..., dict[str, str]]:
    """What the environment says of a run with some answers."""

    def make(*answers: Any) -> dict[str, str]:
        seen = seen_with(*answers)
        run = Run(
            profile="contoso",
            provider="microsoft365",
            tool="smtp-preflight 0.1.0",
            knowledge="2026-11-20",
            started=seen.started,
            duration_s=1,
            until=Until.ENVELOPE,
            verdict=Verdict.READY,
            proven=None,
            not_asked=(),
            settings={},
            findings=(),
            checks=(),
            selected=(),
            until_when=(),
            seen=seen,
            evidence=tuple(encode(seen)),
        )
        return environment(run)

    return make


Told = Callable[..., dict[str, str]]


def connects(family: str, *outcomes: TcpOutcome, routable: bool = True) -> tuple[str, TcpConnects]:
    attempts = tuple(TcpAttempt("192.0.2.1", 587, one) for one in outcomes)
    return family, TcpConnects(asked_at=AT, family=family, attempts=attempts, routable=routable)


def answered(clock_s: float, took_s: float = 0.0) -> Discovery:
    """An answer whose server's clock differs by this much."""
    date = AT + dt.timedelta(seconds=clock_s)
    return Discovery(asked_at=AT, took_s=took_s, http=HttpExchange("GET", "https://x", status=200, date=date))


def test_the_family_of_the_connection_is_told(told: Told) -> None:
    """For each family that is published: how many addresses connected, and whether there was a way."""
    found = told(connects("ipv4", CONNECTED, CONNECTED), connects("ipv6", FAILED, routable=False))
    assert found["connected over"] == (
        "IPv4 (2 of 2 addresses), IPv6 (0 of 1 addresses; this machine has no route)"
    )
    assert told(connects("ipv6"))["connected over"] == "nothing"


@pytest.mark.parametrize(
    ("clock_s", "words"),
    [
        (0, "agrees with the servers', to the second"),
        (-1.5, "agrees with the servers', to the second"),
        (-400, "400 s ahead of a server's"),
        (3600, "3600 s behind a server's"),
    ],
)
def test_the_clock_is_compared_with_the_servers(told: Told, clock_s: float, words: str) -> None:
    """By the Date header at the end of the answer; a difference below its resolution is none."""
    assert told(answered(clock_s))["this machine's clock"] == words
    assert told(answered(clock_s + 20, took_s=20))["this machine's clock"] == words


def test_no_server_may_have_told_the_time(told: Told) -> None:
    """Where nothing was asked over HTTP, or no Date came."""
    silent = Discovery(asked_at=AT, http=HttpExchange("GET", "https://x", status=200))
    assert told()["this machine's clock"] == told(silent)["this machine's clock"] == "no server told the time"


@pytest.mark.parametrize("masked", [True, False])
def test_a_report_says_what_was_left_out(run_suite: Any, masked: bool) -> None:
    """And whether addresses were masked."""
    done = run_suite("--profile=demo", "-m", "profile", *(["--mask-addresses"] if masked else []))
    page = lxml.html.parse(str(done.folder / "demo" / "report.html")).getroot()
    left_out = page.get_element_by_id("left-out").text_content()
    assert "Secrets, tokens and passwords" in left_out
    assert ("it has a name instead" in left_out) is masked
    assert ("--mask-addresses" in left_out) is not masked
    assert ("e-mail addresses" in done.report()["environment"]) is masked
