"""Secrets are read from where the profile says, and never show up anywhere else."""

from __future__ import annotations

import base64
import copy
import dataclasses
import io
import json
import logging
import os
import pickle
import pprint
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import keyring
import keyring.backend
import keyring.errors
import pytest

from smtp_preflight import secrets
from smtp_preflight.model import SecretRef
from smtp_preflight.secrets import MOST_BYTES, Secret, SecretProblem, Wallet, inherited, resolve

CANARY = "c4n~ry/+?&=secret value\u00e9"
SECRET = Secret(CANARY, "env:CONTOSO_CLIENT_SECRET")
SHOWN = "<Secret env:CONTOSO_CLIENT_SECRET>"


# --- a secret shows its origin and nothing else ------------------------------------------------------------


@dataclasses.dataclass
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "show",
    [repr, str, format, ascii, pprint.pformat, "{}".format, "{!r:>40}".format, "%s".__mod__, "%r".__mod__],
)
def test_whatever_turns_it_into_text_gets_its_origin(show: Callable[[Secret], str]) -> None:
    assert show(SECRET).strip() == SHOWN
    assert f"{SECRET}" == SHOWN
    assert repr([Holder(SECRET)]) == f"[Holder(secret={SHOWN})]"


@pytest.mark.parametrize(
    "attempt",
    [
        *(lambda protocol=protocol: pickle.dumps(SECRET, protocol) for protocol in range(6)),
        lambda: copy.copy(SECRET),
        lambda: copy.deepcopy({"secret": SECRET}),
        lambda: dataclasses.asdict(Holder(SECRET)),
        lambda: json.dumps({"secret": SECRET}),
        lambda: f"{SECRET:>40}",
        lambda: bytes(SECRET),  # type: ignore[call-overload]  # what must not work
        lambda: vars(SECRET),
        lambda: SECRET + "",  # type: ignore[operator]  # what must not work
        lambda: pickle.dumps(wallet_with(CANARY)),
    ],
)
def test_what_would_carry_it_elsewhere_is_refused_without_showing_it(attempt: Callable[[], object]) -> None:
    with pytest.raises(TypeError) as caught:
        attempt()
    assert CANARY not in repr(caught.value)


def test_a_traceback_with_local_variables_does_not_show_it() -> None:
    """What rich reporters print of a frame is the representation of what is in it."""
    holder, wallet, mapping = Holder(SECRET), wallet_with(CANARY), {"key": SECRET}
    try:
        raise ValueError(f"refused {holder} {wallet} {mapping}")
    except ValueError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    text = "".join(lines)
    assert SHOWN in text
    assert "c4n" not in text


def test_a_log_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("tests").error("refused %s", SECRET)
    assert caplog.messages == [f"refused {SHOWN}"]


def test_a_secret_does_not_change() -> None:
    secret = Secret("value", "env:NAME")
    with pytest.raises(AttributeError, match="_value cannot be set"):
        secret._value = "other"
    with pytest.raises(AttributeError, match="origin cannot be deleted"):
        del secret.origin
    assert (secret.reveal(), secret.origin) == ("value", "env:NAME")


# --- reading -----------------------------------------------------------------------------------------------


def problem_of(ref: SecretRef, limit_s: float = 10) -> str:
    with pytest.raises(SecretProblem) as caught:
        resolve(ref, limit_s=limit_s)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def python(code: str) -> SecretRef:
    return SecretRef("command", (sys.executable, "-c", code))


def test_a_variable_is_read_as_it_is_but_for_one_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTOSO_CLIENT_SECRET", f" {CANARY}\n\n")
    secret = resolve(SecretRef("env", ("CONTOSO_CLIENT_SECRET",)))
    assert secret.reveal() == f" {CANARY}\n"
    assert repr(secret) == SHOWN


