"""Stage tls: why the channel is not safe to speak on."""

from __future__ import annotations

import datetime as dt

from smtp_preflight.diagnosis.comparisons import looked_at
from smtp_preflight.diagnosis.naming import finding
from smtp_preflight.diagnosis.signs import signs_of
from smtp_preflight.model import Finding, Seen, Stage, TlsHandshake

# Each expectation of the stage, and the signs it is about.
HANDSHAKE = ("tls_failure", "text", "tls_version", "begins")
ISSUER = ("cert_issuer", "verify_code", "tls_failure", "https")


def why_no_handshake(seen: Seen) -> Finding:
    """The handshake did not come to its end, not even without verification."""
    words = "\n".join((signs_of(seen).facts.get("tls_seen", ""), *looked_at(seen)))
    return finding(seen, Stage.TLS, *HANDSHAKE, facts={"seen": words})


def why_version_obsolete(seen: Seen) -> Finding:
    """Nothing newer than TLS 1.1 could be agreed on."""
    words = f"the server agreed to {signs_of(seen).facts.get('tls_version') or 'nothing'}"
    return finding(seen, Stage.TLS, "tls_failure", "tls_version", facts={"seen": words})


def why_issuer_not_trusted(seen: Seen) -> Finding:
    """The chain does not lead to an authority this machine trusts, or was never verified."""
    if signs_of(seen).at(Stage.TLS).get("cert_issuer", "trusted") == "trusted":  # nothing is held against it
        return why_no_handshake(seen)
    return _about_certificate(seen, *ISSUER)


def why_name_differs(seen: Seen) -> Finding:
    """The certificate is not for the configured host."""
    return _about_certificate(seen, "cert_name")


def why_not_within_dates(seen: Seen) -> Finding:
    """The certificate has ended, or has not begun."""
    return _about_certificate(seen, "cert_dates", "clock")


def why_key_weak(seen: Seen) -> Finding:
    """A key of the chain is too short."""
    return _about_certificate(seen, "cert_key")


def why_signature_weak(seen: Seen) -> Finding:
    """The chain is signed over a broken hash."""
    return _about_certificate(seen, "cert_signature")


def why_not_verified(seen: Seen) -> Finding:
    """The first reason why nothing may be said on this channel, in the order of the checks."""
    tls = seen.get(TlsHandshake)
    if tls is None or not tls.completed:
        return why_no_handshake(seen)
    reasons = (
        (tls.modern, why_version_obsolete),
        (tls.issuer_trusted, why_issuer_not_trusted),
        (tls.names_host, why_name_differs),
        (tls.dates_hold, why_not_within_dates),
        (tls.keys_strong, why_key_weak),
        (tls.signatures_strong, why_signature_weak),
    )
    return next((why(seen) for holds, why in reasons if not holds), why_no_handshake(seen))


def remark_on_certificate_end(seen: Seen, tls: TlsHandshake) -> Finding | None:
    """The certificate holds, but ends within the threshold."""
    if tls.leaf is None or not tls.dates_hold:
        return None
    left = tls.leaf.not_after - tls.observed_at
    if left >= dt.timedelta(days=seen.profile.thresholds.certificate_days):
        return None
    words = f"ends {tls.leaf.not_after:%Y-%m-%d}, in {left.days} days"
    return finding(seen, Stage.TLS, "soon", signs={"soon": "certificate"}, facts={"seen": words})


def remark_on_handshake_time(seen: Seen, tls: TlsHandshake) -> Finding | None:
    """The handshake succeeded, late."""
    limit = seen.profile.limits.tls_slow_s
    if tls.took_s <= limit:
        return None
    words = f"{tls.took_s:.1f} s; slow from {limit:g} s"
    return finding(seen, Stage.TLS, "slow", signs={"slow": "tls"}, facts={"seen": words})


def _about_certificate(seen: Seen, *only: str) -> Finding:
    facts = signs_of(seen).facts
    if "cert_subject" not in facts:
        return finding(seen, Stage.TLS, *only, facts={"seen": f"no certificate; {facts.get('tls_seen', '')}"})
    words = (
        f"certificate for {facts.get('cert_names', '?')}, issued by {facts.get('cert_issuer', '?')}, "
        f"valid {facts.get('cert_not_before', '?')} to {facts.get('cert_not_after', '?')}, "
        f"key {facts.get('cert_key', '?')}, signature {facts.get('cert_signature', '?')}"
    )
    words = "\n".join((words, *looked_at(seen)))
    return finding(seen, Stage.TLS, *only, facts={"seen": words})
