"""``inline-certificate`` and ``file-system-certificate``: certificates for API gateways."""

from __future__ import annotations

from portway.mesh.entries.entry import Entry, EntryError, check_meta
from portway.mesh.entries.hostname import is_hostname

_SHORTEST_RSA = 2048  # bits; Envoy refuses shorter keys


class InlineCertificate(Entry, tag="inline-certificate"):
    """A certificate and its private key, both in PEM."""

    read_access = "mesh"
    write_access = "mesh"

    name: str
    certificate: str
    private_key: str

    def check(self) -> None:
        check_meta(self.meta)
        _check_pair(self.certificate.encode(), self.private_key.encode())


class FileSystemCertificate(Entry, tag="file-system-certificate"):
    """Paths of a certificate and its private key on the gateway's host."""

    read_access = "mesh"
    write_access = "mesh"

    name: str
    certificate: str
    private_key: str

    def check(self) -> None:
        check_meta(self.meta)
        if not self.certificate:
            raise EntryError("certificate path is required")
        if not self.private_key:
            raise EntryError("private key path is required")


def _check_pair(certificate: bytes, private_key: bytes) -> None:
    """Raise EntryError unless Envoy can use the pair."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"-----BEGIN" not in private_key:
        raise EntryError("failed to parse private key PEM")
    try:
        key = load_pem_private_key(private_key, None)
    except (ValueError, TypeError) as error:
        raise EntryError(f"failed to parse private key: {error}") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _SHORTEST_RSA:
        raise EntryError(f"key length must be at least {_SHORTEST_RSA} bits")
    if b"-----BEGIN" not in certificate:
        raise EntryError("failed to parse certificate PEM")
    try:
        read = x509.load_pem_x509_certificates(certificate)[0]
        hosts = _hosts(read)
    except ValueError as error:
        raise EntryError(f"failed to parse certificate: {error}") from None
    if read.public_key() != key.public_key():
        raise EntryError("tls: private key does not match public key")
    for host in hosts:
        if not is_hostname(host):
            raise EntryError(f'host "{host}" must be a valid DNS hostname')


def _hosts(certificate: object) -> list[str]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    assert isinstance(certificate, x509.Certificate)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    hosts = [str(name.value) for name in names if name.value]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return hosts
    return hosts + extension.value.get_values_for_type(x509.DNSName)
