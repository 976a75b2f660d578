"""The engine: more keys win, text comes last, and only what nothing else can be is certain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from smtp_preflight import knowledge
from smtp_preflight.diagnosis import rank as module
from smtp_preflight.diagnosis.rank import MOST_CAUSES, Signs, rank
from smtp_preflight.knowledge import Entry, Pattern, Step, entries, matches
from smtp_preflight.model import Certainty, Severity, Stage


def pattern(**signs: Any) -> Pattern:
    return {key: value if isinstance(value, tuple) else (value,) for key, value in signs.items()}


def entry(code: str, *match: Pattern, **changes: Any) -> Entry:
    known: dict[str, Any] = {
        "stage": Stage.AUTH,
        "title": code,
        "severity": Severity.ERROR,
        "who": "provider",
        "verified": dt.date(2026, 11, 20),
        "meaning": "It means {host}.",
        "remedy": ("Look.",),
        "references": ("RFC 4954 section 6",),
    }
    return Entry(code=code, match=match, **{**known, **changes})


Known = Callable[..., None]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    """Let these entries be all there are."""

    def replace_by(*these: Entry) -> None:
        everything = {one.code: one for one in these}
        monkeypatch.setattr(module, "entries", lambda: everything)

    return replace_by


def codes(stage: Stage = Stage.AUTH, **signs: str) -> list[str]:
    return [cause.code for cause in rank(Signs(common=signs), stage)]


# --- order -------------------------------------------------------------------------------------------------


def test_more_keys_beat_fewer(known: Known) -> None:
    known(
        entry("general", pattern(smtp_code="535")),
        entry("special", pattern(smtp_code="535", enhanced="5.7.3")),
        entry("most_special", pattern(smtp_code="535", enhanced="5.7.3", aud="graph")),
    )
    assert codes(smtp_code="535", enhanced="5.7.3", aud="graph") == ["most_special", "special", "general"]
    assert codes(smtp_code="535", enhanced="5.7.3") == ["special", "general"]


def test_text_alone_comes_last(known: Known) -> None:
    """However many keys of prose it has; the stage asked at is one."""
    known(
        entry("by_text", pattern(text="unsuccessful", stage="auth")),
        entry("by_code", pattern(smtp_code="535")),
        entry("by_both", pattern(smtp_code="535", text="unsuccessful")),
    )
    assert codes(smtp_code="535", text="Authentication unsuccessful") == ["by_both", "by_code", "by_text"]


def test_the_best_alternative_of_an_entry_counts(known: Known) -> None:
    known(
        entry("two_ways", pattern(text="unsuccessful"), pattern(smtp_code="535", enhanced="5.7.3")),
        entry("one_way", pattern(smtp_code="535")),
    )
    assert codes(smtp_code="535", enhanced="5.7.3", text="unsuccessful") == ["two_ways", "one_way"]
    assert codes(smtp_code="535", text="unsuccessful") == ["one_way", "two_ways"]


def test_equals_are_ordered_by_code(known: Known) -> None:
    """The order in the files means nothing."""
    known(entry("b", pattern(smtp_code="535")), entry("a", pattern(enhanced="5.7.3")))
    assert codes(smtp_code="535", enhanced="5.7.3") == ["a", "b"]


def test_at_most_five_causes_are_named(known: Known) -> None:
    known(*(entry(f"cause_{number}", pattern(smtp_code="535")) for number in range(9)))
    assert codes(smtp_code="535") == [f"cause_{number}" for number in range(MOST_CAUSES)]
    assert MOST_CAUSES == 5


# --- certainty ---------------------------------------------------------------------------------------------


def certainties(**signs: str) -> list[Certainty]:
    return [cause.certainty for cause in rank(Signs(common=signs), Stage.AUTH)]


def test_a_decisive_entry_alone_is_certain(known: Known) -> None:
    known(entry("only", pattern(smtp_code="535"), decisive=True))
    assert certainties(smtp_code="535") == [Certainty.CERTAIN]


def test_an_entry_that_is_not_decisive_is_likely(known: Known) -> None:
    known(entry("only", pattern(smtp_code="535")))
    assert certainties(smtp_code="535") == [Certainty.LIKELY]


def test_a_decisive_entry_with_company_is_likely(known: Known) -> None:
    """And whatever else matches is possible."""
    known(
        entry("first", pattern(smtp_code="535", enhanced="5.7.3"), decisive=True),
        entry("second", pattern(smtp_code="535"), decisive=True),
        entry("third", pattern(text="no")),
    )
    assert certainties(smtp_code="535", enhanced="5.7.3", text="no") == [
        Certainty.LIKELY,
        Certainty.POSSIBLE,
        Certainty.POSSIBLE,
    ]


def test_another_providers_entry_takes_no_certainty_away(known: Known) -> None:
    """What cannot happen at this provider is no alternative; where none is known, it is one."""
    known(
        entry("ours", pattern(smtp_code="535"), decisive=True),
        entry("theirs", pattern(smtp_code="535"), providers=("google",)),
    )
    assert codes(smtp_code="535", provider="microsoft365") == ["ours"]
    assert certainties(smtp_code="535", provider="microsoft365") == [Certainty.CERTAIN]
    assert codes(smtp_code="535", provider="google") == ["ours", "theirs"]
    assert codes(smtp_code="535") == codes(smtp_code="535", provider="any") == ["ours", "theirs"]


@pytest.mark.parametrize("signs", [{}, {"smtp_code": "550"}, {"text": "purple"}])
def test_what_nothing_matches_is_unexplained(signs: Mapping[str, str], known: Known) -> None:
    """One cause, possible, with the facts all the same."""
    known(entry("only", pattern(smtp_code="535")))
    (cause,) = rank(Signs(common=signs, facts={"seen": "550 no"}), Stage.AUTH)
    assert (cause.code, cause.certainty, cause.facts) == (
        "unexplained",
        Certainty.POSSIBLE,
        {"seen": "550 no"},
    )


def test_the_look_that_decides_has_the_users_values(known: Known) -> None:
    known(entry("only", pattern(smtp_code="535"), decide_by="Connect to {host}, then to {other_host}."))
    (cause,) = rank(Signs(common={"smtp_code": "535"}, facts={"host": "smtp.contoso.com"}), Stage.AUTH)
    assert cause.decide_by == "Connect to smtp.contoso.com, then to <other host>."


# --- signs -------------------------------------------------------------------------------------------------


def test_a_stages_own_signs_come_before_the_common_ones() -> None:
    signs = Signs(
        {"text": "common", "port": "587"}, {Stage.TLS: {"text": "own"}, Stage.TCP: {"tcp": "refused"}}
    )
    assert signs.at(Stage.TLS) == {"text": "own", "port": "587", "stage": "tls"}
    assert signs.at(Stage.DNS) == {"text": "common", "port": "587", "stage": "dns"}


def test_only_keeps_the_common_signs_and_those_named() -> None:
    signs = Signs({"port": "587"}, {Stage.TLS: {"cert_dates": "expired", "cert_name": "mismatch"}})
    kept = signs.only(Stage.TLS, "cert_name", "cert_key")
    assert kept.at(Stage.TLS) == {"port": "587", "cert_name": "mismatch", "stage": "tls"}
    assert signs.at(Stage.TLS)["cert_dates"] == "expired"


def test_having_adds_signs_and_facts() -> None:
    signs = Signs(stages={Stage.TLS: {"a": "1"}}, facts={"host": "x"})
    more = signs.having(Stage.TLS, {"slow": "tls"}, {"seen": "9 s"}).having(Stage.DNS, {"slow": "dns"})
    assert more.stages == {Stage.TLS: {"a": "1", "slow": "tls"}, Stage.DNS: {"slow": "dns"}}
    assert more.facts == {"host": "x", "seen": "9 s"}


# --- the reader of knowledge -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "signs", "expected"),
    [
        (pattern(smtp_code="535"), {"smtp_code": "535"}, True),
        (pattern(smtp_code="535"), {"smtp_code": "5350"}, False),
        (pattern(smtp_code="535"), {}, False),
        (pattern(smtp_code=("535", "534")), {"smtp_code": "534"}, True),
        (pattern(text="smtp.?auth"), {"text": "the SMTP AUTH\nof old"}, True),
        (pattern(text="a.b"), {"text": "a\nb"}, True),
        (pattern(text="disabled"), {"text": ""}, False),
        (pattern(smtp_code="535", text="disabled"), {"smtp_code": "535", "text": "fine"}, False),
        (pattern(aadsts="7000222"), {"aadsts": "50034 7000222"}, True),
        (pattern(aadsts="7000222"), {"aadsts": "70002221"}, False),
    ],
)
def test_a_pattern_matches_whole_values_and_text_by_expression(
    match: Pattern, signs: Mapping[str, str], expected: bool
) -> None:
    """Every sign has to be there; text is searched whatever its case and lines."""
    assert matches(match, signs) is expected


def test_placeholders_are_filled_and_never_left_open() -> None:
    """An unknown or empty value shows its name; doubled braces are braces."""
    filled = entry("x").filled(
        "Set {mailbox} at {cert_names} to {{1}} for {tenant}", {"mailbox": "a@b", "tenant": ""}
    )
    assert filled == "Set a@b at <cert names> to {1} for <tenant>"


def test_foreign_values_are_not_filled_again() -> None:
    """A server that sends braces gets braces."""
    assert entry("x").filled("Seen: {seen}", {"seen": "{host} {0.__class__}", "host": "no"}) == (
        "Seen: {host} {0.__class__}"
    )


def test_every_code_has_its_entry() -> None:
    assert knowledge.entry("unexplained").code == "unexplained"
    with pytest.raises(KeyError):
        knowledge.entry("horoscope")


def test_entries_stand_in_the_order_of_the_stages() -> None:
    places = [one.stage.place for one in entries().values()]
    assert places == sorted(places)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Read these tables instead of the package's files."""

    def read(*tables: tuple[Stage, Mapping[str, Any]]) -> None:
        monkeypatch.setattr(knowledge, "_files", lambda: iter(tables))

    return read


