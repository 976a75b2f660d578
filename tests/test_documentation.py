"""The documentation: what it shows is run, what it names is there, every point of the checklist is served.

A block fenced as ``console`` is run as it stands. All blocks of a page are one session in one shell, in a
folder like a fresh clone's; no command reads from the keyboard.

- ``$ `` begins a command, ``> `` goes on with it; the other lines are what it says.
- ``…`` stands for any text within a line, and alone in a line for any lines. Times, durations and the numbers
  of passed and skipped checks may differ; all else is compared letter by letter.
- A command ends with status 0; ``exit=N`` behind the word ``console`` is that of a block's last command.
- A command that ends in `` &`` stays, and the next one is begun once what is shown of it has been said.

Other blocks: ``toml`` that begins with ``# profiles/`` is read as a profile; ``text`` shows what something
looks like. What somebody could copy and run (``powershell``, ``sh``, ``yaml``, ``ini``) has a sentence beside
it that says where it was tried, by the name of a test, or that it was not.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smtp_preflight.knowledge import Entry, entries
from smtp_preflight.model import Provider
from smtp_preflight.profile import load_profile, load_providers

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if path.parent.name != "causes"  # written from the knowledge, and held to it by tests/test_docs.py
}
COMMAND_LIMIT_S = 120
LOOK_EVERY_S = 0.05
TRIED = re.compile(r"[Nn]ot tried|[Tt]ried by `(tests/[\w/.]+)`")
TO_COPY = {"powershell", "sh", "yaml", "ini"}
TO_SHOW = {"text", "toml", "json", "python"}


# --- reading a page ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """One fenced block: what it says it is, what stands in it, and the paragraphs before and after it."""

    info: str
    text: str
    beside: str

    @property
    def language(self) -> str:
        """The first word behind the fence."""
        return self.info.partition(" ")[0]


@dataclass(frozen=True)
class Step:
    """A command of a page, what it is to say, and the status it is to end with."""

    command: str
    says: str
    status: int


FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in FENCE.finditer(page):
        before = page[: found.start()].rstrip().rpartition("\n\n")[2]
        after = page[found.end() :].lstrip().partition("\n\n")[0]
        inner = re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE)
        yield Block(found[2].strip(), inner, f"{before}\n{after}")


def steps(page: str) -> Iterator[Step]:
    """The commands of a page's console blocks, in order."""
    for block in blocks(page):
        if block.language == "console":
            yield from steps_of(block)


def steps_of(block: Block) -> Iterator[Step]:
    """The commands of one block; only the last one may end with another status than 0."""
    start, *told = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not start, f"a console block begins with a command, not with {start!r}"
    last = int(block.info.partition("exit=")[2] or 0)
    for left, one in zip(range(len(told) - 1, -1, -1), told, strict=True):
        lines = one.splitlines()
        goes_on = list(itertools.takewhile(lambda line: line.startswith("> "), lines[1:]))
        command = "\n".join([lines[0], *(line.removeprefix("> ") for line in goes_on)])
        yield Step(command, "\n".join(lines[1 + len(goes_on) :]), 0 if left else last)


VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+( UTC|Z)?"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "<date>"),
    (re.compile(r"\b\d+(\.\d+)? ?m?s\b"), "<duration>"),
    (re.compile(r"\b\d+ (passed|skipped)"), r"<some> \1"),
    (re.compile(r"={3,}"), "==="),
)


