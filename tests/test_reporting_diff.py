"""What two runs were told differently: what counts as a change, what does not, and where it is said."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.cli import main
from smtp_preflight.model import (
    AccessToken,
    Announced,
    Certificate,
    Change,
    Discovery,
    DnsAnswer,
    DnsStatus,
    Ehlo,
    Grant,
    HttpExchange,
    MtaSts,
    OAuthError,
    Observation,
    SecretCheck,
    Seen,
    Setting,
    SmtpReply,
    Stage,
    SystemAddresses,
    TlsHandshake,
    TokenInfo,
)
from smtp_preflight.reporting.diff import changes
from smtp_preflight.reporting.wording import change_words

NOW = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
Make = Callable[..., Seen]


@dataclass
class Told:
    """As much of a run as is compared."""

    seen: Seen
    settings: Mapping[str, Setting] = field(default_factory=dict)
    knowledge: str = "2026-11-20"
    environment: Mapping[str, str] = field(default_factory=dict)


# --- answers that differ in one thing ----------------------------------------------------------------------


def host(*records: str, status: DnsStatus = DnsStatus.ANSWER) -> DnsAnswer:
    return DnsAnswer(asked_at=NOW, name="mx.example", rdtype="A", status=status, records=records)


def ehlo(*lines: str, code: int = 250) -> Ehlo:
    return Ehlo(asked_at=NOW, encrypted=True, reply=SmtpReply(code, ("mx.example Hello [192.0.2.9]", *lines)))


def shown(issuer: str = "CN=Good CA", days: int = 60) -> TlsHandshake:
    leaf = Certificate(
        "CN=mx.example", issuer, ("mx.example",), NOW, NOW + dt.timedelta(days), "RSA", 2048, "sha256", "ab"
    )
    return TlsHandshake(asked_at=NOW, host="mx.example", version="TLSv1.3", chain=(leaf,))


def granted(life_s: int = 3600, expires_in_s: int | None = None, **claims: Any) -> Grant:
    start = int(NOW.timestamp())
    times = {} if expires_in_s else {"iat": start, "exp": start + life_s}
    token = AccessToken(
        NOW, 1432, "0123456789ab", opaque=False, claims={**times, **claims}, expires_in_s=expires_in_s
    )
    return Grant(asked_at=NOW, grant="client_credentials", token=token)


def secret(length: int = 40, key: str = "client_secret") -> SecretCheck:
    return SecretCheck(asked_at=NOW, key=key, reference="env:X", length=length)


def metadata(**values: str) -> Discovery:
    told = {"issuer": "https://a.example", "token_endpoint": "https://a.example/token", **values}
    return Discovery(asked_at=NOW, http=HttpExchange("GET", "https://a.example", 200), metadata=told)


def token_info(**claims: str) -> TokenInfo:
    http = HttpExchange("POST", "https://a.example/tokeninfo", 200)
    return TokenInfo(asked_at=NOW, http=http, claims=claims)


def through(proxy: str) -> Grant:
    http = HttpExchange("POST", "https://a.example/token", 200, proxy=proxy)
    return replace(granted(), http=http)


def mta_sts(*policy: str) -> MtaSts:
    lines = ("version: STSv1", *policy) if policy else ()
    return MtaSts(asked_at=NOW, domain="contoso.com", announced=Announced(host(), "STSv1"), policy=lines)


DIFFERENT: dict[str, tuple[Observation, Observation, str]] = {
    "addresses": (host("192.0.2.1"), host("192.0.2.2"), "DNS: 192.0.2.1 → 192.0.2.2"),
    "no address": (host("192.0.2.1"), host(status=DnsStatus.NXDOMAIN), "DNS: 192.0.2.1 → nxdomain"),
    "system": (
        SystemAddresses(asked_at=NOW, host="x", addresses=("192.0.2.1",)),
        SystemAddresses(asked_at=NOW, host="x", error="EAI_NONAME"),
        "addresses of: 192.0.2.1 → EAI_NONAME",
    ),
    "mechanisms": (
        ehlo("AUTH LOGIN XOAUTH2"),
        ehlo("AUTH LOGIN"),
        "EHLO: offers AUTH: LOGIN, XOAUTH2 → LOGIN",
    ),
    "a capability": (ehlo("SMTPUTF8"), ehlo("DSN"), "EHLO: offers SMTPUTF8: yes → nothing"),
    "issuer": (shown(), shown("CN=Proxy"), "TLS handshake: issuer: CN=Good CA → CN=Proxy"),
    "certificate": (
        shown(),
        shown(days=90),
        "TLS handshake: certificate: CN=mx.example, until 2027-01-19 → CN=mx.example, until 2027-02-18",
    ),
    "claim": (
        granted(roles=["SMTP.SendAsApp", "a"]),
        granted(roles=["a"]),
        "token request: claim roles: SMTP.SendAsApp, a → a",
    ),
    "life": (granted(3600), granted(86400), "token request: life of the token: 60 minutes → 1440 minutes"),
    "life by the answer": (
        granted(expires_in_s=3600),
        granted(expires_in_s=600),
        "token request: life of the token: 60 minutes → 10 minutes",
    ),
    "claim by the provider": (
        token_info(azp="a", exp="1795160400"),
        token_info(azp="b", exp="1795164000"),
        "token info: claim azp: a → b",
    ),
    "proxy": (
        through("http://proxy.contoso.com:3128"),
        through(""),
        "token request: proxy: http://proxy.contoso.com:3128 → nothing",
    ),
    "secret": (secret(40), secret(36), "secret: length: 40 → 36"),
    "certificate of one's own": (
        replace(secret(), ends=NOW),
        replace(secret(), ends=NOW + dt.timedelta(days=90)),
        "secret: last day: 2026-11-20 → 2027-02-18",
    ),
    "policy": (
        mta_sts("mode: testing"),
        mta_sts("mode: enforce"),
        "MTA-STS of: version: STSv1, mode: testing → version: STSv1, mode: enforce",
    ),
    "metadata": (
        metadata(),
        metadata(token_endpoint="https://b.example/token"),
        "metadata of the identity provider: token_endpoint: https://a.example/token → https://b.example/token",
    ),
    "time": (
        replace(shown(), took_s=0.1),
        replace(shown(), took_s=2.5),
        "TLS handshake: time: 0.10 s → 2.50 s",
    ),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_difference_is_told_with_both_sides(what: str, seen_with: Make) -> None:
    """One difference, one line; with both sides, so that it can be looked at from here."""
    before, after, words = DIFFERENT[what]
    found = changes(Told(seen_with(before)), Told(seen_with(after)))
    assert words in [change_words(one) for one in found]
    assert {one.stage for one in found} != {None}


SAME: dict[str, tuple[Observation, Observation]] = {
    "the order of records": (host("192.0.2.1", "192.0.2.2"), host("192.0.2.2", "192.0.2.1")),
    "a server in trouble": (host("192.0.2.1"), host(status=DnsStatus.TIMEOUT)),
    "the order of mechanisms": (ehlo("AUTH LOGIN XOAUTH2"), ehlo("AUTH XOAUTH2 LOGIN")),
    "a refused EHLO": (ehlo("AUTH LOGIN"), ehlo(code=421)),
    "a token's own times": (granted(3600, nbf=1), granted(5200, nbf=2)),
    "a token that was not granted": (
        granted(),
        Grant(asked_at=NOW, grant="client_credentials", error=OAuthError("invalid_client")),
    ),
    "a policy that was not fetched": (mta_sts("mode: testing"), mta_sts()),
    "no certificate": (shown(), TlsHandshake(asked_at=NOW, host="mx.example")),
    "a token of another length": (secret(1400, "access_token"), secret(1500, "access_token")),
    "a time within noise": (replace(shown(), took_s=0.9), replace(shown(), took_s=1.8)),
    "a short time, three times as long": (replace(shown(), took_s=0.1), replace(shown(), took_s=0.4)),
}


@pytest.mark.parametrize("what", SAME)
def test_what_differs_each_time_is_no_change(what: str, seen_with: Make) -> None:
    """Nor is what became of the mail: a finding tells that."""
    before, after = SAME[what]
    assert changes(Told(seen_with(before)), Told(seen_with(after))) == ()


def test_only_what_was_asked_both_times_is_compared(seen_with: Make) -> None:
    """A narrower run has not lost what it did not ask for."""
    assert changes(Told(seen_with(host("192.0.2.1"), shown())), Told(seen_with(shown()))) == ()


def test_settings_knowledge_and_machine_are_compared(seen_with: Make) -> None:
    """The order of a profile's scopes matters; what a lab makes up does not, nor what only one run tells."""
    before = Told(
        seen_with(),
        {"oauth.scope": Setting(["a", "b"], "profile"), "smtp.port": Setting(4711, "lab")},
        environment={"Python": "3.11", "OpenSSL": "3.0"},
    )
    after = Told(
        seen_with(),
        {
            "oauth.scope": Setting(["b", "a"], "profile"),
            "smtp.port": Setting(4712, "lab"),
            "send.sender": Setting("a@b", "profile"),
        },
        "2026-12-01",
        {"Python": "3.13"},
    )
    assert [(one.stage, change_words(one)) for one in changes(before, after)] == [
        (Stage.TOKEN, "setting oauth.scope: a, b → b, a"),
        (Stage.RCPT_TO, "setting send.sender: nothing → a@b"),
        (None, "Python: 3.11 → 3.13"),
        (None, "knowledge: 2026-11-20 → 2026-12-01"),
    ]


