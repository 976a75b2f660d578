"""A profile's file becomes a Profile, or one exact line about what is wrong with it."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from smtp_preflight import profile as room
from smtp_preflight.model import (
    Delivery,
    Expect,
    GrantType,
    Limits,
    MailboxAccess,
    Profile,
    SecretRef,
    Send,
    Setting,
    Severity,
    Smtp,
    Thresholds,
    Until,
    Waiver,
)
from smtp_preflight.profile import (
    ProfileError,
    find_profiles,
    load_profile,
    load_providers,
    profile_from_settings,
    settings_of,
)

ROOT = Path(__file__).parent.parent
BAD = Path(__file__).parent / "bad_profiles"
TENANT = "72F8A9D3-4d3e-4c55-9a1b-2f6d0c8b7e61"
SMALLEST = """
provider = "microsoft365"
mailbox = "alerts@contoso.com"
[oauth]
client_id = "6731de76-14a6-49ae-97bc-6eba6914391e"
"""
CUSTOM = """
provider = "custom"
mailbox = "alerts@contoso.com"
[smtp]
host = "smtp.contoso.com"
[oauth]
client_id = "smtp-client"
issuer = "https://login.contoso.com/realms/mail/"
"""
# Every key there is, each with a value that is not its default.
FULL = f"""
provider = "microsoft365"
mailbox = "alerts@contoso.com"
lab = "google"

[smtp]
host = "smtp-mail.outlook.com"
port = 2525
tls = "implicit"
ehlo_name = "app.contoso.com"
mechanism = "oauthbearer"

[dns]
servers = ["192.0.2.53", "192.0.2.54:5353", "2001:db8::53", "[2001:db8::54]:5353", "[2001:db8::55]"]

[tls]
ca_file = "contoso-ca.pem"

[http]
proxy = "http://proxy.contoso.com:8080"

[oauth]
tenant = "{TENANT}"
client_id = "6731de76-14a6-49ae-97bc-6eba6914391e"
client_type = "public"
client_auth = "basic"
grant = "authorization_code"
scope = ["https://outlook.office.com/SMTP.Send"]
issuer = "https://login.contoso.com/"
authorize_endpoint = "https://login.contoso.com/authorize"
token_endpoint = "https://login.contoso.com/token"
device_endpoint = "https://login.contoso.com/device"
jwks_uri = "https://login.contoso.com/keys"
authorize_params = {{ prompt = "login" }}
redirect_uri = "http://localhost:8400"
client_secret = {{ env = "CONTOSO_CLIENT_SECRET" }}
certificate = {{ file = "app.pfx", passphrase = {{ env = "APP_PASSPHRASE" }} }}
federated = {{ command = ["az", "account", "get token", "--resource=api://a b"] }}
service_account = {{ keyring = ["smtp preflight", "contoso's"] }}
refresh_token = {{ file = "/run/secrets/contoso" }}
access_token = {{ stdin = true }}
secret_expires = 2027-03-31
app_permission = "rbac"
store = "tokens"
on_rotation = {{ command = ["keep-token", "contoso"] }}

[expect]
aud = ["https://smtp.contoso.com"]
tid = ["contoso"]
permissions = ["mail.send"]

[send]
sender = "notices@contoso.com"
to = ["probe@contoso.com", "second@contoso.com"]

[delivery]
mailbox = "second@contoso.com"
profile = "probe-reader"
within_s = 90

[imap]
host = "imap.contoso.com"
port = 1993
check = true

[pop]
host = "pop.contoso.com"
port = 1995
check = true

[limits]
{"".join(f"{one.name} = {number}.5{chr(10)}" for number, one in enumerate(fields(Limits), 1))}
[thresholds]
certificate_days = 1
secret_days = 2
refresh_token_days = 3
token_life_s = 4

[severity]
dmarc_missing = "notice"

[[waivers]]
code = "dmarc_missing"
subject = "contoso.com"
reason = "policy comes with the parent in March"
until = 2027-03-31

