"""Every room of the house imports only what house-style.md section 2 allows."""

from __future__ import annotations

import ast
import asyncio
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "smtp_preflight"
SOURCE = ROOT / "src" / PACKAGE

NETWORK = frozenset(
    {
        *("socket", "ssl", "socketserver", "select", "selectors", "http", "urllib.request", "urllib.error"),
        *("smtplib", "imaplib", "poplib", "ftplib", "xmlrpc", "asyncio"),
        *("httpx", "httpcore", "dns", "requests", "urllib3", "aiosmtplib"),
    }
)


@dataclass(frozen=True)
class Room:
    """What a room may import: rooms of ours, libraries, and parts of what only the network's rooms may."""

    ours: frozenset[str]
    libraries: frozenset[str] = frozenset()
    network: frozenset[str] = frozenset()
    at_run_time: frozenset[str] = field(default_factory=frozenset)  # rooms, inside functions only


def room(ours: str = "", libraries: str = "", network: str = "", at_run_time: str = "") -> Room:
    """Make a room from lists in words."""
    return Room(*(frozenset(words.split()) for words in (ours, libraries, network, at_run_time)))


EVERYWHERE = " ".join(sorted(NETWORK))
LIBRARY = (
    "model profile secrets oauth knowledge diagnosis outcome evidence ledger session until_when reporting "
    "probes.questions"
)

ROOMS: Mapping[str, Room] = {
    "": room(),  # the package itself: its version
    "model": room(),
    "profile": room("model secrets", "pydantic pydantic_core"),
    "secrets": room("model", "keyring"),
    "probes": room("model oauth secrets", "cryptography jwt", EVERYWHERE),
    "oauth": room("model secrets", "cryptography jwt platformdirs keyring", EVERYWHERE),
    "lab": room("model secrets", "cryptography jwt trustme", EVERYWHERE),
    "evidence": room("model secrets outcome probes.questions diagnosis", "pydantic", "asyncio"),
    "knowledge": room("model"),
    "diagnosis": room("model knowledge"),
    "outcome": room("model"),
    "ledger": room("model knowledge diagnosis.predictions"),
    "until_when": room("model diagnosis"),
    "session": room("model evidence ledger knowledge probes.questions profile secrets until_when"),
    "spread": room("", "pytest xdist"),
    "reporting": room("model knowledge", "jinja2 junit_xml prometheus_client pytest pytest_html"),
    "roster": room("model profile knowledge evidence session reporting", "pytest", "", "lab"),
    "plugin": room(f"{LIBRARY.replace(' probes.questions', '')} roster", "pytest", "", "lab spread"),
    "cli": room(LIBRARY, "pytest", "asyncio", "lab plugin"),
    "checks": room("model diagnosis outcome", "pytest"),
    "conftest": room(f"{LIBRARY} plugin", "pytest"),
}

PURE = ("model", "diagnosis", "outcome", "ledger", "until_when", "checks")
OUTSIDE_WORLD = frozenset({"os", "sys", "time", "subprocess", "threading", "random", "platform", "getpass"})
CLOCKS = frozenset({"now", "utcnow", "today"})


@dataclass(frozen=True)
class Import:
    """One module that is imported, by its full name."""

    module: str
    line: int
    in_function: bool


def imports_of(source: str) -> Iterator[Import]:
    """Every import of a module, wherever it stands."""
    yield from _imports_in(ast.parse(source), in_function=False)


def _imports_in(node: ast.AST, *, in_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, in_function)
        elif isinstance(child, ast.ImportFrom):
            for name in _modules_of(child):
                yield Import(name, child.lineno, in_function)
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports_in(child, in_function=in_function or function)


def _modules_of(statement: ast.ImportFrom) -> list[str]:
    """The modules behind ``from … import …``; what is taken out of a package may be one itself."""
    module = "." * statement.level + (statement.module or "")
    if module in (PACKAGE, "urllib"):
        return [f"{module}.{alias.name}" for alias in statement.names if not alias.name.startswith("__")]
    return [module]


def within(module: str, allowed: frozenset[str]) -> bool:
    """Whether a module, or a package it is part of, is among those allowed."""
    parts = module.split(".")
    return any(".".join(parts[: number + 1]) in allowed for number in range(len(parts)))


def problem_with(one: Import, name: str, allowed: Room) -> str | None:
    """Why a room may not import this, or nothing."""
    if one.module.startswith("."):
        return "is relative"
    if one.module == PACKAGE or one.module.startswith(f"{PACKAGE}."):
        return _problem_with_ours(one, name, allowed)
    if within(one.module, NETWORK):
        return None if within(one.module, allowed.network) else "speaks to the network"
    top = one.module.partition(".")[0]
    if top in sys.stdlib_module_names or top in allowed.libraries:
        return None
    return "is a library this room has no business with"


def _problem_with_ours(one: Import, name: str, allowed: Room) -> str | None:
    ours = one.module.removeprefix(PACKAGE).removeprefix(".")
    if not ours or within(ours, allowed.ours) or within(ours, frozenset({name} - {""})):
        return None
    if within(ours, allowed.at_run_time):
        return None if one.in_function else "is for run time only: import it in the function that needs it"
    return "is another room"


