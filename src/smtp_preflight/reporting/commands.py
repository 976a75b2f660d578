"""Each question as a command with which a reader can ask it again: ``dig``, ``curl``, ``openssl s_client``.

For bash. A secret is a variable that the shell's own ``printf`` hands on, so that it stands in no list of
processes, and what a command shows of it is masked. Names of hosts have the form of one, or give way to a
placeholder; all other values are quoted. Nothing here sends a message that the reader has not written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from smtp_preflight.model import GrantType, Profile, Run, SecretRef
from smtp_preflight.reporting.asked import Asked, asked
from smtp_preflight.reporting.inert import printable

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MASK_OF_JSON = """| sed -E 's/("[a-z_]*token" *: *")[^"]*/\\1<token>/g'"""
MASK_OF_SASL = """2>&1 | sed -E 's|^(> ([A-Z0-9]+ )*)[A-Za-z0-9+/=]{40,}|\\1<token>|'"""

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")
_URL = re.compile(r"https?://[!-~]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_Value = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Repeat:
    """What asks some questions again."""

    questions: tuple[str, ...]  # as the time line calls them
    command: str  # one command a line


def repeats(run: Run) -> tuple[Repeat, ...]:
    """The commands of a run, in the order of its questions; questions of the same command stand together."""
    together: dict[str, list[str]] = {}
    shell = _Shell(run.seen.profile, _mechanism(run))
    for one in asked(run):
        if command := "\n".join(dict.fromkeys(_lines(shell, one))):
            together.setdefault(command, []).append(one.what)
    return tuple(Repeat(tuple(dict.fromkeys(names)), command) for command, names in together.items())


def _mechanism(run: Run) -> str:
    said = (one.value.get("mechanism") for one in asked(run) if one.kind == "AuthExchange")
    return "OAUTHBEARER" if "OAUTHBEARER" in said else "XOAUTH2"


def _lines(shell: _Shell, question: Asked) -> Iterator[str]:
    """The kind's own commands, else whatever it asked of DNS and over HTTP."""
    if question.kind in _OF_KIND:
        yield from _OF_KIND[question.kind](shell, question.value)
        return
    for answer in _within(question.value, "rdtype"):
        yield shell.dig(answer["name"], answer["rdtype"])
    for exchange in _within(question.value, "url"):
        yield shell.http(exchange)