[[waivers]]
code = "spf_missing"
reason = "not ours"
until = 2027-01-31
"""

NO_PASSWORDS = (
    "one of authorization_code, device_code, refresh_token, client_credentials, jwt_bearer, access_token; "
    "RFC 9700 forbids handing a password to a program, and Microsoft refuses it to personal accounts and "
    "wherever a second factor is asked for"
)

# What is said of each file in bad_profiles/, behind the file's name.
LINES = {
    "toml_broken": (
        "found broken TOML at line 2, column 11 (Invalid value); wanted TOML, in which text stands in quotes"
    ),
    "toml_twice": (
        "found broken TOML at line 7, column 6 (Cannot declare ('send',) twice); wanted TOML, in "
        "which text stands in quotes"
    ),
    "toml_ends_early": (
        "found broken TOML at end of document (Unterminated string); wanted TOML, in which text "
        "stands in quotes"
    ),
    "provider_missing": "provider: found nothing; wanted the name of a mail provider, such as microsoft365",
    "provider_unknown": (
        "provider: found 'mircosoft365'; wanted one of aol, custom, fastmail, google, "
        "google_workspace, microsoft365, microsoft365_21vianet, microsoft365_dod, "
        "microsoft365_gcc_high, microsoft365_hve, outlook_personal, yahoo, yandex; did you mean "
        "microsoft365?"
    ),
    "provider_not_text": "provider: found 365; wanted text",
    "lab_unknown": (
        "lab: found 'gmail'; wanted one of aol, custom, fastmail, google, google_workspace, "
        "microsoft365, microsoft365_21vianet, microsoft365_dod, microsoft365_gcc_high, "
        "microsoft365_hve, outlook_personal, yahoo, yandex; did you mean google?"
    ),
    "mailbox_missing": (
        "mailbox: found nothing; wanted the mail address that signs in, such as alerts@contoso.com"
    ),
    "mailbox_no_address": "mailbox: found 'alerts'; wanted one mail address, such as alerts@contoso.com",
    "mailbox_two_addresses": (
        "mailbox: found 'alerts@contoso.com, info@contoso.com'; wanted one mail address, such as "
        "alerts@contoso.com"
    ),
    "mailbox_with_name": (
        "mailbox: found 'Alerts <alerts@contoso.com>'; wanted one mail address, such as alerts@contoso.com"
    ),
    "client_id_missing": "oauth.client_id: found nothing; wanted the application's client id",
    "client_id_misspelt": "unknown key `oauth.cleint_id`; did you mean `client_id`?",
    "key_in_wrong_table": "unknown key `smtp.client_secret`; did you mean `oauth.client_secret`?",
    "key_unknown": "unknown key `http.password`; known are proxy",
    "key_with_control_character": "'pro\\x07vider': found a control character; wanted text of one line",
    "table_unknown": "unknown key `smpt`; did you mean `smtp`?",
    "table_is_text": "smtp: found 'smtp.office365.com'; wanted a table",
    "grant_unknown": (
        "oauth.grant: found 'implicit'; wanted one of authorization_code, device_code, refresh_token, "
        "client_credentials, jwt_bearer, access_token"
    ),
    "grant_password": f"oauth.grant: found 'password', the password grant; wanted {NO_PASSWORDS}",
    "grant_ropc": f"oauth.grant: found 'ropc', the password grant; wanted {NO_PASSWORDS}",
    "client_type_unknown": "oauth.client_type: found 'secret'; wanted one of confidential, public",
    "client_auth_unknown": "oauth.client_auth: found 'jwt'; wanted one of post, basic",
    "app_permission_unknown": "oauth.app_permission: found 'fullaccess'; wanted one of role, rbac",
    "mechanism_automatic": "smtp.mechanism: found 'auto'; wanted one of xoauth2, oauthbearer",
    "tls_opportunistic": "smtp.tls: found 'auto'; wanted one of starttls, implicit",
    "tls_unknown": "smtp.tls: found 'ssl'; wanted one of starttls, implicit",
    "mechanism_unknown": "smtp.mechanism: found 'plain'; wanted one of xoauth2, oauthbearer",
    "port_is_text": "smtp.port: found '587'; wanted a whole number",
    "port_too_large": "smtp.port: found 65536; wanted at most 65535",
    "port_zero": "smtp.port: found 0; wanted 1 or more",
    "port_fraction": "smtp.port: found 58.7; wanted a whole number",
    "host_is_list": "smtp.host: found a list; wanted text",
    "check_is_text": "imap.check: found 'yes'; wanted true or false",
    "scope_is_number": "oauth.scope: found 1; wanted a list",
    "scope_of_numbers": "oauth.scope[0]: found 1; wanted text",
    "endpoint_without_tls": (
        "oauth.token_endpoint: found 'http://login.contoso.com/token'; wanted https:// and a host, "
        "without user and password"
    ),
    "endpoint_with_password": (
        "oauth.token_endpoint: found a URL with a user in it (not shown); wanted https:// and a host, "
        "without user and password"
    ),
    "endpoint_bad_port": (
        "oauth.issuer: found 'https://login.contoso.com:99999'; wanted https:// and a host, without "
        "user and password"
    ),
    "params_with_secret": (
        "oauth.authorize_params: found a secret under client_secret (not shown); wanted parameters "
        "that anybody may see"
    ),
    "params_of_numbers": "oauth.authorize_params.max_age: found 3600; wanted text",
    "params_are_text": "oauth.authorize_params: found 'prompt=consent'; wanted a table",
    "secret_literal": (
        "oauth.client_secret: found the secret itself (not shown); wanted where it is kept, such as { "
        'env = "SECRET_LITERAL_CLIENT_SECRET" }, for profiles are shared and committed'
    ),
    "secret_literal_in_table": (
        "oauth.client_secret: found the place 'value'; wanted one of env, file, command, keyring, "
        'such as { env = "SECRET_LITERAL_IN_TABLE_CLIENT_SECRET" }'
    ),
    "secret_literal_as_variable": (
        "oauth.refresh_token: found something else after env (not shown); wanted the name of an "
        'environment variable, such as { env = "CONTOSO_CLIENT_SECRET" }'
    ),
    "secret_of_github_elsewhere": (
        "oauth.client_secret: found the place 'github'; wanted one of env, file, command, keyring, "
        'such as { env = "SECRET_OF_GITHUB_ELSEWHERE_CLIENT_SECRET" }'
    ),
    "federated_audience_blank": (
        "oauth.federated: found something else after github (not shown); wanted the audience of the token, "
        'such as { github = "api://AzureADTokenExchange" }'
    ),
    "passphrase_literal": (
        "oauth.certificate: found the secret itself (not shown); wanted where it is kept, such as { "
        'env = "PASSPHRASE_LITERAL_CERTIFICATE_PASSPHRASE" }, for profiles are shared and committed'
    ),
    "passphrase_for_another": (
        "oauth.client_secret: found 2 places; wanted one of env, file, command, keyring, such as { "
        'env = "PASSPHRASE_FOR_ANOTHER_CLIENT_SECRET" }'
    ),
    "passphrase_beside": "unknown key `oauth.certificate_passphrase`; did you mean `certificate`?",
    "secret_two_places": (
        "oauth.client_secret: found 2 places; wanted one of env, file, command, keyring, such as { "
        'env = "SECRET_TWO_PLACES_CLIENT_SECRET" }'
    ),
    "secret_no_place": (
        "oauth.client_secret: found no places; wanted one of env, file, command, keyring, such as { "
        'env = "SECRET_NO_PLACE_CLIENT_SECRET" }'
    ),
    "secret_from_stdin": (
        "oauth.client_secret: found the place 'stdin'; wanted one of env, file, command, keyring, "
        'such as { env = "SECRET_FROM_STDIN_CLIENT_SECRET" }'
    ),
    "secret_stdin_false": (
        "oauth.access_token: found something else after stdin (not shown); wanted { stdin = true }"
    ),
    "secret_file_empty": (
        "oauth.certificate: found something else after file (not shown); wanted a path, such as { "
        'file = "~/secrets/contoso" }'
    ),
    "secret_command_is_text": (
        "oauth.federated: found something else after command (not shown); wanted a list of words, "
        'such as { command = ["op", "read", "op://mail/contoso"] }'
    ),
    "secret_command_empty": (
        "oauth.federated: found something else after command (not shown); wanted a list of words, "
        'such as { command = ["op", "read", "op://mail/contoso"] }'
    ),
    "secret_keyring_one_word": (
        "oauth.service_account: found something else after keyring (not shown); wanted service and "
        'user, such as { keyring = ["smtp-preflight", "contoso"] }'
    ),
    "rotation_is_text": (
        "oauth.on_rotation: found something else (not shown); wanted a command, such as { command = "
        '["keep-token"] }'
    ),
    "rotation_is_variable": (
        "oauth.on_rotation: found something else (not shown); wanted a command, such as { command = "
        '["keep-token"] }'
    ),
    "store_blank": "oauth.store: found an empty text; wanted at least one word",
    "date_is_text": (
        "oauth.secret_expires: found '2027-03-31'; wanted a date without quotes, such as 2027-03-31"
    ),
    "date_with_time": (
        "oauth.secret_expires: found 2027-03-31 12:00:00+00:00; wanted a date without quotes, such as "
        "2027-03-31"
    ),
    "ca_file_empty": "tls.ca_file: found an empty text; wanted at least one word",
    "name_server_is_name": (
        "dns.servers[0]: found 'dns.contoso.com'; wanted an address or address:port, such as "
        "192.0.2.53 or [2001:db8::53]:5353"
    ),
    "name_server_bad_port": (
        "dns.servers[1]: found '[2001:db8::53]:70000'; wanted an address or address:port, such as "
        "192.0.2.53 or [2001:db8::53]:5353"
    ),
    "name_servers_are_text": "dns.servers: found '192.0.2.53'; wanted a list",
    "proxy_no_url": (
        "http.proxy: found 'proxy.contoso.com:8080'; wanted http:// or https:// and a host, without "
        "user and password"
    ),
    "proxy_with_password": (
        "http.proxy: found a URL with a user in it (not shown); wanted http:// or https:// and a "
        "host, without user and password"
    ),
    "custom_without_host": (
        "smtp.host: found nothing; wanted the mail server, as provider custom has no preset for it"
    ),
    "custom_without_endpoint": (
        "oauth.token_endpoint: found nothing; wanted this or oauth.issuer, as provider custom has no "
        "preset for it"
    ),
    "custom_imap_without_host": (
        "imap.host: found nothing; wanted the IMAP server, as provider custom has no preset for it"
    ),
    "custom_pop_without_host": (
        "pop.host: found nothing; wanted the POP server, as provider custom has no preset for it"
    ),
    "custom_delivery_without_imap": (
        "imap.host: found nothing; wanted the IMAP server, as provider custom has no preset for it"
    ),
    "sender_no_address": (
        "send.sender: found '@contoso.com'; wanted one mail address, such as alerts@contoso.com"
    ),
    "recipient_no_address": (
        "send.to[1]: found 'probe at contoso.com'; wanted one mail address, such as alerts@contoso.com"
    ),
    "recipients_none": "send.to: found an empty list; wanted at least one",
    "recipients_twice": "send.to: found 'probe@contoso.com' twice; wanted each recipient once",
    "recipients_are_text": "send.to: found 'probe@contoso.com'; wanted a list",
    "delivery_without_send": (
        "send: found nothing; wanted this table, for without it no message leaves that [delivery] "
        "could look for"
    ),
    "delivery_profile_is_path": (
        "delivery.profile: found '../reader'; wanted the name of a profile, such as contoso"
    ),
    "limit_negative": "limits.dns_s: found -1; wanted more than 0",
    "limit_zero": "limits.run_s: found 0; wanted more than 0",
    "limit_endless": "limits.run_s: found inf; wanted at most 3600",
    "limit_not_a_number": "limits.tls_slow_s: found nan; wanted at most 3600",
    "limit_is_text": "limits.tcp_s: found '10 s'; wanted a number",
    "threshold_negative": "thresholds.secret_days: found -30; wanted 0 or more",
    "severity_unknown": "severity.dmarc_missing: found 'info'; wanted one of error, warning, notice",
    "severity_code_not_snake": (
        "severity.DMARC-missing: found 'DMARC-missing'; wanted a code in snake_case, such as dmarc_missing"
    ),
    "waiver_without_reason": "waivers[0].reason: found nothing; wanted the reason for the waiver",
    "waiver_without_until": (
        "waivers[0].until: found nothing; wanted the waiver's last day, such as 2027-03-31"
    ),
    "waiver_without_code": (
        "waivers[0].code: found nothing; wanted the code that is waived, such as dmarc_missing"
    ),
    "waiver_reason_empty": "waivers[0].reason: found an empty text; wanted at least one word",
    "waiver_second_misspelt": "unknown key `waivers[1].reson`; did you mean `reason`?",
    "severity_is_text": "severity: found 'notice'; wanted a table",
    "waiver_not_a_list": "waivers: found a table; wanted a list",
    "control_character": "mailbox: found a control character; wanted text of one line",
    "control_character_in_list": "send.to[1]: found a control character; wanted text of one line",
    "extends_itself": (
        "extends: found a circle (extends_itself → extends_itself); wanted a profile that does not "
        "lead back here"
    ),
    "extends_not_text": "extends: found 1; wanted text",
}

# Of these, what is wrong is in the profile that they extend.
LINES_OF_A_BASE = {
    "extends_in_a_circle": (
        "extends_back.toml: extends: found a circle (extends_in_a_circle → extends_back → "
        "extends_in_a_circle); wanted a profile that does not lead back here"
    ),
    "extends_back": (
        "extends_in_a_circle.toml: extends: found a circle (extends_back → extends_in_a_circle → "
        "extends_back); wanted a profile that does not lead back here"
    ),
    "extends_broken": (
        "toml_broken.toml: found broken TOML at line 2, column 11 (Invalid value); wanted TOML, in "
        "which text stands in quotes"
    ),
    "extends_misspelt": "client_id_misspelt.toml: unknown key `oauth.cleint_id`; did you mean `client_id`?",
}


def written(folder: Path, text: str, name: str = "contoso") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, "utf-8")
    return path


def loaded(folder: Path, text: str, name: str = "contoso") -> Profile:
    return load_profile(written(folder, text, name), load_providers())


def refusal(path: Path) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        load_profile(path, load_providers())
    return caught.value


def by_json(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings as report.json brings them back."""
    text = json.dumps({key: [one.value, one.origin] for key, one in settings.items()}, allow_nan=False)
    return {key: Setting(*pair) for key, pair in json.loads(text).items()}


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "line"),
    [*((case, f"{case}.toml: {line}") for case, line in LINES.items()), *LINES_OF_A_BASE.items()],
    ids=[*LINES, *LINES_OF_A_BASE],
)
def test_each_bad_profile_has_its_own_line(case: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, key, what was found, what would be right: exactly, and no more than one line."""
    monkeypatch.chdir(BAD)
    error = refusal(Path(f"{case}.toml"))
    assert str(error) == error.line == line
    assert "\n" not in error.line


@pytest.mark.parametrize("case", LINES)
def test_no_refusal_shows_what_may_be_a_secret(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a literal secret is in the error, nor in what it was raised from."""
    monkeypatch.chdir(BAD)
    error = refusal(Path(f"{case}.toml"))
    assert "canary" not in repr((error, error.args, vars(error), error.__cause__))
    assert error.__suppress_context__ or error.__context__ is None


def test_every_bad_profile_is_expected() -> None:
    assert sorted([*LINES, *LINES_OF_A_BASE]) == sorted(path.stem for path in BAD.glob("*.toml"))


def test_the_parts_of_an_error_are_there_to_be_shown_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    error = refusal(Path("grant_unknown.toml"))
    assert (error.file, error.key, error.found) == ("grant_unknown.toml", "oauth.grant", "'implicit'")
    assert error.wanted.startswith("one of authorization_code, device_code")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'provider = "\xff"', "found bytes in line 1 that are not UTF-8; wanted a file saved as UTF-8"),
        (b"#\n#\n# \xe9\n", "found bytes in line 3 that are not UTF-8; wanted a file saved as UTF-8"),
        (b"#" * (256 * 1024 + 1), "found more than 256 KiB; wanted a profile"),
        (b"a = " + b"[" * 100_000, "found TOML beyond all measure; wanted a profile"),
        (b"a = " + b"9" * 5000, "found TOML beyond all measure; wanted a profile"),
    ],
    ids=["not_utf8", "not_utf8_below", "too_large", "too_deep", "too_many_digits"],
)
def test_a_file_that_is_no_text_of_a_profile_is_refused(content: bytes, line: str, tmp_path: Path) -> None:
    path = tmp_path / "contoso.toml"
    path.write_bytes(content)
    assert refusal(path).line == f"{path}: {line}"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "contoso.toml"
    folder.mkdir()
    assert refusal(folder).line == (
        f"{folder}: found a file that cannot be read ({os.strerror(21)}); wanted a readable file"
    )


