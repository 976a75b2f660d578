"""Faults from the mail server's name to its second EHLO."""

from __future__ import annotations

from smtp_preflight.lab.conditions import CertificateTerms, Conditions, ConnectionConditions
from smtp_preflight.lab.faults.fault import PROVIDERS, Fault
from smtp_preflight.model import Stage

ROWS = (
    Fault(
        "starttls_not_offered",
        Stage.STARTTLS,
        PROVIDERS,
        "the mail server's EHLO reply lists no STARTTLS",
        Conditions(connection=ConnectionConditions(starttls_offered=False)),
    ),
    Fault(
        "certificate_expired",
        Stage.TLS,
        PROVIDERS,
        "the mail server's certificate ended three days ago",
        Conditions(
            connection=ConnectionConditions(certificate=CertificateTerms(begins_days=-93, ends_days=-3))
        ),
    ),
    Fault(
        "certificate_name_mismatch",
        Stage.TLS,
        PROVIDERS,
        "the mail server's certificate is for another host",
        Conditions(connection=ConnectionConditions(certificate=CertificateTerms(name="other.lab.example"))),
    ),
    Fault(
        "xoauth2_not_advertised",
        Stage.AUTH_OFFERED,
        PROVIDERS,
        "the mail server offers password mechanisms only",
        Conditions(connection=ConnectionConditions(bearer_offered=False)),
    ),
)
