"""``smtp-preflight explain`` as its users meet it: a pasted text, a number, a token, or cases one a line."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight import cli
from smtp_preflight.diagnosis.excerpts import MOST_OBJECTS, excerpt_of, looks_like_token, marks_in
from smtp_preflight.diagnosis.withheld import WITHHELD, without_credentials
from smtp_preflight.knowledge import entry
from smtp_preflight.model import Cause, Certainty, Stage
from smtp_preflight.reporting.explanation import NOTHING_WRONG, cause_lines

TENANT_OFF = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
    "Visit https://aka.ms/smtp_auth_disabled for more information."
)
CHALLENGE = "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ=="
TRACE = "0f0f0f0f-1111-2222-3333-444444440000"
LIMIT_S = 60


class Told:
    """How the command ended, and what it said."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def words(self) -> str:
        """Everything on standard output, wrapped lines joined."""
        return " ".join(self.out.split())


Explain = Callable[..., Told]

REFUSED = "535 5.7.3 Authentication unsuccessful"


@pytest.fixture
def explain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Run the command in this process, with that on standard input."""

    def explain(*args: str, stdin: str | bytes = "") -> Told:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        try:
            status = cli.main(["explain", *args])
        except SystemExit as end:
            status = int(end.code or 0)
        return Told(status, *capsys.readouterr())

    return explain


def jwt(**claims: Any) -> str:
    """A token that is signed by nobody."""
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    coded = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts]
    return ".".join([*coded, "c2lnbmF0dXJl"])


# --- a text ------------------------------------------------------------------------------------------------


def test_a_reply_is_explained_in_full(explain: Explain) -> None:
    """Cause, how sure, what it means, who can act, what to do, sources, and which line was judged."""
    told = explain(TENANT_OFF)
    known = entry("smtp_auth_disabled_tenant")
    assert told.status == 0
    assert told.out.startswith(f"Judged by:\n| {TENANT_OFF}\n\n")
    assert f"{known.code}: {known.title}" in told.words
    assert "How sure: certain: no other known cause shows this" in told.words
    assert "Who can act: an administrator of the mail system" in told.words
    assert "1. See both settings" in told.words
    assert all(f"- {one}" in told.words for one in known.references)
    assert "Knowledge of 20" in told.words


def test_words_need_no_quotes(explain: Explain) -> None:
    assert "smtp_auth_disabled_tenant" in explain(*TENANT_OFF.split()).out


def test_other_causes_come_with_the_look_that_decides(explain: Explain) -> None:
    """Where the same words mean several things."""
    told = explain("535 5.7.3 Authentication unsuccessful", "--provider", "microsoft365")
    assert "How sure: likely" in told.words
    assert "To decide: " in told.words
    assert "It may also be: - " in told.words


def test_provider_stage_and_grant_tell_more(explain: Explain) -> None:
    """The same words are another cause elsewhere."""
    plain = explain("invalid_grant: Bad Request", "--provider=google", "--stage=refresh")
    code = explain("invalid_grant: Bad Request", "--provider=google", "--grant=authorization_code")
    assert "refresh_token_invalid:" in plain.out
    assert "auth_code_invalid:" in code.out


def test_a_profile_fills_the_remedies(explain: Explain, tmp_path: Path) -> None:
    """With ``--profile`` the commands hold the user's own values, ready to be copied."""
    file = tmp_path / "contoso.toml"
    file.write_text(
        'provider = "microsoft365"\nmailbox = "alerts@contoso.com"\n'
        '[oauth]\ntenant = "contoso.onmicrosoft.com"\nclient_id = "6731de76-14a6-49ae-97bc-6eba6914391e"\n'
        'grant = "client_credentials"\nclient_secret = { env = "NOT_LOOKED_AT" }\n',
        encoding="utf-8",
    )
    told = explain(TENANT_OFF, f"--profile={file}")
    assert "Set-CASMailbox -Identity 'alerts@contoso.com'" in told.words
    bare = explain("535 5.7.3 Authentication unsuccessful", f"--profile={file}")
    assert "app_only_sp_not_registered_in_exchange:" in bare.out  # by the profile's grant


