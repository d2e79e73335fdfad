"""TLS of the agent's listeners."""

from __future__ import annotations

import ssl
from typing import Any

from portway.agent.config import TlsSettings
from portway.agent.config.certificates import authority_files

_VERSIONS = {
    "TLS_AUTO": ssl.TLSVersion.TLSv1_2,
    "TLSv1_0": ssl.TLSVersion.TLSv1,
    "TLSv1_1": ssl.TLSVersion.TLSv1_1,
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
}


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context of a listener. Raises OSError or ssl.SSLError for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.tls_min_version]
    ciphers = settings.openssl_ciphers()
    if ciphers:
        context.set_ciphers(ciphers)
    context.load_cert_chain(settings.cert_file, settings.key_file)
    for file in authority_files(settings):
        context.load_verify_locations(file)
    if settings.verify_incoming:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class RenewableContext(ssl.SSLContext):
    """A context whose new connections have what ``current`` says, all of it.

    A context in use could be given other certificates, but not lose an authority.
    """

    current: ssl.SSLContext

    def __new__(cls, current: ssl.SSLContext) -> RenewableContext:
        """``current`` may be replaced at any time."""
        self = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        self.current = current
        return self

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """The TLS of a new connection."""
        return self.current.wrap_bio(*args, **kwargs)
