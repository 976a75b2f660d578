"""The lab's faults of identity provider and mail server: their rows, and what is said over the wire."""

from __future__ import annotations

import json
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from smtp_preflight.knowledge import entries
from smtp_preflight.lab import FAULTS, Lab
from smtp_preflight.lab.conditions import (
    HANG_UP,
    SILENCE,
    Conditions,
    IdentityConditions,
    MailConditions,
    Refusal,
    TokenFlaw,
)
from smtp_preflight.lab.faults import identity, mail
from smtp_preflight.lab.faults.fault import PROVIDERS, Fault
from smtp_preflight.lab.smtp import Session
from smtp_preflight.lab.tokens import Mint
from smtp_preflight.lab.wording import EXCHANGE, GMAIL, PLAIN
from smtp_preflight.lab.world import World
from smtp_preflight.model import Profile
from smtp_preflight.profile import load_profile, load_providers

PROFILES = Path(__file__).parent.parent / "profiles"
LIMIT_S = 30
MOST_UNPACKED = 8 * 1024 * 1024

ROWS = (*identity.ROWS, *mail.ROWS)
WORDINGS = {
    "microsoft365": EXCHANGE,
    "outlook_personal": EXCHANGE,
    "google": GMAIL,
    "google_workspace": GMAIL,
    "custom": PLAIN,
}
MINT = Mint()
REPLIES = ("auth_refusal", "sender_refusal", "recipient_refusal", "data_refusal", "message_refusal")


def at_each_provider(fault: Fault) -> Iterator[tuple[str, Conditions]]:
    """What the fault is, wherever it is."""
    return ((provider, fault.conditions_at(provider)) for provider in fault.provider)


# --- the rows ----------------------------------------------------------------------------------------------


def test_no_row_hides_another() -> None:
    """``--fault`` finds each of them: no two have one name."""
    assert len({one.name for one in ROWS}) == len(ROWS)
    assert all(FAULTS[one.name] is one for one in ROWS)


@pytest.mark.parametrize("fault", ROWS, ids=lambda one: one.name)
def test_a_row_names_what_there_is(fault: Fault) -> None:
    """Codes that are explained, providers that there are labs of; another manner only where the fault is."""
    assert {fault.code, fault.named_first} - {""} <= set(entries())
    assert fault.named_first != fault.code
    assert set(fault.elsewhere) <= set(fault.provider) <= set(PROVIDERS)


@pytest.mark.parametrize("fault", ROWS, ids=lambda one: one.name)
def test_a_row_breaks_something_at_each_of_its_providers(fault: Fault) -> None:
    """None is healthy by mistake."""
    healthy = [provider for provider, one in at_each_provider(fault) if one == Conditions()]
    assert healthy == []


@pytest.mark.parametrize("fault", mail.ROWS, ids=lambda one: one.name)
def test_a_reply_is_one_that_smtp_knows(fault: Fault) -> None:
    """One code on each line, behind all but the last a hyphen; nothing in it is left to fill in."""
    for provider, conditions in at_each_provider(fault):
        world = World(conditions, WORDINGS[provider], MINT, "")
        session = Session(world, encrypted=True, peer="127.0.0.1")
        for name in REPLIES:
            template = getattr(conditions.mail, name)
            if template not in ("", HANG_UP, SILENCE):
                *earlier, last = session._say(template).decode().splitlines()
                code = last[:3]
                assert re.fullmatch(r"[2345]\d\d .*[^{}]*", last), last
                assert all(line.startswith(f"{code}-") for line in earlier), earlier
                assert "{" not in last


def test_a_refusal_at_entra_has_a_number() -> None:
    """And one at Google has none: it would not be theirs."""
    for fault in identity.ROWS:
        for provider, conditions in at_each_provider(fault):
            told = conditions.identity
            for refusal in filter(None, (told.client_refusal, told.refresh_refusal, told.grant_refusal)):
                assert isinstance(refusal, Refusal)
                assert bool(refusal.code) == (provider in ("microsoft365", "outlook_personal")), fault.name


# --- over the wire -----------------------------------------------------------------------------------------


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[Lab, Profile]]]:
    """Start a lab for a demonstration, under a fault or conditions; it ends with the test."""
    running: list[Lab] = []

    def begin(demo: str, *faults: str, under: Conditions | None = None) -> tuple[Lab, Profile]:
        profile = load_profile(PROFILES / f"{demo}.toml", load_providers())
        running.append(Lab.start(profile.lab, *faults, under=under))
        return running[-1], running[-1].overlay(profile)

    yield begin
    for lab in running:
        lab.stop()


def ask_for_token(lab: Lab, profile: Profile) -> tuple[bytes, bytes]:
    """Send the profile's token request; head and body of whatever comes back before the server hangs up."""
    oauth, url = profile.oauth, urlsplit(profile.oauth.token_endpoint)
    form = {"client_id": oauth.client_id, "grant_type": oauth.grant, "scope": " ".join(oauth.scope)}
    form |= {key: one.reveal() for key, one in lab.secrets().items() if key in oauth.secrets()}
    body = urlencode(form).encode()
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    context = ssl.create_default_context(cafile=profile.ca_file)
    with (
        socket.create_connection(("127.0.0.1", url.port or 443), LIMIT_S) as plain,
        context.wrap_socket(plain, server_hostname=url.hostname) as secured,
    ):
        secured.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: secured.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[::2]