@pytest.mark.parametrize(
    ("cause", "stages"),
    [
        (None, ["dns", "tls", "token", None]),
        (Stage.AUTH, ["token", "tls", "dns", None]),
        (Stage.TLS, ["tls", "dns", "token", None]),
    ],
)
def test_the_likeliest_to_matter_comes_first(
    cause: Stage | None, stages: list[str | None], seen_with: Make
) -> None:
    """What shows shortly before the cause; what shows behind it, and who judges, later."""
    before = Told(seen_with(host("192.0.2.1"), shown(), granted(aud="a")))
    after = Told(seen_with(host("192.0.2.2"), shown("CN=Proxy"), granted(aud="b")), knowledge="2026-12-01")
    assert [one.stage for one in changes(before, after, cause)] == stages


def test_a_long_value_is_cut(seen_with: Make) -> None:
    """A server's megabyte is not repeated."""
    (change,) = changes(Told(seen_with(ehlo("X a"))), Told(seen_with(ehlo(f"X {'b' * 10**6}"))))
    assert len(change.after) < 300


# --- as users meet it --------------------------------------------------------------------------------------


WRITTEN = ("summary.md", "report.html")
NAMED = "EHLO after TLS: offers AUTH: LOGIN, XOAUTH2 → LOGIN"


@dataclass(frozen=True)
class Mornings:
    """A ready run, and the next one, in which the server has stopped offering XOAUTH2."""

    folder: Path  # of the reports of both, and of those to come
    first: Path  # its report.json
    second: Path
    words: str  # what the second said on the terminal
    summary: str
    page: str