@pytest.mark.parametrize("value", ["", "\n", "\r\n"])
def test_an_empty_variable_is_no_secret(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTOSO_CLIENT_SECRET", value)
    reference = SecretRef("env", ("CONTOSO_CLIENT_SECRET",))
    assert problem_of(reference) == "environment variable CONTOSO_CLIENT_SECRET is empty"


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTOSO_CLIENT_SECRET", raising=False)
    reference = SecretRef("env", ("CONTOSO_CLIENT_SECRET",))
    assert problem_of(reference) == "environment variable CONTOSO_CLIENT_SECRET is not set"


def test_a_variable_whose_bytes_are_no_text_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTOSO_CLIENT_SECRET", "\udcff\udcfe")
    reference = SecretRef("env", ("CONTOSO_CLIENT_SECRET",))
    assert problem_of(reference) == "environment variable CONTOSO_CLIENT_SECRET is not UTF-8 text"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"value", "value"),
        (b"value\n", "value"),
        (b"value\r\n", "value"),
        (b"value\r", "value\r"),
        (b"value\n\n", "value\n"),
        (b" value\t", " value\t"),
        (b"\xef\xbb\xbfvalue", "value"),
        (b"v" * MOST_BYTES, "v" * MOST_BYTES),
    ],
)
def test_a_file_is_read_but_for_one_line_end_and_a_byte_order_mark(
    content: bytes, value: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert resolve(SecretRef("file", (str(path),))).reveal() == value


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8 text"),
        (b"v" * (MOST_BYTES + 1), "is larger than 64 KiB"),
    ],
    ids=["empty", "line_end", "not_utf8", "too_large"],
)
def test_a_file_without_a_secret_in_it_is_named(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert problem_of(SecretRef("file", (str(path),))) == f"file {path} {problem}"


def test_a_file_that_is_missing_or_unreadable_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "secret"
    assert problem_of(SecretRef("file", (str(missing),))) == f"file {missing} does not exist"
    assert problem_of(SecretRef("file", (str(tmp_path),))) == (
        f"file {tmp_path} cannot be read: {os.strerror(21)}"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_nobody_fills_does_not_hold_up_a_run(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert problem_of(SecretRef("file", (str(path),)), limit_s=0.05) == "no answer within 0.05 s"
    path.open("wb").close()  # lets the reading thread go


def test_a_commands_output_is_the_secret() -> None:
    """What it says on its standard error does not matter, and its arguments are not shown."""
    secret = resolve(python("import sys; print('value'); print('noise', file=sys.stderr)"))
    assert secret.reveal() == "value"
    assert repr(secret) == f"<Secret command:{sys.executable}>"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (f"print({CANARY!r}); raise SystemExit(3)", "command {0} ended with exit status 3"),
        (f"raise SystemExit({CANARY!r})", "command {0} ended with exit status 1"),
        ("pass", "the output of command {0} is empty"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "the output of command {0} is not UTF-8 text"),
        ("while True: print('v' * 4096)", "the output of command {0} is larger than 64 KiB"),
    ],
    ids=["status", "standard_error", "empty", "not_utf8", "endless"],
)
def test_a_command_without_a_secret_is_named_and_not_quoted(code: str, problem: str) -> None:
    assert problem_of(python(code)) == problem.format(sys.executable)


def test_a_command_inherits_no_variable_that_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else it may need, a permit of its own for a vault say, stays."""
    monkeypatch.setenv("CONTOSO_CLIENT_SECRET", CANARY)
    monkeypatch.setenv("PERMIT_FOR_THE_VAULT", "permit")
    monkeypatch.delenv("CONTOSO_REFRESH_TOKEN", raising=False)
    names = ("CONTOSO_CLIENT_SECRET", "CONTOSO_REFRESH_TOKEN")
    environment = inherited([*(SecretRef("env", (name,)) for name in names), SecretRef("file", ("PATH",))])
    ref = python(
        "import os; print(sorted({'CONTOSO_CLIENT_SECRET', 'PERMIT_FOR_THE_VAULT'} & set(os.environ)))"
    )
    assert resolve(ref, environment=environment).reveal() == "['PERMIT_FOR_THE_VAULT']"
    assert "PATH" in environment


def test_a_command_that_does_not_exist_or_start_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    assert problem_of(SecretRef("command", (str(path), CANARY))) == f"command {path} does not exist"
    path.touch(mode=0o600)
    assert problem_of(SecretRef("command", (str(path),))) == (
        f"command {path} cannot be started: {os.strerror(13)}"
    )


def test_a_command_that_takes_too_long_is_given_up_and_ended(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    code = (
        f"import os, pathlib, time; pathlib.Path({str(path)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    assert problem_of(python(code), limit_s=0.5) == "no answer within 0.5 s"
    give_up = time.monotonic() + 30
    while is_running(path) and time.monotonic() < give_up:
        time.sleep(0.02)
    assert not is_running(path)


def is_running(path: Path) -> bool:
    try:
        os.kill(int(path.read_text()), 0)
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # ended before it could say who it is
        return False
    return True


class Keyring(keyring.backend.KeyringBackend):
    """A keyring that knows one entry, and is locked for one service."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise keyring.errors.KeyringLocked(CANARY)
        return "value" if (service, username) == ("smtp-preflight", "contoso") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.fixture
def _own_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("_own_keyring")
def test_a_keyring_is_asked_by_service_and_user() -> None:
    assert resolve(SecretRef("keyring", ("smtp-preflight", "contoso"))).reveal() == "value"
    assert problem_of(SecretRef("keyring", ("smtp-preflight", "nobody"))) == (
        "the keyring has no entry for smtp-preflight, user nobody"
    )
    assert problem_of(SecretRef("keyring", ("locked", "contoso"))) == (
        "the keyring cannot be read: KeyringLocked"
    )


def test_without_the_extra_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert problem_of(SecretRef("keyring", ("smtp-preflight", "contoso"))) == (
        "keyring is not installed: pip install 'smtp-preflight[keyring]'"
    )


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Put something in the place of standard input, of which nothing has been read."""
    monkeypatch.setattr(secrets, "STANDARD_INPUT", secrets.StandardInput())
    return lambda source: monkeypatch.setattr(sys, "stdin", source)


STDIN = SecretRef("stdin", ())


def test_standard_input_is_read_once_for_all_who_ask(standard_input: Callable[[object], None]) -> None:
    standard_input(io.TextIOWrapper(io.BytesIO(b"value\n")))
    values: list[str] = []
    threads = [threading.Thread(target=lambda: values.append(resolve(STDIN).reveal())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == ["value"] * 8


class Refusing(io.RawIOBase):
    """What a test runner puts in the place of standard input."""

    buffer = property(lambda self: self)

    def read(self, size: int = -1) -> bytes:
        raise OSError("reading from stdin while output is captured")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (None, "there is no standard input"),
        (Refusing(), "standard input cannot be read"),
        (io.TextIOWrapper(io.BytesIO(b"")), "standard input is empty"),
        (io.TextIOWrapper(io.BytesIO(b"\xff")), "standard input is not UTF-8 text"),
        (io.TextIOWrapper(io.BytesIO(b"v" * (MOST_BYTES + 1))), "standard input is larger than 64 KiB"),
    ],
    ids=["none", "captured", "empty", "not_utf8", "too_large"],
)
def test_standard_input_without_a_secret_is_named(
    source: object, problem: str, standard_input: Callable[[object], None]
) -> None:
    standard_input(source)
    assert problem_of(STDIN) == problem


def test_a_second_reader_is_told_what_the_first_was_told(standard_input: Callable[[object], None]) -> None:
    """What was too large once is not read on, as if its rest were the secret."""
    standard_input(io.TextIOWrapper(io.BytesIO(b"v" * (MOST_BYTES + 9))))
    assert problem_of(STDIN) == problem_of(STDIN) == "standard input is larger than 64 KiB"


def test_another_source_can_take_the_place_of_standard_input(
    standard_input: Callable[[object], None],
) -> None:
    standard_input(Refusing())
    secrets.STANDARD_INPUT.take_from(io.BytesIO(b"value\n"))
    assert resolve(STDIN).reveal() == "value"


def test_bytes_that_are_no_text_can_be_asked_for_in_base64(tmp_path: Path) -> None:
    """A PKCS#12 file is binary; a secret is text."""
    (tmp_path / "app.pfx").write_bytes(b"0\x82\x01\xff\n")
    ref = SecretRef("file", (str(tmp_path / "app.pfx"),))
    assert resolve(ref, binary=True).reveal() == "MIIB/wo="
    assert problem_of(ref).endswith("app.pfx is not UTF-8 text")


def test_a_labs_secret_cannot_be_read_elsewhere() -> None:
    assert problem_of(SecretRef("lab", ("client_secret",))) == (
        "lab:client_secret can only be read while its lab runs"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_of_our_own_is_not_dressed_up_as_a_missing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_place: tuple[str, ...], _terms: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(secrets, "_READERS", {"env": broken})
    with pytest.raises(RuntimeError, match="reading a secret broke"):
        resolve(SecretRef("env", ("CONTOSO_CLIENT_SECRET",)))


# --- keeping -----------------------------------------------------------------------------------------------


def wallet_with(*values: str) -> Wallet:
    wallet = Wallet()
    for number, value in enumerate(values):
        wallet.put(f"key{number}", Secret(value, "env:NAME"))
    return wallet


def test_a_wallet_gives_back_what_it_holds_and_shows_only_the_keys() -> None:
    wallet = Wallet()
    assert repr(wallet) == "<Wallet empty>"
    wallet.put("refresh_token", SECRET)
    wallet.put("client_secret", SECRET)
    assert wallet.get("client_secret") is SECRET
    assert wallet.get("access_token") is None
    assert repr(wallet) == "<Wallet client_secret, refresh_token>"


def test_an_empty_wallet_leaves_a_text_alone() -> None:
    assert Wallet().redact("535 5.7.3 refused") == "535 5.7.3 refused"


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda value: quote(value, safe=""),
    "percent_path": quote,
    "percent_plus": quote_plus,
    "percent_lower": lambda value: re.sub("%..", lambda found: found[0].lower(), quote(value, safe="")),
    "json": lambda value: json.dumps(value)[1:-1],
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64_unpadded": lambda value: base64.b64encode(value.encode()).decode().rstrip("="),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
}
VALUES = [
    "secret",
    "abcdef1",
    "a/b+c?d&e f=g",
    'quote"d\\back\nline',
    "umläut€",
    "\u00ff\u00fe\u00fb" * 5,
    CANARY,
]


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("value", VALUES)
def test_every_encoding_of_a_held_value_is_redacted(value: str, encode: Callable[[str], str]) -> None:
    text = wallet_with(value).redact(f"error: <{encode(value)}> was refused")
    assert re.fullmatch("error: <<redacted>=*> was refused", text)


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_value_inside_a_larger_base64_text_is_redacted(
    encode: Callable[[bytes], bytes], before: int, after: int
) -> None:
    """A token in an XOAUTH2 response, a secret behind a client id: whatever stands around it."""
    token = "eyJ0eXAiOiJKV1Qi.\u00ff\u00fe~value~\u00fb\u00ff.signature"
    text = encode(b"u" * before + token.encode() + b"\1" * after).decode()
    redacted = wallet_with(token).redact(text)
    assert "<redacted>" in redacted
    assert len(redacted.replace("<redacted>", "").rstrip("=")) <= before * 2 + after * 2 + 6


def test_a_form_body_that_comes_back_is_redacted() -> None:
    body = urlencode({"client_id": "app", "client_secret": CANARY, "grant_type": "client_credentials"})
    assert wallet_with(CANARY).redact(body) == (
        "client_id=app&client_secret=<redacted>&grant_type=client_credentials"
    )


def test_of_two_values_the_longer_one_goes_first() -> None:
    """Otherwise the rest of the longer one would stay."""
    assert wallet_with("secret", "secret-and-more").redact("secret-and-more, secret") == (
        "<redacted>, <redacted>"
    )


def test_a_value_that_was_replaced_stays_redacted() -> None:
    wallet = Wallet()
    wallet.put("refresh_token", Secret("first-token", "store"))
    wallet.put("refresh_token", Secret("second-token", "store"))
    assert wallet.redact("first-token second-token") == "<redacted> <redacted>"


def test_a_value_too_short_to_be_told_from_words_is_left() -> None:
    wallet = wallet_with("word5")
    assert wallet.redact("word5") == "word5"
    assert wallet.get("key0") is not None
