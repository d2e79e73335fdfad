"""addPrefix: put a prefix in front of the path."""

from __future__ import annotations

from collections.abc import Sequence

from portway.config.options import Options
from portway.edge.middlewares.step import Kind, Lua, Place, Step


class AddPrefix(Options, frozen=True):
    """``prefix`` is put in front of the path, with a slash if it has none."""

    prefix: str = ""


def _problems(options: AddPrefix) -> Sequence[str]:
    return () if options.prefix else ("prefix cannot be empty; write the path to add, as /api",)


def _steps(options: AddPrefix, place: Place) -> Sequence[Step]:
    return (Lua("addPrefix", {"prefix": options.prefix}, responds=False, paths=True),)


_LUA = """
step.addPrefix = { request = function(h, p, open)
  local headers = h:headers()
  local whole, query = split_path(headers)
  local path, raw = path_forms(whole)
  if raw then raw = slashed(p.prefix .. raw) end
  set_path(headers, request_path(slashed(p.prefix .. path), raw), query, open)
end }
"""

KIND = Kind(_problems, _steps, _LUA)