@pytest.mark.parametrize("name", ["-contoso.toml", "con toso.toml", "contoso.tml", "..toml", "cöntoso.toml"])
def test_a_name_that_cannot_be_a_folder_of_reports_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(SMALLEST)
    assert refusal(path).line == f"{path}: found the name {name!r}; wanted one such as contoso.toml"


def test_too_many_recipients_are_refused(tmp_path: Path) -> None:
    many = json.dumps([f"probe{number}@contoso.com" for number in range(101)])
    path = written(tmp_path, f"{SMALLEST}\n[send]\nto = {many}")
    assert refusal(path).line == f"{path}: send.to: found a list; wanted at most 100"


def test_an_enormous_number_is_refused_without_being_shown(tmp_path: Path) -> None:
    path = written(tmp_path, f"{SMALLEST}\n[thresholds]\nsecret_days = 0x{'f' * 5000}")
    assert refusal(path).line == (
        f"{path}: thresholds.secret_days: found an enormous number; wanted at most 36500"
    )


@pytest.mark.parametrize(
    ("base", "wanted"),
    [("bsae", "one of base; did you mean base?"), ("../base/base", "one of base"), ("x", "one of base")],
)
def test_a_base_that_is_not_in_the_folder_is_refused(base: str, wanted: str, tmp_path: Path) -> None:
    """Only profiles beside this one can be taken over, by name."""
    inner = tmp_path / "profiles"
    for folder in (inner, tmp_path / "base"):
        folder.mkdir()
        written(folder, SMALLEST, "base")
    path = written(inner, f'extends = "{base}"')
    assert refusal(path).line == f"{path}: extends: found {base!r}; wanted {wanted}"