def normal(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def says(shown: str, said: str) -> bool:
    """Whether a command said what the page shows."""
    lines = [
        r"(?:.*\n)*" if line.strip() == "…" else f"{re.escape(line).replace('…', '.*')}\n"
        for line in normal(shown).splitlines()
    ]
    return bool(re.fullmatch("".join(lines), f"{normal(said)}\n" if said.strip() else ""))


# --- running a page ----------------------------------------------------------------------------------------


class Session:
    """A shell in a folder like a fresh clone's, which is told one command after the other."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._notes = folder.parent / f"{folder.name}-session"
        self._notes.mkdir()
        self._count = itertools.count(1)
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**self._environment(), **environment},
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _environment(self) -> Mapping[str, str]:
        home = self._notes / "home"
        home.mkdir()
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return {
            "PATH": path,
            "HOME": str(home),
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, step: Step) -> None:
        """Run a command, and hold what it says and how it ends against what the page shows."""
        said, status = (self._notes / f"{next(self._count)}.{what}" for what in ("said", "status"))
        quoted = shlex.quote(str(said)), shlex.quote(str(status))
        self._tell(f"{{ {step.command}\n}} </dev/null >{quoted[0]} 2>&1; echo $? >{quoted[1]}\n")
        self._wait_for(lambda: status.is_file() and status.read_text().endswith("\n"))
        stays = step.command.endswith(" &")
        if stays:
            self._wait_for(lambda: says(step.says, said.read_text(encoding="utf-8")))
        ended, heard = int(status.read_text()), said.read_text(encoding="utf-8")
        assert ended == step.status, f"$ {step.command}\nended with {ended}:\n{heard}"
        assert stays or says(step.says, heard), f"$ {step.command}\nsaid:\n{heard}\nand not:\n{step.says}"

    def _tell(self, line: str) -> None:
        assert self._shell.stdin
        self._shell.stdin.write(line)
        self._shell.stdin.flush()

    def _wait_for(self, there: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + COMMAND_LIMIT_S
        while not there():
            assert self._shell.poll() is None, "the shell has ended"
            assert time.monotonic() < give_up_at, f"nothing for {COMMAND_LIMIT_S} s; see {self._notes}"
            time.sleep(LOOK_EVERY_S)

    def close(self) -> None:
        """End the shell and whatever it has left running."""
        os.killpg(self._shell.pid, 15)
        self._shell.wait(COMMAND_LIMIT_S)
        assert self._shell.stdin
        self._shell.stdin.close()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what a clone has, as far as commands need it; `make` finds it set up already."""
    folder = tmp_path / "smtp-preflight"
    folder.mkdir()
    for name in ("conftest.py", "pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, folder)
    for name in ("checks", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "src").symlink_to(ROOT / "src")
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(BIN)
    (folder / ".venv/ready").touch()
    return folder


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if "```console" in page])
def test_a_page_shows_what_happens(name: str, clone: Path) -> None:
    """Every command of a page does what the page says, one after the other, as somebody would type them."""
    session = Session(clone, BROWSER=f"{sys.executable} {ROOT / 'tests/drivers/browser.py'} %s")
    try:
        for step in steps(PAGES[name]):
            session.run(step)
    finally:
        session.close()


@pytest.mark.parametrize("shown", ["b\n", "a\n…", "…\na\nb", "", "a\nb\nc", "a…\nc"])
def test_a_page_that_shows_something_else_is_noticed(shown: str) -> None:
    said = "a\nb\n"
    assert says(shown, said) == (shown in ("a\n…", "…\na\nb"))


def test_a_block_is_read_into_commands() -> None:
    page = "Do this:\n\n```console exit=1\n$ one\nsaid\n$ two \\\n> three\n```\n"
    assert list(steps(page)) == [Step("one", "said", 0), Step("two \\\nthree", "", 1)]


# --- what the pages say of themselves ----------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_block_says_what_it_is_and_where_it_was_tried(name: str) -> None:
    for block in blocks(PAGES[name]):
        assert block.language in {"console", *TO_COPY, *TO_SHOW}, block
        if block.language in TO_COPY:
            tried = TRIED.search(block.beside)
            assert tried, f"where was this tried?\n{block.text}"
            assert not tried[1] or (ROOT / tried[1]).is_file(), tried[1]


PROFILES = [
    (name, block.text)
    for name, page in PAGES.items()
    for block in blocks(page)
    if block.language == "toml" and block.text.startswith("# profiles/")
]


@pytest.mark.parametrize(("page", "text"), PROFILES, ids=[text.split()[1] for _, text in PROFILES])
def test_a_profile_on_a_page_is_one(page: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / Path(text.split()[1].rstrip(":")).name
    path.write_text(text, encoding="utf-8")
    assert load_profile(path, load_providers()).mailbox


LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    plain = "".join(
        one for one in heading.strip().lower() if one in " -_" or unicodedata.category(one)[0] in "LN"
    )
    return plain.replace(" ", "-")


@cache
def anchors(path: Path) -> frozenset[str]:
    """The headings of a page that can be linked to."""
    prose = FENCE.sub("", path.read_text(encoding="utf-8"))
    return frozenset(anchor(one) for one in re.findall(r"^#+ (.+)$", prose, re.MULTILINE))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    for target in LINK.findall(FENCE.sub("", PAGES[name])):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        place, _, part = target.partition("#")
        path = (ROOT / name).parent / place if place else ROOT / name
        assert path.exists(), target
        assert not part or part in anchors(path), target


def test_every_page_is_found_from_the_readme() -> None:
    """Within two steps: from the page itself, or from one that it links."""
    reached, new = set(), {"README.md"}
    while new:
        reached |= new
        linked = {
            os.path.normpath(Path(name).parent / target.partition("#")[0])
            for name in new
            for target in LINK.findall(PAGES[name])
        }
        new = (linked & set(PAGES)) - reached
    assert reached == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_pages_name_only_commands_and_options_that_exist(name: str) -> None:
    named = set(re.findall(r"smtp-preflight ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`", PAGES[name]))))
    assert named <= commands() | {"lab"}


