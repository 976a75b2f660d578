"""``profiles/NAME.toml`` over a provider's preset over the defaults: a ``Profile``, and its settings.

What cannot be read as a profile is a ``ProfileError`` of one line: file, key, what was found, what would be
right. What can be read but will not work is none of this module's business: stage profile finds it.
"""

from __future__ import annotations

import datetime as dt
import difflib
import ipaddress
import re
import shlex
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from smtp_preflight.model import (
    Delivery,
    Endpoint,
    Expect,
    GrantType,
    Limits,
    MailboxAccess,
    OAuth,
    Profile,
    Provider,
    SecretRef,
    Send,
    Setting,
    Severity,
    Smtp,
    Thresholds,
    Waiver,
    short,
)

STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What a profile may be called: its name becomes a folder of reports and a part of test ids."""

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)*")
_CODE = re.compile(r"[a-z][a-z0-9_]*")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACE_IN_TOML = re.compile(r"(.*) \(at (line \d+, column \d+|end of document)\)")

_SECRETS = ("client_secret", "certificate", "federated", "service_account", "refresh_token", "access_token")
_ATOMS = frozenset({*_SECRETS, "on_rotation"})  # tables that are one value: a child's replaces its base's
_DELEGATED = (GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE, GrantType.REFRESH_TOKEN)
_MOST_BYTES = 256 * 1024
_LONGEST_S = 3600

Loc = tuple[str | int, ...]
"""Where a value stands in a file: keys, and places in lists."""

T = TypeVar("T")


class ProfileError(Exception):
    """A profile that cannot be read, in one line."""

    def __init__(self, file: str, key: str, found: str, wanted: str, *, line: str = "") -> None:
        self.file = file
        self.key = key
        self.found = found
        self.wanted = wanted
        where = f"{file}: {key}" if key else file
        self.line = line or f"{where}: found {found}; wanted {wanted}"
        super().__init__(self.line)


# --- providers ---------------------------------------------------------------------------------------------


@cache
def load_providers() -> Mapping[str, Provider]:
    """Read the packaged presets, by name, in the order of the names."""
    folder = resources.files("smtp_preflight") / "providers"
    texts = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".toml")}
    names = sorted(name.removesuffix(".toml") for name in texts)
    return {name: _provider(name, tomllib.loads(texts[f"{name}.toml"])) for name in names}


def _provider(name: str, content: Mapping[str, Any]) -> Provider:
    """Turn a preset's file into a Provider; when its facts were verified is for the file's readers only."""
    known = {key: value for key, value in content.items() if key not in ("verified", "unverified")}
    known["oauth"] = _flat_templates(content.get("oauth", {}))
    known["scope"] = _scope_by_grant(content.get("scope", {}))
    return TypeAdapter(Provider).validate_python({**known, "name": name})


def _flat_templates(oauth: Mapping[str, Any]) -> dict[str, str]:
    """Endpoint templates by key; parameters of the authorization request as ``authorize_params.NAME``."""
    params = oauth.get("authorize_params", {})
    endpoints = {key: value for key, value in oauth.items() if key != "authorize_params"}
    return {**endpoints, **{f"authorize_params.{key}": value for key, value in params.items()}}


def _scope_by_grant(scope: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """A preset's ``delegated`` scope stands for the three grants in which a user signs in."""
    shared = {grant.value: scope["delegated"] for grant in _DELEGATED if "delegated" in scope}
    return {**shared, **{grant: words for grant, words in scope.items() if grant != "delegated"}}


# --- what a value may be -----------------------------------------------------------------------------------


def _wrong(found: str, wanted: str) -> PydanticCustomError:
    """Refuse a value; the words travel beside the message, because pydantic would fill in its braces."""
    return PydanticCustomError("profile", "wrong", {"found": found, "wanted": wanted})


def _secret_ref(value: object, info: ValidationInfo) -> SecretRef:
    """Read ``{ env = "NAME" }`` and its kin; what else stands there may be the secret, and is not shown."""
    variable = re.sub("[^A-Z0-9_]", "_", f"{info.context}_{info.field_name}".upper())
    example = f'{{ env = "{variable}" }}'
    if not isinstance(value, dict):
        where = f"where it is kept, such as {example}, for profiles are shared and committed"
        raise _wrong("the secret itself (not shown)", where)
    kinds = [kind for kind in _PLACES if kind != "stdin" or info.field_name == "access_token"]
    if len(value) != 1:
        raise _wrong(f"{len(value) or 'no'} places", f"one of {', '.join(kinds)}, such as {example}")
    ((kind, place),) = value.items()
    if kind not in kinds:
        raise _wrong(f"the place {_quoted(kind)}", f"one of {', '.join(kinds)}, such as {example}")
    read, wanted = _PLACES[kind]
    if (words := read(place)) is None:
        raise _wrong(f"something else after {kind} (not shown)", wanted)
    return SecretRef(kind, words)


