"""What means nothing changes nothing: a failure told otherwise has the same first cause.

Every public case, every case of our own, every reply of the reference and every example of the knowledge is
changed in ways that leave its meaning alone: ids, hosts and tenants, letter case, line ends, HTML, words in
other languages around it; once as a case (what ``explain --json`` reads), once as a text that is pasted.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.diagnosis.cases import causes_of_case
from smtp_preflight.diagnosis.excerpts import excerpt_of
from smtp_preflight.diagnosis.wordings import enhanced_by_words
from smtp_preflight.knowledge import entries
from smtp_preflight.profile import load_providers

Case = dict[str, Any]

CORPUS = Path(__file__).parent / "corpus"
PRESETS = load_providers()
ASKED = ("id", "provider", "stage", "grant", "observed")
WRITTEN = ("text", "error_description", "page_text", "exception")  # what somebody wrote
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b ?")
EXCHANGE_HOST = re.compile(r"\b[A-Z0-9]{6,20}(?=(?:\.\w+)?\.prod\.outlook\.com)", re.IGNORECASE)


# --- what is told ------------------------------------------------------------------------------------------


# Ever the same lines, tens of thousands of times: to count them takes thrice as long as to run them.
pytestmark = pytest.mark.uncounted


def every_case() -> Iterator[Case]:
    """All that is known, each without its answer; the public ones with what the sending host can know."""
    knowers = json.loads((CORPUS / "context_keys.json").read_text("utf-8"))
    for name in ("public", "own"):
        for line in (CORPUS / f"{name}.jsonl").read_text("utf-8").splitlines():
            case = json.loads(line)
            context = case.get("context") or {}
            known = {key: value for key, value in context.items() if knowers.get(key, "client") == "client"}
            yield {key: case[key] for key in ASKED} | {"context": known}
            if known:
                yield {key: case[key] for key in ASKED} | {"context": {}, "id": f"{case['id']} blind"}
    yield from _of_the_reference()
    yield from _of_the_knowledge()


def _of_the_reference() -> Iterator[Case]:
    rows = tomllib.loads((CORPUS / "reference.toml").read_text("utf-8"))["smtp"]
    for row in rows:
        code, _, text = row["reply"].partition(" ")
        if code != "334":
            yield _reply(row["reply"], code, text, provider=row["provider"], stage=row["stage"])


def _of_the_knowledge() -> Iterator[Case]:
    for entry in entries().values():
        for number, example in enumerate(entry.examples):
            told = {key: example[key] for key in ("provider", "grant") if key in example}
            told |= {"stage": example.get("stage", str(entry.stage))}
            if "text" in example and example.get("smtp_code", "2")[0] in "45":
                yield _reply(f"{entry.code} {number}", example["smtp_code"], example["text"], **told)
            elif {"aadsts", "error", "text"} <= set(example):
                body = {"error": example["error"], "error_description": example["text"]}
                yield {"id": f"{entry.code} {number}", "observed": {"body": body}, "context": {}, **told}


def _reply(name: str, code: str, text: str, **told: str) -> Case:
    return {"id": name, "observed": {"smtp_code": code, "text": text}, "context": {}, **told}


CASES = list(every_case())


def first_of(case: Mapping[str, Any]) -> str:
    """The code of the first cause; empty where nothing is wrong."""
    causes = causes_of_case(case, PRESETS)
    return causes[0].code if causes else ""


FIRST = [first_of(case) for case in CASES]


# --- the same case, told otherwise -------------------------------------------------------------------------


def in_words(change: Callable[[str], str]) -> Callable[[Case], Case]:
    """Change every text that somebody wrote, and nothing else."""

    def changed(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: changed(one, key) for key, one in value.items()}
        return change(value) if isinstance(value, str) and name in WRITTEN else value

    return lambda case: {**case, "observed": changed(case["observed"])}


def everywhere(change: Callable[[str], str]) -> Callable[[Case], Case]:
    """Change the whole case, so that what belongs together still does."""
    return lambda case: json.loads(change(json.dumps(case)))


def in_replies(change: Callable[[Case], None]) -> Callable[[Case], Case]:
    """Change every SMTP reply."""

    def changed(case: Case) -> Case:
        copy = deepcopy(case)
        for reply in (copy["observed"], copy["observed"].get("final_reply") or {}):
            if "smtp_code" in reply and isinstance(reply.get("text"), str):
                change(reply)
        return copy

    return changed


def other_ids(text: str) -> str:
    """Other tenants, applications, trace and correlation ids; the same ones stay the same."""
    digits = str.maketrans("0123456789abcdef", "fedcba9876543210")
    return GUID.sub(lambda found: found[0].translate(digits), text)


def other_hosts(text: str) -> str:
    """Other organisations, and another of the provider's machines."""
    renamed = text.replace("contoso", "adatum").replace("fabrikam", "tailspin")
    return EXCHANGE_HOST.sub("XX9PR77MB0001", renamed)