def granted(lab: Lab, profile: Profile) -> dict[str, Any]:
    """The members of the answer."""
    read: dict[str, Any] = json.loads(ask_for_token(lab, profile)[1])
    return read


def admits(lab: Lab, profile: Profile, token: str) -> bool:
    return lab._world.admits(token, profile.mailbox)


def test_a_refusal_of_entra_says_its_number_thrice(start: Callable[..., tuple[Lab, Profile]]) -> None:
    """In the description, in ``error_codes`` and in ``error_uri``, beside what else their answers hold."""
    answer = granted(*start("demo", "conditional_access_block"))
    assert answer["error_codes"] == [53003]
    assert answer["error_description"].startswith("AADSTS53003: ")
    assert answer["error_uri"].endswith("53003")
    assert {"error", "suberror", "timestamp", "trace_id", "correlation_id"} <= set(answer)


def test_a_refusal_of_google_has_two_members_or_a_subtype(start: Callable[..., tuple[Lab, Profile]]) -> None:
    assert set(granted(*start("demo-gmail", "google_refresh_expired_testing_status"))) == {
        "error",
        "error_description",
    }
    assert granted(*start("demo-gmail", "sign_in_frequency_expired"))["error_subtype"] == "invalid_rapt"


def test_a_throttled_client_is_told_when_to_come_back(start: Callable[..., tuple[Lab, Profile]]) -> None:
    head, _ = ask_for_token(*start("demo", "token_endpoint_throttled"))
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 60" in head


def test_a_packed_answer_is_said_to_be_one(start: Callable[..., tuple[Lab, Profile]]) -> None:
    """And it is one: a little that becomes much in the hands of whoever unpacks it."""
    head, body = ask_for_token(*start("demo", "token_response_not_json:packed"))
    unpacker = zlib.decompressobj(31)
    assert b"\r\nContent-Encoding: gzip" in head
    assert len(unpacker.decompress(body[: len(body) // 100], MOST_UNPACKED)) > len(body)


def test_an_endpoint_can_hang_up(start: Callable[..., tuple[Lab, Profile]]) -> None:
    """Once the request has come whole, and without a byte of an answer."""
    lab, profile = start("demo", "refresh_answer_lost")
    assert ask_for_token(lab, profile) == (b"", b"")
    assert any("refresh_token 200" in one.what for one in lab.log)


@pytest.mark.parametrize(
    "flaw",
    [
        TokenFlaw(audience="https://graph.microsoft.com"),
        TokenFlaw(scope="IMAP.AccessAsUser.All"),
        TokenFlaw(permits=False),
        TokenFlaw(user="somebody.else@contoso.example"),
        TokenFlaw(tenant_id="c1f7b1de-6f0e-4f3e-9d0a-0d6f1b8f2a55"),
        TokenFlaw(begins_s=3600, life_s=7200),
        TokenFlaw(begins_s=-7200, life_s=-600),
        TokenFlaw(id_token=True),
        TokenFlaw(damaged=True),
    ],
    ids=repr,
)
def test_the_mail_server_takes_no_flawed_token(
    flaw: TokenFlaw, start: Callable[..., tuple[Lab, Profile]]
) -> None:
    """It reads the token itself, and knows nothing of what was done to it."""
    lab, profile = start("demo", under=Conditions(identity=IdentityConditions(token_flaw=flaw)))
    assert not admits(lab, profile, granted(lab, profile)["access_token"])


@pytest.mark.parametrize("demo", ["demo", "demo-app", "demo-outlook", "demo-gmail", "demo-custom"])
def test_the_mail_server_takes_a_token_without_flaw(
    demo: str, start: Callable[..., tuple[Lab, Profile]]
) -> None:
    lab, profile = start(demo)
    assert admits(lab, profile, granted(lab, profile)["access_token"])


def test_a_forged_token_is_refused(start: Callable[..., tuple[Lab, Profile]]) -> None:
    """It names the key that is published, and another one has signed it."""
    lab, profile = start("demo-custom", "token_signature_invalid")
    assert not admits(lab, profile, granted(lab, profile)["access_token"])


def test_silence_lasts() -> None:
    """Whoever is not answered once is not answered again."""
    conditions = Conditions(mail=MailConditions(sender_refusal=SILENCE))
    session = Session(World(conditions, PLAIN, MINT, ""), encrypted=True, peer="127.0.0.1")
    session._greeted, session._user = True, "alerts@contoso.example"
    assert session.feed(b"MAIL FROM:<alerts@contoso.example>\r\n") == b""
    assert session.feed(b"NOOP\r\n") == b""
    assert not session.closed


def test_hanging_up_says_nothing() -> None:
    conditions = Conditions(mail=MailConditions(sender_refusal=HANG_UP))
    session = Session(World(conditions, PLAIN, MINT, ""), encrypted=True, peer="127.0.0.1")
    session._greeted, session._user = True, "alerts@contoso.example"
    assert session.feed(b"MAIL FROM:<alerts@contoso.example>\r\n") == b""
    assert session.closed
