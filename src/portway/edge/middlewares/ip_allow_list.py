"""ipAllowList (old name: ipWhiteList): only clients from given addresses pass.

``sourceRange`` lists addresses and CIDR ranges; IPv4 mapped into IPv6 counts as IPv4, zones
are ignored. The client is the connection's peer unless ``ipStrategy`` says otherwise (see
:mod:`portway.edge.middlewares.source`); a client that cannot be told is refused. The answer
is ``rejectStatusCode`` (403) with the status's name as text.

``rejectStatusCode`` must be a final status: with an informational one Traefik ends up
answering 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from portway.config.options import Options
from portway.edge.middlewares import source
from portway.edge.middlewares.source import IPStrategy
from portway.edge.middlewares.step import Kind, Lua, Place, Step


class IPAllowList(Options):
    """See the module."""

    source_range: list[str] = []
    ip_strategy: IPStrategy | None = None
    reject_status_code: int = 0


# Where Go's names of statuses differ from Python's, in any version.
_GO_NAMES = {
    413: "Request Entity Too Large",
    414: "Request URI Too Long",
    416: "Requested Range Not Satisfiable",
    418: "I'm a teapot",
    422: "Unprocessable Entity",
}
_NAMES = {status.value: status.phrase for status in HTTPStatus if status >= 200} | _GO_NAMES
_BODILESS = (204, 304)


def _problems(options: IPAllowList) -> Sequence[str]:
    problems = source.range_problems("sourceRange", options.source_range)
    if not options.source_range:
        problems.append("sourceRange is empty; list the addresses or CIDR ranges to let in")
    status = options.reject_status_code
    if status and status not in _NAMES:
        problems.append(f"rejectStatusCode {status} is not a final HTTP status; write one as 403")
    return problems + source.strategy_problems("ipStrategy", options.ip_strategy)


def _steps(options: IPAllowList, place: Place) -> Sequence[Step]:
    status = options.reject_status_code or 403
    params = {
        "ranges": source.ranges(options.source_range),
        "client": source.strategy_params(options.ip_strategy, appends_peer=place.appends_peer),
        "status": status,
        "body": "" if status in _BODILESS else _NAMES[status],
    }
    return (Lua("ipAllowList", params, rejects=True, responds=False),)


_LUA = r"""
step.ipAllowList = { request = function(h, p)
  local text, address = client_address(h, p.client)
  address = address or canonical(literal(text) or literal(without_port(text)))
  if address and inside(p.ranges, address) then return end
  reply(h, p.status, {}, p.body)
  return true
end }
"""

KIND = Kind(_problems, _steps, source.LUA + _LUA)