def _within(value: Any, key: str) -> Iterator[_Value]:
    """Every record, however deep inside, that has this key."""
    if isinstance(value, Mapping):
        if key in value:
            yield value
        for inner in value.values():
            yield from _within(inner, key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _within(inner, key)


# --- words of a command ------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    """Any text as one word of the shell."""
    return shlex.quote(printable(" ".join(text.split())))


def _host(name: str) -> str:
    """A host's name or address, or a placeholder where it is nothing of the kind."""
    if _ADDRESS.fullmatch(name):
        return f"[{name}]" if ":" in name else name
    return name if _HOST.fullmatch(name) else "HOST"


def _url(url: str) -> str:
    return _quoted(url if _URL.fullmatch(url) else "<url>")


def _variable(ref: SecretRef | None, name: str) -> str:
    """The profile's own variable where a secret is in one, else one named after what it holds."""
    own = ref.place[0] if ref is not None and ref.kind == "env" and ref.place else ""
    return own if _VARIABLE.fullmatch(own) else name


def _said(variable: str) -> str:
    """What reads a variable without showing it to other processes."""
    return f'<(printf %s "${variable}")'


def _plain(name: str, value: str) -> str:
    return f"--data-urlencode {_quoted(f'{name}={value}')}"


def _secret(name: str, ref: SecretRef | None = None) -> str:
    return f"--data-urlencode {name}@{_said(_variable(ref, name.upper()))}"


@dataclass(frozen=True, slots=True)
class _Shell:
    """Commands as one profile needs them: its name servers, its authorities, its limits, its hosts."""

    profile: Profile
    mechanism: str

    def dig(self, name: str, rdtype: str, server: str = "") -> str:
        """A query to this name server, or to the profile's own where it names one."""
        asked = server or next(iter(self.profile.dns_servers), "")
        return f"dig {_at(asked)}{_host(name)} {rdtype if rdtype.isalnum() else 'A'}"

    def place(self, host: str) -> str:
        """Where to connect to: the host, or the address that the profile's own name server has for it."""
        if not self.profile.dns_servers or _ADDRESS.fullmatch(host):
            return _host(host)
        return f"$({self.dig(host, 'A').replace('dig ', 'dig +short ', 1)} | tail -n 1)"

    def curl(self, limit_s: float, host: str, port: int, *words: str) -> str:
        """A call of curl, with the trust and the names that this profile's questions were asked with."""
        more = [f"--cacert {_quoted(self.profile.ca_file)}"] if self.profile.ca_file else []
        if self.profile.dns_servers and not _ADDRESS.fullmatch(host):
            more.append(f'--resolve "{_host(host)}:{port}:{self.place(host)}"')
        return " ".join(("curl --silent --show-error", f"--max-time {limit_s:g}", *more, *words))

    def http(self, exchange: _Value, *form: str) -> str:
        """A request as it was made; what would show a token is masked."""
        proxy = (f"--proxy {_quoted(exchange['proxy'])}",) if exchange.get("proxy") else ()
        host, port = _of_url(exchange["url"])
        words = ("--include", *proxy, *form, _url(exchange["url"]))
        command = self.curl(self.profile.limits.http_s, host, port, *words)
        return f"{command} {MASK_OF_JSON}" if form else command

    def smtp(self, *words: str, encrypted: bool = True) -> str:
        """A dialogue up to EHLO, and as far beyond as the words ask for."""
        smtp, limits = self.profile.smtp, self.profile.limits
        implicit = smtp.tls == "implicit"
        tls = ("--ssl-reqd",) if encrypted and not implicit else ()
        named = f"/{quote(smtp.ehlo_name, safe='')}" if smtp.ehlo_name else ""
        url = f"{'smtps' if implicit else 'smtp'}://{_host(smtp.host)}:{smtp.port}{named}"
        return self.curl(limits.greeting_s, smtp.host, smtp.port, "--verbose", *tls, *words, _quoted(url))

    def openssl(self, host: str, port: int, mode: str, *words: str) -> str:
        """A TLS connection, verified for the host."""
        begun = "-starttls smtp " if mode == "starttls" else ""
        trust = f"-CAfile {_quoted(self.profile.ca_file)} " if self.profile.ca_file else ""
        checked = (
            "" if _ADDRESS.fullmatch(host) else f"-servername {_host(host)} -verify_hostname {_host(host)} "
        )
        at = f'"{self.place(host)}:{port}"' if "$" in self.place(host) else f"{_host(host)}:{port}"
        return f"openssl s_client {begun}-connect {at} {checked}{trust}-verify_return_error {' '.join(words)}"

    @property
    def bearer(self) -> tuple[str, ...]:
        """The words with which curl signs in by a token."""
        variable = _variable(self.profile.oauth.access_token, "ACCESS_TOKEN")
        return (
            f"--login-options AUTH={self.mechanism}",
            f"--user {_quoted(self.profile.mailbox)}",
            f"""--config <(printf 'oauth2-bearer = "%s"' "${variable}")""",
        )


def _at(server: str) -> str:
    """How dig is told of a name server, ``address`` or ``address:port``; nothing where there is none."""
    found = re.fullmatch(r"\[?(.+?)\]?:(\d+)", server) if server.count(":") == 1 or "]" in server else None
    host, port = (found[1], found[2]) if found else (server.strip("[]"), "")
    return f"@{_host(host).strip('[]')} {f'-p {port} ' if port else ''}" if server else ""


def _of_url(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    found = re.match(r"(https?)://\[?([^/:\]?#]*)\]?(?::(\d{1,5}))?", url)
    if found is None:
        return "", 443
    return found[2], int(found[3] or (443 if found[1] == "https" else 80))


# --- the kinds of question that are not merely asked of DNS or over HTTP ------------------------------------


def _secret_check(shell: _Shell, value: _Value) -> Iterator[str]:
    """Only its length is shown."""
    ref = shell.profile.oauth.secrets().get(value["key"])
    match ref.kind if ref else "":
        case "env":
            yield f'printf %s "${_variable(ref, value["key"].upper())}" | wc -c'
        case "file":
            yield f"wc -c < {_quoted(ref.place[0])}" if ref else ""
        case "command":
            yield f"{' '.join(map(_quoted, ref.place))} | wc -c" if ref else ""
        case "keyring":
            yield f"keyring get {' '.join(map(_quoted, ref.place))} | wc -c" if ref else ""


def _addresses(shell: _Shell, value: _Value) -> Iterator[str]:
    if value["by_system"]:
        yield f"getent ahosts {_host(value['host']).strip('[]')}"
    else:
        yield shell.dig(value["host"], "A")
        yield shell.dig(value["host"], "AAAA")


def _name_servers(shell: _Shell, value: _Value) -> Iterator[str]:
    for one in value["each"]:
        for family in ("A", "AAAA"):
            yield shell.dig(value["host"], family, one["server"])


def _connects(shell: _Shell, value: _Value) -> Iterator[str]:
    for one in value["attempts"]:
        yield _connect(shell, one["address"], one["port"])


def _port_check(shell: _Shell, value: _Value) -> Iterator[str]:
    yield _connect(shell, value["host"], value["port"])


def _connect(shell: _Shell, host: str, port: int) -> str:
    return f"nc -vz -w {shell.profile.limits.tcp_s:g} {shell.place(host).strip('[]')} {port}"


def _service(shell: _Shell, value: _Value) -> Iterator[str]:
    yield shell.openssl(value["host"], value["port"], value["tls"], "</dev/null")


def _greeting(shell: _Shell, _value: _Value) -> Iterator[str]:
    yield shell.smtp("--request NOOP", encrypted=False)


def _ehlo(shell: _Shell, value: _Value) -> Iterator[str]:
    yield shell.smtp("--request NOOP", encrypted=value["encrypted"])


def _tls(shell: _Shell, _value: _Value) -> Iterator[str]:
    smtp = shell.profile.smtp
    yield shell.openssl(smtp.host, smtp.port, smtp.tls, "-showcerts", "</dev/null")


def _grant(shell: _Shell, value: _Value) -> Iterator[str]:
    if value["http"]:
        yield shell.http(value["http"], *_form(shell.profile))


def _reader_grant(shell: _Shell, value: _Value) -> Iterator[str]:
    reader, grant = shell.profile.reader, value["grant"]
    if reader is not None and grant:
        yield from _grant(_Shell(reader, shell.mechanism), grant)


def _form(profile: Profile) -> Iterator[str]:
    """What a token request carries (RFC 6749 sections 4 and 6, RFC 7523)."""
    oauth = profile.oauth
    if oauth.grant is GrantType.JWT_BEARER:
        yield _plain("grant_type", JWT_BEARER)
        yield _secret("assertion")
        return
    if oauth.grant is GrantType.CLIENT_CREDENTIALS:
        yield _plain("grant_type", oauth.grant)
    else:
        yield _plain("grant_type", GrantType.REFRESH_TOKEN)
        yield _secret("refresh_token", oauth.refresh_token)
    if oauth.scope:
        yield _plain("scope", " ".join(oauth.scope))
    yield from _client(profile)


def _client(profile: Profile) -> Iterator[str]:
    """How the application shows who it is (RFC 6749 section 2.3)."""
    oauth = profile.oauth
    proves = oauth.client_type == "confidential" or profile.provider.client_secret_required
    if proves and oauth.client_secret and oauth.client_auth == "basic":
        variable = _variable(oauth.client_secret, "CLIENT_SECRET")
        named = _quoted(oauth.client_id)
        yield f"""--config <(printf 'user = "%s:%s"' {named} "${variable}")"""
        return
    if oauth.client_id:
        yield _plain("client_id", oauth.client_id)
    if proves and (oauth.certificate or oauth.federated):
        yield _plain("client_assertion_type", ASSERTION_TYPE)
        yield _secret("client_assertion", None if oauth.certificate else oauth.federated)
    elif proves and oauth.client_secret:
        yield _secret("client_secret", oauth.client_secret)


def _token_info(shell: _Shell, value: _Value) -> Iterator[str]:
    yield shell.http(value["http"], _secret("access_token", shell.profile.oauth.access_token))


def _auth(shell: _Shell, _value: _Value) -> Iterator[str]:
    yield f"{shell.smtp(*shell.bearer, '--request NOOP')} {MASK_OF_SASL}"


def _mail_from(shell: _Shell, value: _Value) -> Iterator[str]:
    yield _envelope(shell, value["sender"])


def _rcpt_to(shell: _Shell, value: _Value) -> Iterator[str]:
    yield _envelope(shell, shell.profile.sender, value["recipient"])


def _envelope(shell: _Shell, sender: str, *recipients: str) -> str:
    """Signed in, the envelope and nothing else; each line waits for the answer to the one before."""
    smtp = shell.profile.smtp
    variable = _variable(shell.profile.oauth.access_token, "ACCESS_TOKEN")
    user = shell.profile.mailbox
    form = "user=%s\\001auth=Bearer %s\\001\\001"
    if shell.mechanism == "OAUTHBEARER":
        user, form = user.replace("=", "=3D").replace(",", "=2C"), "n,a=%s,\\001auth=Bearer %s\\001\\001"
    response = f"""printf '{form}' {_quoted(user)} "${variable}" | base64 | tr -d '\\n'"""
    before = (f"EHLO {smtp.ehlo_name or 'localhost'}", f"AUTH {shell.mechanism}")
    after = (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients), "RSET", "QUIT")
    steps = (*map(_spoken, before), f"{response}; echo; sleep 2", *map(_spoken, after))
    dialogue = shell.openssl(smtp.host, smtp.port, smtp.tls, "-quiet", "-crlf")
    return f"{{ sleep 2; {'; '.join(steps)}; }} | {dialogue}"


def _spoken(line: str) -> str:
    return f"echo {_quoted(line)}; sleep 1"


def _data(shell: _Shell, _value: _Value) -> Iterator[str]:
    """What is sent is the reader's own."""
    envelope = f"--mail-from {_quoted(shell.profile.sender)}"
    recipients = (f"--mail-rcpt {_quoted(one)}" for one in shell.profile.recipients)
    words = (*shell.bearer, envelope, *recipients, "--upload-file message.eml")
    yield f"{shell.smtp(*words)} {MASK_OF_SASL}"


def _mailbox(shell: _Shell, value: _Value) -> Iterator[str]:
    imap = value["protocol"] == "imap"
    implicit = value["port"] != (143 if imap else 110)
    scheme = ("imap" if imap else "pop3") + ("s" if implicit else "")
    url = f"{scheme}://{_host(value['host'])}:{value['port']}"
    words = (
        "--verbose",
        *(() if implicit else ("--ssl-reqd",)),
        *shell.bearer,
        "--request NOOP",
        _quoted(url),
    )
    limit_s = shell.profile.limits.reply_s
    yield f"{shell.curl(limit_s, value['host'], value['port'], *words)} {MASK_OF_SASL}"


def _nothing(_shell: _Shell, _value: _Value) -> Iterator[str]:
    """No question to anybody else, or one that only makes sense within its run."""
    yield from ()


_OF_KIND: Mapping[str, Callable[[_Shell, _Value], Iterator[str]]] = {
    "SecretCheck": _secret_check,
    "SystemAddresses": _addresses,
    "NameServers": _name_servers,
    "TcpConnects": _connects,
    "PortCheck": _port_check,
    "ServiceCheck": _service,
    "SmtpGreeting": _greeting,
    "Ehlo": _ehlo,
    "StartTls": _tls,
    "TlsHandshake": _tls,
    "Grant": _grant,
    "ReaderGrant": _reader_grant,
    "TokenInfo": _token_info,
    "AuthExchange": _auth,
    "MailFrom": _mail_from,
    "RcptTo": _rcpt_to,
    "DataExchange": _data,
    "MailboxLogin": _mailbox,
    "Arrival": _nothing,
    "SignatureCheck": _nothing,
}
