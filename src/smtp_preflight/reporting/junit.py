"""``junit.xml``: one suite for the profile, one case per check, valid against Jenkins' junit-10.xsd."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from junit_xml import TestCase, TestSuite

from smtp_preflight.model import CheckResult, Outcome, ReportedFinding, Run
from smtp_preflight.reporting.asked import stage_times
from smtp_preflight.reporting.inert import bounded_lines, visible, xml_text
from smtp_preflight.reporting.wording import WHO, finding_of, how_to_be_sure, left, proven_sentence

NAME = "junit.xml"
SEEN_LINES, SEEN_WIDTH = 50, 500

# What junit-xml writes and the schema does not know.
_NOT_IN_SCHEMA = ("disabled",)


def write(run: Run, path: Path) -> None:
    """Write the suite; ElementTree escapes, and what XML forbids was made visible before."""
    root = ET.Element("testsuites")
    root.append(_suite(run))
    ET.indent(root, " ")
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _suite(run: Run) -> ET.Element:
    suite = TestSuite(
        _text(run.profile),
        _cases(run),
        timestamp=run.started.replace(tzinfo=None).isoformat(timespec="seconds"),
        properties=_properties(run),
    )
    element: ET.Element = suite.build_xml_doc()
    for name in _NOT_IN_SCHEMA:
        del element.attrib[name]
    element.set("time", f"{run.duration_s:.3f}")
    return element


def _properties(run: Run) -> Mapping[str, str]:
    named = {
        "verdict": run.verdict,
        "proven": proven_sentence(run),
        "provider": run.provider,
        "tool": run.tool,
        "knowledge": run.knowledge,
        **{f"until_when.{one.what}": f"{one.date} ({left(one)})" for one in reversed(run.until_when)},
    }
    return {key: _text(value) for key, value in named.items()}


def _cases(run: Run) -> list[TestCase]:
    """One case a check; a stage's questions are asked once for all of them, so its first bears their time."""
    times = stage_times(run)
    names = _Names()
    return [
        _case(run, check, names.unused(f"{run.profile}.{check.stage}", check), times.pop(check.stage, 0.0))
        for check in run.checks
    ]


class _Names:
    """Hands out names of which no two are equal: GitLab keeps only the first of equal cases."""

    def __init__(self) -> None:
        self._used: set[tuple[str, str]] = set()

    def unused(self, classname: str, check: CheckResult) -> tuple[str, str]:
        """The class name, and the test's name with its parameters; its module and a number if need be."""
        plain = check.id.partition("::")[2] or check.id
        numbered = (f"{check.id} ({number})" for number in itertools.count(2))
        names = ((_text(classname), _text(name)) for name in itertools.chain((plain, check.id), numbered))
        unused = next(one for one in names if one not in self._used)
        self._used.add(unused)
        return unused


def _case(run: Run, check: CheckResult, named: tuple[str, str], asked_s: float) -> TestCase:
    classname, name = named
    case = TestCase(name, classname, check.duration_s + asked_s)
    finding = finding_of(run, check)
    match check.outcome:
        case Outcome.FAILED:
            case.add_failure_info(_message(check, finding), _words(finding), _text(check.code))
        case Outcome.ERROR:
            case.add_error_info(_text(f"the check itself broke: {check.reason}"), error_type="ProbeBroken")
        case Outcome.BLOCKED:
            case.add_skipped_info(_text(f"blocked by {check.blocked_by}"))
        case Outcome.SKIPPED:
            case.add_skipped_info(_text(check.reason))
        case _:
            case.stdout = f"{_message(check, finding)}\n\n{_words(finding)}" if finding else None
    return case


def _message(check: CheckResult, finding: ReportedFinding | None) -> str:
    return _text(f"{check.code}: {finding.title}" if finding else check.code)


def _words(finding: ReportedFinding | None) -> str:
    """What was seen, what it means, what to do."""
    if finding is None:
        return ""
    steps = (f"{number}. {step}" for number, step in enumerate(finding.remedy, 1))
    look = how_to_be_sure(finding)
    return _text(
        "\n".join(
            [
                f"Expected: {finding.expected}",
                "Seen:",
                *(bounded_lines(finding.seen, SEEN_LINES, SEEN_WIDTH) or ["(nothing)"]),
                "",
                f"What it means: {finding.meaning}",
                *([f"How to be sure: {look}"] if look else []),
                "",
                f"What to do ({WHO[finding.who]}; the cause is {finding.certainty}):",
                *steps,
            ]
        )
    )


def _text(value: object) -> str:
    return xml_text(visible(str(value)))
