"""The agent's own tokens, by what they are for."""

from __future__ import annotations

from collections.abc import Mapping

from portway.agent.local import Source


class AgentTokens:
    """Secrets by kind, "" where there is none; the kinds are the keys of ``acl.tokens``.

    The configuration says them, the API may replace them. A reload takes over those that the
    configuration changed; those that were kept on disk (``kept``) win, as in Consul.
    """

    def __init__(self, configured: Mapping[str, str], kept: Mapping[str, str]) -> None:
        self._configured = dict(configured)
        self._kept = {kind: secret for kind, secret in kept.items() if secret}
        self._secrets = self._configured | self._kept

    def __getitem__(self, kind: str) -> str:
        return self._secrets[kind]

    def set(self, kind: str, secret: str, *, keep: bool) -> None:
        """Replace one; with ``keep`` it is one of those to keep on disk."""
        self._secrets[kind] = secret
        if keep:
            self._kept[kind] = secret

    def kept(self) -> dict[str, str]:
        """Those to keep on disk."""
        return dict(self._kept)

    def reconfigure(self, configured: Mapping[str, str]) -> None:
        """Take over what the configuration says now, where it says something else than before."""
        changed = {
            kind: secret
            for kind, secret in configured.items()
            if secret != self._configured.get(kind)
        }
        self._secrets |= {k: secret for k, secret in changed.items() if k not in self._kept}
        self._configured = dict(configured)

    def of_agent(self) -> str:
        """The token of the agent's own work: of its node, and of taking out what is not its."""
        return self._secrets["agent"] or self._secrets["default"]

    def of_registration(self, source: Source) -> str:
        """The token of services and checks that have none of their own."""
        if source == "config" and self._secrets["config_file_service_registration"]:
            return self._secrets["config_file_service_registration"]
        return self._secrets["default"]

    def of_dns(self) -> str:
        """The token of DNS queries."""
        return self._secrets["dns"] or self._secrets["default"]
