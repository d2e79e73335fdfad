"""What the agent's configuration says about checks."""

from __future__ import annotations

import resource

import msgspec

from portway.discovery.checks.output import DEFAULT_LIMIT


class TLSFiles(msgspec.Struct, frozen=True):
    """Paths of the agent's certificates; an empty one is not used."""

    ca_file: str = ""
    ca_path: str = ""
    cert_file: str = ""
    key_file: str = ""


def _concurrent_connections() -> int:
    """Half of the files this process may open, within reason."""
    return max(64, min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and options of every check of an agent."""

    output_max_size: int = DEFAULT_LIMIT
    """Bytes (``check_output_max_size``)."""
    discard_output: bool = False
    """Report no output at all (``discard_check_output``)."""
    enable_script_checks: bool = False
    """Scripts may be registered from anywhere."""
    enable_local_script_checks: bool = False
    """Scripts may be defined in the agent's own configuration."""
    agent_tls: TLSFiles | None = None
    """The agent's certificates, when ``enable_agent_tls_for_checks`` says to use them."""
    user_agent: str = "Consul Health Check"
    docker_host: str = ""
    """As DOCKER_HOST; empty: that variable, or Docker's usual socket."""
    node_name: str = ""
    concurrent_connections: int = msgspec.field(default_factory=_concurrent_connections)
    """Checks over the network that run at the same time; the others wait their turn."""
    concurrent_scripts: int = 128
    """Scripts that run at the same time, here and in containers."""