def test_a_base_in_an_otherwise_empty_folder_cannot_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, 'extends = "base"')
    assert refusal(path).line == f"{path}: extends: found 'base'; wanted one that exists"


def test_a_mistake_in_a_base_is_found_in_the_base(tmp_path: Path) -> None:
    base = written(tmp_path, f"{SMALLEST}\n[smtp]\nport = 0", "base")
    path = written(tmp_path, 'extends = "base"\n[oauth]\nsecret_expires = 2027-03-31')
    assert refusal(path).line == f"{base}: smtp.port: found 0; wanted 1 or more"


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ("https://oauth2.googleapis.com/token", True),
        ("https://accounts.google.com/o/oauth2/token", True),
        ("https://login.contoso.com/token", False),
    ],
)
def test_the_provider_is_asked_of_tokens_of_its_own_only(endpoint: str, asked: bool, tmp_path: Path) -> None:
    """A token that somebody else has issued is not shown to the preset's token info."""
    text = SMALLEST.replace("microsoft365", "google") + f'token_endpoint = "{endpoint}"'
    assert bool(loaded(tmp_path, text).oauth.token_info_uri) is asked


def test_a_name_that_the_room_does_not_have_is_an_error_as_anywhere() -> None:
    """Its modules are loaded with the first use of what they hold, and of nothing else."""
    with pytest.raises(AttributeError, match=r"'smtp_preflight\.profile' has no attribute 'load_everything'"):
        _ = room.load_everything


def test_a_name_that_people_use_leads_to_the_provider(tmp_path: Path) -> None:
    path = written(tmp_path, SMALLEST.replace("microsoft365", "gmail"))
    assert refusal(path).line.endswith("; did you mean google?")


SECRET_KEYS = (
    *("client_secret", "certificate", "federated", "service_account", "refresh_token", "access_token"),
    "on_rotation",
)
ANY_VALUES = (
    *("true", "-7", "1", "2.5", "nan", "2027-03-31", "2027-03-31T00:00:00", "00:00:00"),
    *('""', '"hunter2-canary"', "[]", "[[1]]", '["hunter2-canary"]', "{}", '{ a = "hunter2-canary" }'),
    *('{ github = "hunter2-canary" }', '{ file = "app.pfx", passphrase = "hunter2-canary" }'),
    *('{ env = "" }', '{ command = [""] }', '[{ code = "x" }]', "[2027-03-31]"),
)
EVERY_KEY = [
    *(("", key) for key in tomllib.loads(FULL)),
    *(
        (table, key)
        for table, inner in tomllib.loads(FULL).items()
        if isinstance(inner, dict)
        for key in inner
    ),
]


