"""``init``: a first profile, from what can be found out and what somebody answers."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smtp_preflight.cli.draft import Draft, as_toml, ref_as_toml, variable
from smtp_preflight.cli.finding_out import Found, Network, Search
from smtp_preflight.cli.profiles import INTERRUPTED, command_line, say_rows
from smtp_preflight.cli.words import Commands, declare, refuse, say, tell
from smtp_preflight.diagnosis.lint import problems_with
from smtp_preflight.model import GrantType, Profile, Provider, SecretRef
from smtp_preflight.profile import STEM, ProfileError, ascii_address, load_profile, load_providers
from smtp_preflight.profile.errors import one_of
from smtp_preflight.profile.references import ref_from_text
from smtp_preflight.profile.schema import schema_text
from smtp_preflight.reporting.inert import printable

PROFILES = Path("profiles")
SCHEMA = "profile.schema.json"
PUBLISHED = Path("docs") / SCHEMA  # in a clone, whose profiles need no copy of their own
PLACES = ("env", "file", "keyring", "command")
BY_A_PERSON = (GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE)
LONGEST_ANSWER = 4096


class NotMade(Exception):
    """Why there is no profile, in one line for whoever called so."""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    command = declare(commands, "init", init, "write a first profile: finds the provider, asks for the rest")
    command.add_argument("name", metavar="NAME", help="what the profile is called: profiles/NAME.toml")
    command.add_argument("--email", required=True, metavar="ADDRESS", help="the mailbox that is to send")
    command.add_argument("--provider", choices=tuple(load_providers()), metavar="PROVIDER")
    command.add_argument("--grant", choices=tuple(GrantType), metavar="GRANT")
    command.add_argument("--client-id", metavar="ID", help="the application's id")
    command.add_argument("--tenant", metavar="ID_OR_DOMAIN", help="at Microsoft 365")
    command.add_argument(
        "--secret",
        metavar="PLACE",
        help="where the application's secret or key is kept: env:NAME, file:PATH, keyring:'SERVICE USER', "
        "command:'WORD WORD'",
    )
    command.add_argument("--extends", metavar="PROFILE", help="take over another profile, and change it")
    command.add_argument(
        "--non-interactive", action="store_true", help="ask nothing; what is not known is left to fill in"
    )
    network = command.add_argument_group("how the network is reached; goes into the profile, too")
    network.add_argument("--dns", action="append", default=[], metavar="ADDRESS[:PORT]", help="repeatable")
    network.add_argument("--ca-file", metavar="FILE", help="authorities to trust, in PEM")
    network.add_argument("--proxy", metavar="URL")


def init(args: argparse.Namespace) -> int:
    """Write a profile that was not there, and say what comes next."""
    path = PROFILES / f"{args.name}.toml"
    try:
        _check_usage(args, path)
        plan = _extending(args) if args.extends else _planned(args)
        profile = _written(path, plan.text)
    except (NotMade, ProfileError) as problem:
        return refuse(f"init: {printable(str(problem))}")
    except OSError as problem:
        return refuse(f"init: {path} cannot be written: {problem.strerror}")
    except KeyboardInterrupt:
        tell("smtp-preflight init: interrupted; nothing was written")
        return INTERRUPTED
    _told(path, plan, profile)
    return 0


def _check_usage(args: argparse.Namespace, path: Path) -> None:
    if not STEM.fullmatch(args.name) or args.name == "all":
        raise NotMade(f"{args.name!r} is no name for a profile; one is contoso")
    if path.exists():
        raise NotMade(f"{path} is there already, and stays as it is")
    if not ascii_address(args.email):
        raise NotMade(f"{args.email!r} is no mail address; one is alerts@contoso.com")


# --- asking ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks whoever called, on standard error, and reads standard input; or takes what is usual."""

    silent: bool

    def ask(self, question: str, usual: str = "", choices: Sequence[str] = ()) -> str:
        """One answer; an empty one is the usual. With choices, one of them, asked for until it comes.

        Raises NotMade where standard input ends.
        """
        if self.silent:
            return usual
        listed = f" ({', '.join(choices)})" if choices else ""
        shown = f" [{usual}]" if usual else ""
        while True:
            sys.stderr.write(f"{question}{listed}{shown}: ")
            sys.stderr.flush()
            line = sys.stdin.readline(LONGEST_ANSWER)
            if not line:
                raise NotMade("no answer came; --non-interactive asks nothing")
            answer = line.strip() or usual
            if not choices or answer in choices:
                return answer
            tell(printable(f"{answer!r} is not among them; {one_of(choices, answer)}"))


