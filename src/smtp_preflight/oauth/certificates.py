"""The key files an application signs with: its certificate (PEM or PKCS#12), or Google's service account.

As a secret each is one text: PEM and JSON as they are, PKCS#12 in base64.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12

from smtp_preflight.secrets import Secret

LEAST_BITS = 2048

_LOCKED = "it is locked, and the profile names no passphrase for it"
_WRONG = "the passphrase does not open it"
_UNKNOWN_CIPHER = "it is encrypted in a way that is not supported here; export it anew with AES-256"


class Unusable(Exception):
    """Why a key file proves nothing, in words that hold nothing of its content."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """An application's certificate and the private key that belongs to it."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def thumbprint(self) -> str:
        """Its SHA-256 in base64url, as ``x5t#S256`` has it (RFC 7515 section 4.1.8)."""
        return base64.urlsafe_b64encode(self.certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()

    @property
    def ends(self) -> dt.datetime:
        """Its last moment."""
        return self.certificate.not_valid_after_utc

    def __repr__(self) -> str:
        return f"<ClientCertificate {self.thumbprint}>"


def opened(content: Secret, passphrase: Secret | None) -> ClientCertificate:
    """Read key and certificate, in whichever order they stand; other certificates are passed over.

    passphrase: what opens it; not needed, and no harm, where it is not locked.
    Raises Unusable.
    """
    password = passphrase.reveal().encode() if passphrase else None
    text = content.reveal()
    key, certificates = _from_pem(text, password) if "-----BEGIN " in text else _from_pfx(text, password)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Unusable(f"its key is no RSA key; Entra takes RSA keys, of {LEAST_BITS} bits or more")
    if key.key_size < LEAST_BITS:
        raise Unusable(f"its key has {key.key_size} bits; Entra takes RSA keys of {LEAST_BITS} bits or more")
    own = next((one for one in certificates if one.public_key() == key.public_key()), None)
    if own is None:
        raise Unusable("no certificate in it belongs to its private key")
    return ClientCertificate(key, own)


def _from_pem(text: str, password: bytes | None) -> tuple[PrivateKeyTypes, list[x509.Certificate]]:
    """From text encodings (RFC 7468), the key's of any kind."""
    content = text.encode()
    locked = "ENCRYPTED" in text  # in the label of PKCS#8, in a header of the older form
    if locked and password is None:
        raise Unusable(_LOCKED)
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise Unusable("it holds no certificate that can be read") from None
    try:
        return serialization.load_pem_private_key(content, password if locked else None), certificates
    except UnsupportedAlgorithm:
        raise Unusable(_UNKNOWN_CIPHER) from None
    except (ValueError, TypeError):
        raise Unusable(_WRONG if locked else "it holds no private key that can be read") from None


def _from_pfx(text: str, password: bytes | None) -> tuple[PrivateKeyTypes | None, list[x509.Certificate]]:
    """From a PKCS#12 file (RFC 7292); without a passphrase some are locked with an empty one."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content.startswith(b"\x30"):  # an ASN.1 sequence, as the outermost of RFC 7292 section 4 is
        raise Unusable("it is neither PEM nor a PKCS#12 file, nor the base64 of one")
    for attempt in (password,) if password is not None else (None, b""):
        try:
            key, certificate, others = pkcs12.load_key_and_certificates(content, attempt)
        except UnsupportedAlgorithm:
            raise Unusable(_UNKNOWN_CIPHER) from None
        except ValueError:  # a wrong passphrase and a damaged file look alike
            continue
        return key, [certificate, *others] if certificate else others
    raise Unusable(_LOCKED if password is None else f"{_WRONG}, or it is damaged")


def service_account(content: Secret) -> tuple[str, rsa.RSAPrivateKey, str]:
    """Address, private key and key id out of the JSON that Google hands out; raises Unusable."""
    try:
        account = json.loads(content.reveal())
        email, pem, key_id = account["client_email"], account["private_key"], account["private_key_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unusable("it is not the JSON file that Google hands out for a service account") from None
    if not all(isinstance(one, str) for one in (email, pem, key_id)):
        raise Unusable("it is not the JSON file that Google hands out for a service account")
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable("its private_key cannot be read") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Unusable("its private_key is no RSA key")
    return email, key, key_id