def _variable(place: object) -> tuple[str, ...] | None:
    return (place,) if isinstance(place, str) and _VARIABLE.fullmatch(place) else None


def _path(place: object) -> tuple[str, ...] | None:
    return (place,) if isinstance(place, str) and place else None


def _command(place: object) -> tuple[str, ...] | None:
    """Read a list of words, at least one, the first not empty."""
    if not isinstance(place, list) or not all(isinstance(word, str) for word in place):
        return None
    return tuple(place) if place and place[0] else None


def _service_and_user(place: object) -> tuple[str, ...] | None:
    words = _command(place)
    return words if words and len(words) == 2 else None


def _standard_input(place: object) -> tuple[str, ...] | None:
    return () if place is True else None


_PLACES: Mapping[str, tuple[Callable[[object], tuple[str, ...] | None], str]] = {
    "env": (_variable, 'the name of an environment variable, such as { env = "CONTOSO_CLIENT_SECRET" }'),
    "file": (_path, 'a path, such as { file = "~/secrets/contoso" }'),
    "command": (_command, 'a list of words, such as { command = ["op", "read", "op://mail/contoso"] }'),
    "keyring": (_service_and_user, 'service and user, such as { keyring = ["smtp-preflight", "contoso"] }'),
    "stdin": (_standard_input, "{ stdin = true }"),
}


def _rotation_command(value: object) -> tuple[str, ...]:
    """Read ``{ command = [...] }``."""
    words = _command(value["command"]) if isinstance(value, dict) and list(value) == ["command"] else None
    if words is None:
        raise _wrong("something else (not shown)", 'a command, such as { command = ["keep-token"] }')
    return words


def _address(value: str) -> str:
    """Accept one mail address; a domain of other letters becomes its A-label form."""
    local, _, domain = value.rpartition("@")
    ascii_value = f"{local}@{_ascii(domain)}"
    if not _ADDRESS.fullmatch(ascii_value):
        raise _wrong(_quoted(value), "one mail address, such as alerts@contoso.com")
    return ascii_value


def _ascii(host: str) -> str:
    """Return a host in A-labels (RFC 5890); what cannot be one stays as it is, for stage profile to find."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _https_url(value: str) -> str:
    """Accept an https URL without credentials: secrets are sent to it, and only over TLS."""
    if not _is_url(value, "https"):
        raise _wrong(_url_shown(value), "https:// and a host, without user and password")
    return value


def _proxy_url(value: str) -> str:
    if not _is_url(value, "http", "https"):
        raise _wrong(_url_shown(value), "http:// or https:// and a host, without user and password")
    return value


def _is_url(value: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(value)
        has_place = bool(parts.hostname) and parts.port != 0  # reading a port out of range raises
    except ValueError:
        return False
    return has_place and parts.scheme in schemes and "@" not in parts.netloc and " " not in value


def _url_shown(value: str) -> str:
    return "a URL with a user in it (not shown)" if "@" in value else _quoted(value)


def _name_server(value: str) -> str:
    """Accept ``address`` or ``address:port`` (an IPv6 address with a port in brackets)."""
    split = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?", value) or re.fullmatch(r"([^:]+):(\d{1,5})", value)
    address, port = split.groups() if split else (value, None)
    try:
        ipaddress.ip_address(address)
        usable = port is None or 1 <= int(port) <= 65535
    except ValueError:
        usable = False
    if not usable:
        raise _wrong(_quoted(value), "an address or address:port, such as 192.0.2.53 or [2001:db8::53]:5353")
    return value


def _distinct(values: list[str]) -> list[str]:
    """Accept each address once: a check and its finding are known by it."""
    folded = [value.lower() for value in values]
    for value in folded:
        if folded.count(value) > 1:
            raise _wrong(f"{_quoted(value)} twice", "each recipient once")
    return values


def _public_params(value: dict[str, str]) -> dict[str, str]:
    """Accept what a browser's address bar may show."""
    for key in value:
        if key in _SECRETS or "password" in key:
            raise _wrong(f"a secret under {key} (not shown)", "parameters that anybody may see")
    return value


def _words(value: object) -> object:
    """A scope may be written as RFC 6749 section 3.3 sends it: words in one text."""
    return value.split() if isinstance(value, str) else value


def _code(value: str) -> str:
    if not _CODE.fullmatch(value):
        raise _wrong(_quoted(value), "a code in snake_case, such as dmarc_missing")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise _wrong("an empty text", "at least one word")
    return value