def without_enhanced(reply: Case) -> None:
    """Only where the words are some provider's own: others say nothing without their code."""
    code = reply.pop("enhanced", "") or (ENHANCED.findall(reply["text"]) or [""])[0].strip()
    bare = ENHANCED.sub("", reply["text"])
    if code and code == enhanced_by_words(str(reply["smtp_code"]), bare):
        reply["text"] = bare


def in_several_lines(reply: Case) -> None:
    """As the wire has it: code and enhanced code at the head of each line (RFC 5321 4.2.1, RFC 2034 4)."""
    code, enhanced = reply["smtp_code"], re.match(ENHANCED, reply["text"])
    words = reply["text"][enhanced.end() if enhanced else 0 :].split()
    if len(words) < 3:
        return
    head = f"{enhanced[0].strip()} " if enhanced else ""
    third = len(words) // 3
    lines = (words[:third], words[third : 2 * third], words[2 * third :])
    marks = ("-", "-", " ")
    told = [f"{code}{mark}{head}{' '.join(line)}" for mark, line in zip(marks, lines, strict=True)]
    reply["text"] = "\r\n".join(told)


OTHERWISE: Mapping[str, Callable[[Case], Case]] = {
    "upper case": in_words(str.upper),
    "lower case": in_words(str.lower),
    "other line ends": in_words(lambda text: text.replace(" ", "\r\n", 3)),
    "wrapped lines": in_words(lambda text: re.sub(r"(.{40}\S*) ", r"\1\n    ", text)),
    "narrow lines": in_words(lambda text: re.sub(r"(.{20}\S*) ", r"\1\r\n", text)),
    "HTML escapes": in_words(html.escape),
    "HTML numbers and blanks": in_words(
        lambda text: html.escape(text).replace("&#x27;", "&#39;").replace(" ", "&nbsp;", 2)
    ),
    "other ids": everywhere(other_ids),
    "other hosts": everywhere(other_hosts),
    "German before": in_words(lambda text: f"Fehler beim Senden der Nachricht: {text}"),
    "German behind": in_words(lambda text: f"{text} (Die Nachricht konnte nicht gesendet werden.)"),
    "French before": in_words(lambda text: f"Échec de l'authentification : le serveur a répondu : {text}"),
    "French behind": in_words(lambda text: f"{text} (échec de l'envoi, veuillez réessayer plus tard)"),
    "a code as text": in_replies(lambda reply: reply.update(smtp_code=str(reply["smtp_code"]))),
    "several lines": in_replies(in_several_lines),
    "no enhanced code": in_replies(without_enhanced),
    "enhanced code in the text only": in_replies(lambda reply: reply.pop("enhanced", None)),
    "provider in capitals": lambda case: {**case, "provider": (case.get("provider") or "").upper()},
    "more facts": lambda case: {
        **case,
        "context": {**case["context"], "client": "mailer", "note": "expired"},
    },
}


def differing(told: Callable[[Case], str]) -> dict[str, tuple[str, str]]:
    """The cases that have another first cause when told so: what was expected, and what came."""
    pairs = ((case["id"], first, told(case)) for case, first in zip(CASES, FIRST, strict=True))
    return {name: (first, found) for name, first, found in pairs if found != first}


@pytest.mark.parametrize("way", OTHERWISE)
def test_first_cause_is_the_same_told_otherwise(way: str) -> None:
    assert differing(lambda case: first_of(OTHERWISE[way](case))) == {}


# --- numbers speak every language --------------------------------------------------------------------------

# What these numbers mean is told by the English words behind them alone.
TOLD_BY_WORDS = frozenset({"50020", "70000", "70001", "70011", "500011", "700016", "900144"})


