"""replacePath: send one fixed path upstream."""

from __future__ import annotations

from collections.abc import Sequence

from portway.config.options import Options
from portway.edge.middlewares.step import Kind, Lua, Place, Step


class ReplacePath(Options, frozen=True):
    """``path`` takes the place of the request's path, which goes to ``X-Replaced-Path``."""

    path: str = ""


def _problems(options: ReplacePath) -> Sequence[str]:
    return ()


def _steps(options: ReplacePath, place: Place) -> Sequence[Step]:
    return (Lua("replacePath", {"path": options.path}, rejects=True, responds=False, paths=True),)


_LUA = """
step.replacePath = { request = function(h, p, open)
  local headers = h:headers()
  local whole, query = split_path(headers)
  local path, raw = path_forms(whole)
  headers:add("x-replaced-path", raw or escape_path(path))
  local decoded, problem = unescape(p.path)
  if not decoded then return reply(h, 500, TEXT, 'invalid URL escape "' .. problem .. '"\\n') end
  set_path(headers, request_path(decoded, p.path), query, open)
end }
"""

KIND = Kind(_problems, _steps, _LUA)