@pytest.fixture(scope="module")
def mornings(run_suite: Any, tmp_path_factory: pytest.TempPathFactory) -> Mornings:
    folder = tmp_path_factory.mktemp("mornings")
    run_suite("--profile=demo", folder=folder)
    done = run_suite("--profile=demo", "--fault=xoauth2_not_advertised", folder=folder)
    first, second = sorted((folder / "demo" / "history").iterdir())
    summary, page = ((folder / "demo" / name).read_text(encoding="utf-8") for name in WRITTEN)
    return Mornings(folder, first, second, done.stdout, summary, page)


def since_in(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))["since_last_ready"]


def test_a_fault_right_after_a_change_names_the_change(mornings: Mornings) -> None:
    """In every report and on the terminal; and nothing else is called a change."""
    assert since_in(mornings.first) is None
    since = since_in(mornings.second)
    assert since["started"] == json.loads(mornings.first.read_text(encoding="utf-8"))["started"]
    assert [change_words(Change(**one)) for one in since["changes"]] == [NAMED]
    assert f"  {NAMED}" in mornings.words.splitlines()
    assert f"- {NAMED}" in mornings.summary.splitlines()
    assert "<td>LOGIN, XOAUTH2</td><td>LOGIN</td>" in mornings.page


def test_a_run_like_the_last_one_says_nothing_of_it(mornings: Mornings, run_suite: Any) -> None:
    """A lab's own ports, keys and certificates are new each time, and no change."""
    done = run_suite("--profile=demo", folder=mornings.folder)
    assert done.report()["since_last_ready"]["changes"] == []
    assert "since the last ready run" not in done.stdout


