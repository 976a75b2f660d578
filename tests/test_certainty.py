"""Certain is said by rule, for every entry at every provider, and by nothing else (docs/certainty.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from smtp_preflight.diagnosis.rank import Signs, rank
from smtp_preflight.knowledge import Entry, Pattern, entries, matches
from smtp_preflight.model import Cause, Certainty, Stage
from smtp_preflight.profile import load_providers

PROVIDERS = (*load_providers(), "other", "any", "")
DOCUMENT = Path(__file__).parent.parent / "docs" / "certainty.md"


# Ever the same lines, tens of thousands of times: to count them takes thrice as long as to run them.
pytestmark = pytest.mark.uncounted


def shown_by(entry: Entry) -> Iterator[Mapping[str, str]]:
    """Signs that lead to an entry: its examples, and its patterns that want no wording."""
    yield from entry.examples
    for pattern in (*entry.match, *entry.decisive_where):
        if "text" not in pattern:
            yield {key: allowed[0] for key, allowed in pattern.items()}


def stage_of(entry: Entry, signs: Mapping[str, str]) -> Stage:
    return Stage(signs.get("stage", entry.stage))


def fitting(signs: Mapping[str, str]) -> list[Entry]:
    """Every entry that matches, told without the engine."""
    provider = signs.get("provider", "")
    return [
        one
        for one in entries().values()
        if (not one.providers or provider in (*one.providers, "", "any"))
        and any(matches(pattern, signs) for pattern in one.match)
    ]


def decisive_for(entry: Entry, signs: Mapping[str, str]) -> bool:
    where: tuple[Pattern, ...] = entry.decisive_where
    return entry.decisive and (not where or any(matches(one, signs) for one in where))


def obeys(signs: Mapping[str, str], causes: tuple[Cause, ...]) -> bool:
    """Whether certainty is given to these causes as the rule says."""
    known = fitting(signs)
    first, *others = causes
    may_be_certain = len(known) == 1 and decisive_for(known[0], signs)
    wanted = Certainty.CERTAIN if may_be_certain else Certainty.LIKELY if known else Certainty.POSSIBLE
    return first.certainty is wanted and all(one.certainty is Certainty.POSSIBLE for one in others)


@pytest.mark.parametrize("code", entries())
def test_certain_is_said_by_rule_at_every_provider(code: str) -> None:
    """Only of an entry that is decisive for what was seen, and that nothing else beside it fits."""
    entry = entries()[code]
    for example in shown_by(entry):
        for provider in PROVIDERS if "provider" not in example else (example["provider"],):
            signs = {**example, **({"provider": provider} if provider else {})}
            stage = stage_of(entry, example)
            causes = rank(Signs(common=signs), stage)
            assert obeys({**signs, "stage": stage}, causes), (signs, causes)


@pytest.mark.parametrize("code", [one.code for one in entries().values() if one.decisive_where])
def test_what_an_entry_is_decisive_for_leads_to_it(code: str) -> None:
    """Signs that no pattern of its own asks for would never make it certain."""
    entry = entries()[code]
    for pattern in (one for one in entry.decisive_where if "text" not in one):
        signs = {key: allowed[0] for key, allowed in pattern.items()} | {"stage": str(entry.stage)}
        assert any(matches(one, signs) for one in entry.match)


@pytest.mark.parametrize("code", [one.code for one in entries().values() if one.decisive_where])
def test_an_entry_that_is_decisive_for_some_of_its_signs_is_not_for_all(code: str) -> None:
    """Otherwise it would say so; and its other readings name the look that decides."""
    entry = entries()[code]
    rest = [
        signs
        for signs in shown_by(entry)
        if not decisive_for(entry, {**signs, "stage": stage_of(entry, signs)})
    ]
    assert rest
    assert entry.decide_by


def test_the_document_lists_what_is_decisive_in_part() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.MULTILINE)
    assert rows == sorted(rows, key=list(DOCUMENTED).index)
    assert set(rows) == DOCUMENTED.keys()


DOCUMENTED = {one.code: one for one in entries().values() if one.decisive_where}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("token_fault", ["none", "unknown", "opaque", "user"])
def test_535_5_7_3_and_the_token_make_nothing_certain(provider: str, token_fault: str) -> None:
    """It stands for a dozen causes; only what somebody has looked up could tell."""
    reply = {"smtp_code": "535", "enhanced": "5.7.3", "text": "5.7.3 Authentication unsuccessful"}
    for kind in ("user", "app"):
        for grant in ("refresh_token", "client_credentials"):
            token = {"token_fault": token_fault, "claims_kind": kind, "grant": grant, "permission": "present"}
            signs = {**reply, **token, "provider": provider, "mechanism": "XOAUTH2"}
            assert rank(Signs(common=signs), Stage.AUTH)[0].certainty is not Certainty.CERTAIN
