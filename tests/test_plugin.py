"""The suite as its users meet it: exit status, outcomes, what is asked, what is written."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

ROOT = Path(__file__).parent.parent
FAULT = "starttls_not_offered"
OWNER = "test_starttls.py::test_starttls_is_offered"
BEFORE_TLS = ("test_dns.py", "test_tcp.py", "test_greeting.py")  # independent of the fault
RED = "--fault=" + FAULT


# --- healthy, and with one fault ---------------------------------------------------------------------------


def write_profile(path: Path, text: str = "", **replaced: str) -> Path:
    """Write a profile: a text, or the demonstration as it stands, with servers that nothing makes slow."""
    slow = "".join(
        f"{what}_slow_s = 3600\n" for what in ("dns", "tcp", "greeting", "reply", "tls", "data", "http")
    )
    source = text or (ROOT / "profiles/demo.toml").read_text(encoding="utf-8") + f"\n[limits]\n{slow}"
    for old, new in replaced.items():
        source = source.replace(old, new)
    path.write_text(source, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def run_suite(counted_suite: Any) -> Any:
    """What a plugin does is seen from outside only: its lines count as covered here."""
    return counted_suite


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The option that names the demonstration."""
    return f"--profile={write_profile(tmp_path_factory.mktemp('profiles') / 'demo.toml')}"


@pytest.fixture(scope="module")
def healthy(run_suite: Any, demo: str) -> Any:
    return run_suite(demo)


@pytest.fixture(scope="module")
def broken(run_suite: Any, demo: str) -> Any:
    return run_suite(demo, RED)


@pytest.fixture(scope="module")
def dns_only(run_suite: Any, demo: str) -> Any:
    return run_suite(demo, "-k", "test_dns")


def test_healthy_setup_is_ready(healthy: Any) -> None:
    """Exit 0, no failure, no warning, no finding, and a sentence that says how far it went."""
    assert healthy.status == 0
    assert healthy.report()["verdict"] == "ready"
    assert set(healthy.outcomes().values()) <= {"passed", "skipped"}
    assert [one for one in healthy.report()["findings"] if one["severity"] != "notice"] == []
    assert re.search(r"^ready: proven up to|^ready: a message was accepted", healthy.stdout, re.MULTILINE)


def test_everything_selected_is_judged_in_the_order_of_stages(healthy: Any) -> None:
    """One result per selected check, stage after stage."""
    report = healthy.report()
    assert [one["id"] for one in report["checks"]] == report["selected"]
    stages = [one["stage"] for one in report["checks"]]
    assert list(dict.fromkeys(stages)) == sorted(set(stages), key=stages.index)
    assert stages.index("dns") < stages.index("tcp") < stages.index("greeting") < stages.index("tls")


def test_check_ids_name_no_profile(healthy: Any) -> None:
    """Module, test and parameters without the profile: never pytest's node id."""
    assert "test_tcp.py::test_each_address_connects[ipv4]" in healthy.outcomes()
    assert not [check for check in healthy.outcomes() if "demo" in check]


def test_one_fault_is_one_red_line(broken: Any) -> None:
    """Exit 1, exactly one check failed, its code is the fault's."""
    assert broken.status == 1
    assert broken.having("failed") == [OWNER]
    assert broken.codes()[OWNER] == FAULT
    assert broken.report()["verdict"] == "not_ready"
    assert [one["code"] for one in broken.report()["findings"] if one["severity"] == "error"] == [FAULT]


def test_what_needs_tls_is_blocked_by_the_fault(broken: Any) -> None:
    """Everything that could not be asked because of it says so, with the finding's id."""
    blocked = {
        one["id"]: one["blocked_by"] for one in broken.report()["checks"] if one["outcome"] == "blocked"
    }
    assert {check for check in broken.outcomes() if check.startswith("test_tls.py")} <= set(blocked)
    assert set(blocked.values()) == {FAULT}


def test_what_does_not_depend_on_the_fault_passes(broken: Any, healthy: Any) -> None:
    """Names, connection and greeting have the outcome that they have in a healthy setup."""
    independent = {
        check: outcome for check, outcome in healthy.outcomes().items() if check.startswith(BEFORE_TLS)
    }
    assert independent
    assert independent.items() <= broken.outcomes().items()
    assert broken.outcomes()["test_starttls.py::test_no_sign_in_is_offered_in_the_clear"] == "passed"