@pytest.mark.parametrize("text", ["AADSTS7000222", "7000222", "aadsts7000222"])
def test_a_number_is_enough(text: str, explain: Explain) -> None:
    told = explain(text)
    assert "client_secret_expired:" in told.out
    assert "Look up" not in told.out


def test_an_unlisted_number_is_told_as_far_as_it_goes(explain: Explain) -> None:
    """Ids and time for a ticket, where the number is explained, and the cause by the OAuth error."""
    text = (
        "invalid_grant: AADSTS59999999: News.\r\n"
        f"Trace ID: {TRACE}\r\nCorrelation ID: {TRACE}\r\nTimestamp: 2026-11-20 07:00:00Z"
    )
    told = explain(text, "--provider=microsoft365", "--stage=refresh")
    assert f"| Trace ID: {TRACE}\n| Correlation ID: {TRACE}\n| Timestamp: 2026-11-20 07:00:00Z\n" in told.out
    assert "| Look up: https://login.microsoftonline.com/error?code=59999999\n" in told.out
    assert "refresh_token_invalid:" in told.out


def test_a_challenge_is_decoded(explain: Explain) -> None:
    """Google's 334 alone, with or without its code; what it says is shown in clear."""
    for text in (f"334 {CHALLENGE}", CHALLENGE):
        told = explain(text)
        assert '| 334 {"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"}' in told.out
        assert "google_scope_not_full_mail:" in told.out


def test_nothing_known_is_said_plainly(explain: Explain) -> None:
    told = explain("the gremlins did it")
    assert "unexplained: No known cause fits" in told.out
    assert "How sure: possible" in told.out


def test_nothing_wrong_is_said_plainly(explain: Explain) -> None:
    assert explain("235 2.7.0 Authentication successful").out.endswith(f"\n\n{NOTHING_WRONG}\n")


@pytest.mark.parametrize(
    ("args", "stdin", "told"),
    [
        ((), "", "nothing to explain"),
        ((), " \n", "nothing to explain"),
        (("client_secret_rong",), "", "nearest: client_secret_wrong"),
        (("--stage=lunch", "x"), "", "lunch"),
        (("--profile=nobody", "x"), "", "nobody: found no such profile"),
    ],
)
def test_wrong_usage_is_one_line(args: tuple[str, ...], stdin: str, told: str, explain: Explain) -> None:
    ended = explain(*args, stdin=stdin)
    assert (ended.status, ended.out, ended.err.count("\n")) == (4, "", 1)
    assert told in ended.err


class Terminal(io.TextIOWrapper):
    """Somebody sits at it."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a text and without a pipe there is nothing to explain."""
    monkeypatch.setattr(sys, "stdin", Terminal(io.BytesIO(b"535 5.7.3 No")))
    assert cli.main(["explain"]) == 4


