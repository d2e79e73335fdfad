"""All tables of discovery together."""

from __future__ import annotations

from portway.discovery.model.operator import Autopilot
from portway.discovery.state.acl import Acl
from portway.discovery.state.catalog import Catalog
from portway.discovery.state.config_entries import ConfigEntries
from portway.discovery.state.coordinates import Coordinates
from portway.discovery.state.kv import KV
from portway.discovery.state.queries import Queries
from portway.discovery.state.sessions import Sessions
from portway.discovery.state.table import Table
from portway.discovery.state.view import View


class State:
    """The tables by subject, and the view that keeps them up with the store."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.config = ConfigEntries()
        self.coordinates = Coordinates()
        self.kv = KV()
        self.sessions = Sessions()
        self.queries = Queries()
        self.acl = Acl()
        self.autopilot: Table[Autopilot] = Table("autopilot/", Autopilot)
        """What the operator has set, under the key ``AUTOPILOT``."""
        self.view = View(
            [
                # Nodes before what is on them.
                self.catalog.nodes,
                self.catalog.services,
                self.catalog.checks,
                self.catalog.ids,
                self.coordinates.table,
                self.kv.table,
                self.kv.locks,
                self.sessions.table,
                self.queries.table,
                self.config.table,
                self.acl.policies,
                self.acl.roles,
                self.acl.tokens,
                self.acl.methods,
                self.acl.rules,
                self.acl.bootstraps,
                self.autopilot,
            ],
            [
                self.catalog.extinction,
                self.catalog.departure,
                *(group.topic for group in self.catalog.by_status.values()),
                *self.config.kinds.values(),
            ],
        )