# --- planning ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """A profile to be written: its text, what was found out for it, what is left to fill in."""

    text: str
    rows: Sequence[tuple[str, str]] = ()
    left: Sequence[str] = field(default=())


def _planned(args: argparse.Namespace) -> Plan:
    """A profile of a provider's, from its template."""
    asker, mailbox = Asker(args.non_interactive), ascii_address(args.email)
    network = Network(tuple(args.dns), args.ca_file or "", args.proxy or "")
    search = Search(mailbox, load_providers(), network)
    found = Found(args.provider, "as named") if args.provider else asyncio.run(search.provider())
    provider = search.providers[_provider_named(found, asker, search)]
    grant = _grant(args, asker, provider)
    tenant = _tenant(args, asker, search, provider)
    values = {
        "provider": as_toml(provider.name),
        "mailbox": as_toml(mailbox),
        "oauth.grant": as_toml(grant),
        "oauth.secret_expires": None,
        **({"oauth.tenant": as_toml(tenant.value)} if tenant.value else {}),
        **_client(args, asker, provider, grant),
        **_servers(asker, provider, mailbox),
        **_network_values(args),
    }
    rows = [
        ("Provider", f"{provider.title} ({found.by})" if found.value else provider.title),
        ("Tenant", f"{tenant.value} ({tenant.by})" if tenant.value else ""),
    ]
    draft = Draft(args.name, mailbox, provider, grant, values, _schema_place())
    return Plan(draft.text, rows, _left(provider, grant, values))


def _provider_named(found: Found, asker: Asker, search: Search) -> str:
    """The provider that was found, or that somebody names; raises NotMade where nobody does."""
    if found.value:
        return found.value
    tell(printable(f"The provider was not found out: {found.by}."))
    named = asker.ask("Provider", choices=tuple(search.providers))
    if not named:
        raise NotMade(f"no provider is known for {search.domain}; name one, --provider custom say")
    return named


def _grant(args: argparse.Namespace, asker: Asker, provider: Provider) -> GrantType:
    offered = provider.grants or tuple(GrantType)
    usual = offered[0] if provider.grants else GrantType.CLIENT_CREDENTIALS
    return GrantType(args.grant or asker.ask("How tokens are obtained", usual, offered))


def _tenant(args: argparse.Namespace, asker: Asker, search: Search, provider: Provider) -> Found:
    """The tenant, where the provider's accounts belong to one; without a better word the mailbox's domain."""
    if args.tenant and provider.default_tenant:
        return Found(args.tenant, "as named")
    if provider.default_tenant != "organizations":
        return Found("", "")
    found = asyncio.run(search.tenant(provider.name))
    if found.value:
        return found
    tell(printable(f"The tenant's id was not found out: {found.by}."))
    return Found(asker.ask("Tenant, its id or one of its domains", search.domain), "not verified")


def _client(
    args: argparse.Namespace, asker: Asker, provider: Provider, grant: GrantType
) -> Mapping[str, str | None]:
    """The application's id, type and secret, and the token where one is given."""
    values: dict[str, str | None] = {"oauth.client_secret": None, "oauth.service_account": None}
    if grant not in (GrantType.JWT_BEARER, GrantType.ACCESS_TOKEN):
        client_id = args.client_id or asker.ask("Client id of the application (Enter: later)")
        values |= {"oauth.client_id": as_toml(client_id)} if client_id else {}
    key = _secret_key(grant, provider, given=bool(args.secret))
    if key:
        usual = f"env:{variable(args.name, key)}"
        place = args.secret or asker.ask(f"Where the {key.replace('_', ' ')} is kept", usual)
        values[f"oauth.{key}"] = ref_as_toml(_place(place))
    if grant is GrantType.REFRESH_TOKEN:
        values["oauth.refresh_token"] = ref_as_toml(SecretRef("env", (variable(args.name, "refresh_token"),)))
    if grant in (*BY_A_PERSON, GrantType.REFRESH_TOKEN) and not provider.client_secret_required:
        values["oauth.client_type"] = as_toml("confidential" if key else "public")
    return values


def _secret_key(grant: GrantType, provider: Provider, *, given: bool) -> str:
    """Which secret proves who is asking; none for a client at its user's."""
    if grant is GrantType.JWT_BEARER:
        return "service_account"
    if grant is GrantType.ACCESS_TOKEN:
        return "access_token"
    needed = grant is GrantType.CLIENT_CREDENTIALS or provider.client_secret_required
    return "client_secret" if needed or given else ""