def in_german(text: str) -> str:
    """An answer of Entra in a language that no rule knows; its number and its trailer stay."""
    said = r"(AADSTS(\d+)): .*?(?=\s*(?:Trace ID|$))"
    return re.sub(
        said,
        lambda one: (
            one[0] if one[2] in TOLD_BY_WORDS else f"{one[1]}: Bei der Anmeldung trat ein Fehler auf."
        ),
        text,
        flags=re.DOTALL,
    )


def test_a_number_tells_its_cause_in_any_language() -> None:
    """Entra answers in the user's language; the number decides, but for a few that mean several things."""
    assert differing(lambda case: first_of(in_words(in_german)(case))) == {}


# --- the same failure, pasted ------------------------------------------------------------------------------


def pasted(case: Case) -> str:
    """The evidence of a case as somebody would paste it; empty where it is no text."""
    observed = case["observed"]
    body = observed.get("body")
    if "challenge_json" in observed:
        return ""
    if isinstance(body, dict):
        return json.dumps(body) if "error_description" in body else body.get("page_text", "")
    text, code = observed.get("text", ""), str(observed.get("smtp_code", ""))
    if not code or not isinstance(text, str) or text.startswith(code):
        return text if isinstance(text, str) and code else ""
    enhanced = observed.get("enhanced", "")
    return f"{code} {text}" if not enhanced or text.startswith(enhanced) else f"{code} {enhanced} {text}"


def first_of_text(text: str, case: Case) -> str:
    """The first cause of a text, with what is known of the case besides."""
    found = excerpt_of(text)
    context = {**found.context, **case["context"]}
    return first_of({**case, "observed": found.observed, "context": context})


def filled(text: str, width: int, indent: str = "") -> str:
    """As a narrow terminal or a mail program breaks it; JSON is left as it is."""
    if text.startswith("{"):
        return text
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def in_a_dialogue(text: str) -> str:
    """A reply in the two lines that a server sends; what is none is left as it is."""
    reply = re.match(r"(\d{3}) (\d\.\d{1,3}\.\d{1,3} )(\S+ \S+) (.+)", text, re.DOTALL)
    return f"{reply[1]}-{reply[2]}{reply[3]}\r\n{reply[1]} {reply[2]}{reply[4]}\r\n" if reply else text


def as_an_exception(text: str) -> str:
    """As Python's smtplib shows a reply."""
    reply = re.fullmatch(r"(\d{3}) ([^'\n]+)", text)
    return f"smtplib.SMTPResponseException: ({reply[1]}, b'{reply[2]}')" if reply else text


PASTED: Mapping[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "other line ends": lambda text: text.replace("\n", "\r\n") + "\r\n",
    "filled": lambda text: filled(text, 60),
    "filled and indented": lambda text: filled(text, 40, "    "),
    "quoted in a mail": lambda text: "\n".join(f"> {line}" for line in text.splitlines()),
    "in a log": lambda text: text if "\n" in text else f"2026-11-20 08:00:00,123 ERROR [mailer] smtp: {text}",
    "between German lines": lambda text: (
        f"Die Nachricht konnte nicht gesendet werden.\nAntwort des Servers:\n{text}\nBitte prüfen Sie alles."
    ),
    "in a German line": lambda text: f"Fehler: {text} (Anmeldung fehlgeschlagen)",
    "in a French line": lambda text: f"Échec de l'envoi : le serveur a répondu : {text}",
    "HTML": html.escape,
    "a paragraph of HTML": lambda text: f"<p>{html.escape(text)}</p>",
    "upper case": lambda text: text if text.startswith("{") else text.upper(),
    "a dialogue": in_a_dialogue,
    "an exception": as_an_exception,
}


@pytest.mark.parametrize("way", PASTED)
def test_first_cause_is_the_same_pasted(way: str) -> None:
    def told(case: Case) -> str:
        text = pasted(case)
        return first_of_text(PASTED[way](text), case) if text else first_of(case)

    assert differing(told) == {}


def test_there_is_much_to_try() -> None:
    """The ways above are tried on hundreds of cases, most of which can be pasted."""
    assert len(CASES) > 700
    assert sum(bool(pasted(case)) for case in CASES) > 500