def test_standard_input_may_be_unreadable(explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that cannot be read is one line, as everything wrong is."""

    def refuse(stream: object) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("smtp_preflight.cli.explain._pasted", refuse)
    ended = explain()
    told = "smtp-preflight explain: give a CODE or a TEXT; [Errno 5] Input/output error\n"
    assert (ended.status, ended.err) == (4, told)


# --- a transcript ------------------------------------------------------------------------------------------

TRANSCRIPT = f"""\
2026-11-20 07:00:01 DEBUG <- 220 mail.contoso.com ESMTP ready
2026-11-20 07:00:01 DEBUG -> EHLO mailer
2026-11-20 07:00:01 DEBUG <- 250-mail.contoso.com
2026-11-20 07:00:01 DEBUG <- 250 AUTH LOGIN XOAUTH2
2026-11-20 07:00:01 DEBUG -> AUTH XOAUTH2 dXNlcj1hbGljZUBjb250b3NvLmNvbQFhdXRoPUJlYXJlciBleUow
2026-11-20 07:00:02 DEBUG <- {TENANT_OFF}
2026-11-20 07:00:02 DEBUG -> MAIL FROM:<alice@contoso.com>
2026-11-20 07:00:02 DEBUG <- 530 5.7.57 Client not authenticated to send mail.
"""


def test_the_first_refusal_of_a_transcript_is_explained(explain: Explain) -> None:
    """What comes after it comes of it."""
    told = explain(stdin=TRANSCRIPT)
    assert told.out.startswith(f"Judged by:\n| 2026-11-20 07:00:02 DEBUG <- {TENANT_OFF}\n\n")
    assert "smtp_auth_disabled_tenant:" in told.out


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_transcript_may_come_from_any_shell(encoding: str, explain: Explain) -> None:
    assert "smtp_auth_disabled_tenant:" in explain(stdin=TRANSCRIPT.encode(encoding)).out


def test_foreign_text_stays_text(explain: Explain) -> None:
    """No escape sequence, no command of a build service."""
    told = explain("535 5.7.8 No \x1b[31m::error::x::\u202e")
    assert "\x1b" not in told.out
    assert "\u202e" not in told.out
    assert r"\u{1b}[31m" in told.out


@pytest.mark.parametrize(
    ("text", "observed", "stage"),
    [
        (
            "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YQ==\nS: 535-5.7.8 No\nS: 535 5.7.8 really",
            {"smtp_code": "535", "text": "5.7.8 No really"},
            "auth",
        ),
        (
            "STARTTLS\n454 4.7.0 TLS not available",
            {"smtp_code": "454", "text": "4.7.0 TLS not available"},
            "starttls",
        ),
        ("RCPT TO:<a@b>\n451 Wait\nRCPT TO:<c@d>\n550 No", {"smtp_code": "550", "text": "No"}, "rcpt_to"),
        ("451 4.7.1 Wait\n250 2.0.0 Ok", {"smtp_code": "451", "text": "4.7.1 Wait"}, None),
        ("451 5.7.1 No", {"smtp_code": "451"}, None),
        ("x 451 5.7.1 No", {"exception": "x 451 5.7.1 No"}, None),
        ("host said: 550 no such user here", {"smtp_code": "550", "text": "no such user here"}, None),
        (
            "Diagnostic-Code: smtp; 550 #5.1.1 User\n unknown here",
            {"smtp_code": "550", "text": "5.1.1 User unknown here"},
            "delivery",
        ),
        ("(535, b'5.7.3 No\\r\\nreally')", {"smtp_code": "535", "text": "5.7.3 No really"}, None),
        (
            "535 5.7.3 Authentication\nunsuccessful",
            {"smtp_code": "535", "text": "5.7.3 Authentication unsuccessful"},
            None,
        ),
        ("530 5.7.57 Not authenticated. Error: 535 5.7.3 No", {"smtp_code": "535", "text": "5.7.3 No"}, None),
        (
            '{"status": "400", "scope": "x"} then\n{"error": "late"}',
            {"challenge_json": {"status": "400", "scope": "x"}},
            "auth",
        ),
        (f"AUTH XOAUTH2\n334 {CHALLENGE}\n", {"smtp_code": "334"}, "auth"),
        ('GET /?x=1 got {"a": 1} {"error": "x"}', {"body": {"error": "x"}}, None),
        (
            "http://127.0.0.1/?state=1&error=access_denied&error_description=No+thanks",
            {
                "http_status": 302,
                "body": {"state": "1", "error": "access_denied", "error_description": "No thanks"},
            },
            "authorize",
        ),
        ("235 2.7.0 Welcome", {"smtp_code": "235", "text": "2.7.0 Welcome"}, None),
        (
            "x: invalid_grant - Bad Request",
            {"body": {"error": "invalid_grant", "error_description": "Bad Request"}},
            None,
        ),
        ("250-mx\n250 AUTH PLAIN", {"ehlo_lines": ["mx", "AUTH PLAIN"]}, None),
        ("250 ok\nthen it broke", {"exception": "250 ok then it broke"}, None),
        ("HTTP/1.1 404 Not Found", {"exception": "HTTP/1.1 404 Not Found"}, None),
        ("{ broken [", {"exception": "{ broken ["}, None),
        ("", {"exception": ""}, None),
    ],
)
def test_evidence_is_found_in_a_text(text: str, observed: dict[str, Any], stage: str | None) -> None:
    found = excerpt_of(text)
    assert observed.items() <= dict(found.observed).items()
    assert found.stage == stage


def test_the_source_of_a_page_is_read_as_it_is_shown() -> None:
    """A bounce that was saved as HTML; a text in which nothing is marked stays as it is."""
    page = "<p>The server said:</p><pre>550 5.7.60 You may&nbsp;not send as &lt;alerts@contoso.com&gt;</pre>"
    words = "5.7.60 You may not send as <alerts@contoso.com>"
    assert excerpt_of(page).observed == {"smtp_code": "550", "text": words}
    assert excerpt_of(f"550 {words}").observed == {"smtp_code": "550", "text": words}


def test_the_mechanism_is_read_from_the_transcript() -> None:
    """By the command, or by the prompts of LOGIN."""
    assert excerpt_of("AUTH PLAIN AGE=\n535 5.7.8 No").context == {"mechanism_used": "PLAIN"}
    assert excerpt_of("334 UGFzc3dvcmQ6\nYQ==\n535 5.7.8 No").context == {"mechanism_used": "LOGIN"}
    assert excerpt_of("535 5.7.8 No").context == {}


def test_a_reply_of_two_codes_is_two_replies() -> None:
    """A hyphen promises more; another code breaks the promise, and a reply has an end."""
    assert excerpt_of("250-mx\n535 5.7.8 No").observed["smtp_code"] == "535"
    assert excerpt_of("535-5.7.8 No").observed["text"] == "5.7.8 No"
    assert excerpt_of("550-a\n" * 100).observed["text"].count("a") == 30


def test_a_reading_is_bounded() -> None:
    """Many broken objects, a nesting without end, long lines: an answer all the same, and soon."""
    started = time.monotonic()
    for text in (
        '{"' * 50_000,
        "[" * 100_000 + '{"a":',
        '{"a":' * 30_000,
        "x" * 300_000,
        "a." * 100_000,
        "535-" * 50_000,
        "1 " * 100_000,
        "5" * 200_000,
    ):
        assert excerpt_of(text).observed
    assert excerpt_of('{"a" ' * MOST_OBJECTS + ' {"error": "x"}').told is False
    assert time.monotonic() - started < LIMIT_S


# --- a token -----------------------------------------------------------------------------------------------


def test_a_token_is_judged_and_never_shown(explain: Explain) -> None:
    """Its claims are shown, and what is wrong with them."""
    token = jwt(aud="https://graph.microsoft.com", scp="Mail.Send", upn="a@contoso.com", exp=4e9)
    told = explain("--provider=microsoft365", stdin=f"{token}\n")
    assert "| aud: https://graph.microsoft.com\n" in told.out
    assert "| user: a@contoso.com\n" in told.out
    assert "| expires: 2096-10-02 07:06:40 UTC\n" in told.out
    assert "token_wrong_audience:" in told.out
    assert not [part for part in token.split(".") if part in told.out]


def test_an_opaque_token_is_known_by_how_it_begins(explain: Explain) -> None:
    personal = "EwBgA8l6BAAU" + "x" * 60
    told = explain("--provider=outlook_personal", stdin=personal)
    assert told.out == f"Judged by:\n| a token of 72 characters, opaque\n\n{NOTHING_WRONG}\n"
    assert "wrong_token_type_presented:" in explain(stdin="1//" + "x" * 60).out


def test_a_token_without_an_end_is_judged_too(explain: Explain) -> None:
    told = explain("--provider=microsoft365", stdin=jwt(aud="https://outlook.office.com", scp="SMTP.Send"))
    assert NOTHING_WRONG in told.out
    assert "expires" not in told.out


def test_what_is_no_token_is_text() -> None:
    assert looks_like_token(jwt(aud="x"))
    assert not looks_like_token(CHALLENGE)
    assert not looks_like_token("a few words")
    assert not looks_like_token("eyJ.short")


# --- credentials -------------------------------------------------------------------------------------------

SECRET = "s3cr3t-Value_0123456789.abcdefghij"


@pytest.mark.parametrize(
    "line",
    [
        "AUTH XOAUTH2 {}",
        "C: AUTH PLAIN {}",
        "Authorization: Bearer {}",
        "auth=Bearer {}",
        "Authorization: Basic {}",
        "client_secret={}&scope=x",
        '{{"refresh_token": "{}", "x": 1}}',
        "'access_token': '{}'",
        "password = {}",
        "client_assertion=>{}",
        "https://localhost/?code={}&state=1",
        '"code": "{}"',
        "S: 334 VXNlcm5hbWU6\nC: {}",
        "334 \n{}",
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
    ],
)
def test_a_named_credential_is_withheld(line: str) -> None:
    shown = without_credentials(line.format(SECRET))
    assert SECRET not in shown
    assert WITHHELD in shown


@pytest.mark.parametrize(
    "secret",
    [
        jwt(aud="x"),
        "ya29.a0AfB_byC0123456789",
        "1//0gAbCdEfGhIjKlMnOp",
        "GOCSPX-AbCdEfGhIjKlMnOpQrStUv",
        "EwBgA8l6BAAUbDba3x2OMJElkF7gJ4z",
        "0.AXoAWQcDkjskfhskjdhfksjdhf",
        "M.C507_BAY.0.U.-CabcdefghijkL",
        "abc8Q~defghijklmnopqrstuvwxyz0123456",
        "dXNlcj1hbGljZUBjb250b3NvLmNvbQFhdXRoPUJlYXJlciBleUow",
        "A" * 80,
    ],
)
def test_a_credential_is_known_by_its_shape(secret: str) -> None:
    """Alone on a line."""
    assert secret not in without_credentials(f"C: {secret}")


@pytest.mark.parametrize(
    "line",
    [
        TENANT_OFF,
        f"334 {CHALLENGE}",
        "MAIL FROM:<alice@contoso.com>",
        f"Trace ID: {TRACE}",
        "error code: 535",
        "334 \n535 5.7.8 No",
        "AUTH LOGIN",
        "550 5.7.30 Basic authentication is not supported for client submission",
        "The Bearer token has expired",
    ],
)
def test_evidence_is_not_withheld(line: str) -> None:
    assert without_credentials(line) == line


def test_no_credential_of_a_transcript_is_shown(explain: Explain) -> None:
    """Not even where it stands in the very lines that are judged."""
    token = jwt(aud="x", upn="a@contoso.com")
    lines = f'{{"error": "invalid_client", "client_secret": "{SECRET}", "assertion": "{token}"}}'
    told = explain(stdin=f"{TRANSCRIPT}{lines}\n")
    assert "dXNlcj1" not in told.out + told.err
    told = explain(stdin=lines)
    assert "client_secret" in told.out
    assert not [one for one in (SECRET, token, token.split(".")[1]) if one in told.out + told.err]


# --- one case a line ---------------------------------------------------------------------------------------


def test_cases_are_answered_one_a_line(explain: Explain) -> None:
    """Best first, with the id as it came."""
    cases = [
        {"id": "a", "observed": {"smtp_code": 535, "text": TENANT_OFF[4:]}, "provider": "microsoft365"},
        {"id": 7, "observed": {"smtp_code": 235}},
        {"observed": {"exception": "gremlins"}},
    ]
    told = explain("--json", stdin="\n\n".join(map(json.dumps, cases)))
    assert (told.status, told.err) == (0, "")
    assert [json.loads(line) for line in told.out.splitlines()] == [
        {"id": "a", "causes": [{"code": "smtp_auth_disabled_tenant", "certainty": "certain"}]},
        {"id": 7, "causes": []},
        {"id": None, "causes": [{"code": "unexplained", "certainty": "possible"}]},
    ]


def test_options_stand_for_what_a_case_does_not_say(explain: Explain) -> None:
    """Of provider, stage and grant; what it says itself counts."""
    observed = {"body": {"error": "invalid_grant", "error_description": "Bad Request"}}
    cases = [{"observed": observed}, {"observed": observed, "grant": "refresh_token"}]
    options = ("--json", "--provider=google", "--stage=token", "--grant=authorization_code")
    told = explain(*options, stdin="\n".join(map(json.dumps, cases)))
    firsts = [json.loads(line)["causes"][0]["code"] for line in told.out.splitlines()]
    assert firsts == ["auth_code_invalid", "refresh_token_invalid"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"nonsense", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "found no JSON object with an object 'observed'"),
        (b'{"observed": "535"}', "found no JSON object with an object 'observed'"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 5000, "not JSON"),
        (b" " * (1 << 20) + b"{}", "longer than 1048576 bytes"),
    ],
)
def test_a_bad_line_is_told_of_and_the_others_answered(line: bytes, told: str, explain: Explain) -> None:
    """One line on stderr with its number and nothing of its content; exit 4 in the end."""
    good = b'{"id": 1, "observed": {"smtp_code": 235}}'
    ended = explain("--json", stdin=b"\n".join([good, line, good]))
    assert ended.status == 4
    assert ended.out == '{"id": 1, "causes": []}\n' * 2
    assert ended.err == f"smtp-preflight explain: line 2: {told}\n"


# --- as a process ------------------------------------------------------------------------------------------


def test_it_works_as_a_command(tmp_path: Path) -> None:
    """From any folder, without a terminal; a reader that leaves early is no reason for a traceback."""
    words = [sys.executable, "-m", "smtp_preflight.cli", "explain"]
    done = subprocess.run(
        [*words, TENANT_OFF],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert "smtp_auth_disabled_tenant:" in done.stdout
    reader, writer = os.pipe()
    os.close(reader)
    left = subprocess.run(
        [*words, TENANT_OFF],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        check=False,
    )
    os.close(writer)
    assert (left.returncode, left.stderr) == (0, b"")


def test_only_what_the_command_needs_is_loaded() -> None:
    """Whoever asks what a number means does not wait for libraries that ask servers or read profiles."""
    heavy = "pydantic, httpx, dns, cryptography, jwt, pytest"
    code = (
        "import sys; from smtp_preflight import cli; cli.main(['explain', 'AADSTS7000222'])\n"
        f"print([one for one in '{heavy}'.split(', ') if one in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


SERVERS_WORDS = {
    "the way .NET shows a refusal": (
        "Mailbox unavailable. The server response was: 5.7.60 SMTP; Client does not have permissions to send",
        {"smtp_code": "550", "text": "5.7.60 SMTP; Client does not have permissions to send"},
    ),
    "the way it shows a missing login": (
        "The server response was: 5.7.57 Client not authenticated to send mail.",
        {"smtp_code": "530", "text": "5.7.57 Client not authenticated to send mail."},
    ),
    "a reply in the manner of Exchange's bounces": (
        "#550 5.7.1 SMTP; Unable to relay",
        {"smtp_code": "550", "text": "5.7.1 SMTP; Unable to relay"},
    ),
    "a reply of two lines behind a program's words": (
        "Error: Invalid login: 535-5.7.8 Not accepted. Go to\n535 5.7.8 https://support.google.com - gsmtp",
        {"smtp_code": "535", "text": "5.7.8 Not accepted. Go to https://support.google.com - gsmtp"},
    ),
    "a bare status": ("5.1.1 no such user", {"smtp_code": "550", "text": "5.1.1 no such user"}),
    "a status for now": ("4.9.9 later", {"smtp_code": "451", "text": "4.9.9 later"}),
}


@pytest.mark.parametrize(("text", "observed"), SERVERS_WORDS.values(), ids=SERVERS_WORDS)
def test_a_refusal_is_found_in_a_programs_own_words(text: str, observed: dict[str, str]) -> None:
    assert excerpt_of(text).observed == observed


def test_a_version_is_no_status() -> None:
    assert "exception" in excerpt_of("MailKit version 4.3.0, PHP 5.6.30").observed


def test_the_mechanism_may_stand_behind_the_refusal() -> None:
    """Nodemailer tells the command last; an authenticator in quotes is Symfony's."""
    refused = "Error: Invalid login: 535 5.7.8 Not accepted"
    assert excerpt_of(f"{refused}\n  command: 'AUTH XOAUTH2'\n").context == {"mechanism_used": "XOAUTH2"}
    assert excerpt_of(f"{refused}\nAUTH LOGIN").context == {}
    symfony = 'Authenticator "XOAUTH2" returned "Expected 235 but got "535", with message "535 5.7.3 No".'
    assert excerpt_of(symfony).context == {"mechanism_used": "XOAUTH2"}


def test_a_page_that_ends_in_an_errors_name_is_read_as_a_page() -> None:
    page = "Access blocked: mailer has not completed\nthe verification process\nError 403:\n access_denied"
    found = excerpt_of(page)
    assert found.stage is Stage.AUTHORIZE
    assert "verification process" in found.observed["body"]["page_text"]
    assert found.quote == ("Error 403:", " access_denied")


def test_a_cause_without_company_has_no_others() -> None:
    """Nothing to decide, nothing else to look at."""
    lines = list(cause_lines((Cause("client_secret_expired", Certainty.CERTAIN),), "AADSTS7000222", {}))
    assert not [line for line in lines if line.startswith(("To decide", "It may also"))]
    assert lines[:3] == ["Judged by:", "| AADSTS7000222", ""]


def test_what_was_judged_by_nothing_is_not_said_to_be() -> None:
    """Where no request was made, the cause is all there is to say."""
    first, *_ = cause_lines((Cause("sign_in_needed", Certainty.CERTAIN),), "", {})
    assert first.startswith("sign_in_needed: ")


def test_marks_are_bounded_and_inert() -> None:
    assert marks_in(f'"trace_id": "{TRACE}"') == {"Trace ID": TRACE}
    (line,) = [one for one in cause_lines((), "", {"user": "a\x1b" * 200}) if "user" in one]
    assert "\x1b" not in line
    assert len(line) < 1000


def test_stages_are_those_of_the_model() -> None:
    """What ``--stage`` takes is what a case may name."""
    assert excerpt_of(f"AUTH XOAUTH2\n{TENANT_OFF}").stage is Stage.AUTH


def test_what_is_left_out_is_said(explain: Explain) -> None:
    """A reply that means a dozen things: how the token was had is not known, so an application's count."""
    told = explain(REFUSED).words
    assert "app_only_mailbox_permission_missing" in told
    assert told.count("--grant would narrow them.") == 1


def test_what_is_left_out_is_narrowed_by_what_is_told(explain: Explain) -> None:
    """With both options nothing more can be told; the limit still says how many it has cut."""
    told = explain("--provider=microsoft365", "--grant=client_credentials", REFUSED).words
    assert "more are possible: " in told
    assert "would narrow" not in told
    personal = explain("--provider=outlook_personal", "--grant=refresh_token", REFUSED).words
    assert "app_only" not in personal


def test_nothing_is_left_out_beside_what_is_certain(explain: Explain) -> None:
    """Where no other reading is left, none is hinted at."""
    assert "more are possible" not in explain(TENANT_OFF).words
