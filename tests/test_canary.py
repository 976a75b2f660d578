"""No secret reaches a report, a log or a terminal, whatever fails (product.md section 1, promise 4).

The lab's secrets and every token it mints are the canaries: the process that runs the suite tells them. What
the run leaves behind must hold none of them, in no encoding, and not even a piece of one.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from smtp_preflight.cli import main

LOUD = ("-vv", "--tb=long", "-rA", "--showlocals", "-o", "log_cli=true", "--log-level=DEBUG")
PIECE = 16  # of a secret, in characters: what the search still finds
# Of each part of the way one; tests/test_faults.py looks for secrets with every fault, less loudly.
LOUDLY = (
    "starttls_not_offered",
    "certificate_expired",
    "client_secret_expired",
    "refresh_token_expired_inactivity",
    "token_wrong_audience",
    "smtp_auth_disabled_mailbox",
    "send_as_denied",
)

# --- where we are wrong ------------------------------------------------------------------------------------

BREAKS = {
    "check": """
from smtp_preflight.model import AuthExchange

def accepted(self):
    raise ZeroDivisionError("a check broke")

AuthExchange.accepted = property(accepted)
""",
    "fixture": """
import smtp_preflight.evidence

def absent(self, key):
    raise ZeroDivisionError("a fixture broke")

smtp_preflight.evidence.Evidence.__getitem__ = absent
""",
    "mail probe": """
from smtp_preflight.probes import smtp

async def through(self, step):
    plain = self._response.reveal()
    raise ZeroDivisionError(f"a probe broke over {plain}")

smtp._Auth.through = through
""",
    "token probe": """
from smtp_preflight.probes import token

def grant(line, answer, granted):
    raise ZeroDivisionError(f"a probe broke over {answer.body!r} {granted.access_token.reveal()}")

token._grant = grant
""",
    "plugin": """
from smtp_preflight.ledger import Ledger

def holds(self, check, remark=None):
    raise ZeroDivisionError("the plugin broke")

Ledger.holds = holds
""",
}

# --- where a server gives back what it was sent ------------------------------------------------------------

ECHOES = {
    "AUTH whole": """
from smtp_preflight.lab.smtp import Session

Session._answered = lambda self, answer: f"535 5.7.3 cannot read {answer}"
""",
    "AUTH in pieces": """
import textwrap
from smtp_preflight.lab.smtp import Session

def refused(self, answer):
    *first, last = textwrap.wrap(answer, 40)
    return "\\n".join([*(f"535-5.7.3 {piece}" for piece in first), f"535 5.7.3 {last}"])

Session._answered = refused
""",
    "AUTH decoded": """
import base64
from smtp_preflight.lab.smtp import Session

def refused(self, answer):
    token = base64.b64decode(answer).decode().replace("\\x01", " ")
    return f"535 5.7.3 no such token: {token[:200]} nor {token[-100:]}"

Session._answered = refused
""",
    "AUTH as a challenge": """
import base64
from smtp_preflight.lab.smtp import Session

def refused(self, answer):
    self._expecting = lambda line: setattr(self, "_expecting", self._command) or "535 5.7.3 no"
    return "334 " + base64.b64encode(b'{"status": "400", "token": "%s"}' % answer.encode()).decode()

Session._answered = refused
""",
    "token request in HTML": """
from smtp_preflight.lab.http import Response
from smtp_preflight.lab.identity import IdentityProvider

def token(self, request):
    told = f"<html><pre>{request.headers} {request.body.decode()}</pre></html>".encode()
    return Response(400, told, {"Content-Type": "text/html", "X": "y"})

IdentityProvider.token = token
""",
    "token request in the error": """
from smtp_preflight.lab.http import Response
from smtp_preflight.lab.identity import IdentityProvider

def token(self, request):
    body = request.body.decode()
    told = {"error": request.form["client_secret"], "error_description": body, **request.form}
    return Response(401, told, {"WWW-Authenticate": f"Bearer {body}"})

IdentityProvider.token = token
""",
    "secrets cut short": """
from smtp_preflight.lab.http import Response
from smtp_preflight.lab.identity import IdentityProvider

def token(self, request):
    secret, refresh = request.form["client_secret"], request.form["refresh_token"]
    told = {"error": "invalid_grant", "error_description": f"no {secret[:20]}..., no {refresh[:100]}..."}
    return Response(400, told, {"WWW-Authenticate": f"Bearer {refresh[50:90]}"})

IdentityProvider.token = token
""",
    "secrets cut short in HTML": """
from smtp_preflight.lab.http import Response
from smtp_preflight.lab.identity import IdentityProvider

def token(self, request):
    told = f"<p>bad value {request.form['refresh_token'][:60]}, {request.form['client_secret'][:20]}"
    return Response(502, told.encode(), {"Content-Type": "text/html"})

IdentityProvider.token = token
""",
    "new tokens in a half answer": """
import json

from smtp_preflight.lab.http import Response
from smtp_preflight.lab.identity import IdentityProvider

answered = IdentityProvider.token

