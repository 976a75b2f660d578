"""The device endpoint (RFC 8628): codes for a device and for the person before it, and who waits for whom."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtp_preflight.lab.consent import Consent
from smtp_preflight.lab.http import Request, Response
from smtp_preflight.lab.pages import device_page, message_page
from smtp_preflight.lab.refusals import Refused

if TYPE_CHECKING:
    from smtp_preflight.lab.identity import IdentityProvider

MOST_DEVICES = 1000
"""Kept in memory; with more, the oldest is forgotten."""

EARLY_S = 0.2
"""How much too soon a question may come and still be in time: networks bring them closer together."""

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no words come about (RFC 8628 section 6.1)."""


@dataclass(slots=True)
class _Waiting:
    """One device that was shown its codes."""

    client_id: str
    scope: str
    expires_at: float  # by the monotonic clock, like all times here
    next_at: float  # before that, a question comes too soon
    consent: Consent | None = None
    declined: bool = False
    redeemed: bool = False


class Devices:
    """Remembers who waits, and takes the decisions."""

    def __init__(self, provider: IdentityProvider) -> None:
        self._provider = provider
        self._refusals = provider.refusals.device
        self._terms = provider.world.conditions.identity.device
        self._by_device: dict[str, _Waiting] = {}
        self._by_user: dict[str, _Waiting] = {}

    def begin(self, client_id: str, scope: str) -> Mapping[str, Any]:
        """The answer to a device (RFC 8628 section 3.2), in the members all providers have."""
        now = time.monotonic()
        waiting = _Waiting(client_id, scope, now + self._terms.life_s, now + self._terms.interval_s)
        device_code = self._provider.code_prefix + secrets.token_urlsafe(48)
        shown = "".join(secrets.choice(_LETTERS) for _ in range(8))
        for kept, code in ((self._by_device, device_code), (self._by_user, shown)):
            kept[code] = waiting
            if len(kept) > MOST_DEVICES:
                del kept[next(iter(kept))]
        return {
            "device_code": device_code,
            "user_code": f"{shown[:4]}-{shown[4:]}",
            "expires_in": self._terms.life_s,
            "interval": self._terms.interval_s,
        }

    def redeem(self, form: Mapping[str, str]) -> Consent:
        """What the person has agreed to; raises Refused until they have (RFC 8628 section 3.5)."""
        refusals, waiting = self._refusals, self._by_device.get(form.get("device_code", ""))
        if waiting is None or waiting.redeemed or waiting.client_id != self._provider.world.account.client_id:
            raise Refused(refusals.unknown)
        now = time.monotonic()
        too_soon = now < waiting.next_at - EARLY_S
        waiting.next_at = now + self._terms.interval_s
        if now > waiting.expires_at:
            raise Refused(refusals.expired)
        if waiting.declined:
            raise Refused(refusals.declined)
        if too_soon:
            raise Refused(refusals.slow_down)
        if waiting.consent is None:
            raise Refused(refusals.pending)
        waiting.redeemed = True
        return waiting.consent

    def page(self, request: Request) -> Response:
        """The page whose address a device shows."""
        return self._asking(request.query.get("user_code", ""), self._provider.world.account.mailbox)

    def decide(self, request: Request) -> Response:
        """Take the decision of the person before a device."""
        form = request.form
        code, account = form.get("user_code", ""), form.get("account", "")
        waiting = self._by_user.get("".join(filter(str.isalnum, code.upper())))
        if waiting is None or waiting.expires_at < time.monotonic():
            return self._asking(code, account, problem="No device shows this code, or it has expired.")
        if waiting.consent or waiting.declined:
            return self._asking(code, account, problem="This code was used already.")
        if form.get("decision") != "allow":
            waiting.declined = True
            return message_page("Cancelled", "The device will not be connected. You can close this page.")
        if not self._provider.has_account(account):
            return self._asking(code, account, problem=f"There is no account {account} here.")
        offline = self._provider.is_offline({"scope": waiting.scope}, first_time=True)
        waiting.consent = Consent(user=account.strip().lower(), scope=waiting.scope, offline=offline)
        return message_page("Connected", "You can close this page and go back to your device.")

    def _asking(self, code: str, account: str, problem: str = "") -> Response:
        return device_page(self._provider.title, code=code, account=account, problem=problem)