def _stem(value: str) -> str:
    if not STEM.fullmatch(value):
        raise _wrong(_quoted(value), "the name of a profile, such as contoso")
    return value


_Address = Annotated[str, AfterValidator(_address)]
_Host = Annotated[str, AfterValidator(_ascii)]
_Https = Annotated[str, AfterValidator(_https_url)]
_Port = Annotated[int, Field(ge=1, le=65535)]
_Seconds = Annotated[float, Field(gt=0, le=_LONGEST_S)]
_Count = Annotated[int, Field(ge=0, le=36500)]
_Code = Annotated[str, AfterValidator(_code)]
_Text = Annotated[str, AfterValidator(_not_blank)]
_Stem = Annotated[str, AfterValidator(_stem)]
_Ref = Annotated[SecretRef, BeforeValidator(_secret_ref)]


# --- what a file may say (product.md section 4) ------------------------------------------------------------


class _Table(BaseModel):
    """A table of the file; a key that is not given is None, and is filled from preset and defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _SmtpTable(_Table):
    host: _Host | None = None
    port: _Port | None = None
    tls: Literal["starttls", "implicit"] | None = None
    ehlo_name: str | None = None
    mechanism: Literal["xoauth2", "oauthbearer"] | None = None


class _DnsTable(_Table):
    servers: list[Annotated[str, AfterValidator(_name_server)]] = []


class _TlsTable(_Table):
    ca_file: _Text | None = None


class _HttpTable(_Table):
    proxy: Annotated[str, AfterValidator(_proxy_url)] | None = None


class _OAuthTable(_Table):
    tenant: str | None = None
    client_id: str | None = None
    client_type: Literal["confidential", "public"] | None = None
    client_auth: Literal["post", "basic"] | None = None
    grant: Annotated[GrantType, Field(strict=False)] | None = None
    scope: Annotated[list[str], BeforeValidator(_words)] | None = None
    issuer: _Https | None = None
    authorize_endpoint: _Https | None = None
    token_endpoint: _Https | None = None
    device_endpoint: _Https | None = None
    jwks_uri: _Https | None = None
    authorize_params: Annotated[dict[str, str], AfterValidator(_public_params)] | None = None
    redirect_uri: str | None = None
    client_secret: _Ref | None = None
    certificate: _Ref | None = None
    federated: _Ref | None = None
    service_account: _Ref | None = None
    refresh_token: _Ref | None = None
    access_token: _Ref | None = None
    secret_expires: dt.date | None = None
    app_permission: Literal["role", "rbac"] | None = None
    store: _Text | None = None
    on_rotation: Annotated[tuple[str, ...], BeforeValidator(_rotation_command)] | None = None


class _ExpectTable(_Table):
    aud: list[str] | None = None
    tid: list[str] | None = None
    permissions: list[str] | None = None


class _SendTable(_Table):
    sender: _Address | None = None
    to: Annotated[list[_Address], Field(min_length=1, max_length=100), AfterValidator(_distinct)] | None = (
        None
    )


class _DeliveryTable(_Table):
    mailbox: _Address | None = None
    profile: _Stem | None = None
    within_s: _Seconds | None = None


class _AccessTable(_Table):
    host: _Host | None = None
    port: _Port | None = None
    check: bool | None = None


class _LimitsTable(_Table):
    dns_s: _Seconds | None = None
    tcp_s: _Seconds | None = None
    greeting_s: _Seconds | None = None
    reply_s: _Seconds | None = None
    tls_s: _Seconds | None = None
    data_s: _Seconds | None = None
    http_s: _Seconds | None = None
    run_s: _Seconds | None = None
    dns_slow_s: _Seconds | None = None
    tcp_slow_s: _Seconds | None = None
    greeting_slow_s: _Seconds | None = None
    reply_slow_s: _Seconds | None = None
    tls_slow_s: _Seconds | None = None
    data_slow_s: _Seconds | None = None
    http_slow_s: _Seconds | None = None


class _ThresholdsTable(_Table):
    certificate_days: _Count | None = None
    secret_days: _Count | None = None
    refresh_token_days: _Count | None = None
    token_life_s: _Count | None = None


class _WaiverTable(_Table):
    code: _Code
    subject: str = ""
    reason: _Text
    until: dt.date


class _File(_Table):
    """A whole profile file, its bases merged into it."""

    provider: str
    mailbox: _Address
    lab: str | None = None
    extends: _Stem | None = None
    smtp: _SmtpTable = _SmtpTable()
    dns: _DnsTable = _DnsTable()
    tls: _TlsTable = _TlsTable()
    http: _HttpTable = _HttpTable()
    oauth: _OAuthTable = _OAuthTable()
    expect: _ExpectTable = _ExpectTable()
    send: _SendTable | None = None
    delivery: _DeliveryTable | None = None
    imap: _AccessTable = _AccessTable()
    pop: _AccessTable = _AccessTable()
    limits: _LimitsTable = _LimitsTable()
    thresholds: _ThresholdsTable = _ThresholdsTable()
    severity: dict[_Code, Annotated[Severity, Field(strict=False)]] = {}
    waivers: list[_WaiverTable] = []


_TABLES: Mapping[str, type[_Table]] = {
    "smtp": _SmtpTable,
    "dns": _DnsTable,
    "tls": _TlsTable,
    "http": _HttpTable,
    "oauth": _OAuthTable,
    "expect": _ExpectTable,
    "send": _SendTable,
    "delivery": _DeliveryTable,
    "imap": _AccessTable,
    "pop": _AccessTable,
    "limits": _LimitsTable,
    "thresholds": _ThresholdsTable,
    "waivers": _WaiverTable,
}


# --- reading files -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Document:
    """One TOML file as read."""

    path: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class _Chain:
    """A profile's file and the files it extends, the nearest first."""

    documents: tuple[_Document, ...]

    def error(self, loc: Loc, found: str, wanted: str, *, words: str = "") -> ProfileError:
        """Say what is wrong at a key, naming the file that has it: the profile's own where none has."""
        holding = (one for one in self.documents if _holds(one.content, loc))
        file = str(next(holding, self.documents[0]).path)
        return ProfileError(file, _dotted(loc), found, wanted, line=f"{file}: {words}" if words else "")

    def merged(self) -> dict[str, Any]:
        """What all files say together, the nearer file's word before the farther one's."""
        content: dict[str, Any] = {}
        for document in reversed(self.documents):
            content = _merged(content, document.content)
        return content


