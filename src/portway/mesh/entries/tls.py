"""Parts of entries about TLS between proxies and at gateways."""

from __future__ import annotations

from collections.abc import Sequence

from portway.mesh.entries.entry import EntryError

VERSIONS = ("TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")
"""Versions from the oldest on; ``TLS_AUTO`` leaves it to Envoy."""
AUTO = "TLS_AUTO"
CIPHER_SUITES = frozenset(
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "TLS_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_RSA_WITH_AES_256_CBC_SHA",
    )
)
"""Suites of TLS 1.2 and before, which Envoy lets one choose."""


def check_tls(minimum: str, maximum: str, suites: Sequence[str]) -> None:
    """Raise EntryError for versions or cipher suites that cannot be."""
    for version in (minimum, maximum):
        if version and version != AUTO and version not in VERSIONS:
            listed = ", ".join((AUTO, *VERSIONS))
            raise EntryError(
                f"no matching TLS version found for {version}, please specify one of [{listed}]"
            )
    both = minimum in VERSIONS and maximum in VERSIONS
    if both and VERSIONS.index(maximum) < VERSIONS.index(minimum):
        raise EntryError(
            f"configuring max version {maximum} less than the configured min version {minimum} "
            "is invalid"
        )
    if suites and minimum == "TLSv1_3":
        raise EntryError(
            "configuring CipherSuites is only applicable to connections negotiated with TLS 1.2 "
            f"or earlier, TLSMinVersion is set to {minimum}"
        )
    unknown = [suite for suite in suites if suite not in CIPHER_SUITES]
    if unknown:
        raise EntryError(f"no matching Envoy TLS cipher suite found for {','.join(unknown)}")
