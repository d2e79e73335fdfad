"""stripPrefixRegex: take what the first matching regular expression finds off the path."""

from __future__ import annotations

from collections.abc import Sequence

from portway.config.options import Options
from portway.edge.middlewares import go_regexp, native_regex
from portway.edge.middlewares.step import Kind, Lua, Place, Step


class StripPrefixRegex(Options, frozen=True):
    """The first of ``regex`` (Go syntax) whose first match in the decoded path is also how the
    path starts: the match is removed and added to ``X-Forwarded-Prefix``. A result with empty
    or dot segments answers 400."""

    regex: list[str] = []


def _problems(options: StripPrefixRegex) -> Sequence[str]:
    found = (go_regexp.problem(f"regex[{i}]", r.strip()) for i, r in enumerate(options.regex))
    return [text for text in found if text is not None]


def _steps(options: StripPrefixRegex, place: Place) -> Sequence[Step]:
    if not options.regex:
        return ()
    find, keys = native_regex.found([regex.strip() for regex in options.regex])
    return (
        Lua("showPath", {}, responds=False),
        find,
        Lua("stripPrefixRegex", {"keys": keys}, rejects=True, responds=False, paths=True),
    )


_LUA = """
step.showPath = { request = function(h, p)
  local headers = h:headers()
  headers:replace(SUBJECT_HEADER, (path_forms((split_path(headers)))))
end }

step.stripPrefixRegex = { request = function(h, p, open)
  local headers = h:headers()
  local whole, query = split_path(headers)
  local path, raw = path_forms(whole)
  for i = 1, #p.keys do
    local prefix = regex_result(h, p.keys[i])
    if prefix ~= "" and sub(path, 1, #prefix) == prefix then
      path = slashed(sub(path, #prefix + 1))
      if raw then raw = slashed(sub(raw, encoded_length(raw, #prefix) + 1)) end
      path = request_path(path, raw)
      if unclean(path) then return reply(h, 400, TEXT, "Bad Request\\n") end
      headers:add("x-forwarded-prefix", prefix)
      set_path(headers, path, query, open)
      return
    end
  end
end }
"""

KIND = Kind(_problems, _steps, _LUA)
