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
        """Raise EntryError for a mode that is none."""
        if self.mode not in _MODES:
            raise EntryError(
                "Failover-policy mode must be one of '', 'sequential', or 'order-by-locality'"
            )


class PrioritizeByLocality(Wire):
    """Whether instances in the proxy's own zone and region come first."""

    mode: str = ""

    def check(self) -> None:
        """Raise EntryError for a mode: all are of the enterprise edition."""
        if self.mode:
            raise EntryError("Prioritize-by-locality requires Consul Enterprise ")
