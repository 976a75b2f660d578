"""How well the engine names the causes of failures that others met: ``make score``.

    python tests/corpus/score.py [--blind | --admin] [-v] [CASES]

By default the engine is told what a tool on the sending host can know. ``--blind`` withholds all context,
``--admin`` adds what an administrator can look up; what people only tell of is never given. A case is

named        its cause comes first, or among the first three where its evidence means several things; blind,
             another of these meanings may come first as well
first        its cause comes first
overclaimed  another cause comes first and is called certain
silent       nothing is found

``-v`` lists the cases that are not named, or overclaimed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from smtp_preflight.diagnosis.cases import causes_of_case
from smtp_preflight.model import Cause, Certainty
from smtp_preflight.profile import load_providers

HERE = Path(__file__).parent
ASKED = ("id", "provider", "stage", "grant", "observed")
NEAR = 3  # causes that are looked at where the evidence is ambiguous

Case = Mapping[str, Any]


class Told(Enum):
    """How much of its context a case is given with: the kinds of ``context_keys.json``."""

    BLIND = ()
    CLIENT = ("client",)
    ADMIN = ("client", "admin")


@dataclass(frozen=True, slots=True)
class Score:
    """What became of one case."""

    case: Case
    causes: tuple[Cause, ...]
    named: bool
    first: bool
    overclaimed: bool
    silent: bool


@dataclass(slots=True)
class Tally:
    """The scores of one group of cases, counted."""

    scores: list[Score] = field(default_factory=list)

    def count(self, what: str) -> int:
        """How many of the group are so."""
        return sum(getattr(one, what) for one in self.scores)

    @property
    def named_share(self) -> float:
        """Between 0 and 1; an empty group has nothing that is not named."""
        return self.count("named") / len(self.scores) if self.scores else 1.0


def read_cases(path: Path = HERE / "public.jsonl") -> list[Case]:
    """The cases of a file, one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def question(case: Case, told: Told) -> dict[str, Any]:
    """What the engine gets to see of a case: never its answer, nor what only people can tell."""
    knowers = json.loads((HERE / "context_keys.json").read_text(encoding="utf-8"))
    context = case.get("context") or {}
    known = {key: value for key, value in context.items() if knowers.get(key) in told.value}
    return {key: case[key] for key in ASKED} | {"context": known}


def judge(cases: Iterable[Case], told: Told) -> list[Score]:
    """Ask the engine for every case, and hold its answers against the confirmed causes."""
    presets = load_providers()
    return [score(case, causes_of_case(question(case, told), presets), told) for case in cases]


def score(case: Case, causes: tuple[Cause, ...], told: Told) -> Score:
    """What an answer is worth."""
    wanted, codes = case["root_cause"], [one.code for one in causes]
    meanings = [wanted, *case["ambiguous_with"]]
    sure = bool(causes) and causes[0].certainty is Certainty.CERTAIN
    if not is_fault(case):
        right = not codes or (codes[0] == wanted and not sure)
        return Score(case, causes, right, codes[:1] == [wanted], not right and sure, silent=False)
    return Score(
        case,
        causes,
        named=_is_named(codes, meanings, told),
        first=codes[:1] == [wanted],
        overclaimed=sure and codes[0] not in meanings,
        silent=not codes,
    )


def _is_named(codes: list[str], meanings: list[str], told: Told) -> bool:
    wanted, *others = meanings
    if not others:
        return codes[:1] == [wanted]
    return wanted in codes[:NEAR] or (told is Told.BLIND and bool(codes) and codes[0] in meanings)


def is_fault(case: Case) -> bool:
    """Two of the causes describe what is as it should be."""
    if case["root_cause"] == "device_code_not_completed":
        return "authorization_pending" not in json.dumps(case["observed"])
    return bool(case["root_cause"] != "opaque_token_expected")


def tallies(scores: Iterable[Score]) -> dict[str, Tally]:
    """All of them; the groups that promises are made for; then by stage."""
    found: defaultdict[str, Tally] = defaultdict(Tally)
    for one in scores:
        ambiguous = "ambiguous" if one.case["ambiguous_with"] else "unambiguous"
        confirmed = "confirmed" if one.case["confirmed"] else "unconfirmed"
        for group in ("all", ambiguous, confirmed, one.case["stage"]):
            found[group].scores.append(one)
    return dict(sorted(found.items(), key=lambda group: -len(group[1].scores)))


def report(scores: list[Score], *, with_misses: bool = False) -> Iterator[str]:
    """The figures as lines, and the misses before them where they are wanted."""
    if with_misses:
        yield from (_miss(one) for one in scores if not one.named or one.overclaimed)
    yield f"{'':14}{'cases':>6}{'named':>7}{'first':>7}{'overclaimed':>13}{'silent':>8}"
    for group, tally in tallies(scores).items():
        number = len(tally.scores)
        shares = "".join(f"{tally.count(what) / number:7.0%}" for what in ("named", "first"))
        yield f"{group:14}{number:6}{shares}{tally.count('overclaimed'):13}{tally.count('silent'):8}"


def _miss(one: Score) -> str:
    found = ", ".join(f"{cause.code} ({cause.certainty})" for cause in one.causes) or "nothing"
    return f"{one.case['id']}: {one.case['root_cause']} wanted, found {found}"


def main(words: list[str]) -> int:
    """Print the figures; 1 where something was overclaimed."""
    parser = argparse.ArgumentParser(prog="score.py", description="How many failures are named.")
    context = parser.add_mutually_exclusive_group()
    context.add_argument("--blind", dest="told", action="store_const", const=Told.BLIND)
    context.add_argument("--admin", dest="told", action="store_const", const=Told.ADMIN)
    parser.add_argument("-v", "--verbose", action="store_true", help="list the misses")
    parser.add_argument("cases", nargs="?", type=Path, default=HERE / "public.jsonl")
    asked = parser.parse_args(words)
    scores = judge(read_cases(asked.cases), asked.told or Told.CLIENT)
    sys.stdout.writelines(f"{line}\n" for line in report(scores, with_misses=asked.verbose))
    return int(any(one.overclaimed for one in scores))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