def test_where_nothing_has_changed_a_fault_says_so(mornings: Mornings, run_suite: Any) -> None:
    """Then it came about elsewhere: a date, a permission, a switch."""
    done = run_suite("--profile=demo", "--fault=smtp_auth_disabled_mailbox", folder=mornings.folder)
    assert "nothing of what was asked both times has changed." in " ".join(done.stdout.split())


def test_a_replay_tells_what_its_run_did(mornings: Mornings, run_suite: Any) -> None:
    """It has no history of its own, elsewhere."""
    done = run_suite(f"--replay={mornings.second}")
    since = done.report("demo-replay")["since_last_ready"]
    assert [change_words(Change(**one)) for one in since["changes"]] == [NAMED]


def test_an_unreadable_history_is_passed_over(run_suite: Any, tmp_path: Path) -> None:
    """An altered file is no reason not to report, nor one of another suite."""
    history = tmp_path / "demo" / "history"
    history.mkdir(parents=True)
    (history / "20200101T000000.000000Z-ready.json").write_text("{}", encoding="utf-8")
    done = run_suite("--profile=demo", folder=tmp_path)
    assert (done.status, done.report()["since_last_ready"]) == (0, None)


def test_masked_and_plain_runs_can_be_compared(run_suite: Any, tmp_path: Path) -> None:
    """That one of them hides its addresses is no change of any."""
    for options in ((), ("--mask-addresses",), ()):
        done = run_suite("--profile=demo", *options, folder=tmp_path)
    assert done.report()["since_last_ready"]["changes"] == []


def test_diff_says_what_two_reports_were_told(mornings: Mornings, capsys: pytest.CaptureFixture[str]) -> None:
    """By file or by folder; verdicts and causes first."""
    assert main(["diff", str(mornings.first), str(mornings.second)]) == 0
    old, new, *rest = capsys.readouterr().out.splitlines()
    assert (old[:11], old[-7:]) == ("old: demo, ", ": ready")
    assert new.endswith(": not ready")
    assert rest == ["found: nothing → xoauth2_not_advertised", f"AUTH offered: {NAMED}"]


def test_diff_of_a_report_with_itself(mornings: Mornings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *[str(mornings.folder / "demo")] * 2]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["nothing of what was asked both times has changed"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "not a report.json of this suite: lacks 'schema'"),
        ("<html>", "not a report.json of this suite: Expecting value: line 1 column 1 (char 0)"),
        ('{"schema": 9}', "schema: found 9; wanted 1"),
    ],
)
def test_what_is_no_report_is_one_line(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 4, as for everything that cannot be read."""
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    assert main(["diff", str(path), str(path)]) == 4
    assert capsys.readouterr().err == f"smtp-preflight diff: {path}: {told}\n"


def test_diff_of_a_folder_without_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(tmp_path), str(tmp_path)]) == 4
    assert "report.json: cannot be read: No such file" in capsys.readouterr().err
