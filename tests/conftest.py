"""What all tests share: a guard, profiles and evidence made by hand, and the suite as its users run it."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import enum
import ipaddress
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from smtp_preflight.model import (
    Endpoint,
    GrantType,
    OAuth,
    Profile,
    Provider,
    Question,
    SecretRef,
    Seen,
    Send,
    Smtp,
)

ROOT = Path(__file__).parent.parent
STARTED = dt.datetime(2026, 11, 20, 7, tzinfo=dt.UTC)
SUITE_LIMIT_S = 60  # for one run of the suite; what takes longer hangs

# What this process inherited from an outer pytest, or from continuous integration, is not the suite's.
NOT_INHERITED = ("PYTEST_", "GITHUB_", "CI", "TF_BUILD", "DEMO_")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "uncounted: the lines that it runs do not count as covered")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Count no lines where a test asks for that; pytest-cov's own marker counts on in workers."""
    tracer = sys.gettrace()
    if item.get_closest_marker("uncounted"):
        sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


# --- nothing leaves this machine ---------------------------------------------------------------------------


class LeavesThisMachine(BaseException):
    """A test spoke to something that is not loopback; no OSError, so that no probe takes it for an answer."""


def refuse_unless_loopback(address: object) -> None:
    """Raise for whatever is not an address of this machine: a name, too, would have to be looked up."""
    if not isinstance(address, tuple):  # a Unix socket's path, or nothing: already connected
        return
    host = str(address[0]).partition("%")[0]
    try:
        stays = host == "localhost" or ipaddress.ip_address(host or "0.0.0.0").is_loopback  # noqa: S104 - compared
    except ValueError:
        stays = False
    if not stays:
        raise LeavesThisMachine(f"a test tried to reach {address[:2]}")


@pytest.fixture(autouse=True)
def _stay_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection and every datagram to another machine; asyncio's go through these as well."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    send, sendto = socket.socket.send, socket.socket.sendto

    def guarded_connect(self: socket.socket, address: Any) -> None:
        # Connecting a UDP socket looks up a route and sends nothing; what it sends is refused below.
        if self.type != socket.SOCK_DGRAM:
            refuse_unless_loopback(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse_unless_loopback(address)
        return connect_ex(self, address)

    def guarded_send(self: socket.socket, *args: Any) -> int:
        if self.type == socket.SOCK_DGRAM:
            refuse_unless_loopback(self.getpeername())
        return send(self, *args)

    def guarded_sendto(self: socket.socket, *args: Any) -> int:
        refuse_unless_loopback(args[-1])
        return sendto(self, *args)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket.socket, "send", guarded_send)
    monkeypatch.setattr(socket.socket, "sendto", guarded_sendto)


# --- programs that not every machine has -------------------------------------------------------------------


@pytest.fixture(scope="session")
def needed() -> Callable[[str], str]:
    """Find a program; without it the test is skipped, and fails in continuous integration, which has it."""

    def find(program: str) -> str:
        found = shutil.which(program)
        if found is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed")
        return found

    return find


@pytest.fixture(scope="session")
def junit_schema() -> Path:
    """Jenkins' junit-10.xsd, which ``make test`` fetches; without it the test is skipped, and fails in CI."""
    found = ROOT / "tests" / "schemas" / "junit-10.xsd"
    if not found.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("make test fetches junit-10.xsd, and has not")
    return found


