"""The lab's certificate authority, made anew at each start; its keys never leave the lab's folder."""

from __future__ import annotations

import datetime as dt
import ssl
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smtp_preflight.lab.conditions import CertificateTerms, ConnectionConditions

if TYPE_CHECKING:
    import trustme

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_RSA_BY_SHA256 = bytes.fromhex("06092a864886f70d01010b")
_RSA_BY_SHA1 = bytes.fromhex("06092a864886f70d010105")
"""The signature algorithms in DER (RFC 8017 appendix C); they differ in their last byte only."""


class Authority:
    """A private CA by trustme (elliptic-curve keys, so that it is there in milliseconds)."""

    def __init__(self, folder: Path) -> None:
        # Only whoever runs a lab has trustme (the extra "lab"); everything else imports without it.
        import trustme

        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def mail_context(self, conditions: ConnectionConditions) -> ssl.SSLContext:
        """What the mail server needs to shake hands under these conditions."""
        context = self.context(conditions.certificate)
        if conditions.anonymous or conditions.anonymous_first:
            others = "" if conditions.anonymous else "ALL:"
            context.maximum_version = ssl.TLSVersion.TLSv1_2  # TLS 1.3 has no ciphers without a certificate
            context.set_ciphers(f"aNULL:{others}@SECLEVEL=0")
        if conditions.tls_version:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is to be shown
                context.minimum_version = ssl.TLSVersion[conditions.tls_version]
                context.maximum_version = ssl.TLSVersion[conditions.tls_version]
        if conditions.client_certificate_wanted:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context

    def context(self, terms: CertificateTerms) -> ssl.SSLContext:
        """What a server needs to show a certificate on these terms."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # a server shows what it has, be it weak
        file = self._folder / "server.pem"
        file.write_bytes(self._key_and_chain(terms))
        context.load_cert_chain(file)
        file.unlink()
        return context

    def _key_and_chain(self, terms: CertificateTerms) -> bytes:
        """The server's key, its certificate and, where they are sent, those above it; all as PEM."""
        key = _new_key(terms.rsa_bits)
        issuer = self._issuer(terms)
        leaf = _leaf(terms, key, issuer)
        above = [issuer.cert_pem.bytes()] if terms.issuer_sent and not terms.self_signed else []
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return b"".join([private, leaf, *above])

    def _issuer(self, terms: CertificateTerms) -> trustme.CA:
        import trustme

        kind = trustme.KeyType.RSA if terms.by_sha1 else trustme.KeyType.ECDSA
        if terms.stranger:
            return trustme.CA(organization_name=terms.stranger, organization_unit_name="Root", key_type=kind)
        return self._ca.create_child_ca(key_type=kind)


def _new_key(rsa_bits: int) -> Key:
    if rsa_bits:
        return rsa.generate_private_key(65537, rsa_bits)
    return ec.generate_private_key(ec.SECP256R1())


def _leaf(terms: CertificateTerms, key: Key, issuer: trustme.CA) -> bytes:
    """A server's certificate as PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, terms.name)])
    above = x509.load_pem_x509_certificate(issuer.cert_pem.bytes())
    signer = _key_of(issuer)
    if terms.self_signed:
        above_name, above_key, signer = name, key.public_key(), key
    else:
        above_name, above_key = above.subject, signer.public_key()
    names = [x509.DNSName(one) for one in (terms.name, *terms.further_names)]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(
            issuer_name=above_name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now + dt.timedelta(days=terms.begins_days),
            not_valid_after=now + dt.timedelta(days=terms.ends_days),
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above_key), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    if terms.by_sha1:
        assert isinstance(signer, rsa.RSAPrivateKey)
        return ssl.DER_cert_to_PEM_cert(_signed_by_sha1(certificate, signer)).encode()
    return certificate.public_bytes(Encoding.PEM)


def _key_of(authority: trustme.CA) -> Key:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, Key)
    return key


def _signed_by_sha1(certificate: x509.Certificate, signer: rsa.RSAPrivateKey) -> bytes:
    """The same certificate (DER) signed over SHA-1, which no library does any more.

    The algorithm stands in what is signed and once more behind it; the signature is the end of the whole.
    """
    signed = certificate.tbs_certificate_bytes.replace(_RSA_BY_SHA256, _RSA_BY_SHA1)
    signature = signer.sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - what is to be recognised
    whole = certificate.public_bytes(Encoding.DER).replace(_RSA_BY_SHA256, _RSA_BY_SHA1)
    return whole.removesuffix(certificate.signature) + signature
