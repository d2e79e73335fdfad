"""stripPrefix: take the first matching prefix off the path."""

from __future__ import annotations

from collections.abc import Sequence

from portway.config.options import Options
from portway.edge.middlewares.step import Kind, Lua, Place, Step


class StripPrefix(Options, frozen=True):
    """The first of ``prefixes`` that the decoded path starts with is removed (as a string, not
    by segments) and added to ``X-Forwarded-Prefix``. ``force_slash`` (deprecated) keeps one
    slash where the prefix was the whole path or ended in one. A result with empty or dot
    segments answers 400."""

    prefixes: list[str] = []
    force_slash: bool = False


def _problems(options: StripPrefix) -> Sequence[str]:
    return ()


def _notices(options: StripPrefix) -> Sequence[str]:
    return ("forceSlash is deprecated; leave it out",) if options.force_slash else ()


def _steps(options: StripPrefix, place: Place) -> Sequence[Step]:
    params = {
        "prefixes": [prefix.strip() for prefix in options.prefixes],
        "slash": options.force_slash,
    }
    return (Lua("stripPrefix", params, rejects=True, responds=False, paths=True),)


_LUA = """
step.stripPrefix = { request = function(h, p, open)
  local headers = h:headers()
  local whole, query = split_path(headers)
  local path, raw = path_forms(whole)
  for i = 1, #p.prefixes do
    local prefix = p.prefixes[i]
    if sub(path, 1, #prefix) == prefix then
      path = sub(path, #prefix + 1)
      if raw then raw = sub(raw, encoded_length(raw, #prefix) + 1) end
      if p.slash then
        path = "/" .. gsub(path, "^/", "")
        if raw then raw = "/" .. gsub(raw, "^/", "") end
      else
        path = slashed(path)
        if raw then raw = slashed(raw) end
      end
      path = request_path(path, raw)
      if unclean(path) then return reply(h, 400, TEXT, "Bad Request\\n") end
      headers:add("x-forwarded-prefix", prefix)
      set_path(headers, path, query, open)
      return
    end
  end
end }
"""

KIND = Kind(_problems, _steps, _LUA, notices=_notices)
