"""``/v1/agent/…``: the agent itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from portway.agent.about import host_facts, stats
from portway.agent.api.refusals import refusals
from portway.agent.api.services import enable_of, own_token
from portway.agent.config.error import ConfigError
from portway.agent.definitions import DefinitionError
from portway.agent.runtime import Runtime
from portway.agent.sanitized import sanitized
from portway.discovery.acl import AclDisabledError
from portway.discovery.api.answer import EMPTY, Answer, json_answer
from portway.discovery.api.blocking import note_filtered
from portway.discovery.api.decode import decode
from portway.discovery.api.error import ApiError, bad_request, not_found
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model.names import go_name
from portway.discovery.version import BUILD_DATE, CONSUL, REVISION

# Names of a token in the API → in the configuration.
_TOKENS = {
    "default": "default",
    "acl_token": "default",
    "agent": "agent",
    "acl_agent_token": "agent",
    "agent_recovery": "agent_recovery",
    "agent_master": "agent_recovery",
    "acl_agent_master_token": "agent_recovery",
    "replication": "replication",
    "acl_replication_token": "replication",
    "config_file_service_registration": "config_file_service_registration",
    "dns": "dns",
    "dns_token": "dns",
}
_ALL_SEGMENTS = "_all"


class _Token(msgspec.Struct, rename=go_name):
    token: str = ""


class Member(msgspec.Struct, rename=go_name):
    """A member of the cluster."""

    name: str
    addr: str
    port: int
    tags: dict[str, str]
    status: int
    protocol_min: int
    protocol_max: int
    protocol_cur: int
    delegate_min: int
    delegate_max: int
    delegate_cur: int


class AgentApi:
    """The endpoints of the agent. ``reload`` reads the configuration again."""

    def __init__(self, runtime: Runtime, reload: Callable[[], Awaitable[None]]) -> None:
        self._runtime = runtime
        self._reload = reload

    def routes(self) -> tuple[Route, ...]:
        """The routes of the family."""
        return (
            Route("/v1/agent/self", {"GET": self.self_}, access="agent:read"),
            Route("/v1/agent/version", {"GET": self.version}, access="none"),
            Route("/v1/agent/host", {"GET": self.host}, access="operator:read"),
            Route("/v1/agent/members", {"GET": self.members}, access="node:read, filters"),
            Route("/v1/agent/reload", {"PUT": self.reload}, access="agent:write"),
            Route("/v1/agent/leave", {"PUT": self.leave}, access="agent:write"),
            Route("/v1/agent/join/", {"PUT": self.join}, access="agent:write"),
            Route("/v1/agent/force-leave/", {"PUT": self.force_leave}, access="operator:write"),
            Route("/v1/agent/maintenance", {"PUT": self.maintenance}, access="node:write"),
            Route("/v1/agent/token/", {"PUT": self.token}, access="agent:write"),
        )

    async def self_(self, request: Request) -> Answer:
        """The agent: its configuration (without secrets), its member entry, its numbers."""
        self._require(request, "read")
        runtime = self._runtime
        config = runtime.config
        plain, secure = config.ports.grpc, config.grpc_tls_port
        basic = {
            "Datacenter": config.datacenter,
            "PrimaryDatacenter": config.primary_datacenter,
            "NodeName": config.node_name,
            "NodeID": config.node_id,
            "Revision": REVISION,
            "Server": True,
            "Version": CONSUL,
            "BuildDate": BUILD_DATE,
            "BindAddr": config.advertise_lan,
        }
        return json_answer(
            {
                "Config": basic,
                "DebugConfig": sanitized(config),
                "Coord": {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-05},
                "Member": runtime.members()[0],
                "Stats": await stats(runtime),
                "Meta": runtime.node().meta,
                "xDS": {
                    "SupportedProxies": {"envoy": ["1.40.0"]},
                    "Port": plain if secure <= 0 else secure,
                    "Ports": {"Plaintext": plain, "TLS": secure},
                },
            }
        )

    async def version(self, _request: Request) -> Answer:
        """The version."""
        return json_answer(
            {
                "SHA": REVISION,
                "BuildDate": BUILD_DATE,
                "HumanVersion": CONSUL,
                "FIPS": "",
            }
        )

    async def host(self, request: Request) -> Answer:
        """The machine."""
        request.require("operator", "read")
        return json_answer(await asyncio.to_thread(host_facts))

    async def members(self, request: Request) -> Answer:
        """The members the caller may see."""
        wan = bool(request.param("wan"))
        _refuse_segment(request.param("segment"), wan)
        matches = row_filter(request, Member)
        members = [msgspec.convert(row, Member) for row in self._runtime.members(wan)]
        visible = [member for member in members if request.allows("node", "read", member.name)]
        note_filtered(request, len(visible) < len(members))
        return json_answer([member for member in visible if matches(member)])

    async def reload(self, request: Request) -> Answer:
        """Read the configuration again."""
        self._require(request, "write")
        try:
            await self._reload()
        except (ConfigError, DefinitionError, OSError, ValueError) as error:
            raise ApiError(500, str(error)) from None
        return EMPTY

    async def leave(self, request: Request) -> Answer:
        """Leave the cluster and end."""
        self._require(request, "write")
        asyncio.get_running_loop().call_later(0.1, self._runtime.left.set)
        return EMPTY

    async def join(self, request: Request) -> Answer:
        """Join other agents: only this one's own address can be, as clusters are to come."""
        self._require(request, "write")
        address = request.rest
        host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
        config = self._runtime.config
        own = {config.advertise_lan, "127.0.0.1", "localhost", config.node_name}
        if host in own and port in ("", str(config.ports.serf_lan)):
            return EMPTY
        raise ApiError(
            500,
            f"1 error occurred:\n\t* Failed to join {address}: this server runs on an embedded "
            "store and cannot join others; clusters are not supported yet\n\n",
        )

    async def force_leave(self, request: Request) -> Answer:
        """Declare a failed member to have left: of this agent alone there is none."""
        request.require("operator", "write")
        name = request.rest
        names = {self._runtime.config.node_name}
        names |= {f"{one}.{self._runtime.config.datacenter}" for one in names}
        if name not in names:
            raise ApiError(500, f"agent: No node found with name '{name}'")
        return EMPTY

    async def maintenance(self, request: Request) -> Answer:
        """Turn maintenance of the node on or off."""
        enable = enable_of(request)
        runtime = self._runtime
        request.require("node", "write", runtime.config.node_name)
        with refusals():
            await runtime.agent.node_maintenance(
                enable, request.param("reason"), own_token(request)
            )
        return EMPTY

    async def token(self, request: Request) -> Answer:
        """Replace one of the agent's own tokens."""
        if not request.context.tokens.enabled:
            raise AclDisabledError
        self._require(request, "write")
        name = _TOKENS.get(request.rest)
        if name is None:
            raise not_found(f'Token "{request.rest}" is unknown')
        body = decode(await request.body(1 << 16), _Token)
        with refusals():
            await self._runtime.set_token(name, body.token)
        return EMPTY

    def _require(self, request: Request, access: str) -> None:
        request.require("agent", access, self._runtime.config.node_name)


def _refuse_segment(segment: str, wan: bool) -> None:
    """Refuse every network segment but all of them, which is what clients ask for."""
    if segment in ("", _ALL_SEGMENTS):
        return
    if wan:
        raise bad_request("Cannot provide a segment with wan=true")
    raise ApiError(500, "Network segments are not supported in this version of Consul")
