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
_PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
"""What Go's server, and so Consul's, says to plain HTTP."""
_NOT_YET = (ssl.SSLWantReadError, ssl.SSLSyscallError)  # what loops take for waiting


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context of a listener. Raises OSError or ssl.SSLError for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Explaining
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


class _Explaining(ssl.SSLObject):
    """A server's side of one connection that says why it refuses.

    Event loops close a connection whose handshake fails, with the alert that OpenSSL wrote for the
    client unsent. Here such a handshake ends well, for the loop; whoever serves the connection sees
    that it was ``refused`` and closes it, and what was written leaves before.
    """

    outgoing: ssl.MemoryBIO
    refused = ""
    """Why the handshake failed, once it has."""

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises ssl.SSLError when it waits for the client."""
        try:
            super().do_handshake()
        except _NOT_YET:
            raise
        except ssl.SSLError as error:
            self.refused = str(error.reason)
            if error.reason == "HTTP_REQUEST":
                self.outgoing.write(_PLAIN_HTTP)

    def getpeercert(self, binary_form: Any = False) -> Any:
        """The client's certificate, if there is a connection."""
        return None if self.refused else super().getpeercert(binary_form)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002
        """What the client sent; nothing comes any more of one that was refused."""
        if not self.refused:
            return super().read(len, buffer)
        return b"" if buffer is None else 0

    def unwrap(self) -> None:
        """End TLS, if it ever began."""
        if not self.refused:
            super().unwrap()


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

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any
    ) -> ssl.SSLObject:
        """The TLS of a new connection."""
        side = self.current.wrap_bio(incoming, outgoing, *args, **kwargs)
        if isinstance(side, _Explaining):
            side.outgoing = outgoing
        return side