def test_the_screen_shows_cause_remedy_and_report(broken: Any) -> None:
    """The last block names the code, who can act, a numbered step, and where the report is."""
    block = broken.stdout.partition("= smtp-preflight: demo =")[2]
    assert f"[{FAULT}, " in block
    assert "who can act: " in block
    assert "1. " in block
    assert f"Report: {broken.folder / 'demo' / 'report.html'}" in block
    assert f"FAILED checks/{OWNER}[demo]" in broken.stdout


def test_progress_shows_the_letters_of_each_outcome(broken: Any) -> None:
    """F once, B for what is blocked, s for what does not apply."""
    letters = "".join(re.findall(r"^checks/test_\w+\.py (\S+)", broken.stdout, re.MULTILINE))
    assert letters.count("F") == 1
    assert letters.count("B") == len(broken.having("blocked"))
    assert set(letters) <= set(".FBsW")


# --- replay ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere() -> tuple[str, ...]:
    """How to run the checks from a folder that has no profiles."""
    return ("-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", str(ROOT / "checks"))


@pytest.fixture(scope="module")
def replayed(
    broken: Any, run_suite: Any, elsewhere: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    return run_suite(*elsewhere, f"--replay={broken.path()}", cwd=tmp_path_factory.mktemp("elsewhere"))


def test_replay_gives_the_same_outcomes_and_codes(broken: Any, replayed: Any) -> None:
    """Somewhere else, without the profile's file and without a network: the same, exit status included."""
    assert replayed.status == broken.status == 1
    assert replayed.outcomes("demo-replay") == broken.outcomes()
    assert replayed.codes("demo-replay") == broken.codes()


def test_replay_writes_beside_the_run(broken: Any, replayed: Any) -> None:
    """To ``<profile>-replay``, and it says what it was read from."""
    assert not replayed.path("demo").exists()
    report = replayed.report("demo-replay")
    assert report["replayed_from"] == str(broken.path())
    assert report["recorded_knowledge"] == broken.report()["knowledge"]


def test_replay_keeps_evidence_settings_and_verdict(broken: Any, replayed: Any) -> None:
    """What was seen is written out again as it was read in."""
    before, after = broken.report(), replayed.report("demo-replay")
    same = (
        "profile",
        "provider",
        "settings",
        "started",
        "duration_s",
        "until",
        "verdict",
        "evidence",
        "findings",
    )
    assert {key: after[key] for key in same} == {key: before[key] for key in same}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ('{"schema": 1', "not a report.json of this suite"),
        ('{"schema": 99}', "schema: found 99; wanted 1"),
    ],
    ids=["no file", "bad JSON", "other schema"],
)
def test_replay_of_what_is_no_report_is_one_line(
    text: str | None, told: str, run_suite: Any, tmp_path: Path
) -> None:
    """Exit 4, one line with the file and what is wrong in it; test_session.py has the other ways."""
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    done = run_suite(f"--replay={path}")
    assert done.status == 4
    assert len(done.usage) == 1
    assert str(path) in done.usage[0]
    assert told in done.usage[0]


def test_replay_under_another_name_is_refused(broken: Any, run_suite: Any) -> None:
    """``--profile`` may be left out and must otherwise name the same."""
    done = run_suite(f"--replay={broken.path()}", "--profile=demo-app")
    assert done.status == 4
    assert done.usage == [f"{broken.path()}: holds profile demo, not demo-app"]


# --- what cannot be run ------------------------------------------------------------------------------------


def test_no_profile_is_one_usage_line(run_suite: Any) -> None:
    """It says how to name one, and which there are."""
    done = run_suite()
    assert done.status == 4
    assert len(done.usage) == 1
    assert "pytest --profile=NAME" in done.usage[0]
    assert "demo, demo-app" in done.usage[0]


def test_no_profile_where_there_are_none(run_suite: Any, elsewhere: tuple[str, ...], tmp_path: Path) -> None:
    """In a folder without profiles the line says that, too."""
    done = run_suite(*elsewhere, cwd=tmp_path)
    assert done.status == 4
    assert done.usage[0].endswith("(in profiles/: none yet)")


def test_unknown_profile_names_the_nearest(run_suite: Any) -> None:
    """A slip of the finger is answered with the name that was meant."""
    done = run_suite("--profile=demo-ap")
    assert done.status == 4
    assert len(done.usage) == 1
    assert "demo-ap:" in done.usage[0]
    assert "demo-app" in done.usage[0]


LITERAL = "Zq8~aB3.dE6fG9hJ2kL5mN8pQ1rS4tU7vW0x"


