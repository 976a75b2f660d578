"""``index.html``: many profiles at a glance, each a row of stages that leads to its own report.

Written from plain data, for with pytest-xdist every profile's run stays in its worker.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

from smtp_preflight.model import Run, Stage, Verdict
from smtp_preflight.reporting import html, wording
from smtp_preflight.reporting.inert import printable
from smtp_preflight.reporting.pages import policy, resource, template
from smtp_preflight.reporting.way import way

FILE = "index.html"
FEWEST = 2  # profiles: of one alone there is nothing to look over
WORST_FIRST = (Verdict.NOT_READY, Verdict.INCOMPLETE, Verdict.READY_WITH_WARNINGS, Verdict.READY)


class Row(TypedDict):
    """What the overview shows of one run: plain data, for it may cross processes."""

    profile: str
    link: str  # to its report, from the overview
    provider: str
    started: str  # ISO 8601
    took_s: float
    verdict: str
    stages: dict[str, str]  # stage -> what became of it
    code: str  # of its cause; empty where nothing is to be done
    title: str
    who: str


@dataclass(frozen=True, slots=True)
class Shared:
    """A cause, and how many profiles have it."""

    code: str
    title: str  # as the first of them has it
    who: str
    profiles: int


def row_of(run: Run, place: Path) -> Row:
    """The row of a run whose reports are in this folder."""
    cause = next(iter(wording.told(run)), None)
    return {
        "profile": run.profile,
        "link": f"{quote(place.name)}/{html.NAME}",
        "provider": run.seen.profile.provider.title,
        "started": run.started.isoformat(),
        "took_s": run.duration_s,
        "verdict": str(run.verdict),
        "stages": {str(one.stage): str(one.outcome or "not asked") for one in way(run)},
        "code": cause.code if cause else "",
        "title": cause.title if cause else "",
        "who": wording.WHO[cause.who] if cause else "",
    }


def write_overview(rows: Sequence[Row], folder: Path) -> Path:
    """Write the page at once, so that nobody reads half of it; returns its path."""
    path, new = folder / FILE, folder / f".{FILE}.new"
    new.write_text(template("overview.html.template").render(**_page(rows)), encoding="utf-8")
    new.replace(path)
    return path


def overview_lines(rows: Sequence[Row], path: Path) -> list[str]:
    """The overview in two lines, for a terminal."""
    counted = (f"{len(found)} {wording.VERDICTS[verdict]}" for verdict, found in _groups(rows))
    return ["; ".join(counted), f"Overview: {printable(str(path))}"]


def _page(rows: Sequence[Row]) -> dict[str, Any]:
    style = resource(html.STYLE) + resource("overview.css")
    stages = {stage for row in rows for stage in row["stages"]}
    return {
        "words": wording,
        "groups": dict(_groups(rows)),
        "stages": [one for one in Stage if one in stages],
        "causes": _shared(rows),
        "rows": rows,
        "started": min(dt.datetime.fromisoformat(row["started"]) for row in rows),
        "style": style,
        "policy": policy(style),
    }


def _groups(rows: Sequence[Row]) -> Iterator[tuple[Verdict, list[Row]]]:
    """The rows of each verdict that occurs, by the alphabet."""
    for verdict in WORST_FIRST:
        if found := [row for row in rows if row["verdict"] == verdict]:
            yield verdict, sorted(found, key=lambda row: row["profile"].casefold())


def _shared(rows: Sequence[Row]) -> list[Shared]:
    """The causes that occur, the most frequent first."""
    first: Mapping[str, Row] = {row["code"]: row for row in reversed(rows) if row["code"]}
    counted = Counter(row["code"] for row in rows if row["code"])
    return [
        Shared(code, first[code]["title"], first[code]["who"], profiles)
        for code, profiles in sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    ]