@pytest.mark.parametrize(("table", "key"), EVERY_KEY, ids=lambda part: part or "top")
def test_whatever_stands_at_a_key_is_loaded_or_refused_in_one_line(
    table: str, key: str, tmp_path: Path
) -> None:
    """With values of any kind nothing but ProfileError comes out, and a secret's place is never shown."""
    for value in ANY_VALUES:
        line = line_about(table, key, value, tmp_path)
        assert "\n" not in line
        assert "canary" not in line or key not in SECRET_KEYS


def line_about(table: str, key: str, value: str, folder: Path) -> str:
    """What is said of the smallest profile with this value at this key; nothing where it is fine."""
    texts = {"": {"provider": '"microsoft365"', "mailbox": '"a@b.c"'}, "oauth": {"client_id": '"id"'}}
    texts.setdefault(table, {})[key] = value
    if not table:
        texts.pop(key, None)
    lines = (
        f"[{name}]\n" * bool(name) + "\n".join(f"{one} = {text}" for one, text in inner.items())
        for name, inner in texts.items()
    )
    try:
        loaded(folder, "\n".join(lines))
    except ProfileError as error:
        return error.line
    return ""


# --- what is loaded ----------------------------------------------------------------------------------------


def test_every_key_of_the_contract_is_taken_as_written(tmp_path: Path) -> None:
    """Each value of a file that gives all keys is in the profile, as the file's own."""
    profile = loaded(tmp_path, FULL)
    content = tomllib.loads(FULL)
    given = {"provider", "mailbox", "lab", "severity", "waivers"}
    given |= {
        f"{table}.{key}"
        for table, inner in content.items()
        if isinstance(inner, dict) and table != "severity"
        for key in inner
    } | {"oauth.certificate_passphrase"}  # which stands inside the certificate's own table
    assert {key for key, origin in profile.origins.items() if origin == "profile"} == given
    assert profile.smtp == Smtp("smtp-mail.outlook.com", 2525, "implicit", "app.contoso.com", "oauthbearer")
    assert profile.oauth.grant is GrantType.AUTHORIZATION_CODE
    assert profile.oauth.secrets() == {
        "client_secret": SecretRef("env", ("CONTOSO_CLIENT_SECRET",)),
        "certificate": SecretRef("file", (str(tmp_path / "app.pfx"),)),
        "certificate_passphrase": SecretRef("env", ("APP_PASSPHRASE",)),
        "federated": SecretRef("command", ("az", "account", "get token", "--resource=api://a b")),
        "service_account": SecretRef("keyring", ("smtp preflight", "contoso's")),
        "refresh_token": SecretRef("file", ("/run/secrets/contoso",)),
        "access_token": SecretRef("stdin", ()),
    }
    assert profile.oauth.on_rotation == ("keep-token", "contoso")
    assert profile.oauth.authorize_params == {"prompt": "login"}
    assert (profile.oauth.client_type, profile.oauth.client_auth) == ("public", "basic")
    assert profile.oauth.secret_expires == dt.date(2027, 3, 31)
    assert profile.expect == Expect(("https://smtp.contoso.com",), ("contoso",), ("mail.send",))
    assert profile.send == Send("notices@contoso.com", ("probe@contoso.com", "second@contoso.com"))
    assert profile.delivery == Delivery("second@contoso.com", "probe-reader", 90)
    assert profile.imap == MailboxAccess("imap.contoso.com", 1993, True)
    assert profile.pop == MailboxAccess("pop.contoso.com", 1995, True)
    assert profile.thresholds == Thresholds(1, 2, 3, 4)
    assert profile.severity == {"dmarc_missing": Severity.NOTICE}
    assert profile.waivers == (
        Waiver("dmarc_missing", "policy comes with the parent in March", dt.date(2027, 3, 31), "contoso.com"),
        Waiver("spf_missing", "not ours", dt.date(2027, 1, 31)),
    )
    assert (profile.lab, profile.proxy) == ("google", "http://proxy.contoso.com:8080")
    assert profile.dns_servers[3] == "[2001:db8::54]:5353"
    assert profile.furthest is Until.DELIVERY


def test_the_file_knows_every_limit_of_the_model(tmp_path: Path) -> None:
    limits = loaded(tmp_path, FULL).limits
    assert [getattr(limits, one.name) for one in fields(Limits)] == [
        number + 0.5 for number in range(1, len(fields(Limits)) + 1)
    ]


def test_preset_and_defaults_fill_what_the_file_leaves_out(tmp_path: Path) -> None:
    profile = loaded(tmp_path, SMALLEST)
    assert profile.smtp == Smtp("smtp.office365.com", 587, "starttls")
    assert profile.oauth.grant is GrantType.CLIENT_CREDENTIALS
    assert profile.oauth.scope == ("https://outlook.office365.com/.default",)
    assert profile.oauth.token_endpoint == (
        "https://login.microsoftonline.com/organizations/oauth2/v2.0/token"
    )
    assert profile.expect.permissions == ("SMTP.SendAsApp", "SMTP.Send")
    assert profile.expect.tid == ()
    assert profile.imap == MailboxAccess("outlook.office365.com", 993)
    assert (profile.send, profile.delivery, profile.furthest) == (None, None, Until.ENVELOPE)
    assert profile.limits == Limits()
    origins = {key: profile.origins[key] for key in ("mailbox", "smtp.host", "oauth.tenant", "limits.dns_s")}
    assert origins == {
        "mailbox": "profile",
        "smtp.host": "preset",
        "oauth.tenant": "preset",
        "limits.dns_s": "default",
    }


def test_every_setting_has_an_origin(tmp_path: Path) -> None:
    for text in (SMALLEST, CUSTOM, FULL):
        profile = loaded(tmp_path, text)
        assert set(settings_of(profile)) == set(profile.origins)
        assert set(profile.origins.values()) <= {"profile", "preset", "default"}


def test_a_tenant_that_is_an_id_is_filled_in_and_expected(tmp_path: Path) -> None:
    profile = loaded(tmp_path, f'{SMALLEST}tenant = "{TENANT}"')
    assert profile.oauth.jwks_uri == f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys"
    assert profile.expect.tid == (TENANT.lower(),)
    assert profile.origins["expect.tid"] == "profile"


def test_a_tenant_that_is_a_name_is_not_compared_with_an_id(tmp_path: Path) -> None:
    assert loaded(tmp_path, f'{SMALLEST}tenant = "contoso.onmicrosoft.com"').expect.tid == ()


