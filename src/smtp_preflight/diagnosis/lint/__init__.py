"""What in a profile cannot work, by what the providers document. Predictions: the servers decide.

Each function holds one expectation of stage profile against the profile as it is written, and names the
first thing that does not fit: the cause it leads to, what was found, and what would be right. What differs
from a preset's unverified fact is no mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from smtp_preflight.diagnosis.lint.clients import (
    GOOGLE_CLIENT,
    KEY_FILES,
    problem_with_client,
    problem_with_client_id,
    problem_with_end_date,
    problem_with_secret,
)
from smtp_preflight.diagnosis.lint.clouds import problem_with_cloud
from smtp_preflight.diagnosis.lint.people import problem_with_mailbox
from smtp_preflight.diagnosis.lint.problem import Problem
from smtp_preflight.diagnosis.lint.scopes import problem_with_scope
from smtp_preflight.diagnosis.lint.servers import (
    kind_of_host,
    problem_with_host,
    problem_with_port,
    problem_with_tls_mode,
)
from smtp_preflight.diagnosis.lint.sign_in import (
    problem_with_grant,
    problem_with_redirect,
    problem_with_sign_in_addresses,
    problem_with_tenant,
)
from smtp_preflight.model import Profile

__all__ = [
    "GOOGLE_CLIENT",
    "KEY_FILES",
    "OF_PROFILE",
    "Problem",
    "kind_of_host",
    "problem_with_client",
    "problem_with_client_id",
    "problem_with_cloud",
    "problem_with_end_date",
    "problem_with_grant",
    "problem_with_host",
    "problem_with_mailbox",
    "problem_with_port",
    "problem_with_redirect",
    "problem_with_scope",
    "problem_with_secret",
    "problem_with_sign_in_addresses",
    "problem_with_tenant",
    "problem_with_tls_mode",
    "problems_with",
]

OF_PROFILE: tuple[Callable[[Profile], Problem | None], ...] = (
    problem_with_mailbox,
    problem_with_scope,
    problem_with_tenant,
    problem_with_grant,
    problem_with_host,
    problem_with_port,
    problem_with_tls_mode,
    problem_with_client,
    problem_with_client_id,
    problem_with_sign_in_addresses,
    problem_with_redirect,
    problem_with_cloud,
)
"""The expectations that need nothing but the profile, in the order of their checks."""


def problems_with(profile: Profile) -> Iterator[Problem]:
    """All that does not fit, before anything was asked and any secret read."""
    return (problem for problem_with in OF_PROFILE if (problem := problem_with(profile)))