def _place(text: str) -> SecretRef:
    """Where a secret is kept; what is no place may be the secret, and is not shown."""
    kind, _, place = text.partition(":")
    if kind not in PLACES or not place:
        raise NotMade(f"what was given (not shown) is no place of a secret; one is {' or '.join(PLACES)}:…")
    return SecretRef(kind, tuple(ref_from_text(text)["place"]))


def _servers(asker: Asker, provider: Provider, mailbox: str) -> Mapping[str, str]:
    """Of a provider without a preset, mail server and identity provider."""
    if provider.endpoints or asker.silent:
        return {}
    domain = mailbox.rpartition("@")[2]
    host = asker.ask("Mail server for submission", f"smtp.{domain}")
    return {"smtp.host": as_toml(host), "oauth.issuer": as_toml(asker.ask("Issuer, https://…"))}


def _network_values(args: argparse.Namespace) -> Mapping[str, str]:
    given = {
        "dns.servers": args.dns,
        "tls.ca_file": str(Path(args.ca_file).resolve()) if args.ca_file else "",
        "http.proxy": args.proxy,
    }
    return {key: as_toml(value) for key, value in given.items() if value}


def _left(provider: Provider, grant: GrantType, values: Mapping[str, str | None]) -> Sequence[str]:
    """The settings that still hold an example."""
    needed = [] if grant in (GrantType.JWT_BEARER, GrantType.ACCESS_TOKEN) else ["oauth.client_id"]
    if not provider.endpoints:
        needed += ["smtp.host", "oauth.issuer", "oauth.scope", "expect.aud", "expect.permissions"]
    return [key for key in needed if key not in values]


def _extending(args: argparse.Namespace) -> Plan:
    """A profile that says only what is different from another one beside it."""
    own = {"grant": args.grant, "client_id": args.client_id, "tenant": args.tenant}
    table = [f"{key} = {as_toml(value)}" for key, value in own.items() if value]
    if args.secret:
        table.append(f"client_secret = {ref_as_toml(_place(args.secret))}")
    lines = (
        f"#:schema {_schema_place()}",
        f"# Everything that is not said here is as in {args.extends}.toml.",
        "",
        *((f"provider = {as_toml(args.provider)}",) if args.provider else ()),
        f"extends = {as_toml(args.extends)}",
        f"mailbox = {as_toml(ascii_address(args.email))}",
        *(("", "[oauth]", *table) if table else ()),
    )
    return Plan("".join(f"{line}\n" for line in lines), [("Takes over", f"{args.extends}.toml")])


# --- writing -----------------------------------------------------------------------------------------------


def _schema_place() -> str:
    """Where editors find the schema, as seen from a profile."""
    return f"../{PUBLISHED.as_posix()}" if PUBLISHED.is_file() else SCHEMA


def _written(path: Path, text: str) -> Profile:
    """Write a profile, and read it; one that cannot be read is not left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    try:
        profile = load_profile(path, load_providers())
    except ProfileError:
        path.unlink()
        raise
    if not PUBLISHED.is_file():
        (path.parent / SCHEMA).write_text(schema_text(load_providers()), encoding="utf-8")
    return profile


def _told(path: Path, plan: Plan, profile: Profile) -> None:
    """Say what was found out, what is left to do, and what will not work."""
    say_rows((*plan.rows, ("Written", str(path)), ("To fill in", ", ".join(plan.left))))
    for problem in problems_with(profile):
        if problem.key not in plan.left:
            tell(printable(f"{problem.key}: found {problem.found}; wanted {problem.wanted} ({problem.code})"))
    say("")
    say("Next:")
    for line in _next(path.stem, plan, profile):
        say(f"  {line}")


def _next(name: str, plan: Plan, profile: Profile) -> Sequence[str]:
    """What to do, in order."""
    variables = [one.place[0] for one in profile.oauth.secrets().values() if one.kind == "env"]
    return [
        *([f"fill in {', '.join(plan.left)}"] if plan.left else []),
        *(f"set the environment variable {one}" for one in variables),
        *([command_line("login", name)] if profile.oauth.grant in BY_A_PERSON else []),
        command_line("check", name),
        *_untried(profile),
    ]


def _untried(profile: Profile) -> Sequence[str]:
    """What a run without a message cannot know: Exchange lets an application log in that may not send."""
    if profile.oauth.grant is not GrantType.CLIENT_CREDENTIALS or profile.send:
        return []
    return [f"add [send]: without it, whether the application may send as {profile.mailbox} stays untried"]