def problems(source: str, name: str) -> list[str]:
    """Every import of a source that its room does not allow, as lines to read."""
    found = ((one, problem_with(one, name, ROOMS[name])) for one in imports_of(source))
    return [f"line {one.line}: {one.module} {problem}" for one, problem in found if problem]


def impurities(source: str) -> list[str]:
    """What makes a judgement depend on more than what was recorded: a clock, the environment."""
    used = [
        f"line {one.line}: {one.module}" for one in imports_of(source) if within(one.module, OUTSIDE_WORLD)
    ]
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    asked = [
        f"line {call.lineno}: {call.func.attr}()"
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in CLOCKS
    ]
    return used + asked


def room_of(path: Path) -> str:
    """The room a source file belongs to."""
    if path.is_relative_to(SOURCE):
        return path.relative_to(SOURCE).parts[0].removesuffix(".py").replace("__init__", "")
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


SOURCES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "checks").glob("*.py"), ROOT / "conftest.py"])

every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


@every_source
def test_room_imports_only_what_it_may(path: Path) -> None:
    """The import column of house-style.md section 2 holds."""
    assert room_of(path) in ROOMS, "a new room needs its line in the table"
    assert problems(path.read_text(encoding="utf-8"), room_of(path)) == []


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if room_of(path) in PURE],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_judging_sees_only_what_was_recorded(path: Path) -> None:
    """No clock and no environment in checks, diagnosis and what they stand on (house-style.md section 1)."""
    assert impurities(path.read_text(encoding="utf-8")) == []


@every_source
def test_secrets_are_revealed_by_probes_and_oauth_only(path: Path) -> None:
    """``reveal`` is called where a secret goes onto the wire; a lab's own secrets open nothing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    revealed = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "reveal"
    ]
    assert revealed == [] or room_of(path) in ("probes", "oauth", "secrets", "cli")


@pytest.mark.parametrize(
    ("name", "source", "told"),
    [
        ("diagnosis", "import socket", "line 1: socket speaks to the network"),
        ("diagnosis", "from dns.resolver import resolve", "line 1: dns.resolver speaks to the network"),
        ("checks", "\nimport httpx", "line 2: httpx speaks to the network"),
        ("session", "import asyncio", "line 1: asyncio speaks to the network"),
        ("evidence", "import asyncio, ssl", "line 1: ssl speaks to the network"),
        ("profile", "from urllib import request", "line 1: urllib.request speaks to the network"),
        ("profile", "import urllib.request as ask", "line 1: urllib.request speaks to the network"),
        ("model", "from smtp_preflight import profile", "line 1: smtp_preflight.profile is another room"),
        ("evidence", "import smtp_preflight.probes.tls", "line 1: smtp_preflight.probes.tls is another room"),
        ("checks", "def a():\n  import requests", "line 2: requests speaks to the network"),
        ("knowledge", "import yaml", "line 1: yaml is a library this room has no business with"),
        ("ledger", "from .model import Run", "line 1: .model is relative"),
        (
            "plugin",
            "from smtp_preflight.lab import Lab",
            "line 1: smtp_preflight.lab is for run time only: import it in the function that needs it",
        ),
    ],
)
def test_a_wrong_import_is_noticed(name: str, source: str, told: str) -> None:
    """The table means something: each way of reaching for too much is told, with its line."""
    assert problems(source, name) == [told]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("plugin", "def start():\n  from smtp_preflight.lab import Lab"),
        ("plugin", "from smtp_preflight import __version__"),
        ("probes", "import asyncio, ssl, dns.message\nfrom smtp_preflight.probes.stream import Stream"),
        ("evidence", "import asyncio\nfrom smtp_preflight.probes.questions import ROWS"),
        ("profile", "from urllib.parse import urlsplit"),
    ],
)
def test_a_right_import_is_let_be(name: str, source: str) -> None:
    """What the table allows is not told."""
    assert problems(source, name) == []


@pytest.mark.parametrize(
    "source", ["import os.path", "from time import monotonic", "dt.datetime.now(dt.UTC)"]
)
def test_a_look_at_the_clock_is_noticed(source: str) -> None:
    """A judgement that would differ tomorrow is told."""
    assert len(impurities(source)) == 1


REACHING_OUT = {
    "connect": lambda stream, datagrams: stream.connect(("192.0.2.1", 587)),
    "connect_ex": lambda stream, datagrams: stream.connect_ex(("192.0.2.1", 587)),
    "by name": lambda stream, datagrams: stream.connect(("smtp.contoso.com", 587)),
    "sendto": lambda stream, datagrams: datagrams.sendto(b"x", ("192.0.2.1", 53)),
    "send": lambda stream, datagrams: (datagrams.connect(("192.0.2.1", 53)), datagrams.send(b"x")),
    "asyncio": lambda stream, datagrams: asyncio.run(asyncio.open_connection("192.0.2.1", 587)),
}


@pytest.mark.parametrize("way", REACHING_OUT)
def test_no_test_leaves_this_machine(way: str) -> None:
    """The guard of conftest.py stops whatever is not loopback before anything is sent."""
    with (
        socket.socket() as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        pytest.raises(BaseException, match=r"a test tried to reach|Network is unreachable"),
    ):
        REACHING_OUT[way](stream, datagrams)
