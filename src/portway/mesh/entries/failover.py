"""How targets of a failover are chosen."""

from __future__ import annotations

from portway.discovery.model import Wire
from portway.mesh.entries.entry import EntryError

_MODES = ("", "sequential", "order-by-locality")


class FailoverPolicy(Wire):
    """The order in which targets are tried: as listed, or the nearest first."""

    mode: str = ""
    regions: list[str] = []

    def check(self) -> None:
        """Raise EntryError for a mode that is none, or of the enterprise edition."""
        if self.mode not in _MODES:
            raise EntryError("Policy must be one of '', 'sequential', or 'order-by-locality'")
        if self.mode == "order-by-locality" or self.regions:
            raise EntryError("Setting failover policies by locality requires Consul Enterprise")


class PrioritizeByLocality(Wire):
    """Whether instances in the proxy's own zone and region come first."""

    mode: str = ""

    def check(self) -> None:
        """Raise EntryError for a mode that is none, or of the enterprise edition."""
        if self.mode not in ("", "none", "failover"):
            raise EntryError("mode must be one of '', 'none', or 'failover'")
        if self.mode == "failover":
            raise EntryError("Prioritizing by locality requires Consul Enterprise")
