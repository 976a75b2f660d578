"""What a fault is, and at which providers there can be one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smtp_preflight.lab.conditions import Conditions
from smtp_preflight.model import GrantType, Profile, Severity, Stage

PROVIDERS = ("microsoft365", "outlook_personal", "google", "google_workspace", "custom")
"""The providers whose manner a lab can take on."""

MICROSOFT = ("microsoft365", "outlook_personal")


Settings = Callable[[Profile], Mapping[str, Any]]
"""What somebody has written into a profile: keys as in its file (``smtp.host``) to values as in the model."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a profile has to be like for a fault to be possible in it."""

    words: str  # as in "it takes a profile that …"
    met: Callable[[Profile], bool]


REDEEMS_REFRESH_TOKEN = Need(
    "redeems a refresh token", lambda profile: profile.oauth.grant is GrantType.REFRESH_TOKEN
)
SIGNS_IN_AS_ITSELF = Need(
    "signs in as an application, without a user",
    lambda profile: profile.oauth.grant is GrantType.CLIENT_CREDENTIALS,
)
SIGNS_IN_BY_CERTIFICATE = Need(
    "signs in by certificate", lambda profile: profile.oauth.certificate is not None
)
IS_SERVICE_ACCOUNT = Need(
    "is a service account's", lambda profile: profile.oauth.grant is GrantType.JWT_BEARER
)
HAS_CLIENT_SECRET = Need("has a client secret", lambda profile: profile.oauth.client_secret is not None)
HAS_KEY_FILE = Need(
    "has a certificate or a service account's key",
    lambda profile: not {"certificate", "service_account"}.isdisjoint(profile.oauth.secrets()),
)
IS_PUBLIC_CLIENT = Need("is a public client", lambda profile: profile.oauth.client_type == "public")
SENDS_MESSAGE = Need("sends a message", lambda profile: profile.send is not None)
HAS_OWN_DOMAIN = Need("sends from a domain of its own", lambda profile: bool(profile.sender_domains))
HAS_SPF_OF_PROVIDER = Need(
    "sends through a provider that publishes its servers by SPF",
    lambda profile: bool(profile.sender_domains and profile.provider.spf_include),
)
HAS_DKIM_OF_PROVIDER = Need(
    "sends through a provider whose DKIM keys have known names",
    lambda profile: bool(profile.sender_domains and profile.provider.dkim_selectors),
)


def nothing_written(_profile: Profile) -> Mapping[str, Any]:
    """The settings of a fault that is none of the profile's."""
    return {}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can be broken."""

    code: str
    stage: Stage
    provider: tuple[str, ...]  # the providers at which it exists
    line: str
    conditions: Conditions = field(default_factory=Conditions)
    way: str = ""  # where one cause can be shown in several manners: which of them
    # By provider, where it goes another way.
    elsewhere: Mapping[str, Conditions] = field(default_factory=dict)
    named_first: str = ""  # where the evidence cannot decide: the cause it names before this one
    severity: Severity | None = None  # where it is another one than the cause's own
    needs: tuple[Need, ...] = ()
    settings: Settings = nothing_written
    # What somebody keeps where this secret of the profile belongs.
    secrets: Mapping[str, str] = field(default_factory=dict)
    # Seconds, by name: the limits that it keeps us waiting for.
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What ``--fault`` is given: the code, and the manner where there is more than one."""
        return f"{self.code}:{self.way}" if self.way else self.code

    def conditions_at(self, provider: str) -> Conditions:
        """What it puts the servers of that provider under."""
        return self.elsewhere.get(provider, self.conditions)

    def lacks(self, profile: Profile) -> str:
        """The first of its needs that this profile does not meet, in words; empty where it meets them all."""
        return next((one.words for one in self.needs if not one.met(profile)), "")
