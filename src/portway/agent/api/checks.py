"""``/v1/agent/check…``: checks of this agent."""

from __future__ import annotations

import msgspec

from portway.agent.agent import Agent
from portway.agent.api.refusals import refusals
from portway.agent.api.rows import agent_check
from portway.agent.api.services import own_token
from portway.agent.registry import UnknownCheckError
from portway.discovery.api.answer import EMPTY, Answer, json_answer
from portway.discovery.api.blocking import note_filtered
from portway.discovery.api.decode import decode
from portway.discovery.api.error import bad_request, not_found
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.request import Request
from portway.discovery.api.route import Handler, Route
from portway.discovery.model import CRITICAL, PASSING, WARNING, Check, CheckDefinition, CheckStatus
from portway.discovery.model.names import go_name

_MAX_BODY = 1 << 20  # bytes of a definition


class _Update(msgspec.Struct, rename=go_name):
    status: str = ""
    output: str = ""


class ChecksApi:
    """The endpoints of local checks."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._local = agent.local

    def routes(self) -> tuple[Route, ...]:
        """The routes of the family."""
        needs = "service:write of its service, else node:write"
        return (
            Route(
                "/v1/agent/checks",
                {"GET": self.list},
                access="service:read or node:read, filters",
            ),
            Route("/v1/agent/check/register", {"PUT": self.register}, access=needs),
            Route("/v1/agent/check/deregister/", {"PUT": self.remove}, access=needs),
            Route("/v1/agent/check/pass/", {"PUT": self._say(PASSING)}, access=needs),
            Route("/v1/agent/check/warn/", {"PUT": self._say(WARNING)}, access=needs),
            Route("/v1/agent/check/fail/", {"PUT": self._say(CRITICAL)}, access=needs),
            Route("/v1/agent/check/update/", {"PUT": self.update}, access=needs),
        )

    async def list(self, request: Request) -> Answer:
        """Every check the caller may see, by ID."""
        matches = row_filter(request, Check)
        rows, hidden = {}, False
        for check_id, entry in sorted(self._local.checks.items()):
            if not self._allows(request, "read", entry.check):
                hidden = True
            elif matches(entry.check):
                rows[check_id] = agent_check(entry.check)
        note_filtered(request, hidden)
        return json_answer(rows)

    async def register(self, request: Request) -> Answer:
        """Register a check of the node or of a service."""
        definition = decode(await request.body(_MAX_BODY), CheckDefinition, snake=True)
        if not definition.name:
            raise bad_request("Missing check name")
        service = self._local.services.get(definition.service_id)
        if definition.service_id and service is None:
            raise not_found(f'ServiceID "{definition.service_id}" does not exist')
        if service is not None:
            request.require("service", "write", service.service.service)
        else:
            request.require("node", "write", self._agent.registry.node)
        old = self._local.checks.get(definition.check_id or definition.id or definition.name)
        if old is not None:
            self._require_write(request, old.check)
        with refusals():
            await self._agent.register_check(definition, own_token(request))
        return EMPTY

    async def remove(self, request: Request) -> Answer:
        """Deregister a check."""
        self._require_write(request, self._check(request.rest))
        with refusals():
            await self._agent.deregister_check(request.rest)
        return EMPTY

    async def update(self, request: Request) -> Answer:
        """Set the status and output of a TTL check."""
        update = decode(await request.body(_MAX_BODY), _Update)
        for status in (PASSING, WARNING, CRITICAL):
            if update.status == status:
                return await self._tell(request, status, update.output)
        raise bad_request(f"Invalid check status: '{update.status}'")

    def _say(self, status: CheckStatus) -> Handler:
        async def say(request: Request) -> Answer:
            return await self._tell(request, status, request.param("note"))

        return say

    async def _tell(self, request: Request, status: CheckStatus, output: str) -> Answer:
        self._require_write(request, self._check(request.rest))
        with refusals():
            await self._agent.update_ttl(request.rest, status, output)
        return EMPTY

    def _check(self, check_id: str) -> Check:
        entry = self._local.checks.get(check_id)
        if entry is None:
            raise not_found(str(UnknownCheckError(check_id)))
        return entry.check

    def _require_write(self, request: Request, check: Check) -> None:
        if check.service_name:
            request.require("service", "write", check.service_name)
        else:
            request.require("node", "write", self._agent.registry.node)

    def _allows(self, request: Request, access: str, check: Check) -> bool:
        if check.service_name:
            return request.allows("service", access, check.service_name)
        return request.allows("node", access, self._agent.registry.node)
