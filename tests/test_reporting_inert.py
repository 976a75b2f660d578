"""Foreign text stays text, wherever it is shown."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree as ET

import pytest

from smtp_preflight.reporting.inert import (
    bounded_lines,
    fenced,
    foreign_markdown,
    markdown,
    printable,
    spans,
    telling_lines,
    visible,
    xml_text,
)

HOSTILE = [
    chr(number) for number in [*range(0x20), 0x7F, 0x85, 0x9B, 0x200B, 0x202E, 0x2028, 0x2066, 0xFEFF, 0xFFFE]
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("250 SMTPUTF8 Grüße 日本", "250 SMTPUTF8 Grüße 日本"),
        ("a\tb", "a\tb"),
        ("\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
        ("a\r\nb", "a\\u{d}\\u{a}b"),
        ("\u202egnp.exe", "\\u{202e}gnp.exe"),
        ("\ud800", "\\u{d800}"),
        ("##[error]no", "# #[error]no"),
        ("::set-output name=x::y", ": :set-output name=x::y"),
        ("  ::add-mask::x", "  : :add-mask::x"),
        ("2001:db8::1", "2001:db8::1"),
        ("", ""),
    ],
)
def test_a_line_for_a_terminal_moves_nothing(text: str, shown: str) -> None:
    """No cursor, no reversed reading direction, no command to whoever runs the build."""
    assert printable(text) == shown


@pytest.mark.parametrize("one", HOSTILE, ids=lambda one: f"U+{ord(one):04X}")
def test_control_and_format_characters_are_shown(one: str) -> None:
    """All but the tab."""
    assert printable(f"a{one}b") == (f"a{one}b" if one == "\t" else f"a\\u{{{ord(one):x}}}b")


def test_only_line_feeds_end_a_line() -> None:
    """With or without a carriage return; what other programs take for one is shown."""
    assert visible("a\r\nb\nc\rd\x0be\u2028f") == "a\nb\nc\\u{d}d\\u{b}e\\u{2028}f"


def test_lines_are_bounded_in_number_and_width() -> None:
    """What was cut says so."""
    assert bounded_lines("one\r\ntwo\nthree\n", most=2, width=10) == ["one", "two", "… (1 more lines)"]
    assert bounded_lines("x" * 11, most=2, width=10) == ["x" * 9 + "…"]
    assert bounded_lines("x" * 10, most=2, width=10) == ["x" * 10]
    assert bounded_lines("x" * 1_000_000, most=1, width=10) == ["x" * 9 + "…"]
    assert bounded_lines(" \n", most=2, width=10) == []


def test_of_an_answer_to_ehlo_what_decides_is_kept() -> None:
    """Sign-in methods, STARTTLS, and what was seen elsewhere; of other texts the beginning is."""
    greeting = ["250-host", "250-A", "250-B", "250-AUTH LOGIN", "250-STARTTLS", "250 X", "elsewhere: AUTH"]
    text = "\n".join(greeting)
    kept = ["250-host", "… (3 more lines)", "250-AUTH LOGIN", "250-STARTTLS", "elsewhere: AUTH"]
    assert telling_lines(text, most=4, width=80) == kept
    assert telling_lines(text, most=7, width=80) == greeting
    assert telling_lines(text, most=2, width=80) == ["250-host", "250-A", "… (5 more lines)"]
    assert telling_lines("a\nb\nc", most=2, width=80) == ["a", "b", "… (1 more lines)"]
    assert telling_lines("250 X\r\n" * 9 + "::x::" + "y" * 99, most=2, width=9)[1:] == [
        "… (8 more lines)",
        ": :x::yy…",
    ]
    assert telling_lines("", most=2, width=80) == []


def test_a_line_that_grows_by_being_shown_is_cut_too() -> None:
    (line,) = bounded_lines("\x1b" * 10, most=1, width=10)
    assert len(line) == 10


@pytest.mark.parametrize("one", [*HOSTILE, "\ud800", "\uffff", "<", "&", "]]>"])
def test_text_for_xml_can_be_parsed(one: str) -> None:
    """Whatever a server sends: XML 1.0 section 2.2."""
    document = f"<a>{html.escape(xml_text(f'x{one}y'))}</a>"
    parsed = ET.fromstring(document.encode("utf-8"))  # noqa: S314 - it is our own
    assert parsed.text
    assert parsed.text[0] == "x"
    assert parsed.text[-1] == "y"


def test_text_for_xml_keeps_what_is_allowed() -> None:
    assert xml_text("Grüße\t\r\n\U0001f600") == "Grüße\t\r\n\U0001f600"
    assert xml_text("\x00\ufffe") == "\\u{0}\\u{fffe}"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Run `nslookup x` now", [(False, "Run "), (True, "nslookup x"), (False, " now")]),
        ("`a``b`", [(True, "a"), (True, "b")]),
        ("``a`` or `b`", [(True, "a"), (False, " or "), (True, "b")]),
        ("``a`", [(False, "`"), (True, "a")]),
        ("an ` alone", [(False, "an ` alone")]),
        ("", []),
    ],
)
def test_prose_is_cut_at_its_backticks(text: str, pieces: list[tuple[bool, str]]) -> None:
    assert spans(text) == pieces


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Run `nslookup a_b` now", "Run `nslookup a_b` now"),
        ("[click](javascript:x) ![](y)", "\\[click\\](javascript:x) \\!\\[\\](y)"),
        ("<img src=x onerror=y> & **b** a|b", "\\<img src=x onerror=y\\> \\& \\*\\*b\\*\\* a\\|b"),
        ("# a\n## b", "\\# a \\#\\# b"),
        ("an ` alone", "an \\` alone"),
        ("\x1b[1m", "\\\\u{1b}\\[1m"),
    ],
)
def test_a_line_of_markdown_says_what_the_text_says(text: str, shown: str) -> None:
    """Code spans stay code; nothing else begins a construct."""
    assert markdown(text) == shown


def test_foreign_markdown_has_no_code_of_its_own() -> None:
    """A server's backticks would pair with those of the next value."""
    assert foreign_markdown("a `b` <c>\n# d") == "a \\`b\\` \\<c\\> \\# d"


@pytest.mark.parametrize("text", ["plain", "a ``` b", "`" * 9, "```\n# out\n```", "````"])
def test_a_fence_is_longer_than_what_it_holds(text: str) -> None:
    """Nothing inside can end it."""
    fence, *lines = fenced(text).split("\n")
    assert lines[-1] == fence.removesuffix("text")
    assert "\n".join(lines[:-1]) == text
    assert max((len(run) for run in re.findall("`+", text)), default=0) < len(lines[-1])
