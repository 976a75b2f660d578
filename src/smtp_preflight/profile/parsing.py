"""From what files say to a ``File`` in which everything needed is there, or the line on what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from smtp_preflight.model import GrantType, Provider
from smtp_preflight.profile.errors import Loc, ProfileError, dotted, shown
from smtp_preflight.profile.files import Chain
from smtp_preflight.profile.tables import TABLES, File

_MISSING: Mapping[str | int, str] = {
    "provider": "the name of a mail provider, such as microsoft365",
    "mailbox": "the mail address that signs in, such as alerts@contoso.com",
    "code": "the code that is waived, such as dmarc_missing",
    "reason": "the reason for the waiver",
    "until": "the waiver's last day, such as 2027-03-31",
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


def parsed(chain: Chain, name: str) -> File:
    """Make typed tables of what the files say.

    name: the profile's, for the examples in messages.
    Raises ProfileError for the first thing that is wrong, an unknown key before all else.
    """
    try:
        return File.model_validate(chain.merged(), context=name)
    except ValidationError as problem:
        errors = problem.errors(include_url=False)
        # A misspelt key is often the reason for what is missing elsewhere.
        raise _error(chain, min(errors, key=lambda error: error["type"] != "extra_forbidden")) from None


def _error(chain: Chain, error: ErrorDetails) -> ProfileError:
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
    return chain.error(loc, shown(error["input"]), _WANTED[kind].format(**context))


def _unknown_key(chain: Chain, loc: Loc) -> ProfileError:
    key = str(loc[-1])
    known = list((TABLES[str(loc[0])] if len(loc) > 1 else File).model_fields)
    near = difflib.get_close_matches(key, known, 1) or _elsewhere(key)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
    return chain.error(loc, "an unknown key", hint, words=f"unknown key `{dotted(loc)}`; {hint}")


def _elsewhere(key: str) -> list[str]:
    """The tables in which such a key would be known."""
    return [f"{table}.{key}" for table, model in TABLES.items() if key in model.model_fields]


def check_complete(chain: Chain, file: File, provider: Provider) -> None:
    """Refuse what lacks a key without which there is nothing to ask."""
    for loc, wanted in _lacking(file, provider):
        raise chain.error(loc, "nothing", wanted)


def _lacking(file: File, provider: Provider) -> Iterator[tuple[Loc, str]]:
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
