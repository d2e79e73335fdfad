"""What running checks share: settings, TLS contexts made once, the connection to Docker."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from portway.discovery.checks.dial import TLS, DialError
from portway.discovery.checks.settings import Settings
from portway.discovery.model import CheckDefinition

if TYPE_CHECKING:
    from aiodocker import Docker

H2 = "h2"
"""ALPN name of HTTP/2."""


class Context:
    """Shared by the checks of one agent; close it when they are done."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._tls: dict[tuple[bool, str], ssl.SSLContext] = {}
        self._docker: Docker | None = None

    def reconfigure(self, settings: Settings) -> None:
        """Take other settings; TLS files are read anew on their next use."""
        self.settings = settings
        self._tls.clear()

    def tls(self, definition: CheckDefinition, alpn: str = "") -> TLS:
        """The TLS of a check: system authorities, or the agent's certificates if it is told to.

        Raises DialError when the agent's files cannot be read.
        """
        key = (definition.tls_skip_verify, alpn)
        if key not in self._tls:
            self._tls[key] = self._tls_context(*key)
        return TLS(self._tls[key], definition.tls_server_name)

    def _tls_context(self, skip_verify: bool, alpn: str) -> ssl.SSLContext:
        files = self.settings.agent_tls
        try:
            if files and (files.ca_file or files.ca_path):
                context = ssl.create_default_context(
                    cafile=files.ca_file or None, capath=files.ca_path or None
                )
            else:
                context = ssl.create_default_context()
            if files and files.cert_file:
                context.load_cert_chain(files.cert_file, files.key_file or None)
        except (OSError, ssl.SSLError) as problem:
            raise DialError(f"the agent's TLS files cannot be used: {problem}") from None
        if skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols([alpn])
        return context

    def docker(self) -> Docker:
        """The Docker Engine, connected to on first use. Raises DialError."""
        if self._docker is None:
            from aiodocker import Docker

            host = self.settings.docker_host or os.environ.get("DOCKER_HOST", "")
            try:
                self._docker = Docker(url=host or "unix:///var/run/docker.sock")
            except (ValueError, AssertionError):
                raise DialError(f"unable to parse docker host `{host}`") from None
        return self._docker

    async def close(self) -> None:
        """Release the connection to Docker."""
        if self._docker is not None:
            await self._docker.close()
            self._docker = None
