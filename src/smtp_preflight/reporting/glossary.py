"""Plain definitions of the terms that occur in a report; the words are in ``glossary.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources


@cache
def definitions() -> Mapping[str, str]:
    """Every term with its definition, by the alphabet."""
    text = (resources.files(__package__) / "glossary.toml").read_text(encoding="utf-8")
    terms = tomllib.loads(text)
    return {term: " ".join(terms[term].split()) for term in sorted(terms, key=str.casefold)}


def occurring(text: str) -> dict[str, str]:
    """The definitions of those terms that the text uses, as whole words of the same spelling."""
    return {
        term: meaning
        for term, meaning in definitions().items()
        if re.search(rf"(?<![\w-]){re.escape(term)}(?![\w-])", text)
    }
