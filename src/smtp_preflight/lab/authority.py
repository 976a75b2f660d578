"""The lab's certificate authority, made anew at each start; its keys never leave the lab's folder."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

from smtp_preflight.lab.conditions import CertificateTerms


class Authority:
    """A private CA by trustme (elliptic-curve keys, so that it is there in milliseconds)."""

    def __init__(self, folder: Path) -> None:
        # Only whoever runs a lab has trustme (the extra "lab"); everything else imports without it.
        import trustme

        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def context(self, terms: CertificateTerms) -> ssl.SSLContext:
        """What a server needs to show a certificate on these terms."""
        now = dt.datetime.now(dt.UTC)
        leaf = self._ca.issue_cert(
            terms.name,
            not_before=now + dt.timedelta(days=terms.begins_days),
            not_after=now + dt.timedelta(days=terms.ends_days),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with leaf.private_key_and_cert_chain_pem.tempfile(dir=str(self._folder)) as pem:
            context.load_cert_chain(pem)
        return context
