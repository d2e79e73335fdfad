"""Blocks of the mesh: ``connect``, ``peering``, ``config_entries``, ``auto_encrypt``, …"""

from __future__ import annotations

from typing import Any

from portway.agent.config.block import Block, seconds
from portway.config import Duration


class Connect(Block):
    """The mesh and its certificate authority."""

    enabled: bool = True
    ca_provider: str = ""  # consul, vault or aws-pca; "" is consul
    ca_config: dict[str, Any] = {}  # as the provider names its options
    enable_mesh_gateway_wan_federation: bool = False


class Peering(Block):
    """Peering of clusters."""

    enabled: bool = True


class ConfigEntries(Block):
    """Configuration entries written when a cluster has none of that kind and name."""

    bootstrap: list[dict[str, Any]] = []


class Xds(Block):
    """Updates of proxies."""

    update_max_per_second: float = 250.0


class AutoEncrypt(Block):
    """Certificates for the agents themselves, from the mesh's authority."""

    tls: bool = False
    allow_tls: bool = False
    dns_san: list[str] = []
    ip_san: list[str] = []


class Authorizer(Block):
    """What a server demands of a client's introduction token."""

    claim_assertions: list[str] = []
    allow_reuse: bool = False
    jwt_supported_algs: list[str] = []
    bound_audiences: list[str] = []
    claim_mappings: dict[str, str] = {}
    list_claim_mappings: dict[str, str] = {}
    oidc_discovery_url: str = ""
    oidc_discovery_ca_cert: str = ""
    jwks_url: str = ""
    jwks_ca_cert: str = ""
    jwt_validation_pub_keys: list[str] = []
    bound_issuer: str = ""
    expiration_leeway: Duration = seconds(0)
    not_before_leeway: Duration = seconds(0)
    clock_skew_leeway: Duration = seconds(0)


class Authorization(Block):
    """Whether and how a server hands configuration to clients."""

    enabled: bool = False
    static: Authorizer = Authorizer()


class AutoConfig(Block):
    """Configuration of clients that servers hand out."""

    enabled: bool = False
    intro_token: str = ""
    intro_token_file: str = ""
    server_addresses: list[str] = []
    dns_sans: list[str] = []
    ip_sans: list[str] = []
    authorization: Authorization = Authorization()


class Cloud(Block):
    """HashiCorp's cloud platform."""

    resource_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    hostname: str = ""
    auth_url: str = ""
    scada_address: str = ""


class Rpc(Block):
    """Streaming of changes between servers and clients."""

    enable_streaming: bool = True


class License(Block):
    """Reporting of licence data."""

    enabled: bool | None = None


class Reporting(Block):
    """Reports to the vendor."""

    license: License = License()
    snapshot_retention_time: Duration = seconds(0)
