"""One failure that somebody else met, put into the same signs as a run's (``diagnosis/signs.py``).

A case is what one line of ``smtp-preflight explain --json`` holds: ``provider``, ``stage``, ``grant``,
``observed`` (what was seen) and ``context`` (what is known besides). Nothing of it is believed to have the
right form. What a case adds to the words of a run:

====================  ===============================================================================
``token_fault``       also unknown: too little is told of the token to say that it is right
``scope_resource``    expected, graph, other: what the scope that was asked for is about
``scope_permission``  present, missing: whether that scope holds the permission to send
``sasl_string``       malformed: the XOAUTH2 string was looked at, and is not as it should be
``host_kind``         what the preset says of a host that is not its submission host (``legacy_hosts``)
``imap``              works: the mailbox can be read with the same token
``mailbox_kind``      shared, unlicensed, on_premises; with ``sp``, ``sp_object``, ``rbac``, ``smtp_auth``,
                      ``mailbox_right`` and ``recent_change`` what an administrator has looked up
``cloud``             mismatch: mail host, scope and identity provider are of different national clouds
``witness``           program: the words are those of a program that failed, and of no server
``starttls``          also unknown: what EHLO listed is not told
``step``              ehlo: at stage greeting, where the reply or the case is about the name in EHLO
``client_tls``        old: the program speaks nothing newer than TLS 1.1
``testing_age``       yes: a grant as old as Google lets one be in testing; ``refresh_token_idle`` too_long
``starttls_sent``     yes, no; ``auth_sent`` no: the program sent no AUTH
``subject``           none, own: whom a service account asks for, where it is no mailbox
====================  ===============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from smtp_preflight.diagnosis.case_answers import answer_signs, body_in, dialogue_signs
from smtp_preflight.diagnosis.case_reading import Case, read_case
from smtp_preflight.diagnosis.case_settings import (
    common_signs,
    facts_of,
    lint_signs,
    looked_up,
    mechanism_of,
    profile_of,
)
from smtp_preflight.diagnosis.case_tokens import signs_of_claims, signs_of_token
from smtp_preflight.diagnosis.hearsay import signs_of_words
from smtp_preflight.diagnosis.rank import MOST_CAUSES, Signs, rank
from smtp_preflight.diagnosis.said import table, words
from smtp_preflight.diagnosis.signs import PASSWORD_MECHANISMS
from smtp_preflight.model import Cause, Certainty, Profile, Provider, Stage

_NONE: Mapping[str, Provider] = MappingProxyType({})


def signs_of_case(case: Mapping[str, Any], presets: Mapping[str, Provider] = _NONE) -> Signs:
    """The signs of one case at its stage, and the facts that fill the remedies.

    case: any JSON object; what in it is not of the form of a case is left out.
    presets: what is known of the providers; without them audiences, permissions and hosts say nothing.
    """
    return _signs(read_case(case, presets), presets)


def causes_of_case(
    case: Mapping[str, Any], presets: Mapping[str, Provider] = _NONE, most: int = MOST_CAUSES
) -> tuple[Cause, ...]:
    """The causes, best first, at most five; none where nothing is wrong.

    most: where somebody wants to know how many were left out.
    No cause is certain by hearsay, for the words a program has for its own failure are not what a server
    said, nor by a provider that was only guessed.
    """
    read = read_case(case, presets)
    signs = _signs(read, presets)
    if _nothing_wrong(read, signs.at(read.stage)):
        return ()
    first, *others = rank(signs, read.stage, most)
    if first.certainty is Certainty.CERTAIN and (
        read.hearsay or not (read.is_named or _holds_anywhere(signs, read))
    ):
        first = replace(first, certainty=Certainty.LIKELY)
    return (first, *others)


def _holds_anywhere(signs: Signs, case: Case) -> bool:
    """The first cause is certain whatever the provider is."""
    anywhere = replace(signs, common={**signs.common, "provider": "any"})
    return rank(anywhere, case.stage)[0].certainty is Certainty.CERTAIN


def stage_of_case(case: Mapping[str, Any]) -> Stage:
    """The stage that the case names, or the one that shows what it observed."""
    return read_case(case, _NONE).stage


def _signs(case: Case, presets: Mapping[str, Provider]) -> Signs:
    """What was observed counts before what is said of it."""
    profile = profile_of(case)
    observed = {
        **answer_signs(case.observed, case.said, profile),
        **dialogue_signs(case.observed, case.stage, case.said),
        **_told(case),
    }
    common = common_signs(case, profile, observed.get("text", ""), presets)
    found = {**_tokens(case, profile), **looked_up(case.said), **observed, **lint_signs(case, profile)}
    return Signs(common, {case.stage: found}, facts_of(case, profile))


def _told(case: Case) -> dict[str, str]:
    """The words of a program that failed."""
    text = words(case.observed.get("exception"))
    return signs_of_words(text, case.stage) if text else {}


def _tokens(case: Case, profile: Profile) -> dict[str, str]:
    claims = table(case.observed.get("claims"))
    if claims:
        return signs_of_claims(claims, case.said, profile)
    spoken = mechanism_of(case.said)
    if case.stage is not Stage.AUTH or spoken in PASSWORD_MECHANISMS:
        return {}  # no token was shown to the mail server
    return signs_of_token(case.said, profile)


def _nothing_wrong(case: Case, signs: Mapping[str, str]) -> bool:
    """What was observed is what a healthy set-up shows."""
    if signs.get("error") == "authorization_pending":
        return True
    if "claims" in case.observed:
        healthy = signs.get("token_fault") == "none" or signs.get("opaque_expected") == "yes"
        return healthy and signs.get("token_fault") in ("none", "opaque") and "clock" not in signs
    if "access_token" in body_in(case.observed.get("body")):
        wrong = {"refresh_scope", "scope_granted", "refresh_token_issued", "error", "permission", "aud"}
        return not wrong & set(signs)
    return signs.get("smtp_code", "")[:1] == "2"
