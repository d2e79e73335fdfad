"""The ``tls`` block, and how its ``defaults`` reach the single interfaces."""

from __future__ import annotations

from portway.agent.config.block import Block

VERSIONS = ("TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")

# Go's names of the suites below TLS 1.3, and OpenSSL's.
CIPHER_SUITES = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}


class TlsInterface(Block):
    """TLS of one interface. None means what ``defaults`` says, there False or TLSv1_2."""

    ca_file: str | None = None
    ca_path: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    tls_min_version: str | None = None  # one of VERSIONS
    tls_cipher_suites: str | None = None  # Go's names, separated by commas
    verify_incoming: bool | None = None  # clients must show a certificate of the CA
    verify_outgoing: bool | None = None
    verify_server_hostname: bool | None = None
    use_auto_cert: bool | None = None


class Tls(Block):
    """TLS of the agent's interfaces."""

    defaults: TlsInterface = TlsInterface()
    internal_rpc: TlsInterface = TlsInterface()
    https: TlsInterface = TlsInterface()
    grpc: TlsInterface = TlsInterface()


class TlsSettings(Block):
    """TLS of one interface with everything filled in; "" where there is no such file."""

    ca_file: str = ""
    ca_path: str = ""
    cert_file: str = ""
    key_file: str = ""
    tls_min_version: str = "TLSv1_2"
    tls_cipher_suites: str = ""
    verify_incoming: bool = False
    verify_outgoing: bool = False
    verify_server_hostname: bool = False
    use_auto_cert: bool = False

    def openssl_ciphers(self) -> str:
        """The suites as OpenSSL's cipher string; "" is OpenSSL's own choice."""
        names = [name.strip() for name in self.tls_cipher_suites.split(",")]
        return ":".join(CIPHER_SUITES[name] for name in names if name)


def settled(own: TlsInterface, defaults: TlsInterface) -> TlsSettings:
    """The interface's own values, else those of ``defaults``."""
    filled = {}
    for name in TlsSettings.__struct_fields__:
        value = getattr(own, name)
        if value is None:
            value = getattr(defaults, name)
        if value is not None:
            filled[name] = value
    return TlsSettings(**filled)