def _holds(content: Any, loc: Loc) -> bool:
    for part in loc:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _merged(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in child.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and key not in _ATOMS
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _read(path: Path) -> _Chain:
    """Read a profile and what it extends, base by base.

    Raises ProfileError for the first file that cannot be read, and for a circle.
    """
    documents = [_document(path)]
    while isinstance(base := documents[-1].content.get("extends"), str):
        documents.append(_base(base, documents))
    return _Chain(tuple(documents))


def _base(base: str, documents: Sequence[_Document]) -> _Document:
    chain = _Chain((documents[-1],))
    path = documents[-1].path.parent / f"{base}.toml"
    if not STEM.fullmatch(base) or not path.is_file():
        known = [name for name in _names_in(documents[-1].path.parent) if name != documents[-1].path.stem]
        raise chain.error(("extends",), _quoted(base), _one_of(known, base))
    if path in [one.path for one in documents]:
        names = " → ".join([*(one.path.stem for one in documents), base])
        raise chain.error(("extends",), f"a circle ({names})", "a profile that does not lead back here")
    return _document(path)


def _document(path: Path) -> _Document:
    content = _toml(path)
    for loc in _with_control_characters(content):
        raise _Chain((_Document(path, content),)).error(loc, "a control character", "text of one line")
    return _Document(path, _with_absolute_paths(content, path.parent))


def _toml(path: Path) -> dict[str, Any]:
    """Read TOML of a reasonable size; raises ProfileError with the place of what is wrong."""

    def error(found: str, wanted: str) -> ProfileError:
        return ProfileError(str(path), "", found, wanted)

    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise error(f"more than {_MOST_BYTES // 1024} KiB", "a profile")
        return tomllib.loads(content.decode("utf-8"))
    except OSError as problem:
        raise error(f"a file that cannot be read ({problem.strerror})", "a readable file") from None
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise error(f"bytes in line {line} that are not UTF-8", "a file saved as UTF-8") from None
    except tomllib.TOMLDecodeError as problem:
        place = _PLACE_IN_TOML.fullmatch(str(problem))
        where = f"at {place[2]} ({place[1]})" if place else f"({problem})"
        raise error(f"broken TOML {where}", "TOML, in which text stands in quotes") from None
    except (RecursionError, ValueError):  # too deep, or a number of thousands of digits
        raise error("TOML beyond all measure", "a profile") from None


def _with_control_characters(value: Any, loc: Loc = ()) -> Iterator[Loc]:
    """Find texts that would break out of one line of a report, a terminal or a protocol."""
    if isinstance(value, str) and any(unicodedata.category(one) in ("Cc", "Zl", "Zp") for one in value):
        yield loc
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _with_control_characters(key, (*loc, key))
            yield from _with_control_characters(inner, (*loc, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _with_control_characters(inner, (*loc, place))


def _with_absolute_paths(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make relative paths relative to the file they stand in, before another file takes them over."""

    def with_path(key: str, value: Any) -> Any:
        if key == "ca_file" or (key == "store" and value != "keyring"):
            return _absolute(value, folder)
        if key in _SECRETS and isinstance(value, dict) and "file" in value:
            return {**value, "file": _absolute(value["file"], folder)}
        return value

    def with_paths(table: dict[str, Any]) -> dict[str, Any]:
        return {key: with_path(key, value) for key, value in table.items()}

    tables = {key: content[key] for key in ("oauth", "tls") if isinstance(content.get(key), dict)}
    return {**content, **{key: with_paths(table) for key, table in tables.items()}}


def _absolute(value: Any, folder: Path) -> Any:
    """Return a path of the file as an absolute one; what is no path yet is left to be refused."""
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        return str(folder.absolute() / Path(value).expanduser())
    except RuntimeError:  # somebody's home that this machine does not know
        return str(folder.absolute() / value)


def _parsed(chain: _Chain, name: str) -> _File:
    try:
        return _File.model_validate(chain.merged(), context=name)
    except ValidationError as problem:
        errors = problem.errors(include_url=False)
        # A misspelt key is often the reason for what is missing elsewhere.
        raise _error(chain, min(errors, key=lambda error: error["type"] != "extra_forbidden")) from None


# --- what is wrong with a file -----------------------------------------------------------------------------

_MISSING: Mapping[str | int, str] = {
    "provider": "the name of a mail provider, such as microsoft365",
    "mailbox": "the mail address that signs in, such as alerts@contoso.com",
    "code": "the code that is waived, such as dmarc_missing",
    "reason": "the reason for the waiver",
    "until": "the waiver's last day, such as 2027-03-31",
}

_ALSO_CALLED: Mapping[str, str] = {
    "gmail": "google",
    "hotmail": "outlook_personal",
    "office365": "microsoft365",
    "m365": "microsoft365",
    "outlook": "outlook_personal",
}

_WANTED: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "date_type": "a date without quotes, such as 2027-03-31",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "too_short": "at least one",
    "too_long": "at most {max_length}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "at most {le:g}",
}


def _error(chain: _Chain, error: ErrorDetails) -> ProfileError:
    """Turn what pydantic says of a value into our one line."""
    loc = tuple(part for part in error["loc"] if part != "[key]")  # pydantic's mark of a dictionary's key
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(chain, loc)
    if kind == "profile":
        return chain.error(loc, context["found"], context["wanted"])
    if kind == "missing":
        return chain.error(loc, "nothing", _MISSING[loc[-1]])
    if "expected" in context:
        context["expected"] = context["expected"].replace(" or ", ", ").replace("'", "")
    return chain.error(loc, _shown(error["input"]), _WANTED[kind].format(**context))


def _unknown_key(chain: _Chain, loc: Loc) -> ProfileError:
    key = str(loc[-1])
    known = list((_TABLES[str(loc[0])] if len(loc) > 1 else _File).model_fields)
    near = difflib.get_close_matches(key, known, 1) or _elsewhere(key)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
    return chain.error(loc, "an unknown key", hint, words=f"unknown key `{_dotted(loc)}`; {hint}")


def _elsewhere(key: str) -> list[str]:
    """The tables in which such a key would be known."""
    return [f"{table}.{key}" for table, model in _TABLES.items() if key in model.model_fields]


def _dotted(loc: Loc) -> str:
    """Write a place as the reader would: ``waivers[0].until``."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[\w-]+", part) else _quoted(part))
    return text


def _quoted(value: str) -> str:
    return repr(short(value, 60))


def _shown(value: object) -> str:
    """Name a value of the wrong kind in few words."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _quoted(value)
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
        case int() if abs(value) > 10**18:
            return "an enormous number"
        case _:
            return str(value)


def _one_of(words: Sequence[str], word: str = "") -> str:
    """List what is known, a screenful at most, and which of it comes nearest to the word."""
    near = [_ALSO_CALLED[word]] if word in _ALSO_CALLED else difflib.get_close_matches(word, words, 1)
    listed = ", ".join(words[:30]) + (f" and {len(words) - 30} more" if len(words) > 30 else "")
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"one of {listed}{hint}" if words else "one that exists"


def _names_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.toml"))


# --- putting a profile together ----------------------------------------------------------------------------


def load_profile(path: Path, providers: Mapping[str, Provider]) -> Profile:
    """Read a profile; relative paths in it are taken from its folder.

    Raises ProfileError for what cannot be read as a profile, by the first thing that is wrong.
    """
    _check_stem(path)
    chain = _read(path)
    file = _parsed(chain, path.stem)
    for key, name in (("provider", file.provider), ("lab", file.lab)):
        if name is not None and name not in providers:
            raise chain.error((key,), _quoted(name), _one_of(list(providers), name))
    provider = providers[file.provider]
    _check_required(chain, file, provider)
    return _Assembly(file, provider).profile(path.stem)


def _check_stem(path: Path) -> None:
    if not STEM.fullmatch(path.stem) or path.suffix != ".toml":
        raise ProfileError(str(path), "", f"the name {_quoted(path.name)}", "one such as contoso.toml")


def _check_required(chain: _Chain, file: _File, provider: Provider) -> None:
    """Refuse what lacks a key without which there is nothing to ask."""
    for loc, wanted in _lacking(file, provider):
        raise chain.error(loc, "nothing", wanted)


def _lacking(file: _File, provider: Provider) -> Iterator[tuple[Loc, str]]:
    oauth, nothing_preset = file.oauth, f", as provider {provider.name} has no preset for it"
    if not provider.endpoints and not file.smtp.host:
        yield ("smtp", "host"), f"the mail server{nothing_preset}"
    # A service account's key names its client; a given access token needs none.
    if not oauth.client_id and oauth.grant not in (GrantType.ACCESS_TOKEN, GrantType.JWT_BEARER):
        yield ("oauth", "client_id"), "the application's client id"
    token_endpoint = oauth.token_endpoint or oauth.issuer or provider.oauth.get("token_endpoint")
    if not token_endpoint and oauth.grant is not GrantType.ACCESS_TOKEN:
        yield ("oauth", "token_endpoint"), f"this or oauth.issuer{nothing_preset}"
    if file.delivery and not file.send:
        yield ("send",), "this table, for without it no message leaves that [delivery] could look for"
    read_here = file.delivery and not file.delivery.profile
    if not provider.imap and not file.imap.host and (file.imap.check or read_here):
        yield ("imap", "host"), f"the IMAP server{nothing_preset}"
    if not provider.pop and not file.pop.host and file.pop.check:
        yield ("pop", "host"), f"the POP server{nothing_preset}"


class _Assembly:
    """One profile being put together: each value from the file, else the preset, else the default."""

    def __init__(self, file: _File, provider: Provider) -> None:
        self.file = file
        self.provider = provider
        self.origins = dict.fromkeys(("provider", *_PLAIN_KEYS), "profile")

    def profile(self, name: str) -> Profile:
        """Put all sections together, and note where each of their values came from."""
        file, provider = self.file, self.provider
        oauth, send = self.oauth(), self.send()
        profile = Profile(
            name=name,
            provider=provider,
            mailbox=file.mailbox,
            smtp=self.smtp(),
            oauth=oauth,
            expect=self.expect(oauth),
            send=send,
            delivery=self.delivery(send),
            imap=self.access("imap", file.imap, provider.imap, 993),
            pop=self.access("pop", file.pop, provider.pop, 995),
            dns_servers=tuple(file.dns.servers),
            ca_file=file.tls.ca_file or "",
            proxy=file.http.proxy or "",
            lab=file.lab or "",
            limits=self.section("limits", Limits(), file.limits),
            thresholds=self.thresholds(),
            severity=file.severity,
            waivers=tuple(Waiver(one.code, one.reason, one.until, one.subject) for one in file.waivers),
        )
        return replace(profile, origins={key: self.origins.get(key, "default") for key in _flat(profile)})

    def section(self, name: str, default: T, table: _Table, preset: Mapping[str, Any] | None = None) -> T:
        """Fill a section: what the table gives, then the preset, then the default's own values."""
        given = {key: value for key, value in table if value is not None}
        values = {**(preset or {}), **given}
        self.origins |= {f"{name}.{key}": "profile" if key in given else "preset" for key in values}
        plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return replace(default, **plain)  # type: ignore[type-var]  # T is one of the model's dataclasses

    def smtp(self) -> Smtp:
        """Host, port and TLS mode: those of the first preset endpoint that fits what the file says."""
        table, endpoints = self.file.smtp, self.provider.endpoints
        if endpoint := next((one for one in endpoints if _fits(one, table)), None):
            preset = {"host": endpoint.host, "port": endpoint.port, "tls": endpoint.tls}
            return self.section("smtp", Smtp(""), table, preset)
        # Port 465 speaks TLS from the first byte (RFC 8314 section 3.3).
        port = table.port or (465 if table.tls == "implicit" else 587)
        default = Smtp("", port, "implicit" if port == 465 else "starttls")
        return self.section("smtp", default, table, {"host": endpoints[0].host} if endpoints else {})

    def oauth(self) -> OAuth:
        """The application and its endpoints, the preset's templates filled in with the tenant."""
        table, provider = self.file.oauth, self.provider
        grant = table.grant or GrantType(next(iter(provider.grants), GrantType.CLIENT_CREDENTIALS))
        tenant = table.tenant or provider.default_tenant
        filled = {key: text.replace("{tenant}", tenant) for key, text in provider.oauth.items()}
        params = {key.partition(".")[2]: text for key, text in filled.items() if "." in key}
        preset: dict[str, Any] = {key: text for key, text in filled.items() if "." not in key}
        if table.issuer:
            # OpenID Connect Discovery section 4: the place of the metadata follows from the issuer.
            preset["discovery_uri"] = f"{table.issuer.rstrip('/')}/.well-known/openid-configuration"
        preset |= {"grant": grant, "tenant": tenant, "scope": provider.scope.get(grant, ())}
        preset |= {"authorize_params": params}
        oauth = self.section("oauth", OAuth(), table, preset)
        return replace(oauth, authorize_params={**params, **oauth.authorize_params})

    def expect(self, oauth: OAuth) -> Expect:
        """What the token has to say: the preset's words, and the tenant where the profile knows its id."""
        preset = {"aud": self.provider.aud, "permissions": self.provider.permissions}
        expect = self.section("expect", Expect(), self.file.expect, preset)
        if expect.tid or not _GUID.fullmatch(oauth.tenant):
            return expect
        self.origins["expect.tid"] = self.origins["oauth.tenant"]
        return replace(expect, tid=(oauth.tenant.lower(),))

    def send(self) -> Send | None:
        """The one message; from the mailbox to itself unless the file says otherwise."""
        mailbox = self.file.mailbox
        return self.section("send", Send(mailbox, (mailbox,)), self.file.send) if self.file.send else None

    def delivery(self, send: Send | None) -> Delivery | None:
        """Where the message is looked for: at its first recipient unless the file says otherwise."""
        if not self.file.delivery or not send:
            return None
        return self.section("delivery", Delivery(send.to[0]), self.file.delivery)

    def access(self, name: str, table: _AccessTable, endpoint: Endpoint | None, port: int) -> MailboxAccess:
        """Where the mailbox can be read; ``port`` is the protocol's own, for a host of the file's."""
        if endpoint and not table.host:
            return self.section(name, MailboxAccess(), table, {"host": endpoint.host, "port": endpoint.port})
        return self.section(name, MailboxAccess(port=port if table.host else 0), table)

    def thresholds(self) -> Thresholds:
        """How near an end may come; a provider may want tokens to live longer than most do."""
        preset = {"token_life_s": self.provider.token_life_s} if self.provider.token_life_s else {}
        return self.section("thresholds", Thresholds(), self.file.thresholds, preset)


def _fits(endpoint: Endpoint, table: _SmtpTable) -> bool:
    """Whether the file contradicts nothing of this endpoint."""
    same_host = table.host is None or table.host.lower() == endpoint.host
    return same_host and table.port in (None, endpoint.port) and table.tls in (None, endpoint.tls)


# --- finding files -----------------------------------------------------------------------------------------


def find_profiles(names: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """Find the files of profiles given by name, by path to a ``.toml``, or all together by ``all``.

    ``all`` leaves out the profiles of a lab, and never looks into sub-folders (templates).
    Raises ProfileError for an unknown name, and for two files of one stem: their reports would collide.
    """
    found: dict[str, Path] = {}
    for path in (path for name in names for path in _files_named(name, folder)):
        # Reports go to a folder of that name, and file systems exist that do not tell case apart.
        other = found.setdefault(path.stem.casefold(), path)
        if other.resolve() != path.resolve():
            raise ProfileError(str(path), "", f"a second profile of this name ({other})", "another file name")
    return tuple(found.values())


def _files_named(name: str, folder: Path) -> list[Path]:
    if name == "all":
        return _files_of_all(folder)
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.is_file():
        wanted = f"a path to a .toml file, or {_one_of(_names_in(folder), Path(name).stem)}"
        raise ProfileError(short(name, 60), "", "no such profile", wanted)
    _check_stem(path)
    return [path]


def _files_of_all(folder: Path) -> list[Path]:
    files = [path for path in sorted(folder.glob("*.toml")) if not _is_of_a_lab(path)]
    for path in files:
        _check_stem(path)
    if not files:
        raise ProfileError(str(folder), "", "no profile", "at least one NAME.toml that is not of a lab")
    return files


def _is_of_a_lab(path: Path) -> bool:
    """Whether a file or one it extends names a lab; a broken one is kept, so that somebody hears of it."""
    try:
        return bool(_read(path).merged().get("lab"))
    except ProfileError:
        return False


# --- settings: a profile as reports carry it ---------------------------------------------------------------

_SECTIONS = ("smtp", "oauth", "expect", "send", "delivery", "imap", "pop", "limits", "thresholds")
_PLAIN_KEYS = {
    "mailbox": "mailbox",
    "lab": "lab",
    "dns.servers": "dns_servers",
    "tls.ca_file": "ca_file",
    "http.proxy": "proxy",
    "severity": "severity",
    "waivers": "waivers",
}
_OF_WORDS = ("command", "keyring")  # references of several words, shown as a shell would read them
_WRITTEN = "written."


def settings_of(profile: Profile) -> dict[str, Setting]:
    """Lay a profile out as one value per dotted key, sorted; an empty value is left out.

    Of a profile that a lab has taken over, what its file says stands under ``written.…`` where it differs
    (null: the file says nothing of it).
    """
    settings = _settings(profile)
    if profile.written:
        written = _settings(profile.written)
        changed = [key for key in {*settings, *written} if settings.get(key) != written.get(key)]
        settings |= {f"{_WRITTEN}{key}": written.get(key, Setting(None, "default")) for key in changed}
    return dict(sorted(settings.items()))


def _settings(profile: Profile) -> dict[str, Setting]:
    return {key: Setting(value, profile.origins.get(key, "default")) for key, value in _flat(profile).items()}


def _flat(profile: Profile) -> dict[str, Any]:
    """Every value that is not empty, as JSON can hold it."""
    values: dict[str, Any] = {"provider": profile.provider.name}
    values |= {key: getattr(profile, attribute) for key, attribute in _PLAIN_KEYS.items()}
    for name in _SECTIONS:
        if section := getattr(profile, name):
            values |= {f"{name}.{one.name}": getattr(section, one.name) for one in fields(section)}
    return {key: _plain(value) for key, value in values.items() if value not in (None, "", (), {})}


def _plain(value: Any) -> Any:
    match value:
        case SecretRef():
            return f"{value.kind}:{(shlex.join if value.kind in _OF_WORDS else ''.join)(value.place)}"
        case Waiver():
            return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        case dt.date():
            return value.isoformat()
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case tuple():
            return [_plain(inner) for inner in value]
        case str():
            return str(value)  # a StrEnum becomes plain text
        case _:
            return value


def profile_from_settings(
    name: str, settings: Mapping[str, Setting], providers: Mapping[str, Provider]
) -> Profile:
    """Build the profile that ``settings_of`` has laid out; keys of a newer version are passed over.

    Raises ProfileError for settings that no profile can be built from.
    """
    own = {key: one for key, one in settings.items() if not key.startswith(_WRITTEN)}
    changed = {key.removeprefix(_WRITTEN): one for key, one in settings.items() if key.startswith(_WRITTEN)}
    profile = _built(name, own, providers)
    if not changed:
        return profile
    written = {key: one for key, one in {**own, **changed}.items() if one.value is not None}
    return replace(profile, written=_built(name, written, providers))


_PROFILES = TypeAdapter(Profile)


def _built(name: str, settings: Mapping[str, Setting], providers: Mapping[str, Provider]) -> Profile:
    values = {key: one.value for key, one in settings.items()}
    provider = str(values.get("provider"))
    if provider not in providers:
        raise ProfileError(name, "provider", _quoted(provider), _one_of(list(providers)))
    content = {attribute: values[key] for key, attribute in _PLAIN_KEYS.items() if key in values}
    content |= {section: inner for section in _SECTIONS if (inner := _section_from(section, values))}
    content |= {"name": name, "provider": providers[provider]}
    content |= {"origins": {key: one.origin for key, one in settings.items()}}
    try:
        return _PROFILES.validate_python(content)
    except ValidationError as problem:
        loc = problem.errors(include_url=False)[0]["loc"]
        raise ProfileError(name, _dotted(loc), "an unreadable setting", "one as a run writes it") from None


def _section_from(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the values of a section, references to secrets taken apart."""
    prefix = f"{section}."
    inner = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    refs = {key: _ref_from(str(inner[key])) for key in _SECRETS if key in inner}
    return {**({"host": ""} if section == "smtp" else {}), **inner, **refs}


def _ref_from(text: str) -> dict[str, Any]:
    kind, _, place = text.partition(":")
    try:
        words = shlex.split(place) if kind in _OF_WORDS else [place]
    except ValueError:  # somebody has edited the file; nothing reads the secret in a replay
        words = [place]
    return {"kind": kind, "place": words if place else []}
