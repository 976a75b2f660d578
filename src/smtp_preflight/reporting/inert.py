"""Foreign text made inert for whoever reads next: terminal, XML, Markdown (house-style.md section 11)."""

from __future__ import annotations

import re
import unicodedata

# What XML 1.0 section 2.2 forbids: most control characters, surrogates, and the two non-characters.
_FORBIDDEN_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# A line that GitHub's runner would obey: leading blanks do not stop it.
_COMMAND = re.compile(r"^(\s*)::(?=.*::)")

# What a server can do, but for the two things that decide whether a token may be shown to it.
_RARELY_ASKED_ABOUT = re.compile(r"250[ -](?!(?:AUTH|STARTTLS)\b)", re.IGNORECASE)

# Everything that can begin a construct of Markdown or HTML outside a code span.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>&|~#!])")


def printable(text: str) -> str:
    """One line for a terminal: what would move the cursor or be read as a command is shown instead."""
    shown = text if text.isprintable() else "".join(map(_shown, text))
    return _COMMAND.sub(r"\1: :", shown.replace("##[", "# #["))


def _shown(one: str) -> str:
    """The character, or its number where it is a control, a format, unassigned, or a line end in disguise."""
    hidden = one != "\t" and unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return f"\\u{{{ord(one):x}}}" if hidden else one


def visible(text: str) -> str:
    """Text of several lines, each printable; only line feeds, with or without a carriage return, end one."""
    return "\n".join(printable(line) for line in text.replace("\r\n", "\n").split("\n"))


def bounded_lines(text: str, most: int, width: int) -> list[str]:
    """The first lines of a text, each printable and no longer than ``width``; what was cut says so."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n") if text.strip() else []
    kept = [_cut(printable(line[: width + 1]), width) for line in lines[:most]]
    more = len(lines) - most
    return [*kept, f"… ({more} more lines)"] if more > 0 else kept


def telling_lines(text: str, most: int, width: int) -> list[str]:
    """The same of what was seen: of a long answer to EHLO what is rarely asked about gives way."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    telling = [number for number, line in enumerate(lines) if not _RARELY_ASKED_ABOUT.match(line)][-most:]
    for first in range(most, 0, -1) if len(lines) > most else ():
        behind = [number for number in telling if number >= first]
        if behind and first + len(behind) <= most:
            begin = bounded_lines("\n".join(lines[:first]), first, width)
            end = bounded_lines("\n".join(lines[number] for number in behind), most, width)
            return [*begin, f"… ({len(lines) - first - len(behind)} more lines)", *end]
    return bounded_lines(text, most, width)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"


def xml_text(text: str) -> str:
    r"""Text for XML 1.0: what it forbids is shown as ``\u{…}``."""
    return _FORBIDDEN_IN_XML.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def spans(text: str) -> list[tuple[bool, str]]:
    """Prose cut at its backticks, one or two: whether a piece is code, and the piece.

    An unpaired backtick is prose.
    """
    pieces = enumerate(re.split(r"(`{1,2})([^`\n]+)\1", text))  # prose, backticks, code, prose, …
    return [(number % 3 == 2, piece) for number, piece in pieces if piece and number % 3 != 1]


def markdown(text: str) -> str:
    """One line of Markdown that says what the text says: code spans stay, everything else is escaped."""
    pieces = spans(printable(" ".join(text.split())))
    return "".join(f"`{piece}`" if code else _escaped(piece) for code, piece in pieces)


def foreign_markdown(text: str) -> str:
    """The same for a text that is not ours: its backticks are escaped as well."""
    return _escaped(printable(" ".join(text.split())))


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def fenced(text: str, language: str = "text") -> str:
    """Text for Markdown: in a fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
