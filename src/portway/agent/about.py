"""What the agent tells of itself and its machine (``consul info``, ``/v1/agent/host``)."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

from portway.agent.runtime import Runtime
from portway.discovery.version import CONSUL, REVISION


async def stats(runtime: Runtime) -> dict[str, dict[str, str]]:
    """The agent's numbers by subject, as text (``consul info``)."""
    status = await runtime.store.status()
    config, state = runtime.config, runtime.server.state
    types = [entry.check.type for entry in runtime.local.checks.values()]
    return {
        "agent": {
            "check_monitors": str(types.count("script")),
            "check_ttls": str(types.count("ttl")),
            "checks": str(len(types)),
            "services": str(len(runtime.local.services)),
        },
        "build": {"prerelease": "", "revision": REVISION, "version": CONSUL},
        "consul": {
            "acl": "enabled" if config.acl.enabled else "disabled",
            "bootstrap": str(config.bootstrap or config.bootstrap_expect == 1).lower(),
            "known_datacenters": "1",
            "leader": "true",
            "leader_addr": f"{config.advertise_lan}:{config.ports.server}",
            "server": "true",
        },
        "raft": {
            "applied_index": str(state.view.revision),
            "commit_index": str(status.revision),
            "last_log_index": str(status.revision),
            "num_peers": "0",
            "state": "Leader",
        },
        "runtime": {
            "arch": platform.machine(),
            "cpu_count": str(_cpus()),
            "os": platform.system().lower(),
            "uptime_seconds": str(int(time.time() - runtime.started)),
            "version": f"python {platform.python_version()}",
        },
        "serf_lan": _one_member(),
        "serf_wan": _one_member(),
        "store": {
            "bytes": str(status.bytes),
            "compacted": str(status.compacted),
            "keys": str(status.keys),
        },
    }


def _one_member() -> dict[str, str]:
    return {"encrypted": "false", "failed": "0", "left": "0", "members": "1"}


def _cpus() -> int:
    return len(os.sched_getaffinity(0))


def host_facts() -> dict[str, Any]:
    """The machine: memory, processors, system and disk; all sizes in bytes."""
    import psutil

    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    uname = platform.uname()
    return {
        "Memory": {
            "total": memory.total,
            "available": memory.available,
            "used": memory.used,
            "usedPercent": memory.percent,
            "free": memory.free,
        },
        "CPU": [{"cpu": cpu, "modelName": uname.processor} for cpu in range(_cpus())],
        "Host": {
            "hostname": uname.node,
            "uptime": int(time.time() - psutil.boot_time()),
            "bootTime": int(psutil.boot_time()),
            "os": uname.system.lower(),
            "kernelVersion": uname.release,
            "kernelArch": uname.machine,
        },
        "Disk": {
            "path": "/",
            "total": disk.total,
            "free": disk.free,
            "used": disk.used,
            "usedPercent": disk.percent,
        },
        "CollectionTime": time.time_ns(),
        "Errors": None,
    }