@pytest.mark.parametrize("grant", ["authorization_code", "device_code", "refresh_token"])
def test_a_user_who_signs_in_gets_the_delegated_scope(grant: str, tmp_path: Path) -> None:
    scope = loaded(tmp_path, f'{SMALLEST}grant = "{grant}"').oauth.scope
    assert scope == ("https://outlook.office.com/SMTP.Send", "offline_access")


def test_a_scope_may_be_one_text(tmp_path: Path) -> None:
    profile = loaded(tmp_path, f'{SMALLEST}scope = "https://outlook.office.com/SMTP.Send offline_access"')
    assert profile.oauth.scope == ("https://outlook.office.com/SMTP.Send", "offline_access")


def test_the_presets_own_parameters_stay_beside_the_files(tmp_path: Path) -> None:
    text = SMALLEST.replace("microsoft365", "google") + 'authorize_params = { prompt = "none", hd = "a.b" }'
    params = loaded(tmp_path, text).oauth.authorize_params
    assert params == {"access_type": "offline", "prompt": "none", "hd": "a.b"}


def test_a_custom_issuer_says_where_its_metadata_is(tmp_path: Path) -> None:
    profile = loaded(tmp_path, CUSTOM)
    assert profile.oauth.discovery_uri == (
        "https://login.contoso.com/realms/mail/.well-known/openid-configuration"
    )
    assert profile.oauth.token_endpoint == ""


def test_no_client_id_is_needed_where_none_is_sent(tmp_path: Path) -> None:
    """A given access token was issued to somebody else's client; a service account's key names its own."""
    head = 'provider = "{}"\nmailbox = "alerts@contoso.com"\n[oauth]\n'
    given = 'grant = "access_token"\naccess_token = { env = "CONTOSO_TOKEN" }'
    assert loaded(tmp_path, head.format("microsoft365") + given).oauth.client_id == ""
    assert loaded(tmp_path, head.format("google_workspace") + 'grant = "jwt_bearer"').oauth.client_id == ""


def test_a_given_token_needs_no_endpoint(tmp_path: Path) -> None:
    text = CUSTOM.replace("issuer", "redirect_uri") + 'grant = "access_token"'
    assert loaded(tmp_path, text).oauth.token_endpoint == ""


@pytest.mark.parametrize(
    ("provider", "says", "expected"),
    [
        ("google", "port = 465", Smtp("smtp.gmail.com", 465, "implicit")),
        ("google", 'tls = "implicit"', Smtp("smtp.gmail.com", 465, "implicit")),
        ("google", 'host = "SMTP.gmail.com"', Smtp("SMTP.gmail.com", 587, "starttls")),
        ("google", 'port = 465\ntls = "starttls"', Smtp("smtp.gmail.com", 465, "starttls")),
        ("google", "port = 2525", Smtp("smtp.gmail.com", 2525, "starttls")),
        ("microsoft365", 'tls = "implicit"', Smtp("smtp.office365.com", 465, "implicit")),
        ("microsoft365", 'host = ""', Smtp("", 587, "starttls")),
        ("custom", 'host = "smtp.müller.example"', Smtp("smtp.xn--mller-kva.example", 587, "starttls")),
        ("custom", 'host = "smtp..ü"\nport = 465', Smtp("smtp..ü", 465, "implicit")),
    ],
)
def test_what_the_file_says_of_the_server_is_completed(
    provider: str, says: str, expected: Smtp, tmp_path: Path
) -> None:
    """Port and TLS mode come from the preset's endpoint that fits, else from each other (RFC 8314)."""
    text = (
        SMALLEST.replace("microsoft365", provider) + 'issuer = "https://login.contoso.com"\n[smtp]\n' + says
    )
    assert loaded(tmp_path, text).smtp == expected


def test_the_message_goes_from_the_mailbox_to_itself_unless_told_otherwise(tmp_path: Path) -> None:
    profile = loaded(tmp_path, f"{SMALLEST}\n[send]\n[delivery]\n")
    assert profile.send == Send("alerts@contoso.com", ("alerts@contoso.com",))
    assert profile.delivery == Delivery("alerts@contoso.com", "", 60)


def test_a_mailbox_server_of_the_files_own_gets_its_protocols_port(tmp_path: Path) -> None:
    text = f'{CUSTOM}\n[imap]\nhost = "imap.contoso.com"\n[pop]\nhost = "pop.contoso.com"\n'
    profile = loaded(tmp_path, text)
    assert (profile.imap.port, profile.pop.port) == (993, 995)


def test_without_a_mailbox_server_there_is_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, CUSTOM).imap == MailboxAccess()


def test_another_profile_may_read_the_mail_that_this_ones_server_cannot(tmp_path: Path) -> None:
    profile = loaded(tmp_path, f'{CUSTOM}\n[send]\n[delivery]\nprofile = "reader"\n')
    assert profile.delivery == Delivery("alerts@contoso.com", "reader", 60)


def test_a_provider_may_want_tokens_to_live_longer(tmp_path: Path) -> None:
    profile = loaded(tmp_path, SMALLEST.replace("microsoft365", "microsoft365_hve"))
    assert (profile.thresholds.token_life_s, profile.origins["thresholds.token_life_s"]) == (600, "preset")


def test_an_address_of_other_letters_becomes_ascii(tmp_path: Path) -> None:
    assert loaded(tmp_path, SMALLEST.replace("contoso.com", "müller.example")).mailbox == (
        "alerts@xn--mller-kva.example"
    )


def test_paths_are_relative_to_the_file_they_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir(tmp_path)
    Path("profiles").mkdir()
    text = f"""{SMALLEST}
client_secret = {{ file = "secret" }}
certificate = {{ file = "~/app.pem", passphrase = {{ file = "words" }} }}
federated = {{ file = "~nobody-of-that-name/token" }}
store = "keyring"
[tls]
ca_file = "../ca.pem"
"""
    profile = loaded(Path("profiles"), text)
    folder = tmp_path / "profiles"
    assert [ref.place for ref in profile.oauth.secrets().values()] == [
        (f"{folder}/secret",),
        ("/home/somebody/app.pem",),
        (f"{folder}/words",),
        (f"{folder}/~nobody-of-that-name/token",),
    ]
    assert (profile.ca_file, profile.oauth.store) == (f"{folder}/../ca.pem", "keyring")