TABLE: Mapping[str, Any] = {
    "title": "It is wrong",
    "who": "provider",
    "verified": dt.date(2026, 11, 20),
    "meaning": "It\nis.",
    "remedy": ["Look\n  there."],
    "references": ["RFC 4954"],
}


def test_an_entry_may_leave_out_what_has_a_default(files: Callable[..., None]) -> None:
    """An error, with one way to match or several; lines of prose are joined."""
    files(
        (Stage.AUTH, {"a": {**TABLE, "match": {"port": 25}}, "b": {**TABLE, "match": [{"port": [25, 465]}]}})
    )
    read = entries.__wrapped__()
    assert read["a"].severity is Severity.ERROR
    assert read["a"].match == ({"port": ("25",)},)
    assert read["b"].match == ({"port": ("25", "465")},)
    assert (read["a"].meaning, read["a"].remedy) == ("It is.", (Step("Look there."),))
    assert read["a"].decided_by is None


def test_a_step_is_bound_only_to_what_is_known_to_bind(files: Callable[..., None]) -> None:
    """A slip of the pen in a file of ours is found when it is read."""
    files((Stage.DNS, {"a": {**TABLE, "remedy": [{"step": "Look.", "preset": "custom"}]}}))
    assert entries.__wrapped__()["a"].remedy == (Step("Look.", {"preset": ("custom",)}),)
    files((Stage.DNS, {"a": {**TABLE, "remedy": [{"step": "Look.", "provider": "custom"}]}}))
    with pytest.raises(ValueError, match="a: a step cannot be bound to provider"):
        entries.__wrapped__()


def test_a_code_is_explained_once(files: Callable[..., None]) -> None:
    files((Stage.DNS, {"a": TABLE}), (Stage.TLS, {"a": TABLE}))
    with pytest.raises(ValueError, match=r"a is explained twice, in dns\.toml and tls\.toml"):
        entries.__wrapped__()


@pytest.mark.parametrize(
    ("change", "told"),
    [({"decissive": True}, "decissive is not known"), ({"who": "nobody"}, "nobody is not known")],
)
def test_a_slip_in_an_entry_is_told(change: Mapping[str, Any], told: str, files: Callable[..., None]) -> None:
    files((Stage.DNS, {"a": {**TABLE, **change}}))
    with pytest.raises(ValueError, match=rf"dns\.toml: a: {told}"):
        entries.__wrapped__()
