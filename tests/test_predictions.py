"""Stages profile and claims predict, servers decide (product.md section 3): whole runs, the real ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight.diagnosis.submission import why_not_authenticated
from smtp_preflight.ledger import CheckFrame, Ledger
from smtp_preflight.model import (
    AuthExchange,
    Cause,
    Certainty,
    Finding,
    Outcome,
    Profile,
    Seen,
    SmtpReply,
    Stage,
)

ROOT = Path(__file__).parent.parent
SCOPE = "test_profile.py::test_scope_fits"
REDIRECT = "test_profile.py::test_redirect_uri_fits"
PERMISSION = "test_claims.py::test_token_permits_submission"
AUTH = "test_auth.py::test_token_is_accepted"
TOKEN = "test_token.py::test_token_is_granted"

# What a profile says wrongly, and so predicts. The lab grants what is asked for, and its mail server minds.
NO_MAIL = 'scope = "https://outlook.office.com/IMAP.AccessAsUser.All offline_access"'
IN_THE_CLEAR = 'redirect_uri = "http://mail.contoso.example/callback"'

PATIENT = "import smtp_preflight.lab\nsmtp_preflight.lab.SHORTEST_LIMIT_S = 30\n"


@pytest.fixture(scope="module")
def patient(changed_suite: Callable[[str], Any]) -> Iterator[Any]:
    """The suite, however slow the machine."""
    with changed_suite(PATIENT) as suite:
        yield suite


@pytest.fixture
def run(patient: Any, tmp_path: Path) -> Callable[..., Any]:
    """Run the demonstration with a further line in ``[oauth]``."""

    def run(line: str, *options: str) -> Any:
        text = (ROOT / "profiles/demo.toml").read_text(encoding="utf-8")
        path = tmp_path / "predicting.toml"
        path.write_text(text.replace("[oauth]", f"[oauth]\n{line}"), encoding="utf-8")
        return patient(f"--profile={path}", *options)

    return run


def findings(done: Any) -> dict[str, tuple[str, str, bool]]:
    """Severity, stage, and whether it is only predicted, of every finding but the usual notice."""
    told = {
        one["code"]: (one["severity"], one["stage"], one["predicted"])
        for one in done.report("predicting")["findings"]
    }
    told.pop("password_mechanisms_offered", None)
    return told


def blocked_by(done: Any) -> dict[str, str]:
    checks = done.report("predicting")["checks"]
    return {one["id"]: one["blocked_by"] for one in checks if one["outcome"] == "blocked"}


def test_predicted_and_confirmed(run: Callable[..., Any]) -> None:
    """The prediction is the red line; the token that shows it and the refusal are blocked by it."""
    done = run(NO_MAIL)
    assert done.status == 1
    assert findings(done) == {"token_missing_smtp_scope": ("error", "profile", False)}
    assert done.having("failed", "predicting") == [SCOPE]
    blocked = blocked_by(done)
    assert {PERMISSION, AUTH} <= set(blocked)
    assert set(blocked.values()) == {"token_missing_smtp_scope"}


def test_predicted_and_refuted_by_success(run: Callable[..., Any]) -> None:
    """The token was granted all the same: good to know, and the run is ready."""
    done = run(IN_THE_CLEAR)
    assert done.status == 0
    assert done.report("predicting")["verdict"] == "ready"
    assert findings(done) == {"redirect_uri_mismatch": ("notice", "profile", False)}
    assert done.outcomes("predicting")[REDIRECT] == "passed"


@pytest.mark.parametrize(
    ("line", "fault", "red", "notice"),
    [
        (IN_THE_CLEAR, "client_secret_expired", TOKEN, "redirect_uri_mismatch"),
        (IN_THE_CLEAR, "smtp_auth_disabled_mailbox", AUTH, "redirect_uri_mismatch"),
    ],
)
def test_predicted_and_refuted_by_another_cause(
    line: str, fault: str, red: str, notice: str, run: Callable[..., Any]
) -> None:
    """The server names another cause, and that one is red."""
    done = run(line, f"--fault={fault}")
    assert done.having("failed", "predicting") == [red]
    told = findings(done)
    assert told[notice] == ("notice", "profile", False)
    assert told[fault][0] == "error"
    assert set(blocked_by(done).values()) <= {fault}


@pytest.mark.parametrize("options", [("-m", "profile"), ("--until=connect",)], ids=" ".join)
def test_predicted_and_not_asked(options: tuple[str, ...], run: Callable[..., Any]) -> None:
    """No server has decided: it stands as an error, and says that it is a prediction."""
    done = run(NO_MAIL, *options)
    assert done.status == 1
    assert done.having("failed", "predicting") == [SCOPE]
    assert findings(done) == {"token_missing_smtp_scope": ("error", "profile", True)}


def test_predicted_and_another_cause_in_between(run: Callable[..., Any]) -> None:
    """What keeps the server from being asked is red as well, and what it blocks is blocked by it."""
    done = run(NO_MAIL, "--fault=starttls_not_offered")
    told = findings(done)
    assert told["token_missing_smtp_scope"] == ("error", "profile", True)
    assert told["starttls_not_offered"] == ("error", "starttls", False)
    assert len(done.having("failed", "predicting")) == 2
    blocked = blocked_by(done)
    assert blocked[PERMISSION] == "token_missing_smtp_scope"
    assert blocked[AUTH] == "starttls_not_offered"


@pytest.mark.parametrize(
    ("fault", "stage"), [("token_endpoint_unreachable", "discovery"), ("token_endpoint_throttled", "token")]
)
def test_predicted_and_never_answered(fault: str, stage: str, run: Callable[..., Any]) -> None:
    """A server that was not reached, or has no time, has refuted nothing: the mistake stays an error."""
    done = run(IN_THE_CLEAR, f"--fault={fault}")
    assert findings(done) == {
        "redirect_uri_mismatch": ("error", "profile", True),
        fault: ("error", stage, False),
    }


def test_a_prediction_is_likely_at_most(run: Callable[..., Any]) -> None:
    """A date in the profile is certain knowledge only of the profile."""
    (finding,) = run("secret_expires = 2020-01-01", "-m", "profile").report("predicting")["findings"]
    told = (finding["code"], finding["severity"], finding["predicted"], finding["certainty"])
    assert told == ("client_secret_expired", "error", True, "likely")


def test_a_date_that_has_passed_is_refuted_aloud(run: Callable[..., Any]) -> None:
    """The secret was taken: a warning that nobody watches over the real date, not silence."""
    done = run("secret_expires = 2020-01-01")
    assert done.report("predicting")["verdict"] == "ready_with_warnings"
    assert findings(done) == {"secret_date_passed": ("warning", "profile", False)}


def test_claims_predict_as_well(patient: Any) -> None:
    """A token for another service, and no mail server asked: red at claims, and only a prediction."""
    done = patient("--profile=demo", "--fault=token_wrong_audience", "-m", "claims")
    assert done.status == 1
    (finding,) = done.report()["findings"]
    assert (finding["code"], finding["stage"]) == ("token_wrong_audience", "claims")
    assert finding["predicted"]


def test_predicted_and_refused_without_a_word(
    seen_with: Callable[..., Seen], profile_with: Callable[..., Profile], now: dt.datetime
) -> None:
    """A refusal that nothing explains is what was predicted, likely so, and no second red line."""
    refusal = AuthExchange(asked_at=now, mechanism="XOAUTH2", reply=SmtpReply(550, ("of its own",)))
    seen = seen_with(refusal, profile=profile_with())
    ledger = Ledger(seen)
    predicted = Finding((Cause("token_wrong_audience", Certainty.CERTAIN),))
    claims = ledger.fails(CheckFrame("test_claims.py::test_1", Stage.CLAIMS, "It is for us."), predicted)
    auth = ledger.fails(CheckFrame(AUTH, Stage.AUTH, "It is accepted."), why_not_authenticated(seen))
    assert (claims.outcome, auth.outcome) == (Outcome.FAILED, Outcome.BLOCKED)
    assert auth.blocked_by == "token_wrong_audience"
    assert [(one.predicted, one.certainty) for one in ledger.findings] == [(False, Certainty.LIKELY)]
