"""replacePathRegex: rewrite the path by a regular expression."""

from __future__ import annotations

from collections.abc import Sequence

from portway.config.options import Options
from portway.edge.middlewares import go_regexp, native_regex
from portway.edge.middlewares.step import Kind, Lua, Place, Step


class ReplacePathRegex(Options, frozen=True):
    """Every match of ``regex`` (Go syntax) in the path as it was sent becomes ``replacement``
    (``$1``, ``${1}``, ``${name}``); the old path goes to ``X-Replaced-Path``."""

    regex: str = ""
    replacement: str = ""


def _problems(options: ReplacePathRegex) -> Sequence[str]:
    pattern, template = options.regex.strip(), options.replacement.strip()
    found = go_regexp.problem("regex", pattern)
    if found is None:
        found = go_regexp.replacement_problem("replacement", pattern, template)
    return () if found is None else (found,)


def _steps(options: ReplacePathRegex, place: Place) -> Sequence[Step]:
    pattern, template = options.regex.strip(), options.replacement.strip()
    read, key = native_regex.replaced("%PATH(NQ:PATH)%", pattern, template)
    return (*read, Lua("replacePathRegex", {"key": key}, rejects=True, responds=False, paths=True))


_LUA = """
step.replacePathRegex = { request = function(h, p, open)
  local new, changed = regex_result(h, p.key)
  if not changed then return end
  local headers = h:headers()
  local whole, query = split_path(headers)
  headers:add("x-replaced-path", whole)
  local decoded, problem = unescape(new)
  if not decoded then return reply(h, 500, TEXT, 'invalid URL escape "' .. problem .. '"\\n') end
  new = request_path(decoded, new)
  if unclean(new) then return reply(h, 400, TEXT, "Bad Request\\n") end
  set_path(headers, new, query, open)
end }
"""

KIND = Kind(_problems, _steps, _LUA)
