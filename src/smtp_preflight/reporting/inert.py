"""Foreign text made inert for whoever reads next: terminal, XML, Markdown (house-style.md section 11)."""

from __future__ import annotations

import re
import unicodedata

# What XML 1.0 section 2.2 forbids: most control characters, surrogates, and the two non-characters.
_FORBIDDEN_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    """One line for a terminal: what would move the cursor or be read as a command is shown instead."""
    shown = "".join(one if _harmless(one) else f"\\u{{{ord(one):x}}}" for one in text)
    return shown.replace("##[", "# #[")


def _harmless(one: str) -> bool:
    return one == "\t" or unicodedata.category(one)[0] != "C"


def xml_text(text: str) -> str:
    r"""Text for XML 1.0: what it forbids is shown as ``\u{…}``."""
    return _FORBIDDEN_IN_XML.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def fenced(text: str) -> str:
    """Text for Markdown: in a fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
