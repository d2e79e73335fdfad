"""``/v1/agent/service…``: services of this agent."""

from __future__ import annotations

import hashlib
import random
import time
from typing import Any

from portway.agent.agent import Agent
from portway.agent.api.refusals import refusals
from portway.agent.api.rows import agent_service, health_check
from portway.agent.local import LocalService
from portway.agent.registry import UnknownServiceError
from portway.agent.sidecar import sidecar_id, sidecar_name
from portway.discovery.api.answer import EMPTY, Answer, encode, json_answer
from portway.discovery.api.blocking import changed, note_filtered
from portway.discovery.api.decode import decode
from portway.discovery.api.error import ApiError, bad_request, not_found
from portway.discovery.api.filtering import row_filter
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model import CRITICAL, Service, ServiceDefinition
from portway.discovery.state import worst

_HEALTH = {"passing": 200, "warning": 429, "critical": 503, "maintenance": 503}
_SEVERITY = ("passing", "warning", "critical", "maintenance")
_WORD = "text/plain"  # of a body that is one word
_MAX_BODY = 1 << 20  # bytes of a definition


class ServicesApi:
    """The endpoints of local services."""

    def __init__(self, agent: Agent, datacenter: str) -> None:
        self._agent = agent
        self._local = agent.local
        self._datacenter = datacenter

    def routes(self) -> tuple[Route, ...]:
        """The routes of the family."""
        return (
            Route("/v1/agent/services", {"GET": self.list}, access="service:read, filters"),
            Route("/v1/agent/service/", {"GET": self.read}, access="service:read"),
            Route("/v1/agent/service/register", {"PUT": self.register}, access="service:write"),
            Route("/v1/agent/service/deregister/", {"PUT": self.remove}, access="service:write"),
            Route(
                "/v1/agent/service/maintenance/", {"PUT": self.maintenance}, access="service:write"
            ),
            Route(
                "/v1/agent/health/service/id/", {"GET": self.health_by_id}, access="service:read"
            ),
            Route(
                "/v1/agent/health/service/name/",
                {"GET": self.health_by_name},
                access="service:read",
            ),
        )

    async def list(self, request: Request) -> Answer:
        """Every service the caller may see, by ID."""
        matches = row_filter(request, Service)
        rows, hidden = {}, False
        for service_id, entry in sorted(self._local.services.items()):
            if not request.allows("service", "read", entry.service.service):
                hidden = True
            elif matches(entry.service):
                rows[service_id] = self._row(entry)
        note_filtered(request, hidden)
        return json_answer(rows)

    async def read(self, request: Request) -> Answer:
        """One service; ``?hash=`` blocks while it is as the caller knows it."""
        service_id = request.rest
        known = request.param("hash")
        request.unsigned("index", "Invalid index")
        wait = request.duration("wait", "Invalid wait time") or 0.0
        settings = request.context.settings
        wait = min(wait if wait > 0 else settings.default_query_time, settings.max_query_time)
        deadline = time.monotonic() + wait + random.uniform(0, wait / 16)  # noqa: S311
        waits = True
        while True:
            entry = self._local.services.get(service_id)
            if entry is None:
                raise not_found(f"unknown service ID: {service_id}")
            request.require("service", "read", entry.service.service)
            row = self._row(entry)
            digest = content_hash(row)
            remaining = deadline - time.monotonic()
            if digest != known or remaining <= 0 or not waits:
                break
            waits = await changed(request, (self._local.topic(service_id),), remaining)
        row["ContentHash"] = digest
        request.answer_headers["X-Consul-ContentHash"] = digest
        return json_answer(row)

    async def register(self, request: Request) -> Answer:
        """Register a service with its checks."""
        definition = decode(await request.body(_MAX_BODY), ServiceDefinition, snake=True)
        if not definition.name:
            raise bad_request("Missing service name")
        self._require_registration(request, definition)
        replace = request.has("replace-existing-checks") and request.param(
            "replace-existing-checks"
        ) in ("", "true")
        with refusals():
            await self._agent.register(definition, own_token(request), replace_checks=replace)
        return EMPTY

    def _require_registration(self, request: Request, definition: ServiceDefinition) -> None:
        """The caller must be allowed to write all that the registration adds or replaces."""
        service_id = definition.id or definition.name
        names = [definition.name]
        if definition.kind == "connect-proxy" and definition.proxy is not None:
            names.append(definition.proxy.destination_service_name)
        ids = [service_id]
        if sidecar_name(definition):
            names.append(sidecar_name(definition))
            ids.append(sidecar_id(service_id))
        replaced = (self._local.services.get(one) for one in ids)
        names += [entry.service.service for entry in replaced if entry is not None]
        for name in dict.fromkeys(names):
            request.require("service", "write", name)
        with refusals():
            plan = self._agent.registry.plan(definition, "", "api")
        for check in (planned.check for one in plan for planned in one.checks):
            old = self._local.checks.get(check.check_id)
            if old is not None and old.check.service_id != check.service_id:
                if old.check.service_name:
                    request.require("service", "write", old.check.service_name)
                else:
                    request.require("node", "write", self._agent.registry.node)

    async def remove(self, request: Request) -> Answer:
        """Deregister a service."""
        service_id = request.rest
        entry = self._local.services.get(service_id)
        if entry is None:
            raise not_found(str(UnknownServiceError(service_id)))
        request.require("service", "write", entry.service.service)
        with refusals():
            await self._agent.deregister(service_id)
        return EMPTY

    async def maintenance(self, request: Request) -> Answer:
        """Turn maintenance of a service on or off."""
        service_id = request.rest
        if not service_id:
            raise bad_request("Missing service ID")
        enable = enable_of(request)
        entry = self._local.services.get(service_id)
        if entry is None:
            raise not_found(str(UnknownServiceError(service_id)))
        request.require("service", "write", entry.service.service)
        with refusals():
            await self._agent.service_maintenance(
                service_id, enable, request.param("reason"), own_token(request)
            )
        return EMPTY

    async def health_by_id(self, request: Request) -> Answer:
        """The health of one service, told by the status code."""
        service_id = request.rest
        if not service_id:
            raise ApiError(500, "Missing serviceID")
        entry = self._local.services.get(service_id)
        if entry is None:
            nothing = {"AggregatedStatus": CRITICAL, "Service": None, "Checks": None}
            return self._health(request, 404, f"ServiceId {service_id} not found", nothing)
        request.require("service", "read", entry.service.service)
        status, row = self._state(entry)
        return self._health(request, _HEALTH[status], status, row)

    async def health_by_name(self, request: Request) -> Answer:
        """The health of all services of a name; the worst decides."""
        name = request.rest
        if not name:
            raise ApiError(500, "Missing service Name")
        request.require("service", "read", name)
        entries = [
            entry
            for _, entry in sorted(self._local.services.items())
            if entry.service.service == name
        ]
        if not entries:
            return self._health(request, 404, f"ServiceName {name} Not Found", [])
        states = [self._state(entry) for entry in entries]
        status = max((status for status, _ in states), key=_SEVERITY.index)
        return self._health(request, _HEALTH[status], status, [row for _, row in states])

    def _health(self, request: Request, code: int, reason: str, value: Any) -> Answer:
        request.answer_headers["X-Consul-Reason"] = reason
        if wants_text(request):
            return Answer(reason.encode(), code, _WORD)
        return json_answer(value, code)

    def _state(self, entry: LocalService) -> tuple[str, dict[str, Any]]:
        checks = [
            found.check
            for scope in ("", entry.service.id)
            for _, found in sorted(self._local.checks_of(scope).items())
        ]
        status = worst(checks)
        return status, {
            "AggregatedStatus": status,
            "Service": self._row(entry),
            "Checks": [health_check(check) for check in checks],
        }

    def _row(self, entry: LocalService) -> dict[str, Any]:
        return agent_service(entry.service, self._datacenter)


def content_hash(row: dict[str, Any]) -> str:
    """What ``?hash=`` compares: the same for equal content."""
    return hashlib.blake2b(encode(row), digest_size=8).hexdigest()


def wants_text(request: Request) -> bool:
    """Whether the answer is to be a bare word."""
    return request.param("format") == "text" or request.headers.get("accept", "").startswith(
        "text/plain"
    )


def enable_of(request: Request) -> bool:
    """The required ``enable`` parameter. Raises ApiError (400)."""
    if not request.has("enable"):
        raise bad_request("Missing value for enable")
    enable = request.boolean("enable")
    if enable is None:
        raise bad_request(f'Invalid value for enable: "{request.param("enable")}"')
    return enable


def own_token(request: Request) -> str:
    """The token of the request itself, not the agent's default: the service is synced with it."""
    default = request.context.settings.default_token
    return "" if request.token == default else request.token
