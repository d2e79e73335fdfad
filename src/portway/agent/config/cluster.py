"""Blocks about several servers: ``autopilot``, gossip, Raft's log."""

from __future__ import annotations

from portway.agent.config.block import Block, seconds
from portway.config import Duration


class Autopilot(Block):
    """How the leader keeps the set of servers in order; the values of a new cluster."""

    cleanup_dead_servers: bool = True
    last_contact_threshold: Duration = seconds(0.2)
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time: Duration = seconds(10)


class GossipLan(Block):
    """Gossip within a datacenter."""

    gossip_nodes: int = 3
    gossip_interval: Duration = seconds(0.2)
    probe_interval: Duration = seconds(1)
    probe_timeout: Duration = seconds(0.5)
    suspicion_mult: int = 4
    retransmit_mult: int = 4


class GossipWan(Block):
    """Gossip between servers of datacenters."""

    gossip_nodes: int = 4
    gossip_interval: Duration = seconds(0.5)
    probe_interval: Duration = seconds(5)
    probe_timeout: Duration = seconds(3)
    suspicion_mult: int = 6
    retransmit_mult: int = 4


class Verification(Block):
    """Checksums of Raft's log."""

    enabled: bool = False
    interval: Duration = seconds(60)


class BoltDb(Block):
    """The bbolt log store."""

    no_freelist_sync: bool = False


class Wal(Block):
    """The write-ahead log store."""

    segment_size_mb: int = 64


class RaftLogstore(Block):
    """Where Raft's log is kept."""

    backend: str = ""  # boltdb, wal or default
    disable_log_cache: bool = False
    verification: Verification = Verification()
    boltdb: BoltDb = BoltDb()
    wal: Wal = Wal()
