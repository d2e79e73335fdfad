"""State: what the store holds, decoded, indexed and in memory.

``State`` has the tables; ``View`` keeps them up with the store; ``Draft`` writes a change that
holds only if what it was decided on still holds; ``Topic`` wakes the readers a change concerns.
"""

from portway.discovery.state.acl import Acl
from portway.discovery.state.catalog import (
    Catalog,
    Host,
    Instance,
    by_id,
    check_key,
    node_key,
    service_key,
    worst,
)
from portway.discovery.state.config_entries import ConfigEntries, entry_key
from portway.discovery.state.coordinates import Coordinates, coordinate_key, round_trip
from portway.discovery.state.draft import Draft
from portway.discovery.state.kv import KV, lock_key
from portway.discovery.state.sessions import Sessions
from portway.discovery.state.state import State
from portway.discovery.state.table import Row, Table, Touch
from portway.discovery.state.topic import Reading, Topic, Topics, any_change
from portway.discovery.state.view import View

__all__ = [
    "KV",
    "Acl",
    "Catalog",
    "ConfigEntries",
    "Coordinates",
    "Draft",
    "Host",
    "Instance",
    "Reading",
    "Row",
    "Sessions",
    "State",
    "Table",
    "Topic",
    "Topics",
    "Touch",
    "View",
    "any_change",
    "by_id",
    "check_key",
    "coordinate_key",
    "entry_key",
    "lock_key",
    "node_key",
    "round_trip",
    "service_key",
    "worst",
]