@cache
def commands() -> frozenset[str]:
    """The commands of smtp-preflight, from its own help."""
    done = subprocess.run(
        [sys.executable, "-m", "smtp_preflight.cli", "--help"], capture_output=True, text=True, check=True
    )
    return frozenset(re.findall(r"^    (\w+)  ", done.stdout, re.MULTILINE))


# --- the checklist -----------------------------------------------------------------------------------------

MUST = {  # the points of the five guides that have to be served
    "A": "1-6 8-13 15-26 29-34",
    "B": "3-4 6 8-13 15-20 25-26",
    "C": "1-2 4-6 8 11 14 16-18 21-23 25-27 30-36 38-42 44 49 51",
    "D": "2-7 9-11 14 19-20 22-30 32-45",
    "E": "6 12-15 18-19 21 23 28-31 34-43 45-51 55 58",
}


def must() -> Iterator[str]:
    """The points of the five guides that have to be served, one by one."""
    for guide, ranges in MUST.items():
        for one in ranges.split():
            first, _, last = one.partition("-")
            yield from (f"{guide}{number:02}" for number in range(int(first), int(last or first) + 1))


ROWS = re.findall(r"^\| ([A-E]\d\d) \| (.+) \| (.+) \|$", PAGES["docs/checklist.md"], re.MULTILINE)


def test_every_point_of_the_checklist_is_there_once() -> None:
    assert [point for point, _, _ in ROWS] == [*must()]
    assert len(ROWS) == 146


@cache
def functions(path: Path) -> frozenset[str]:
    """The names of the functions in a module of checks or tests."""
    return frozenset(
        one.name for one in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(one, ast.FunctionDef)
    )


@cache
def options() -> str:
    """What pytest's help says of our own options."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def exists(named: str) -> bool:
    """Whether a check, a test, a command, an option or a cause of this name is there."""
    if "::" in named:
        path, _, function = named.partition("::")
        return (ROOT / path).is_file() and function in functions(ROOT / path)
    if named.startswith("--"):
        return f"{named}=" in options()
    if named.startswith("smtp-preflight "):
        return named.split()[1] in commands()
    return named in entries()


@pytest.mark.parametrize(("point", "served"), [(point, served) for point, _, served in ROWS])
def test_what_serves_a_point_is_there(point: str, served: str) -> None:
    named = re.findall(r"`([^`]+)`|\[(\w+)\]\(causes/\2\.md\)", served)
    assert named
    assert [one for pair in named for one in pair if one and not exists(one)] == []


# --- examples of other kinds -------------------------------------------------------------------------------


def examples(name: str, language: str) -> list[str]:
    """The blocks of a page in one language."""
    return [block.text for block in blocks(PAGES[name]) if block.language == language]


def test_the_page_of_keys_is_current() -> None:
    """Whoever changes the tables of a profile runs ``make docs``."""
    written = runpy.run_path(str(ROOT / "docs/generate_profile.py"))["page"]()
    assert PAGES["docs/profile.md"] == written


def test_the_example_of_a_check_is_one() -> None:
    (check,) = [one for one in examples("docs/extending.md", "python") if one.startswith("def test_")]
    assert any(check in path.read_text(encoding="utf-8") for path in (ROOT / "checks").glob("*.py"))


def test_the_example_of_a_report_format_writes_one(tmp_path: Path) -> None:
    (source,) = [one for one in examples("docs/extending.md", "python") if one.startswith("NAME = ")]
    module: dict[str, Any] = {"Run": object, "Path": Path}
    exec(source, module)  # noqa: S102 - our own page
    run = SimpleNamespace(findings=[SimpleNamespace(code="mx_missing", severity="warning")])
    module["write"](run, tmp_path / module["NAME"])
    assert (tmp_path / "codes.txt").read_text(encoding="utf-8") == "mx_missing warning\n"


def test_the_examples_of_data_are_like_those_that_are_there() -> None:
    """A cause has the keys of an entry, a provider those of a preset."""
    cause, preset = map(tomllib.loads, examples("docs/extending.md", "toml"))
    ((code, entry),) = cause.items()
    assert code in entries()
    assert set(entry) <= {one.name for one in fields(Entry)} | {"example"}  # read as `examples`
    assert set(preset) <= {one.name for one in fields(Provider)} | {"verified"}