def test_every_bad_profile_gets_its_line(run_suite: Any, tmp_path: Path) -> None:
    """Broken TOML, an unknown key, a literal secret: a line each, the secret not shown, nothing asked."""
    toml = write_profile(tmp_path / "broken.toml", "provider = \n")
    key = write_profile(tmp_path / "key.toml", mailbox="mailbux")
    secret = write_profile(tmp_path / "secret.toml", **{'{ env = "DEMO_CLIENT_SECRET" }': f'"{LITERAL}"'})
    good = write_profile(tmp_path / "good.toml")
    done = run_suite(*(f"--profile={path}" for path in (toml, key, good, secret)))
    assert done.status == 4
    lines = dict(zip(("toml", "key", "secret"), done.usage, strict=True))
    assert str(toml) in lines["toml"]
    assert "mailbux" in lines["key"]
    assert "`mailbox`" in lines["key"]
    assert "oauth.client_secret" in lines["secret"]
    assert LITERAL not in done.stdout + done.stderr
    assert list(done.folder.iterdir()) == []


def test_two_profiles_of_one_name_are_refused(run_suite: Any, tmp_path: Path) -> None:
    """Their reports would overwrite each other."""
    done = run_suite("--profile=demo", f"--profile={write_profile(tmp_path / 'demo.toml')}")
    assert done.status == 4
    assert len(done.usage) == 1
    assert "demo" in done.usage[0]


def test_a_waiver_for_an_unknown_code_is_refused(run_suite: Any, tmp_path: Path) -> None:
    """A misspelt code would waive nothing, and nobody would notice."""
    waiver = '\n[[waivers]]\ncode = "starttls_not_ofered"\nreason = "in March"\nuntil = 2099-03-31\n'
    path = write_profile(tmp_path / "waived.toml", (ROOT / "profiles/demo.toml").read_text() + waiver)
    done = run_suite(f"--profile={path}")
    assert done.status == 4
    assert len(done.usage) == 1
    assert "starttls_not_ofered" in done.usage[0]
    assert done.usage[0].endswith("did you mean starttls_not_offered?")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--until=delivery",), "send at most"),
        (("--until=tomorrow",), "tomorrow"),
        (("--fault=starttls_not_ofered",), f"did you mean {FAULT}?"),
        (("--fault=scope_default_required",), "a profile that signs in as an application"),
    ],
    ids=["until beyond the profile", "until unknown", "fault unknown", "fault that cannot be"],
)
def test_options_that_do_not_fit_the_profile(options: tuple[str, ...], told: str, run_suite: Any) -> None:
    """Exit 4, and the line names what would fit."""
    done = run_suite("--profile=demo", *options)
    assert done.status == 4
    assert told in done.stderr


def test_fault_needs_a_lab(run_suite: Any, tmp_path: Path) -> None:
    """Nothing can be broken at a real provider."""
    path = write_profile(tmp_path / "real.toml", **{'lab      = "microsoft365"': ""})
    done = run_suite(f"--profile={path}", RED)
    assert done.status == 4
    assert len(done.usage) == 1
    assert "a profile with a lab" in done.usage[0]


def test_nothing_selected_is_exit_5(run_suite: Any) -> None:
    """Nothing is asked, nothing is written."""
    done = run_suite("--profile=demo", "-k", "horoscope")
    assert done.status == 5
    assert list(done.folder.iterdir()) == []


def test_collecting_only_asks_and_writes_nothing(run_suite: Any) -> None:
    """``--collect-only`` lists the checks."""
    done = run_suite("--profile=demo", "--collect-only", "-q")
    assert done.status == 0
    assert f"checks/{OWNER}[demo]" in done.stdout
    assert list(done.folder.iterdir()) == []


def test_own_tests_need_no_profile(run_suite: Any) -> None:
    """``pytest tests`` runs, and a profile beside it is refused rather than ignored."""
    path = "tests/test_rooms.py"
    assert run_suite(path, "--collect-only", "-q").status == 0
    done = run_suite(path, "--profile=demo")
    assert done.status == 4
    assert len(done.usage) == 1


# --- only what is needed -----------------------------------------------------------------------------------


def test_only_what_is_needed_is_asked(dns_only: Any) -> None:
    """``-k test_dns`` opens no connection."""
    assert dns_only.status == 0
    posture = {"MailExchangers", "SpfTree", "DkimKeys", "DmarcWalk", "MtaSts", "TlsReporting"}
    assert dns_only.kinds_asked() <= {"DnsAnswer", "SystemAddresses", *posture}


