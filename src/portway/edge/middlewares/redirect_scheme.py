"""redirectScheme: send the client to the same URL with another scheme or port."""

from __future__ import annotations

import re
from collections.abc import Sequence

from portway.config.options import Options
from portway.edge.middlewares.step import Kind, Lua, Place, Step

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")  # RFC 3986, 3.1
_PORT = re.compile(r"[0-9]{1,5}")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class RedirectScheme(Options, frozen=True):
    """Redirects to ``scheme`` and ``port`` (default: the scheme's own), with 301 instead of 302
    if ``permanent``; 308 and 307 for methods other than GET."""

    scheme: str = ""
    port: str = ""
    permanent: bool = False


def _problems(options: RedirectScheme) -> Sequence[str]:
    if not options.scheme:
        return ("scheme: you must provide a target scheme, as https",)
    problems = []
    if not _SCHEME.fullmatch(options.scheme):
        problems.append(f"scheme {options.scheme!r} is not a URL scheme; write https or http")
    if options.port and not (_PORT.fullmatch(options.port) and int(options.port) < 65536):
        problems.append(f"port {options.port!r} is not a port number; write 8443")
    return problems


def _steps(options: RedirectScheme, place: Place) -> Sequence[Step]:
    shown = options.port and options.port != _DEFAULT_PORTS.get(options.scheme)
    params = {
        "scheme": options.scheme,
        "port": f":{options.port}" if shown else "",
        "permanent": options.permanent,
        "current": "https" if place.tls else "http",
    }
    return (Lua("redirectScheme", params, rejects=True, responds=False),)


_LUA = """
local http_scheme = { http = "http", ws = "http", https = "https", wss = "https" }

step.redirectScheme = { request = function(h, p)
  local headers = h:headers()
  local authority = headers:get(":authority") or ""
  local host, port = string.match(authority, "^(.*)(:%d+)$")
  if not host then host, port = authority, "" end
  local scheme = http_scheme[lower(headers:get("x-forwarded-proto") or "")] or p.current
  if (scheme == "http" and port == ":80") or (scheme == "https" and port == ":443") then
    port = ""
  end
  if scheme == p.scheme and port == p.port then return end
  local path = request_uri(headers)
  return redirect(h, p.scheme .. "://" .. host .. p.port .. path, p.permanent)
end }
"""

KIND = Kind(_problems, _steps, _LUA)
