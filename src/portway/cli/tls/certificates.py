"""A certificate authority for agents, and the certificates it signs: ECDSA with P-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_SKEW = timedelta(minutes=1)  # clocks may differ by so much


class CertificateError(Exception):
    """Something is no certificate or key, or does not fit; the message says what."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Key

    @property
    def certificate_pem(self) -> str:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()


def key_pem(key: Key) -> str:
    """A private key in PEM, in the form of its kind as OpenSSL and Go write it."""
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    ).decode()


def authority(
    name: str, *, days: int, constraints: Sequence[str], uri: str = "", domain: str = "consul"
) -> Pair:
    """A new authority that signs itself.

    With ``constraints`` it may only sign for these DNS domains and what is below them.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    common = name or f"Consul Agent CA {serial}"
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Portway"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )
    builder = (
        _builder(subject, subject, key.public_key(), serial, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(_identifier(key.public_key()), critical=False)
        .add_extension(_authority_identifier(_identifier(key.public_key())), critical=False)
    )
    if uri:
        names = [x509.UniformResourceIdentifier(f"spiffe://{uri}.{domain}")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if constraints:
        permitted = [x509.DNSName(domain) for domain in constraints]
        limits = x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None)
        builder = builder.add_extension(limits, critical=True)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def issue(
    signer: Pair,
    name: str,
    dns_names: Sequence[str],
    addresses: Sequence[str],
    *,
    days: int,
    usages: Sequence[str] = ("server", "client"),
) -> Pair:
    """A new certificate for a name, with further names and IP addresses.

    Raises CertificateError when the authority may not sign it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in dict.fromkeys(dns_names)]
    names += [x509.IPAddress(ip_address(one)) for one in dict.fromkeys(addresses)]
    extended = {
        "server": ExtendedKeyUsageOID.SERVER_AUTH,
        "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    authority_ = signer.certificate
    _check_permitted(authority_, dns_names)
    builder = (
        _builder(subject, authority_.subject, key.public_key(), x509.random_serial_number(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(_identifier(key.public_key()), critical=False)
        .add_extension(_issuer_identifier(signer), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usages:
        purposes = x509.ExtendedKeyUsage([extended[usage] for usage in usages])
        builder = builder.add_extension(purposes, critical=False)
    return Pair(builder.sign(signer.key, hashes.SHA256()), key)


def read_pair(certificate: bytes, key: bytes) -> Pair:
    """An authority from PEM. Raises CertificateError."""
    try:
        read = x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise CertificateError(f"failed to parse certificate PEM: {error}") from None
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"failed to parse private key PEM: {error}") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError("failed to parse private key PEM: it must be an ECDSA or RSA key")
    if private.public_key() != read.public_key():
        raise CertificateError("the CA's key does not fit its certificate")
    if datetime.now(UTC) > read.not_valid_after_utc:
        raise CertificateError(f"the CA has expired at {read.not_valid_after_utc:%Y-%m-%d}")
    return Pair(read, private)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    serial: int,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _identifier(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> x509.SubjectKeyIdentifier:
    """The SHA-256 of the public key, as Consul's commands make it."""
    bits = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return x509.SubjectKeyIdentifier(hashlib.sha256(bits).digest())


def _authority_identifier(
    identifier: x509.SubjectKeyIdentifier,
) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _issuer_identifier(signer: Pair) -> x509.AuthorityKeyIdentifier:
    """What the authority calls its key; verifiers compare it, whoever made the authority."""
    try:
        found = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    return _authority_identifier(found.value)


def _check_permitted(authority_: x509.Certificate, names: Sequence[str]) -> None:
    try:
        found = authority_.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return
    domains = [
        domain.value
        for domain in found.value.permitted_subtrees or ()
        if isinstance(domain, x509.DNSName)
    ]
    for name in names:
        if not any(name == domain or name.endswith(f".{domain}") for domain in domains):
            raise CertificateError(
                f"the CA may not sign for {name}: its name constraints permit {', '.join(domains)}"
            )