INTEROP = "tests/interop/"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests met servers that others wrote, and aloud which could not."""
    met = {
        outcome: [one for one in terminalreporter.getreports(outcome) if one.nodeid.startswith(INTEROP)]
        for outcome in ("passed", "failed", "error", "skipped")
    }
    if not any(met.values()):
        return
    terminalreporter.section("servers that others wrote")
    counts = [f"{len(reports)} {outcome}" for outcome, reports in met.items() if reports]
    terminalreporter.write_line(", ".join(counts))
    for why in sorted({str(one.longrepr[-1]) for one in met["skipped"] if isinstance(one.longrepr, tuple)}):
        terminalreporter.write_line(f"NOT TRIED: {why}", red=True)


# --- a profile and what was seen of it ---------------------------------------------------------------------

PROVIDER = Provider(
    name="microsoft365",
    title="Microsoft 365",
    endpoints=(Endpoint("smtp.office365.com", 587),),
    aud=("https://outlook.office.com",),
    permissions=("SMTP.Send", "SMTP.SendAsApp"),
    own_domains=("onmicrosoft.com",),
)
PROFILE = Profile(
    name="contoso",
    provider=PROVIDER,
    mailbox="alerts@contoso.com",
    smtp=Smtp("smtp.office365.com"),
    oauth=OAuth(
        grant=GrantType.CLIENT_CREDENTIALS,
        tenant="contoso.onmicrosoft.com",
        client_id="6731de76-14a6-49ae-97bc-6eba6914391e",
        scope=("https://outlook.office365.com/.default",),
        token_endpoint="https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token",
        client_secret=SecretRef("env", ("CONTOSO_CLIENT_SECRET",)),
    ),
    send=Send("alerts@contoso.com", ("probe@contoso.com",)),
)


@pytest.fixture
def profile_with() -> Callable[..., Profile]:
    """Make a profile for Microsoft 365 by hand; keywords replace its fields."""
    return lambda **changes: replace(PROFILE, **changes)


@pytest.fixture
def seen_with() -> Callable[..., Seen]:
    """Make what was seen by hand: observations, or pairs of a question's subject and its observation."""

    def make(*answers: Any, profile: Profile = PROFILE, started: dt.datetime = STARTED, **more: Any) -> Seen:
        named = [one if isinstance(one, tuple) else ("", one) for one in answers]
        asked = {Question(type(answer), subject): answer for subject, answer in named}
        return Seen(profile, started, asked, **more)

    return make


@pytest.fixture
def now() -> dt.datetime:
    """When everything made by hand was asked."""
    return STARTED


def _filled(wanted: Any, default: Any = None) -> Any:
    """A value of a type, other than its default: text beyond ASCII, numbers, times, whole records."""
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (types.UnionType, typing.Union):
        return _filled(next(one for one in inner if one is not type(None)))
    if origin is tuple:
        return (_filled(inner[0]), _filled(inner[0]))
    if origin is not None:  # a mapping
        return {"first": _filled(inner[1]), "Zweite „Zeile“": _filled(inner[1])}
    if wanted is typing.Any:
        return ["text", 7, True]
    if wanted is bool:
        return default is not True
    if wanted is dt.datetime:
        return STARTED.replace(microsecond=123456)
    if dataclasses.is_dataclass(wanted):
        return _filled_record(wanted)
    if issubclass(wanted, enum.Enum):
        return list(wanted)[-1]
    return {str: "Grüße \x1b[31m\r\n“", int: 42, float: 0.125}[wanted]


def _filled_record(kind: Any) -> Any:
    hints = typing.get_type_hints(kind)
    return kind(**{one.name: _filled(hints[one.name], one.default) for one in dataclasses.fields(kind)})


@pytest.fixture(scope="session")
def filled() -> Callable[[type], Any]:
    """Make an observation of a kind with every field set, none to its default."""
    return _filled_record


# --- looking for secrets -----------------------------------------------------------------------------------

PIECE = 16  # characters in a row that no text has by chance