def test_a_narrowed_run_is_incomplete(dns_only: Any) -> None:
    """No expectation failed, but not all were looked at: that is not ready."""
    assert dns_only.report()["verdict"] == "incomplete"
    assert "tls" in dns_only.report()["not_asked"]
    assert re.search(r"^incomplete: ", dns_only.stdout, re.MULTILINE)


def test_stages_are_markers(run_suite: Any, demo: str) -> None:
    """``-m tls`` selects the checks of one stage, and asks what they need."""
    done = run_suite(demo, "-m", "tls")
    assert done.status == 0
    assert {one["stage"] for one in done.report()["checks"]} == {"tls"}
    assert {"TcpConnects", "StartTls", "TlsHandshake"} <= done.kinds_asked()
    assert "Grant" not in done.kinds_asked()


def test_the_first_check_is_red_in_the_absent_owners_place(run_suite: Any, demo: str) -> None:
    """What the owner would report is reported by the first check that is blocked by it."""
    done = run_suite(demo, RED, "-m", "tls")
    assert done.status == 1
    first, *others = [one for one in done.report()["checks"] if one["outcome"] != "skipped"]
    assert (first["outcome"], first["code"]) == ("failed", FAULT)
    assert {(one["outcome"], one["blocked_by"]) for one in others} == {("blocked", FAULT)}


def test_until_connect_asks_for_no_token(run_suite: Any, demo: str, healthy: Any) -> None:
    """``--until=connect`` deselects the rest, and the run is incomplete where there is a rest."""
    done = run_suite(demo, "--until=connect")
    assert done.status == 0
    report = done.report()
    assert report["until"] == "connect"
    assert not {"Grant", "AuthExchange", "MailFrom", "DataExchange"} & done.kinds_asked()
    assert set(done.outcomes()) <= set(healthy.outcomes())
    rest = set(healthy.outcomes()) - set(done.outcomes())
    assert report["verdict"] == ("incomplete" if rest else "ready")


def test_stopping_at_the_first_red_line(run_suite: Any, demo: str) -> None:
    """``-x`` ends with the failed check, not with one that passed or was blocked."""
    done = run_suite(demo, RED, "-x")
    assert done.status == 1
    assert list(done.outcomes())[-1] == OWNER
    assert done.having("failed") == [OWNER]


def test_last_failed_after_a_mend(run_suite: Any, demo: str, tmp_path: Path) -> None:
    """``--lf`` runs what was red and nothing that was blocked; passing, it proves only that."""
    assert run_suite(demo, RED, cache=True, folder=tmp_path).status == 1
    mended = run_suite(demo, "--lf", cache=True, folder=tmp_path)
    assert mended.status == 0
    assert mended.outcomes() == {OWNER: "passed"}
    assert mended.report()["verdict"] == "incomplete"


# --- severities --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ending_soon(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The option that names a profile whose client secret has five days left."""
    ends = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=5)
    path = tmp_path_factory.mktemp("profiles") / "ending.toml"
    return f"--profile={write_profile(path, **{'[send]': f'secret_expires = {ends}{chr(10)}[send]'})}"


def test_a_warning_does_not_fail_the_run(run_suite: Any, ending_soon: str) -> None:
    """It is shown as W, and mail leaves."""
    done = run_suite(ending_soon, "-m", "profile")
    assert done.status == 0
    assert len(done.having("warned", "ending")) == 1
    assert [one["severity"] for one in done.report("ending")["findings"]] == ["warning"]
    assert re.search(r"^checks/test_profile.py \.*W", done.stdout, re.MULTILINE)


def test_warnings_fail_where_that_is_asked_for(run_suite: Any, ending_soon: str) -> None:
    """``--warnings-fail`` turns them red."""
    done = run_suite(ending_soon, "-m", "profile", "--warnings-fail")
    assert done.status == 1
    assert len(done.having("failed", "ending")) == 1
    assert done.report("ending")["verdict"] == "not_ready"


# --- workers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("-n", "2"), ("-n", "2", "--dist", "load")], ids=" ".join)
def test_workers_change_nothing(options: tuple[str, ...], broken: Any, run_suite: Any, demo: str) -> None:
    """Same outcomes, same exit status, reports written, and the last block on the screen."""
    done = run_suite(demo, RED, *options)
    assert done.status == 1
    assert done.outcomes() == broken.outcomes()
    assert done.codes() == broken.codes()
    assert "= smtp-preflight: demo =" in done.stdout
    assert "Report: " in done.stdout


