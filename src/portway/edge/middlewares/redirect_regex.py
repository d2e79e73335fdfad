"""redirectRegex: send the client to the URL that a regular expression makes of this one."""

from __future__ import annotations

from collections.abc import Sequence

from portway.config.options import Options
from portway.edge.middlewares import go_regexp, native_regex
from portway.edge.middlewares.step import Kind, Lua, Place, Step


class RedirectRegex(Options, frozen=True):
    """Every match of ``regex`` (Go syntax) in the whole URL, with scheme, port and query,
    becomes ``replacement`` (``$1``, ``${1}``, ``${name}``); the client is redirected if that
    changes the URL."""

    regex: str = ""
    replacement: str = ""
    permanent: bool = False


def _problems(options: RedirectRegex) -> Sequence[str]:
    found = go_regexp.problem("regex", options.regex)
    if found is None:
        found = go_regexp.replacement_problem("replacement", options.regex, options.replacement)
    return () if found is None else (found,)


def _steps(options: RedirectRegex, place: Place) -> Sequence[Step]:
    base = "https://" if place.tls else "http://"
    url = base + "%REQ(:AUTHORITY)%%REQ(:PATH)%"
    read, key = native_regex.replaced(url, options.regex, options.replacement)
    params = {"key": key, "permanent": options.permanent, "base": base}
    return (*read, Lua("redirectRegex", params, rejects=True, responds=False))


_LUA = """
step.redirectRegex = { request = function(h, p)
  local new, changed = regex_result(h, p.key)
  if not changed then return end
  local headers = h:headers()
  local old = p.base .. (headers:get(":authority") or "") .. request_uri(headers)
  if new ~= old then return redirect(h, new, p.permanent) end
end }
"""

KIND = Kind(_problems, _steps, _LUA)