def _shapes(secret: str) -> Iterator[str]:
    """A secret in every encoding in which it travels, wherever it may begin inside a larger base64."""
    yield secret
    yield quote(secret, safe="")
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode()
        inner = encoded[(before * 4 + 2) // 3 : (before + len(secret)) // 3 * 4]
        yield inner
        yield inner.translate(str.maketrans("+/", "-_"))


def _pieces(text: str, step: int = 1) -> set[str]:
    return {text[at : at + PIECE] for at in range(0, len(text) - PIECE + 1, step)}


def _leaks(
    places: Iterable[tuple[str, str]], canaries: Iterable[tuple[str, str]], *, step: int = 1
) -> list[tuple[str, str]]:
    """Which kind of secret stands where.

    places: name and text; canaries: kind and secret.
    step: with more than one, the search is as much quicker, and overlooks pieces shorter than 15 + step.
    """
    shaped = [(kind, shape) for kind, secret in canaries for shape in _shapes(secret)]
    planted = {piece: kind for kind, shape in shaped for piece in _pieces(shape)}
    return [
        found
        for place, text in places
        for found in sorted({(planted[piece], place) for piece in planted.keys() & _pieces(text, step)})
    ]


@pytest.fixture(scope="session")
def leaks() -> Callable[..., list[tuple[str, str]]]:
    """Look for secrets in what a run has left behind; a piece of one is found, too."""
    return _leaks


# --- the suite, as its users run it ------------------------------------------------------------------------


def inherited(*, counted: bool = False) -> dict[str, str]:
    """The environment, without what belongs to the pytest that runs these tests.

    counted: whether the lines that run there count as covered, which takes twice the time.
    """
    left_out = NOT_INHERITED if counted else (*NOT_INHERITED, "COVERAGE_")
    return {key: value for key, value in os.environ.items() if not key.startswith(left_out)}


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to whatever it starts in the background: it has it ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class CompletedSuite:
    """A run of the suite in a process of its own: how it ended, what it said, what it wrote."""

    status: int
    stdout: str
    stderr: str
    folder: Path  # of its reports
    planted: list[tuple[str, str]] = field(default_factory=list, repr=False)  # what must not be found there

    @property
    def usage(self) -> list[str]:
        """The lines that say why nothing was run."""
        return [line.removeprefix("ERROR: ") for line in self.stderr.splitlines() if line.strip()]

    def path(self, profile: str = "demo") -> Path:
        """Where the report is."""
        return self.folder / profile / "report.json"

    def report(self, profile: str = "demo") -> dict[str, Any]:
        """The report, read."""
        read: dict[str, Any] = json.loads(self.path(profile).read_text(encoding="utf-8"))
        return read

    def outcomes(self, profile: str = "demo") -> dict[str, str]:
        """What became of each check."""
        return {one["id"]: one["outcome"] for one in self.report(profile)["checks"]}

    def codes(self, profile: str = "demo") -> dict[str, str | None]:
        """The code of each check."""
        return {one["id"]: one["code"] for one in self.report(profile)["checks"]}

    def having(self, outcome: str, profile: str = "demo") -> list[str]:
        """The checks with this outcome."""
        return [check for check, one in self.outcomes(profile).items() if one == outcome]

    def kinds_asked(self, profile: str = "demo") -> set[str]:
        """The kinds of observation in its evidence."""
        return {one["kind"] for one in self.report(profile)["evidence"]}


# Reads what to run as a line of JSON; answers with the exit status, and with the secrets that were made up
# for the run: by whom, and which.
SERVING = """
import contextlib, functools, gc, json, os, sys, traceback

import pytest

from smtp_preflight.lab import Lab
from smtp_preflight.lab.refresh_tokens import RefreshTokens
from smtp_preflight.lab.tokens import Mint

planted = []

def noting(make):
    @functools.wraps(make)
    def made(*args, **more):
        secret = make(*args, **more)
        planted.append((make.__name__, secret))
        return secret
    return made

for name in ("signed", "signed_with_nonce", "opaque"):
    setattr(Mint, name, noting(getattr(Mint, name)))
RefreshTokens.successor = noting(RefreshTokens.successor)

secrets_of = Lab.secrets

def secrets(lab):
    planted.extend((key, secret.reveal()) for key, secret in secrets_of(lab).items())
    return secrets_of(lab)

Lab.secrets = secrets

for number, line in enumerate(sys.stdin):
    asked, before = json.loads(line), dict(os.environ)
    os.environ.update(asked["environment"])
    out, err = (open(asked[name], "a", encoding="utf-8") for name in ("stdout", "stderr"))
    with out, err, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = pytest.main(asked["args"])
        except Exception:  # as an interpreter ends
            traceback.print_exc()
            status = 1
    os.environ.clear()
    os.environ.update(before)
    if number == 0:
        gc.freeze()  # what is loaded now stays, and each run looks for garbage when it ends
    print(json.dumps([int(status), planted]), flush=True)
    planted.clear()
"""


def _parts(secret: str) -> list[str]:
    """What of it must not show: of a key file the private key, without the line that all keys begin with."""
    keys = re.findall(r"BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", secret, re.DOTALL)
    return [line for key in keys for line in re.findall(r"[A-Za-z0-9+/=]{40,}", key)[1:]] or [secret]


class ServingSuite:
    """Runs the suite again and again in one process: to start one takes longer than most runs.

    The process begins with the first run.
    """

    def __init__(self, preamble: str = "", limit_s: float = SUITE_LIMIT_S) -> None:
        """preamble: what changes the suite in that process."""
        self._program = f"{preamble}\n{SERVING}"
        self._limit_s = limit_s
        self._process: subprocess.Popen[str] | None = None

    def run(
        self, args: Sequence[str], stdout: Path, stderr: Path, environment: Mapping[str, str] | None = None
    ) -> tuple[int, list[tuple[str, str]]]:
        """The exit status, and the secrets that were planted; what it says is added to the files."""
        process = self._process = self._process or self._started()
        assert process.stdin
        assert process.stdout
        places = {"stdout": str(stdout), "stderr": str(stderr)}
        asked = {"args": ["-p", "no:cacheprovider", *args], "environment": environment or {}, **places}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], self._limit_s)[0]:
            self.close()
            pytest.fail(f"{args}: no end after {self._limit_s} s")
        status, planted = json.loads(process.stdout.readline())
        return status, [(kind, part) for kind, secret in planted for part in _parts(secret)]

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", self._program],
            cwd=ROOT,
            env=inherited(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )


