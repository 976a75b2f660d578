"""How well failures of others are named is a figure, and it does not fall."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from smtp_preflight.diagnosis.cases import causes_of_case
from smtp_preflight.knowledge import entries
from smtp_preflight.model import Cause, Certainty, Stage
from smtp_preflight.profile import load_providers

CORPUS = Path(__file__).parent / "corpus"


def _load_score() -> ModuleType:
    """The scorer is a program beside its cases, and no module of any package."""
    spec = importlib.util.spec_from_file_location("corpus_score", CORPUS / "score.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


score = _load_score()
CASES = score.read_cases()
REFERENCE = tomllib.loads((CORPUS / "reference.toml").read_text("utf-8"))
NUMBERS = [(str(number), code) for code, numbers in REFERENCE["aadsts"].items() for number in numbers]
PRESETS = load_providers()


def first_code(case: Mapping[str, Any]) -> list[str]:
    """The first cause of a case, in a list that is empty where nothing is wrong."""
    return [one.code for one in causes_of_case(case, PRESETS)][:1]


@pytest.mark.parametrize(
    ("told", "named", "first", "unambiguous", "ambiguous"),
    [
        (score.Told.CLIENT, 168, 156, 0.97, 0.97),
        (score.Told.BLIND, 164, 146, 0.97, 0.91),
        (score.Told.ADMIN, 171, 162, 0.99, 0.98),
    ],
)
def test_the_line_that_was_reached_holds(
    told: object, named: int, first: int, unambiguous: float, ambiguous: float
) -> None:
    """Of all cases, and of those whose evidence means one thing, and several; none is wrong and certain."""
    groups = score.tallies(score.judge(CASES, told))
    assert groups["all"].count("named") >= named
    assert groups["all"].count("first") >= first
    assert groups["unambiguous"].named_share >= unambiguous
    assert groups["ambiguous"].named_share >= ambiguous
    assert groups["all"].count("overclaimed") == 0


def test_what_is_no_fault_is_not_reported_as_one() -> None:
    """A pending device sign-in, and a token that its provider means to be opaque."""
    healthy = [one for one in CASES if not score.is_fault(one)]
    assert healthy
    for told in score.Told:
        assert all(one.named for one in score.judge(healthy, told))


def test_every_cause_of_a_case_is_explained() -> None:
    named = {code for case in CASES for code in (case["root_cause"], *case["ambiguous_with"])}
    assert named <= set(entries())


def test_every_case_is_of_a_stage_and_every_key_is_sorted() -> None:
    """A key that nobody has sorted would silently be withheld."""
    knowers = json.loads((CORPUS / "context_keys.json").read_text("utf-8"))
    assert {case["stage"] for case in CASES} <= set(Stage)
    assert {key for case in CASES for key in case.get("context") or {}} <= set(knowers)
    assert set(knowers.values()) == {"client", "admin", "report"}
    assert len({case["id"] for case in CASES}) == len(CASES)


def test_the_engine_never_sees_the_answer() -> None:
    """Nor what only people tell of; without context, nothing but the evidence."""
    case = next(one for one in CASES if {"fix_in_thread", "note"} & set(one.get("context") or {}))
    asked = score.question(case, score.Told.ADMIN)
    assert set(asked) == {*score.ASKED, "context"}
    assert not {"fix_in_thread", "note", "later"} & set(asked["context"])
    assert score.question(case, score.Told.BLIND)["context"] == {}


def found(*codes: str, sure: bool = False) -> tuple[Cause, ...]:
    """An answer of the engine."""
    rest = (Certainty.POSSIBLE,) * len(codes)
    first = Certainty.CERTAIN if sure else Certainty.LIKELY
    return tuple(map(Cause, codes, (first, *rest)))


def case_of(cause: str, *others: str) -> dict[str, object]:
    return {"root_cause": cause, "ambiguous_with": list(others), "observed": {}, "stage": "auth"}


def test_a_case_counts_for_what_was_said_of_it() -> None:
    """Ambiguous evidence may be named third, or blind by another of its meanings; never surely wrong."""
    plain, several = case_of("a"), case_of("a", "b")
    client, blind = score.Told.CLIENT, score.Told.BLIND
    assert score.score(plain, found("a"), client).named
    assert not score.score(plain, found("b", "a"), client).named
    assert score.score(several, found("c", "b", "a"), client).named
    assert not score.score(several, found("b"), client).named
    assert score.score(several, found("b"), blind).named
    assert not score.score(several, found("b", sure=True), client).overclaimed
    assert score.score(plain, found("b", sure=True), client).overclaimed
    assert score.score(plain, (), client).silent
    healthy = score.score(case_of("opaque_token_expected"), (), client)
    assert healthy.named
    assert not healthy.silent
    assert not score.score(case_of("opaque_token_expected"), found("a", sure=True), client).named


def test_the_figures_are_printed() -> None:
    """``make score`` lists the groups of cases, the misses where they are asked for, and ends well."""
    told = subprocess.run(
        [sys.executable, CORPUS / "score.py", "--blind", "-v"], capture_output=True, text=True, check=True
    )
    lines = told.stdout.splitlines()
    assert any(" wanted, found " in line for line in lines)
    head = next(line for line in lines if "overclaimed" in line)
    assert head.split() == ["cases", "named", "first", "overclaimed", "silent"]
    assert lines[lines.index(head) + 1].startswith(f"all{len(CASES):17}")


# --- every code of the reference leads to an entry ---------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), NUMBERS)
def test_a_number_of_entra_leads_to_its_entry(number: str, code: str) -> None:
    """Alone, and in an answer; with the OAuth error it comes with it says the same or more."""
    body = {
        "error_description": f"AADSTS{number}: Something. Trace ID: 0d3b5f34",
        "error_codes": [int(number)],
    }
    assert first_code({"observed": {"body": {"error_description": f"AADSTS{number}"}}}) == [code]
    assert first_code({"provider": "microsoft365", "stage": "token", "observed": {"body": body}}) == [code]


@pytest.mark.parametrize(
    "row", REFERENCE["google"], ids=lambda row: f"{row['error']}: {row['description'][:40]}"
)
def test_an_error_of_google_leads_to_an_entry(row: dict[str, Any]) -> None:
    body = {"error": row["error"], "error_description": row["description"]}
    body |= {"error_subtype": row["subtype"]} if "subtype" in row else {}
    case = {
        "provider": "google",
        "stage": row["stage"],
        "grant": row.get("grant"),
        "observed": {"body": body},
    }
    assert first_code(case) == [] if not row["codes"] else first_code(case)[0] in row["codes"]


@pytest.mark.parametrize("row", REFERENCE["smtp"], ids=lambda row: f"{row['provider']}: {row['reply'][:60]}")
def test_a_reply_of_a_mail_server_leads_to_an_entry(row: dict[str, Any]) -> None:
    """At the stage where it is given, and where nobody says which that is."""
    code, _, text = row["reply"].partition(" ")
    observed = {"challenge_json": text} if code == "334" else {"smtp_code": code, "text": text}
    context = {"mechanism": row["mechanism"]} if "mechanism" in row else {}
    for stage in (row["stage"], None):
        case = {"provider": row["provider"], "stage": stage, "observed": observed, "context": context}
        assert first_code(case)[0] in row["codes"]


def test_the_reference_names_causes_that_exist() -> None:
    named = {code for kind in ("google", "smtp") for row in REFERENCE[kind] for code in row["codes"]}
    assert named | set(REFERENCE["aadsts"]) <= set(entries())