def test_a_profile_takes_over_another(tmp_path: Path) -> None:
    """Table by table the child's word is the last; a secret's place is one value, not a table to be mixed."""
    written(tmp_path, 'provider = "google"\nmailbox = "a@contoso.com"\n[smtp]\nport = 465', "root")
    written(
        tmp_path,
        f"""extends = "root"\n{SMALLEST}
client_secret = {{ env = "CONTOSO_CLIENT_SECRET" }}
authorize_params = {{ prompt = "login", hd = "contoso.com" }}
[send]
to = ["probe@contoso.com", "second@contoso.com"]
[[waivers]]
code = "a"
reason = "b"
until = 2027-03-31
""",
        "base",
    )
    text = """extends = "base"
mailbox = "info@contoso.com"
waivers = []
[oauth]
client_secret = { file = "secret" }
authorize_params = { prompt = "none" }
[send]
to = ["probe@contoso.com"]
"""
    profile = loaded(tmp_path, text)
    assert (profile.provider.name, profile.mailbox, profile.smtp.port) == (
        "microsoft365",
        "info@contoso.com",
        465,
    )
    assert profile.oauth.client_secret == SecretRef("file", (f"{tmp_path}/secret",))
    assert profile.oauth.authorize_params == {"prompt": "none", "hd": "contoso.com"}
    assert profile.recipients == ("probe@contoso.com",)
    assert profile.waivers == ()


@pytest.mark.parametrize(
    ("domain", "is_users"),
    [("contoso.com", True), ("contoso.onmicrosoft.com", False), ("notonmicrosoft.com", True)],
)
def test_only_domains_of_the_users_own_are_theirs_to_mend(
    domain: str, is_users: bool, tmp_path: Path
) -> None:
    profile = loaded(tmp_path, SMALLEST.replace("contoso.com", domain))
    assert profile.sender_domains == ((domain,) if is_users else ())


# --- the profiles that come with the project ---------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "profiles").glob("demo*.toml")), ids=lambda path: path.stem)
def test_each_demonstration_runs_in_a_lab_and_sends_one_message(path: Path) -> None:
    profile = load_profile(path, load_providers())
    assert profile.lab == profile.provider.name
    assert profile.furthest in (Until.SEND, Until.DELIVERY)
    assert len(profile.recipients) == 1


@pytest.mark.parametrize(
    "path", sorted((ROOT / "profiles" / "templates").glob("*.toml")), ids=lambda path: path.stem
)
def test_each_template_is_a_profile_from_which_no_message_leaves(path: Path) -> None:
    profile = load_profile(path, load_providers())
    assert (profile.lab, profile.furthest) == ("", Until.ENVELOPE)


# --- finding them ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two profiles, one of a lab, one that takes it over, a broken one, and a template."""
    profiles = tmp_path / "profiles"
    (profiles / "templates").mkdir(parents=True)
    written(profiles, SMALLEST, "contoso")
    written(profiles, SMALLEST, "fabrikam")
    written(profiles, f'lab = "microsoft365"\n{SMALLEST}', "demo")
    written(profiles, 'extends = "demo"', "demo-too")
    written(profiles, "broken", "broken")
    written(profiles / "templates", SMALLEST, "template")
    return profiles


def names_of(paths: tuple[Path, ...]) -> list[str]:
    return [path.stem for path in paths]


def test_profiles_are_found_by_name_and_by_path_in_the_order_given(folder: Path) -> None:
    elsewhere = written(folder.parent, SMALLEST, "elsewhere")
    found = find_profiles(["fabrikam", str(elsewhere), "contoso"], folder)
    assert found == (folder / "fabrikam.toml", elsewhere, folder / "contoso.toml")


@pytest.mark.parametrize("name", ["template", "{folder}/template.toml", "{folder}/templates/template.toml"])
def test_a_template_says_that_it_is_one(name: str, folder: Path) -> None:
    """By its name, where no profile of the user's is called so, and by its path."""
    with pytest.raises(ProfileError) as caught:
        find_profiles([name.format(folder=folder)], folder)
    assert caught.value.line == (
        f"{folder}/templates/template.toml: found a template; wanted a copy with your own values, "
        f"{folder}/NAME.toml, as smtp-preflight init NAME makes it"
    )


def test_a_profile_may_be_called_as_a_template(folder: Path) -> None:
    own = written(folder, SMALLEST, "template")
    assert find_profiles(["template"], folder) == (own,)


def test_all_is_every_profile_that_is_no_labs_and_no_template(folder: Path) -> None:
    """A broken file stays among them: it gets its line instead of being passed over."""
    assert names_of(find_profiles(["all"], folder)) == ["broken", "contoso", "fabrikam"]