@pytest.fixture(scope="session")
def serving_suite() -> type[ServingSuite]:
    """For tests that change the suite, and run it often."""
    return ServingSuite


class SuiteRunner:
    """Starts the suite with the interpreter that runs the tests, each time with reports of its own."""

    def __init__(self, make_folder: Callable[[], Path], preamble: str = "", *, counted: bool = False) -> None:
        """preamble: what changes the suite in the process that serves; counted: of processes of their own."""
        self._make_folder = make_folder
        self._counted = counted
        self._serving = ServingSuite(preamble)

    def __call__(self, *args: str, **options: Any) -> CompletedSuite:
        """Run to the end; options as for ``start``. Without most of them one process serves all runs."""
        if options.keys() <= {"folder", "environment"} and "-n" not in args:
            return self._served(args, **options)
        process, folder = self.start(*args, **options)
        return self.completed(process, folder)

    def _served(
        self, args: Sequence[str], folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> CompletedSuite:
        place, said = folder or self._make_folder(), self._make_folder()
        out, err = said / "stdout", said / "stderr"
        status, planted = self._serving.run([f"--report-dir={place}", *args], out, err, environment)
        stdout, stderr = (file.read_text(encoding="utf-8") for file in (out, err))
        return CompletedSuite(status, stdout, stderr, place, planted)

    def close(self) -> None:
        """End the process that serves."""
        self._serving.close()

    def start(
        self,
        *args: str,
        folder: Path | None = None,
        cwd: Path = ROOT,
        plugin: str = "",
        cache: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[subprocess.Popen[str], Path]:
        """Begin a run.

        plugin: the source of a pytest plugin to load into it, workers included.
        cache: whether pytest may remember what failed, in the folder of the reports.
        Returns the process, and the folder of its reports.
        """
        place = folder or self._make_folder()
        extra = self._loaded(plugin)
        command = [
            *(sys.executable, "-m", "pytest", f"--report-dir={place}"),
            *(("-o", f"cache_dir={place / 'cache'}") if cache else ("-p", "no:cacheprovider")),
            *(("-p", extra.stem) if extra else ()),
            *args,
        ]
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={
                **inherited(counted=self._counted),
                **(environment or {}),
                **({"PYTHONPATH": str(extra.parent)} if extra else {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            preexec_fn=listen_to_ctrl_c,
        )
        return process, place

    @staticmethod
    def completed(process: subprocess.Popen[str], folder: Path) -> CompletedSuite:
        """Wait for the end of a run."""
        try:
            stdout, stderr = process.communicate(timeout=SUITE_LIMIT_S)
        finally:
            process.kill()
        return CompletedSuite(process.returncode, stdout, stderr, folder)

    def _loaded(self, plugin: str) -> Path | None:
        if not plugin:
            return None
        file = self._make_folder() / "extra_plugin.py"
        file.write_text(plugin, encoding="utf-8")
        return file


@pytest.fixture(scope="session")
def run_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteRunner]:
    """Run ``pytest`` on the checks, from the root of the project, in another process."""
    runner = SuiteRunner(lambda: tmp_path_factory.mktemp("suite"))
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def counted_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteRunner]:
    """The same, for tests of what happens in processes of their own."""
    runner = SuiteRunner(lambda: tmp_path_factory.mktemp("counted"), counted=True)
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def changed_suite(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], contextlib.AbstractContextManager[SuiteRunner]]:
    """The suite in a process of its own that was changed by a piece of code first."""

    def change(code: str) -> contextlib.AbstractContextManager[SuiteRunner]:
        return contextlib.closing(SuiteRunner(lambda: tmp_path_factory.mktemp("changed"), code))

    return change