def token(self, request):
    whole = json.dumps(answered(self, request).content).encode()
    return Response(200, whole[:-40], {"Content-Type": "text/plain"})

IdentityProvider.token = token
""",
}


# --- looking for them --------------------------------------------------------------------------------------


def left_behind(done: Any) -> Iterator[tuple[str, str]]:
    """Everything a run leaves: what it said, and every file of its reports."""
    yield "terminal", done.stdout
    yield "standard error", done.stderr
    for file in sorted(done.folder.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(done.folder)), file.read_bytes().decode("latin-1")


@pytest.fixture(scope="module")
def watched(run_suite: Any, changed_suite: Callable[[str], Any]) -> Any:
    """Run the suite loudly and return the run, and what was planted in it."""

    def run(*options: str, change: str = "") -> tuple[Any, list[tuple[str, str]]]:
        with changed_suite(change) if change else contextlib.nullcontext(run_suite) as suite:
            done = suite(*LOUD, *options)
        return done, done.planted

    return run


def test_the_search_finds_what_leaks(tmp_path: Path, leaks: Any) -> None:
    """A canary that cannot be heard proves nothing: raw, URL-encoded, in base64, in part."""
    secret = "lab8Q~aB3.dE6fG9hJ2kL5mN8pQ1rS4tU7vW0x"
    inside = base64.b64encode(f"user=a\x01auth=Bearer {secret}\x01".encode()).decode()
    for text in (secret, quote(secret), inside, secret[7 : 7 + PIECE], inside[30 : 30 + PIECE]):
        done = type("Done", (), {"stdout": f"so {text} it is", "stderr": "", "folder": tmp_path})
        assert leaks(left_behind(done), [("client_secret", secret)]) == [("client_secret", "terminal")], text


@pytest.mark.parametrize("fault", ["", *LOUDLY])
def test_nothing_leaks_whatever_fails(fault: str, watched: Any, leaks: Any) -> None:
    """Healthy, and broken at each stage: loudest terminal, logs, and every format of report."""
    done, canaries = watched("--profile=demo", *([f"--fault={fault}"] if fault else []))
    assert done.status == bool(fault)
    assert {"client_secret", "refresh_token"} <= {kind for kind, _ in canaries}
    assert leaks(left_behind(done), canaries) == []


@pytest.mark.parametrize(
    "demo",
    ["demo-app", "demo-outlook", "demo-gmail", "demo-delivery", "demo-certificate", "demo-workspace"],
)
def test_nothing_leaks_of_other_providers(demo: str, watched: Any, leaks: Any) -> None:
    """Opaque tokens, and those of an application."""
    done, canaries = watched(f"--profile={demo}")
    assert done.status == 0
    assert leaks(left_behind(done), canaries) == []


def test_nothing_leaks_while_collecting(watched: Any) -> None:
    """No secret is so much as looked at."""
    done, canaries = watched("--profile=demo", "--collect-only")
    assert done.status == 0
    assert canaries == []


@pytest.mark.parametrize("what", BREAKS)
def test_nothing_leaks_where_we_are_wrong(what: str, watched: Any, leaks: Any) -> None:
    """A traceback with every local variable: of a check, of a probe amid its work, of the plugin."""
    done, canaries = watched("--profile=demo", change=BREAKS[what])
    assert done.status in (1, 3)
    assert "broke" in done.stdout + done.stderr
    assert leaks(left_behind(done), canaries) == []


@pytest.mark.parametrize("what", ECHOES)
def test_nothing_leaks_where_a_server_echoes(what: str, watched: Any, leaks: Any) -> None:
    """What a server gives back of a secret is replaced before it is kept, even where it is cut."""
    done, canaries = watched("--profile=demo", change=ECHOES[what])
    assert done.status == 1
    assert done.having("error") == []
    (grant,) = (one["value"] for one in done.report()["evidence"] if one["kind"] == "Grant")
    assert grant["http"]["status"] is not None, "the lab broke: nothing was echoed"
    assert leaks(left_behind(done), canaries) == []


def test_nothing_leaks_beside_the_reports(
    watched: Any, leaks: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Metrics, history, what has changed since, and two runs compared by `smtp-preflight diff`."""
    beside = (f"--report-dir={tmp_path}", f"--metrics={tmp_path / 'metrics.prom'}", "--warnings-fail")
    done, canaries = watched("--profile=demo", "--profile=demo-gmail", *beside)
    after, more = watched("--profile=demo", "--fault=xoauth2_not_advertised", *beside)
    old, new = sorted((tmp_path / "demo" / "history").iterdir())
    assert main(["diff", str(old), str(new)]) == 0
    said = capsys.readouterr().out
    assert "offers AUTH" in said
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    written = [(str(file), file.read_text(encoding="utf-8")) for file in files]
    places = [("diff", said), ("terminal", done.stdout), ("terminal", after.stdout), *written]
    assert {"metrics.prom", "summary.md"} <= {Path(name).name for name, _ in places}
    assert leaks(places, canaries + more) == []
