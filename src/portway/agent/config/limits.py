"""The ``limits``, ``performance`` and ``cache`` blocks."""

from __future__ import annotations

from portway.agent.config.block import Block, seconds
from portway.config import Duration

LARGEST_VALUE = 512 * 1024  # bytes


class RequestLimits(Block):
    """Rates a server answers at; -1 is no limit."""

    mode: str = "disabled"  # or permissive (only logs), enforcing
    read_rate: float = -1.0  # requests/s
    write_rate: float = -1.0  # requests/s


class Limits(Block):
    """Bounds of what one client may take."""

    http_max_conns_per_client: int = 200  # per address; 0 is no limit
    https_handshake_timeout: Duration = seconds(5)
    rpc_handshake_timeout: Duration = seconds(5)
    rpc_client_timeout: Duration = seconds(60)
    rpc_rate: float = -1.0  # requests/s of the agent to servers; -1 is no limit
    rpc_max_burst: int = 1000
    rpc_max_conns_per_client: int = 100
    kv_max_value_size: int = LARGEST_VALUE  # bytes
    txn_max_req_len: int = LARGEST_VALUE  # bytes of the body
    request_limits: RequestLimits = RequestLimits()


class Performance(Block):
    """Timing of a server and its clients."""

    leave_drain_time: Duration = seconds(5)
    raft_multiplier: int = 5  # 1 to 10; higher tolerates slower machines
    rpc_hold_timeout: Duration = seconds(7)  # requests wait this long for a leader
    grpc_keepalive_interval: Duration = seconds(30)
    grpc_keepalive_timeout: Duration = seconds(20)
    enable_xds_load_balancing: bool = True


class Cache(Block):
    """The agent's cache of answers."""

    entry_fetch_rate: float | None = None  # fetches/s of one entry; None is no limit
    entry_fetch_max_burst: int = 2
