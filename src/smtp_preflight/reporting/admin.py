"""What an administrator of Microsoft 365 can run for what a run has found, with the user's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from smtp_preflight.knowledge.admin import LOOK, admin_block
from smtp_preflight.model import Grant, GrantType, Run
from smtp_preflight.reporting.wording import told


@dataclass(frozen=True, slots=True)
class Block:
    """The PowerShell for one finding."""

    code: str
    title: str
    lines: tuple[str, ...]

    @property
    def commands(self) -> Iterator[str]:
        """All but the connection, each with what it is for behind it: the way back needs the look before."""
        purpose = ""
        for line in self.lines[self.lines.index(LOOK) :]:
            if line.startswith("# "):
                purpose = line
            elif line:
                yield f"{line}  {purpose}"


def blocks(run: Run) -> tuple[Block, ...]:
    """One block for each cause that somebody should act on and that has commands, in the findings' order."""
    provider, values = run.seen.profile.provider.name, values_of(run)
    causes = {one.code: one for one in told(run)}
    found = (Block(code, one.title, admin_block(code, provider, values)) for code, one in causes.items())
    return tuple(one for one in found if one.lines)


def values_of(run: Run) -> Mapping[str, str]:
    """What goes into the commands: from the profile and the token's claims, never from a server's text."""
    profile, token = run.seen.profile, None
    if (grant := run.seen.get(Grant)) is not None:
        token = grant.token
    oid = token.claim("oid") if token else ""
    is_app = profile.oauth.grant is GrantType.CLIENT_CREDENTIALS
    values = {
        "mailbox": profile.mailbox,
        "sender": profile.send.sender if profile.send else profile.mailbox,
        "client_id": profile.oauth.client_id,
        "tenant": profile.oauth.tenant,
        "login": oid if is_app else profile.mailbox,
        "oid": oid,
        "token_user": token.user if token else "",
    }
    return {name: value for name, value in values.items() if value}
