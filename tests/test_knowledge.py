"""Every cause is explained, exampled, recognised from its examples, and emitted by some rule."""

from __future__ import annotations

import datetime as dt
import re
import string
from collections.abc import Mapping
from pathlib import Path

import pytest

import smtp_preflight
from smtp_preflight import cli
from smtp_preflight.diagnosis.rank import PROSE, Signs, rank
from smtp_preflight.knowledge import SETTINGS, WHO, Entry, entries, knowledge_date, matches
from smtp_preflight.lab import FAULTS
from smtp_preflight.model import Cause, Certainty, Stage
from smtp_preflight.profile import load_providers

SOURCE = Path(smtp_preflight.__file__).parent

# Codes that are set where nothing matches, or by code that has found them without signs.
SET_BY_CODE = frozenset({"unexplained"})

# What else the text of an entry may ask to be filled in: what was seen (diagnosis/signs.py).
SEEN = {
    "dns_answer", "system_answer", "mx_host", "spf_problem", "spf_lookups", "tcp_attempts",
    "greeting_seen", "starttls_seen", "tls_seen", "tls_version", "cert_issuer", "cert_names",
    "cert_not_before", "cert_not_after", "cert_key", "cert_signature", "chain_length", "now",
    "aud", "permissions", "token_user", "tid", "appid", "oid", "token_expires", "found_inspector",
    "found_mechanism", "found_tenant", "found_client_auth", "found_other_client_auth",
    "found_name_servers", "found_last_day", "found_other_name", "found_thumbprint",
}  # fmt: skip

every_entry = pytest.mark.parametrize("entry", entries().values(), ids=lambda one: one.code)


def placeholders_in(*texts: str) -> set[str]:
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def causes_of(entry: Entry, example: Mapping[str, str]) -> tuple[Cause, ...]:
    """What the engine makes of an example, at the entry's stage or the one that the example names."""
    return rank(Signs(common=example), Stage(example.get("stage", entry.stage)))


def test_a_value_of_any_length_leaves_a_sentence_readable() -> None:
    """What a server says may be a megabyte."""
    entry = entries()["host_name_wrong"]
    shown = entry.filled("It said {seen}.", {"seen": "word " * 200_000})
    assert shown.startswith("It said word")
    assert len(shown) < 600


@every_entry
def test_entry_is_complete(entry: Entry) -> None:
    """An explanation says what is wrong, who can act, what to do, and where that is written."""
    assert entry.title
    assert not entry.title.endswith(".")
    assert entry.who in WHO
    assert len(entry.meaning) > 80
    assert entry.remedy
    assert entry.references
    assert all(re.match(r"RFC \d+|https://", one) for one in entry.references)
    assert entry.verified <= dt.date.fromisoformat(knowledge_date())


@every_entry
def test_entry_that_is_not_decisive_says_how_to_decide(entry: Entry) -> None:
    """Where something else may show the same signs, the entry names the look that would tell."""
    assert entry.decisive or entry.decide_by or entry.code in SET_BY_CODE


@every_entry
def test_placeholders_are_known(entry: Entry) -> None:
    """No text waits for a value that nobody provides, and braces are balanced."""
    named = placeholders_in(
        entry.title, entry.meaning, *(step.text for step in entry.remedy), entry.decide_by
    )
    assert named <= SETTINGS | SEEN


@every_entry
def test_code_is_snake_case(entry: Entry) -> None:
    """Codes appear in histories of runs; that they are unique is what the reader of the files enforces."""
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", entry.code)


@every_entry
def test_entry_can_be_reached(entry: Entry) -> None:
    """Either signs lead to it, with an example of them, or code does, and the list above says so."""
    assert (bool(entry.match) and bool(entry.examples)) != (entry.code in SET_BY_CODE)


@every_entry
def test_patterns_compile(entry: Entry) -> None:
    """A pattern that does not compile would only be found out by the first text it is tried on."""
    assert all(re.compile(text) for one in entry.match for text in one.get("text", ()))


@pytest.mark.parametrize(
    ("code", "number"),
    [(one.code, number) for one in entries().values() for number in range(len(one.examples))],
)
def test_example_is_recognised_as_its_own(code: str, number: int) -> None:
    """An explanation that no longer matches its own example is wrong."""
    entry = entries()[code]
    assert causes_of(entry, entry.examples[number])[0].code == code


def strength_of(entry: Entry, signs: Mapping[str, str]) -> tuple[bool, int] | None:
    """How strongly an entry matches, as the engine counts it: wording alone is weak, more keys are strong."""
    hits = [one for one in entry.match if matches(one, signs)]
    return max((bool(set(one) - PROSE), len(one)) for one in hits) if hits else None


