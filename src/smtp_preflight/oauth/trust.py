"""Whom TLS trusts here: one context for mail servers and identity providers alike."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path


def verifying_context(ca_file: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, verified for the host name, by the system's authorities or this file of them.

    Raises OSError (ssl.SSLError is one) where there are no authorities to be had.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 began to set these two. Mail clients do not, and our verdict must not depend on our Python.
    context.verify_flags &= ~(ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN)
    if not ca_file and not context.cert_store_stats()["x509_ca"]:
        _require_authorities_by_name()
    return context


def _require_authorities_by_name() -> None:
    """A folder of authorities is read by OpenSSL when it needs one; here it only has to hold something."""
    paths = ssl.get_default_verify_paths()
    if not paths.capath or not any(Path(paths.capath).iterdir()):
        raise FileNotFoundError(errno.ENOENT, "no certificate authorities", paths.openssl_cafile)
