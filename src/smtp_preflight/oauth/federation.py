"""The token with which a job of GitHub Actions shows who it is; handed on as the client's assertion.

GitHub's documentation, "OpenID Connect reference": a job that has the permission ``id-token: write`` finds an
address and a token for it in its environment, and asks there for a token for one audience.
"""

from __future__ import annotations

import os
from urllib.parse import quote

from smtp_preflight.oauth.http import Request
from smtp_preflight.oauth.line import Line
from smtp_preflight.secrets import Secret, SecretProblem

ADDRESS = "ACTIONS_ID_TOKEN_REQUEST_URL"
PERMIT = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"


async def token_of_job(line: Line, audience: str) -> Secret:
    """Ask GitHub for this job's token, once; raises SecretProblem where there is none to be had.

    audience: for Entra ``api://AzureADTokenExchange``, or what its federated credential names.
    """
    address, permit = os.environ.get(ADDRESS), os.environ.get(PERMIT)
    if not address or not permit:
        raise SecretProblem(
            f"environment variable {PERMIT if address else ADDRESS} is not set: this is no job of GitHub "
            "Actions, or one without the permission id-token: write"
        )
    bearer = Secret(permit, f"env:{PERMIT}")
    line.wallet.put("github_request", bearer)
    url = f"{address}{'&' if '?' in address else '?'}audience={quote(audience, safe='')}"
    answer = await line.ask(Request("GET", url, bearer=bearer))
    token = answer.content.get("value")
    if answer.http.failure or answer.http.status != 200:
        told = answer.http.detail if answer.http.failure else f"HTTP {answer.http.status}"
        raise SecretProblem(f"GitHub gives this job no token: {told}")
    if not isinstance(token, str) or not token.isascii() or not token:
        raise SecretProblem("GitHub's answer holds no token")
    return Secret(token, f"github:{audience}")