@pytest.mark.parametrize(
    ("code", "number"),
    [(one.code, number) for one in entries().values() for number in range(len(one.examples))],
)
def test_no_other_entry_matches_an_example_as_strongly(code: str, number: int) -> None:
    """Which of two causes comes first is never left to the alphabet."""
    entry, example = entries()[code], entries()[code].examples[number]
    signs = {**example, "stage": example.get("stage", str(entry.stage))}
    own = strength_of(entry, signs)
    rivals = [one for one in entries().values() if one.applies_to(signs.get("provider", "")) and one != entry]
    assert own
    assert [one.code for one in rivals if strength_of(one, signs) == own] == []


def test_every_sign_that_is_matched_is_set_by_some_rule() -> None:
    """An entry that waits for a sign which nothing sets would never be emitted."""
    rules = [*SOURCE.glob("diagnosis/*.py"), SOURCE / "evidence.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in rules)
    matched = {sign for entry in entries().values() for one in (*entry.match, *entry.unless) for sign in one}
    assert {sign for sign in matched if not re.search(rf"""["']{sign}["']|\b{sign}=""", text)} == set()


@pytest.mark.parametrize("code", [one.code for one in entries().values() if one.decisive])
def test_decisive_entry_comes_out_certain(code: str) -> None:
    """An entry that claims that nothing else shows its signs is alone with one of its own examples."""
    entry = entries()[code]
    assert Certainty.CERTAIN in {causes_of(entry, example)[0].certainty for example in entry.examples}


@pytest.mark.parametrize("code", [one.code for one in entries().values() if not one.decisive])
def test_other_entries_are_never_certain(code: str) -> None:
    """Without that claim, the best there is to say is likely."""
    entry = entries()[code]
    assert Certainty.CERTAIN not in {causes_of(entry, example)[0].certainty for example in entry.examples}


def test_every_code_in_the_source_is_explained() -> None:
    """What diagnosis names by itself has an entry."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.glob("diagnosis/*.py"))
    named = set(re.findall(r"""(?:\bCause\(\s*|\bentry\(\s*|\bcode=\s*)"([a-z0-9_]+)\"""", text))
    assert named
    assert named <= set(entries())


def test_every_fault_of_the_lab_is_explained() -> None:
    """What the lab can break, the suite can name."""
    assert {name.partition(":")[0] for name in FAULTS} <= set(entries())


def test_nothing_known_is_unexplained() -> None:
    """Signs that match no entry are answered with the facts and without a guess."""
    (cause,) = rank(
        Signs(common={"smtp_code": "299", "text": "no such thing"}, facts={"host": "h"}), Stage.AUTH
    )
    assert (cause.code, cause.certainty, cause.facts) == ("unexplained", Certainty.POSSIBLE, {"host": "h"})


def test_text_is_a_pattern_and_all_else_is_whole() -> None:
    """Text is searched without regard to case; other signs are compared from end to end."""
    assert matches({"text": ("sent items",)}, {"text": "your SENT ITEMS are full"})
    assert not matches({"smtp_code": ("53",)}, {"smtp_code": "535"})
    assert not matches({"smtp_code": ("535",)}, {})


def test_unknown_values_show_their_name() -> None:
    """A remedy is never half a sentence, even where a value is not known."""
    entry = entries()["host_name_wrong"]
    assert entry.filled("`nslookup {preset_host}`", {}) == "`nslookup <preset host>`"


@every_entry
def test_every_placeholder_is_filled_or_its_sentence_left_out(entry: Entry) -> None:
    """No brace of ours is ever shown, and nothing is told of what was not seen."""
    everything = dict.fromkeys(SETTINGS | SEEN, "known") | {"sender": "known to differ"}
    for facts in ({}, everything):
        shown = " ".join((entry.told(facts), *entry.steps(facts), entry.filled(entry.decide_by, facts)))
        assert not [name for name in SETTINGS | SEEN if f"{{{name}}}" in shown]
    assert "known" in entry.told(everything) or not placeholders_in(entry.meaning)
    assert not [name for name in SEEN if f"<{name.replace('_', ' ')}>" in entry.told({})]
    assert len(entry.told({})) > 80


def test_one_address_is_not_set_apart_from_itself() -> None:
    """Whoever sends as itself is not told to give itself a right."""
    entry = entries()["send_as_denied"]
    two = {"mailbox": "alerts@contoso.com", "sender": "news@contoso.com"}
    one = two | {"sender": "Alerts@contoso.com"}
    assert any("-Trustee 'alerts@contoso.com'" in step for step in entry.steps(two))
    assert not [step for step in entry.steps(one) if "Trustee" in step or "instead of" in step]
    assert "the message comes from news@contoso.com" in entry.told(two)
    assert "alerts@contoso.com" not in entry.told(one).lower()


def steps_at(code: str, preset: str, **facts: str) -> str:
    return "\n".join(entries()[code].steps({"preset": preset, **facts}))


def test_a_step_for_one_provider_is_not_shown_at_another() -> None:
    """Nobody at Microsoft 365 is told what to write into Postfix; who is not known is shown everything."""
    assert "Postfix" not in steps_at("send_as_denied", "microsoft365_gcc_high")
    assert "Exchange admin centre" in steps_at("send_as_denied", "microsoft365_gcc_high")
    assert "Postfix" in steps_at("send_as_denied", "custom")
    assert "Exchange" not in steps_at("send_as_denied", "custom")
    assert "Azure" not in steps_at("sending_quota_exceeded", "google_workspace")
    assert "private_key_id" in steps_at("assertion_signing_key_unknown", "google_workspace")
    assert "thumbprint" not in steps_at("assertion_signing_key_unknown", "google_workspace")
    assert "private_key_id" not in steps_at("assertion_signing_key_unknown", "microsoft365")
    assert {"Postfix", "Exchange"} <= set(re.findall(r"\w+", steps_at("send_as_denied", "")))


def test_who_sends_as_itself_is_not_told_of_aliases() -> None:
    """An alias is an address beside the mailbox's own."""
    assert "alias" in steps_at("send_as_denied", "microsoft365", mailbox="a@b.example", sender="c@b.example")
    assert "alias" not in steps_at(
        "send_as_denied", "microsoft365", mailbox="a@b.example", sender="A@b.example"
    )


@every_entry
def test_every_provider_that_can_show_a_cause_has_something_to_do(entry: Entry) -> None:
    """What steps are bound to are presets that there are, and they never leave anybody without a remedy."""
    presets = load_providers()
    bound = {name for step in entry.remedy for name in step.only.get("preset", ())}
    assert all(any(one.startswith(name) for one in presets) for name in bound)
    for preset in filter(entry.applies_to, presets):
        for resolver in ("machine", "profile"):
            assert entry.steps({"preset": preset, "resolver": resolver})


def test_what_may_pass_is_not_waited_for_in_seconds() -> None:
    """Asking again after two seconds and four is no waiting for a quarter of an hour."""
    told = [one.code for one in entries().values() if "--retry-transient" in str(one.remedy)]
    assert told == []


@pytest.mark.parametrize("code", ["google_security_challenge", "gmail_service_disabled"])
def test_who_has_sent_a_token_has_sent_no_password(code: str) -> None:
    """A run that logged in by XOAUTH2 is not told that it may have used a password; a pasted reply is."""
    text = "5.7.14 Please log in through your web browser and then try again."
    signs = {"smtp_code": "534", "enhanced": "5.7.14", "provider": entry_provider(code), "text": text}
    guessed = {one.code for one in rank(Signs(common=signs), Stage.AUTH)}
    known = {one.code for one in rank(Signs(common={**signs, "mechanism": "XOAUTH2"}), Stage.AUTH)}
    assert guessed - known == {"client_used_password_auth"}
    assert code in known


def test_who_meant_to_send_a_token_may_have_sent_a_password() -> None:
    """A program set to OAuth falls back all the same; this suite never does."""
    text = "5.7.139 Authentication unsuccessful, basic authentication is disabled."
    signs = {"smtp_code": "535", "enhanced": "5.7.139", "mechanism": "XOAUTH2", "text": text}
    assert rank(Signs(common=signs), Stage.AUTH)[0].code == "client_used_password_auth"
    of_suite = rank(Signs(common={**signs, "auth_by": "suite"}), Stage.AUTH)
    assert "client_used_password_auth" not in {one.code for one in of_suite}


def entry_provider(code: str) -> str:
    """The provider that the example of a cause is of."""
    return entries()[code].examples[0]["provider"]


def test_what_was_not_seen_is_not_told() -> None:
    """A setting's name stands for it, since the reader knows it; a sentence about the token is left out."""
    entry = entries()["token_user_mismatch"]
    assert entry.told({}).startswith("The login says <mailbox>, and the token is another account's. Servers")
    assert "It was issued to bob@contoso.com." in entry.told({"token_user": "bob@contoso.com"})


def test_remedies_and_templates_name_only_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody who is told to run a command finds that there is none."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    root = Path(__file__).parent.parent
    files = [*(root / "src/smtp_preflight/knowledge").glob("*.toml"), *(root / "profiles").rglob("*.toml")]
    text = "\n".join(one.read_text(encoding="utf-8") for one in files)
    told = set(re.findall(r"smtp-preflight ([a-z]+)", text))
    known = re.findall(r"^    ([a-z]+) ", capsys.readouterr().out, re.MULTILINE)
    assert told <= set(known)
