"""How a job of GitHub Actions gets the token that shows who it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from smtp_preflight.model import OAuth, Profile, Provider, SecretCheck, SecretRef, Smtp
from smtp_preflight.oauth.federation import ADDRESS, PERMIT
from smtp_preflight.probes.secret import probe_secret
from smtp_preflight.secrets import Wallet

AUDIENCE = "api://AzureADTokenExchange"
CANARY = "canary-permit-of-this-job"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.canary.of-the-job"

Serve = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "https://actions.example/idtoken/1?api-version=2.0")
    monkeypatch.setenv(PERMIT, CANARY)


def check(serve: Serve, wallet: Wallet) -> SecretCheck:
    profile = Profile(
        name="contoso",
        provider=Provider("custom", "A server"),
        mailbox="alerts@contoso.example",
        smtp=Smtp("smtp.contoso.example"),
        oauth=OAuth(federated=SecretRef("github", (AUDIENCE,))),
    )
    return asyncio.run(probe_secret(profile, wallet, "federated", transport=httpx.MockTransport(serve)))


@pytest.mark.usefixtures("in_a_job")
def test_a_job_asks_for_a_token_for_the_audience() -> None:
    asked: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"count": len(TOKEN), "value": TOKEN})

    wallet = Wallet()
    found = check(serve, wallet)
    (request,) = asked
    assert (request.method, request.url.host) == ("GET", "actions.example")
    assert dict(request.url.params) == {"api-version": "2.0", "audience": AUDIENCE}
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    held = wallet.get("federated")
    assert held is not None
    assert held.reveal() == TOKEN
    assert (found.resolved, found.reference) == (True, f"github:{AUDIENCE}")
    assert "canary" not in wallet.redact(f"{CANARY} {TOKEN}")


@pytest.mark.parametrize("missing", [ADDRESS, PERMIT])
def test_outside_of_a_job_nobody_is_asked(
    missing: str, monkeypatch: pytest.MonkeyPatch, in_a_job: None
) -> None:
    monkeypatch.delenv(missing)
    found = check(lambda _request: pytest.fail("it asked"), Wallet())
    assert found.problem == (
        f"environment variable {missing} is not set: this is no job of GitHub Actions, or one without the "
        "permission id-token: write"
    )


@pytest.mark.usefixtures("in_a_job")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            httpx.Response(403, json={"message": "Resource not accessible"}),
            "gives this job no token: HTTP 403",
        ),
        (httpx.Response(200, text="<html>"), "GitHub's answer holds no token"),
        (httpx.Response(200, json={"value": ""}), "GitHub's answer holds no token"),
        (httpx.Response(200, json={"value": ["eyJ"]}), "GitHub's answer holds no token"),
        (httpx.Response(200, json={"value": "é"}), "GitHub's answer holds no token"),
    ],
    ids=["refused", "web page", "empty", "list", "not ascii"],
)
def test_an_answer_without_a_token_is_said(answer: httpx.Response, words: str) -> None:
    found = check(lambda _request: answer, Wallet())
    assert words in found.problem
    assert CANARY not in found.problem


@pytest.mark.usefixtures("in_a_job")
def test_an_address_that_is_no_https_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The permit leaves this machine over verified TLS or not at all."""
    monkeypatch.setenv(ADDRESS, "http://actions.example/idtoken")
    found = check(lambda _request: pytest.fail("it asked"), Wallet())
    assert found.problem.startswith("GitHub gives this job no token: ")