def test_profiles_are_spread_over_workers(run_suite: Any, demo: str, tmp_path: Path, broken: Any) -> None:
    """Two profiles at once, one of which begins with the other's name: two reports, each whole."""
    second = write_profile(tmp_path / "demo-ipv4.toml")
    done = run_suite(demo, f"--profile={second}", RED, "-n", "2")
    assert done.status == 1
    assert done.outcomes("demo") == done.outcomes("demo-ipv4") == broken.outcomes()
    assert "= smtp-preflight: demo =" in done.stdout
    assert "= smtp-preflight: demo-ipv4 =" in done.stdout


WORKER_DIES = """
import os
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if "test_what_answers_is_a_mail_server[demo]" in item.nodeid and os.environ.get("PYTEST_XDIST_WORKER"):
        with open(os.environ["DEATHS"], "a") as deaths:
            deaths.write("x")
        os._exit(9)
"""


def test_a_dead_workers_profile_is_not_asked_again(
    run_suite: Any, demo: str, healthy: Any, tmp_path: Path
) -> None:
    """The worker may have sent something: its profile is incomplete, whatever an older report says of it."""
    second, deaths, folder = (
        write_profile(tmp_path / "second.toml"),
        tmp_path / "deaths",
        tmp_path / "reports",
    )
    shutil.copytree(healthy.folder, folder)
    done = run_suite(
        *(demo, f"--profile={second}", "-n", "2"),
        plugin=WORKER_DIES,
        folder=folder,
        environment={"DEATHS": str(deaths)},
    )
    assert done.status == 1
    assert deaths.read_text() == "x"
    assert done.report("second")["verdict"] == "ready"
    assert done.having("failed", "second") == []
    assert done.report("demo")["verdict"] == "incomplete"
    assert "= smtp-preflight: demo =" in done.stdout


# --- our own faults ----------------------------------------------------------------------------------------

CHECK_BREAKS = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if pyfuncitem.name.startswith("test_starttls_is_accepted"):
        raise RuntimeError("a bug of ours")
"""
PROBE_BREAKS = """
from dataclasses import replace
from smtp_preflight.model import SmtpGreeting
from smtp_preflight.probes import questions

async def broken(asking, subject):
    password = "frame-local-" + "canary"
    asking.wallet.get("client_secret").reveal()
    raise ZeroDivisionError("a bug of ours, " + asking.wallet.get("client_secret").reveal())

questions.ROWS[SmtpGreeting] = replace(questions.ROWS[SmtpGreeting], ask=broken)
"""


def test_a_check_that_breaks_is_an_error_of_ours(run_suite: Any, demo: str) -> None:
    """It says nothing of the mail: error, incomplete, exit 1."""
    done = run_suite(demo, plugin=CHECK_BREAKS)
    assert done.status == 1
    assert "test_starttls.py::test_starttls_is_accepted" in done.having("error")
    assert done.having("failed") == []
    assert done.report()["verdict"] == "incomplete"


def test_a_probe_that_breaks_is_an_error_of_ours(run_suite: Any, demo: str) -> None:
    """What it raised is shown as text, redacted and without the values of its frames."""
    done = run_suite(demo, "--showlocals", plugin=PROBE_BREAKS)
    assert done.status == 1
    assert "test_greeting.py::test_what_answers_is_a_mail_server" in done.having("error")
    assert done.having("failed") == []
    assert done.report()["verdict"] == "incomplete"
    assert "ProbeBroken: SmtpGreeting broke" in done.stdout
    assert "ZeroDivisionError: a bug of ours, <redacted>" in done.stdout
    assert "frame-local-canary" not in done.stdout


# --- servers that take their time --------------------------------------------------------------------------


class DrippingServer:
    """Says 220 one character at a time, for ever; a deadline per read would never end."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.was_reached = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(client,), daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        self.was_reached.set()
        with client:
            try:
                client.sendall(b"220-")
                while not self._ended.wait(0.05):
                    client.sendall(b".")
            except OSError:
                return

    def stop(self) -> None:
        self._ended.set()
        self._listening.close()


@pytest.fixture
def dripping() -> Iterator[DrippingServer]:
    server = DrippingServer()
    yield server
    server.stop()


def profile_of(server: DrippingServer, folder: Path, limits: str = "") -> Path:
    return write_profile(
        folder / "dripping.toml",
        f"""
        provider = "custom"
        mailbox = "alerts@contoso.example"
        [smtp]
        host = "127.0.0.1"
        port = {server.port}
        [oauth]
        client_id = "mail"
        token_endpoint = "https://127.0.0.1:9/token"
        [dns]
        servers = ["127.0.0.1:9"]
        [limits]
        dns_s = 0.5
        {limits}
        """,
    )