def test_a_profile_named_twice_is_found_once(folder: Path) -> None:
    names = ["contoso", str(folder / ".." / "profiles" / "contoso.toml"), "all"]
    assert names_of(find_profiles(names, folder)) == ["contoso", "broken", "fabrikam"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("contosso", "; did you mean contoso?"),
        ("nobody", ""),
        ("elsewhere/fabrikan.toml", "; did you mean fabrikam?"),
        ("templates", ""),
    ],
)
def test_an_unknown_name_lists_the_known_ones(name: str, hint: str, folder: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        find_profiles([name], folder)
    assert caught.value.line == (
        f"{name}: found no such profile; wanted a path to a .toml file, "
        f"or one of broken, contoso, demo, demo-too, fabrikam{hint}"
    )


def test_of_very_many_profiles_a_screenful_is_listed(tmp_path: Path) -> None:
    for number in range(40):
        written(tmp_path, SMALLEST, f"tenant{number:02}")
    with pytest.raises(ProfileError, match=r"tenant28, tenant29 and 10 more$"):
        find_profiles(["nobody"], tmp_path)


@pytest.mark.parametrize("stem", ["contoso", "Contoso"])
def test_two_files_of_one_name_are_refused(stem: str, folder: Path) -> None:
    """Both would write to the same folder of reports, on some systems whatever the case."""
    other = written(folder.parent, SMALLEST, stem)
    with pytest.raises(ProfileError) as caught:
        find_profiles(["contoso", str(other)], folder)
    assert caught.value.line == (
        f"{other}: found a second profile of this name ({folder / 'contoso.toml'}); wanted another file name"
    )


def test_a_folder_of_labs_only_has_nothing_to_check(folder: Path) -> None:
    for name in ("broken", "contoso", "fabrikam"):
        (folder / f"{name}.toml").unlink()
    with pytest.raises(ProfileError) as caught:
        find_profiles(["all"], folder)
    assert caught.value.line == (
        f"{folder}: found no profile; wanted at least one NAME.toml that is not of a lab"
    )


def test_all_refuses_a_name_that_cannot_be_a_folder_of_reports(folder: Path) -> None:
    written(folder, SMALLEST, "con toso")
    with pytest.raises(ProfileError, match=r"found the name 'con toso\.toml'"):
        find_profiles(["all"], folder)


# --- settings ----------------------------------------------------------------------------------------------

EVERY_PROFILE = sorted((ROOT / "profiles").rglob("*.toml"))


@pytest.mark.parametrize("path", EVERY_PROFILE, ids=lambda path: path.stem)
def test_a_profile_comes_back_from_its_settings(path: Path) -> None:
    profile = load_profile(path, load_providers())
    assert profile_from_settings(profile.name, by_json(settings_of(profile)), load_providers()) == profile


@pytest.mark.parametrize("seed", range(40))
def test_any_profile_comes_back_from_its_settings(seed: int, tmp_path: Path) -> None:
    """Whatever part of all keys a file gives: load, lay out, write as JSON, read, build, and be equal."""
    chance = random.Random(seed)  # noqa: S311 - the same in every run, and no secret
    profile = loaded(tmp_path, some_of(tomllib.loads(FULL), chance))
    assert profile_from_settings("contoso", by_json(settings_of(profile)), load_providers()) == profile


def some_of(content: dict[str, Any], chance: random.Random) -> str:
    """TOML with a random part of the content, and always with what no profile can do without."""
    lines = [f'provider = "microsoft365"\nmailbox = "{content["mailbox"]}"']
    tables = {key: inner for key, inner in content.items() if isinstance(inner, dict)}
    for name, inner in tables.items():
        kept = {key: value for key, value in inner.items() if key == "client_id" or chance.random() < 0.5}
        if name in ("oauth", "send") or kept:
            lines += [f"[{name}]", *(f"{key} = {as_toml(value)}" for key, value in kept.items())]
    for waiver in content["waivers"][: chance.randrange(3)]:
        lines += ["[[waivers]]", *(f"{key} = {as_toml(value)}" for key, value in waiver.items())]
    return "\n".join(lines)


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(inner)}" for key, inner in value.items()) + " }"
    return value.isoformat() if isinstance(value, dt.date) else json.dumps(value)


def test_settings_are_sorted_and_hold_references_and_dates_as_text(tmp_path: Path) -> None:
    settings = settings_of(loaded(tmp_path, FULL))
    assert list(settings) == sorted(settings)
    assert settings["provider"] == Setting("microsoft365", "profile")
    assert settings["oauth.client_secret"] == Setting("env:CONTOSO_CLIENT_SECRET", "profile")
    assert settings["oauth.service_account"].value == "keyring:'smtp preflight' 'contoso'\"'\"'s'"
    assert settings["oauth.access_token"].value == "stdin:"
    assert settings["oauth.secret_expires"].value == "2027-03-31"
    assert settings["oauth.grant"].value == "authorization_code"
    assert type(settings["oauth.grant"].value) is str
    assert settings["send.to"].value == ["probe@contoso.com", "second@contoso.com"]
    assert settings["severity"].value == {"dmarc_missing": "notice"}
    assert settings["waivers"].value[1] == {
        "code": "spf_missing",
        "reason": "not ours",
        "until": "2027-01-31",
        "subject": "",
    }


def test_a_profile_in_a_lab_comes_back_with_what_its_file_says(tmp_path: Path) -> None:
    """What the lab replaced, added and took away is told apart again."""
    profile = loaded(tmp_path, f"{SMALLEST}\n[imap]\nhost = 'imap.contoso.com'")
    overlay = replace(
        profile,
        smtp=replace(profile.smtp, host="localhost", port=40025),
        dns_servers=("127.0.0.1:40053",),
        imap=MailboxAccess(),
        oauth=replace(profile.oauth, client_secret=SecretRef("lab", ("client_secret",))),
        written=profile,
    )
    lab = dict.fromkeys(("smtp.host", "smtp.port", "dns.servers", "oauth.client_secret"), "lab")
    gone = ("imap.host", "imap.port")
    origins = {key: origin for key, origin in {**profile.origins, **lab}.items() if key not in gone}
    overlay = replace(overlay, origins={**origins, "imap.port": "profile"})

    settings = settings_of(overlay)
    assert settings["smtp.host"] == Setting("localhost", "lab")
    assert settings["written.smtp.host"] == Setting("smtp.office365.com", "preset")
    assert settings["written.dns.servers"] == Setting(None, "default")
    assert settings["written.imap.host"] == Setting("imap.contoso.com", "profile")
    assert "written.mailbox" not in settings

    back = profile_from_settings("contoso", by_json(settings), load_providers())
    assert back == overlay
    assert back.written == profile
    assert back.as_written.smtp.host == "smtp.office365.com"


def test_a_setting_of_a_newer_version_is_passed_over(tmp_path: Path) -> None:
    profile = loaded(tmp_path, SMALLEST)
    newer = {**settings_of(profile), "smtp.flavour": Setting("mint", "default")}
    back = profile_from_settings("contoso", newer, load_providers())
    assert replace(back, origins=profile.origins) == profile


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("provider", "nobody", "contoso: provider: found 'nobody'; wanted one of aol, custom"),
        (
            "smtp.port",
            "many",
            "contoso: smtp.port: found an unreadable setting; wanted one as a run writes it",
        ),
        ("waivers", [{"code": 1}], "contoso: waivers[0].code: found an unreadable setting"),
        ("oauth.client_secret", 5, None),
        ("oauth.federated", "command:it's", None),
    ],
)
def test_settings_that_somebody_has_changed_are_refused_or_read(
    key: str, value: object, line: str | None, tmp_path: Path
) -> None:
    settings = {**settings_of(loaded(tmp_path, SMALLEST)), key: Setting(value, "profile")}
    if line is None:
        assert profile_from_settings("contoso", settings, load_providers()).oauth.secrets()
    else:
        with pytest.raises(ProfileError) as caught:
            profile_from_settings("contoso", settings, load_providers())
        assert caught.value.line.startswith(line)


def test_an_empty_host_survives_too(tmp_path: Path) -> None:
    profile = loaded(tmp_path, f'{SMALLEST}\n[smtp]\nhost = ""')
    assert profile_from_settings("contoso", settings_of(profile), load_providers()) == profile