def test_a_dripping_greeting_meets_its_deadline(
    dripping: DrippingServer, run_suite: Any, tmp_path: Path
) -> None:
    """The limit is for the whole greeting, however many bytes keep arriving."""
    path = profile_of(dripping, tmp_path, "greeting_s = 0.5")
    done = run_suite(f"--profile={path}", "-m", "dns or tcp or greeting")
    assert done.status == 1
    assert len(done.having("failed", "dripping")) == 1
    assert [one["code"] for one in done.report("dripping")["findings"]] == ["greeting_timeout"]


# A process started in the background may have inherited that it ignores Ctrl-C.
HEARS_CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"


@pytest.fixture
def interrupted(dripping: DrippingServer, run_suite: Any, tmp_path: Path) -> Any:
    path = profile_of(dripping, tmp_path)
    process, folder = run_suite.start(
        f"--profile={path}", "-m", "dns or tcp or greeting", plugin=HEARS_CTRL_C
    )
    assert dripping.was_reached.wait(30)
    process.send_signal(signal.SIGINT)
    return run_suite.completed(process, folder)


def test_ctrl_c_writes_what_is_known(interrupted: Any, run_suite: Any) -> None:
    """Exit 2, a report that is incomplete, and one that can be replayed."""
    assert interrupted.status == 2
    report = interrupted.report("dripping")
    assert (report["verdict"], report["cut_short"]) == ("incomplete", "interrupted")
    assert interrupted.kinds_asked("dripping") >= {"SystemAddresses", "TcpConnects"}
    assert "SmtpGreeting" not in interrupted.kinds_asked("dripping")
    again = run_suite(f"--replay={interrupted.path('dripping')}")
    assert again.status == 0
    assert again.report("dripping-replay")["verdict"] == "incomplete"
    assert "failed" not in again.outcomes("dripping-replay").values()
    assert "= smtp-preflight: dripping =" in interrupted.stdout


def test_a_terminal_shows_what_is_awaited(dripping: DrippingServer, tmp_path: Path) -> None:
    """Whoever sits there sees what takes so long; the line is gone once the answer is there."""
    path = profile_of(dripping, tmp_path, "greeting_s = 2")
    suite = f"-m pytest --profile={path} -m greeting -p no:cacheprovider --report-dir={tmp_path}"
    child = pexpect.spawn(sys.executable, suite.split(), cwd=ROOT, timeout=60, dimensions=(24, 80))
    child.expect_exact("  waiting for: greeting")
    child.expect(r"\r {60}")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1


def test_reports_replace_the_last_runs(run_suite: Any, demo: str, healthy: Any, tmp_path: Path) -> None:
    """No half-written file stays behind, and the new report is the only one."""
    folder = tmp_path / "reports"
    shutil.copytree(healthy.folder, folder)
    done = run_suite(demo, "-k", "test_dns", folder=folder)
    assert done.report()["verdict"] == "incomplete"
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


# --- what is written beside the reports --------------------------------------------------------------------


def test_addresses_are_masked_and_metrics_written_where_that_is_asked_for(
    run_suite: Any, tmp_path: Path
) -> None:
    """Also by a worker of xdist, whose samples have to cross to the process that writes them."""
    metrics = tmp_path / "smtp.prom"
    options = ("--fault=send_as_denied", "--mask-addresses", f"--metrics={metrics}", "-n", "2")
    done = run_suite("--profile=demo", *options)
    assert done.status == 1
    written = [one.read_text(encoding="utf-8") for one in (done.folder / "demo").iterdir() if one.is_file()]
    assert len(written) == 4
    assert not [text for text in written if "alerts@contoso.example" in text]
    assert 'smtp_preflight_red{code="send_as_denied",profile="demo",stage="data"} 1.0' in metrics.read_text()


def test_github_is_told_in_its_own_words(run_suite: Any) -> None:
    """One annotation for the red line; none where nobody reads them."""
    fault = ("--profile=demo", "--fault=send_as_denied")
    told = run_suite(*fault, environment={"GITHUB_ACTIONS": "true"})
    assert "::error title=demo%3A send_as_denied::" in told.stdout
    assert "::error" not in run_suite(*fault, environment={"GITHUB_ACTIONS": "false"}).stdout
