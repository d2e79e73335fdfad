"""headers: custom headers, CORS and the security headers browsers know.

**Custom.** ``customRequestHeaders`` and ``customResponseHeaders`` set a header, or remove it
where the value is empty. A request header ``Host`` sets the host that the service sees. The
peer stays at the end of a custom ``X-Forwarded-For``. Headers of the message's framing and
the connection (``Content-Length``, ``Transfer-Encoding``, ``Connection``, ``Upgrade``, …) are
the proxy's own and stay as they are, here as in Traefik.

**CORS.** With any ``accessControl*`` option or ``addVaryHeader`` a preflight request (OPTIONS
with ``Origin`` and ``Access-Control-Request-Method``) is answered 200 here. An origin is
allowed by ``accessControlAllowOriginList`` (``*`` is any) or, when a pattern is found in it,
by ``accessControlAllowOriginListRegex`` (RE2; write ``^…$`` for the whole origin). With
``accessControlAllowCredentials`` ``*`` is not valid in answers (Fetch, 3.2.5), so the origin,
method and headers asked for stand in its place, and a ``*`` among the exposed headers says
nothing. ``addVaryHeader`` adds ``Origin`` to ``Vary`` unless it says just
that, except to preflight answers.

**Hosts.** Requests for a host outside ``allowedHosts`` get 500 ``Bad Host``; the first header
of ``hostsProxyHeaders`` that is present names the host instead of ``Host``.

**Security.** ``stsSeconds`` (with ``stsIncludeSubdomains``, ``stsPreload``) and ``publicKey``
(HPKP) are sent over TLS, or where a header says so by ``sslProxyHeaders``, STS with
``forceSTSHeader`` always. ``$NONCE`` in ``contentSecurityPolicy`` and
``contentSecurityPolicyReportOnly`` becomes ``'nonce-…'`` with a new random value per request.
``frameDeny``, ``customFrameOptionsValue``, ``contentTypeNosniff``, ``browserXssFilter``,
``customBrowserXSSValue``, ``referrerPolicy`` and ``permissionsPolicy`` send their header.
``isDevelopment`` switches off ``allowedHosts``, STS and HPKP.

**Without effect**, as in Traefik 3: ``sslRedirect``, ``sslTemporaryRedirect``, ``sslHost``,
``sslForceHost`` (redirect with an entry point's ``redirections`` or ``redirectScheme``) and
``featurePolicy`` (use ``permissionsPolicy``). They are accepted, so that older labels load.

Custom response headers come last and win over security headers; those CORS decides win over
both. Headers that depend on nothing in the request are set by a native filter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import field

from portway.config.options import Options
from portway.edge.middlewares import go_regexp, keyed_hash, source
from portway.edge.middlewares.step import Kind, Lua, Native, Place, Step


class Headers(Options):
    """See the module. None tells "not given" where 0 means something."""

    custom_request_headers: dict[str, str] = {}
    custom_response_headers: dict[str, str] = {}
    access_control_allow_credentials: bool = False
    access_control_allow_headers: list[str] = []
    access_control_allow_methods: list[str] = []
    access_control_allow_origin_list: list[str] = []
    access_control_allow_origin_list_regex: list[str] = []
    access_control_expose_headers: list[str] = []
    access_control_max_age: int | None = None
    add_vary_header: bool = False
    allowed_hosts: list[str] = []
    hosts_proxy_headers: list[str] = []
    ssl_proxy_headers: dict[str, str] = {}
    sts_seconds: int | None = None
    sts_include_subdomains: bool = False
    sts_preload: bool = False
    force_sts_header: bool = field(default=False, name="forceSTSHeader")
    frame_deny: bool = False
    custom_frame_options_value: str = ""
    content_type_nosniff: bool = False
    browser_xss_filter: bool = False
    custom_browser_xss_value: str = field(default="", name="customBrowserXSSValue")
    content_security_policy: str = ""
    content_security_policy_report_only: str = ""
    public_key: str = ""
    referrer_policy: str = ""
    permissions_policy: str = ""
    is_development: bool = False
    feature_policy: str = ""
    ssl_redirect: bool = False
    ssl_temporary_redirect: bool = False
    ssl_host: str = ""
    ssl_force_host: bool = False


_OURS = frozenset(
    (
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_NONCE = "$NONCE"
_REDIRECT = "use redirections of the entry point, or redirectScheme"
_ORIGINS = "portway.origin"  # metadata namespace of regex results

Pairs = list[tuple[str, str]]


def _problems(options: Headers) -> Sequence[str]:
    if options == Headers():
        return ("headers configuration not valid: no option is set; set one, as frameDeny: true",)
    problems = []
    for key, given in (
        ("customRequestHeaders", options.custom_request_headers),
        ("customResponseHeaders", options.custom_response_headers),
        ("sslProxyHeaders", options.ssl_proxy_headers),
    ):
        for name, value in given.items():
            if not source.header_name_valid(name):
                problems.append(f"{key}: {name!r} is not a header name, as X-Frame-Options is")
            problems += _value_problem(f"{key}.{name}", value)
    problems += source.names_problems("hostsProxyHeaders", options.hosts_proxy_headers)
    for key, value in (
        ("customFrameOptionsValue", options.custom_frame_options_value),
        ("customBrowserXSSValue", options.custom_browser_xss_value),
        ("contentSecurityPolicy", options.content_security_policy),
        ("contentSecurityPolicyReportOnly", options.content_security_policy_report_only),
        ("publicKey", options.public_key),
        ("referrerPolicy", options.referrer_policy),
        ("permissionsPolicy", options.permissions_policy),
        ("accessControlAllowHeaders", ",".join(options.access_control_allow_headers)),
        ("accessControlAllowMethods", ",".join(options.access_control_allow_methods)),
        ("accessControlAllowOriginList", ",".join(options.access_control_allow_origin_list)),
        ("accessControlExposeHeaders", ",".join(options.access_control_expose_headers)),
    ):
        problems += _value_problem(key, value)
    for index, pattern in enumerate(options.access_control_allow_origin_list_regex):
        problem = go_regexp.problem(f"accessControlAllowOriginListRegex[{index}]", pattern)
        problems += [problem] if problem else []
    return problems


def _notices(options: Headers) -> Sequence[str]:
    remedies = {
        "sslRedirect": (options.ssl_redirect, _REDIRECT),
        "sslTemporaryRedirect": (options.ssl_temporary_redirect, _REDIRECT),
        "sslHost": (options.ssl_host, "use redirectRegex"),
        "sslForceHost": (options.ssl_force_host, "use redirectRegex"),
        "featurePolicy": (options.feature_policy, "use permissionsPolicy"),
    }
    notices = [f"{key} has no effect; {remedy}" for key, (on, remedy) in remedies.items() if on]
    for key, given in (
        ("customRequestHeaders", options.custom_request_headers),
        ("customResponseHeaders", options.custom_response_headers),
    ):
        ours = sorted(name for name in given if name.lower() in _OURS)
        notices += [f"{key}.{name} has no effect: the proxy sets this header" for name in ours]
    return notices


def _value_problem(key: str, value: str) -> list[str]:
    if source.header_value_valid(value):
        return []
    return [f"{key} {value!r} cannot be a header's value: it has control characters or a newline"]


def _steps(options: Headers, place: Place) -> Sequence[Step]:
    params = _params(options, place)
    if not params:
        return ()
    rejects = "cors" in params or "hosts" in params
    responds = not params.keys() <= {"request", "host", "forwarded", "hosts", "proxies"}
    params["key"] = place.middleware
    step = Lua("headers", params, rejects=rejects, responds=responds)
    if params.keys() <= {"key", "request", "security", "response"}:
        return (_mutation(params, step),)
    if "regex" in params.get("cors", {}):
        return (_origin_match(options.access_control_allow_origin_list_regex), step)
    return (step,)


def _params(options: Headers, place: Place) -> dict[str, Any]:
    """What the Lua step does, without what is not configured: ``request``, ``security`` and
    ``response`` are pairs to set in this order, an empty value removes."""
    request = _custom(options.custom_request_headers)
    always, proven = _secure_only(options, place)
    policies, nonces = _policies(options)
    params: dict[str, Any] = {
        "host": request.pop("host", ""),
        "forwarded": _forwarded(request, place),
        "request": list(request.items()),
        "security": _security(options) + always + policies,
        "secure": proven,
        "nonces": nonces,
        "response": list(_custom(options.custom_response_headers).items()),
        "cors": _cors(options, request.get("origin")),
    }
    if proven:
        params["proofs"] = [(name.lower(), v) for name, v in options.ssl_proxy_headers.items()]
    if options.allowed_hosts and not options.is_development:
        params["hosts"] = [host.lower() for host in options.allowed_hosts]
        params["proxies"] = [name.lower() for name in options.hosts_proxy_headers]
    # An empty map stands for CORS that only answers preflights.
    return {key: value for key, value in params.items() if value or (key == "cors" and value == {})}


def _custom(headers: Mapping[str, str]) -> dict[str, str]:
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    return {name: value for name, value in lower.items() if name not in _OURS}


def _forwarded(request: dict[str, str], place: Place) -> str:
    """A custom X-Forwarded-For that the peer has to be appended to, taken out of the rest."""
    if place.appends_peer and request.get("x-forwarded-for"):
        return request.pop("x-forwarded-for")
    return ""


def _security(options: Headers) -> Pairs:
    """The security headers that do not depend on the request."""
    frame = options.custom_frame_options_value or ("DENY" if options.frame_deny else "")
    xss = options.custom_browser_xss_value or (
        "1; mode=block" if options.browser_xss_filter else ""
    )
    pairs = [
        ("x-frame-options", frame),
        ("x-content-type-options", "nosniff" if options.content_type_nosniff else ""),
        ("x-xss-protection", xss),
        ("referrer-policy", options.referrer_policy),
        ("permissions-policy", options.permissions_policy),
    ]
    return [(name, value) for name, value in pairs if value]


def _secure_only(options: Headers, place: Place) -> tuple[Pairs, Pairs]:
    """STS and HPKP: what is always sent, and what needs a proof of TLS by a header."""
    if options.is_development:
        return [], []
    sts = ""
    if options.sts_seconds:
        sts = f"max-age={options.sts_seconds}"
        sts += "; includeSubDomains" if options.sts_include_subdomains else ""
        sts += "; preload" if options.sts_preload else ""
    always: Pairs = []
    proven: Pairs = []
    for name, value, forced in (
        ("strict-transport-security", sts, options.force_sts_header),
        ("public-key-pins", options.public_key, False),
    ):
        if value and (place.tls or forced):
            always.append((name, value))
        elif value and options.ssl_proxy_headers:
            proven.append((name, value))
    return always, proven


def _policies(options: Headers) -> tuple[Pairs, list[tuple[str, list[str]]]]:
    """The content security policies: fixed ones, and those with a nonce as the texts around
    it."""
    fixed, nonces = [], []
    for name, value in (
        ("content-security-policy", options.content_security_policy),
        ("content-security-policy-report-only", options.content_security_policy_report_only),
    ):
        if _NONCE in value:
            nonces.append((name, value.split(_NONCE)))
        elif value:
            fixed.append((name, value))
    return fixed, nonces


def _cors(options: Headers, origin: str | None) -> dict[str, Any] | None:
    """``origin`` is the Origin that a custom request header replaces the client's by."""
    credentials = options.access_control_allow_credentials
    methods, headers = options.access_control_allow_methods, options.access_control_allow_headers
    exposed = options.access_control_expose_headers
    patterns = options.access_control_allow_origin_list_regex
    max_age = options.access_control_max_age
    given = (methods, headers, exposed, patterns, options.access_control_allow_origin_list)
    if not (any(given) or credentials or options.add_vary_header or max_age is not None):
        return None
    params: dict[str, Any] = {
        "origins": options.access_control_allow_origin_list,
        "credentials": credentials,
        "echo_methods": credentials and "*" in methods,
        "echo_headers": credentials and "*" in headers,
        "methods": ",".join(methods),
        "headers": ",".join(headers),
        "expose": "" if credentials and "*" in exposed else ",".join(exposed),
        "age": "" if max_age is None else str(max_age),
        "vary": options.add_vary_header,
    }
    if patterns:
        params["regex"] = {"key": _regex_key(patterns), "none": _matches(patterns, "")}
        if origin is not None:
            params["regex"]["custom"] = _matches(patterns, origin)
    return {key: value for key, value in params.items() if value}


def _matches(patterns: Sequence[str], origin: str) -> bool:
    import re2

    return any(re2.search(pattern, origin) is not None for pattern in patterns)


def _regex_key(patterns: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(patterns).encode(), digest_size=9).hexdigest()


def _origin_match(patterns: Sequence[str]) -> Native:
    """A filter that leaves one byte no header can contain as metadata when a pattern is found
    in Origin: Lua has no RE2."""
    from envoy.extensions.filters.http.header_to_metadata.v3.header_to_metadata_pb2 import Config
    from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher

    from portway.envoy.messages import pack

    union = "|".join(go_regexp.enclosed(pattern) for pattern in patterns)
    rewrite = RegexMatchAndSubstitute(
        pattern=RegexMatcher(regex=rf"\A(?s:.*)(?:{union})(?s:.*)\z"), substitution="\x01"
    )
    rule = Config.Rule(
        header="origin",
        on_header_present=Config.KeyValuePair(
            metadata_namespace=_ORIGINS, key=_regex_key(patterns), regex_value_rewrite=rewrite
        ),
    )
    return Native("origin", pack(Config(request_rules=[rule])))


def _mutation(params: Mapping[str, Any], step: Lua) -> Native:
    """The same as ``step``, for headers that depend on nothing in the request."""
    from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Change
    from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
    from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import (
        HeaderMutation,
        Mutations,
    )

    from portway.envoy.messages import pack

    def change(name: str, value: str) -> Change:
        if not value:
            return Change(remove=name)
        header = HeaderValue(key=name, value=value.replace("%", "%%"))  # a format string
        action = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        return Change(append=HeaderValueOption(header=header, append_action=action))

    response = [*params.get("security", ()), *params.get("response", ())]
    mutations = Mutations(
        request_mutations=[change(*pair) for pair in params.get("request", ())],
        response_mutations=[change(*pair) for pair in response],
    )
    return Native("headers", pack(HeaderMutation(mutations=mutations)), alternative=step)


_LUA = r"""
local ORIGINS, NOTES = "ORIGINS_NAMESPACE", "portway.headers"

-- The operations of a header map, on the plain table that reply takes.
local plain = {
  replace = function(out, name, value) out[name] = value end,
  remove = function(out, name) out[name] = nil end,
  get = function(out, name) return out[name] end,
}
plain.__index = plain

local function apply(headers, pairs_)
  for i = 1, #pairs_ do
    local name, value = pairs_[i][1], pairs_[i][2]
    if value == "" then headers:remove(name) else headers:replace(name, value) end
  end
end

local function first(headers, name) return headers:getAtIndex(name, 0) or "" end

-- The value of Access-Control-Allow-Origin for an origin, nil when it is not allowed.
local function allowed(h, cors, origin, custom)
  local origins = cors.origins or {}
  for i = 1, #origins do
    if origins[i] == "*" then return cors.credentials and origin or "*" end
    if origins[i] == origin then return origin end
  end
  local regex = cors.regex
  if not regex then return nil end
  local matched
  if custom and regex.custom ~= nil then
    matched = regex.custom
  elseif origin == "" then
    matched = regex.none
  else
    matched = (h:streamInfo():dynamicMetadata():get(ORIGINS) or {})[regex.key] == "\1"
  end
  return matched and origin or nil
end

local function preflight(h, cors, headers)
  if headers:get(":method") ~= "OPTIONS" then return end
  local method, origin = first(headers, "access-control-request-method"), first(headers, "origin")
  if method == "" or origin == "" then return end
  local out = { ["access-control-allow-origin"] = allowed(h, cors, origin) }
  if cors.credentials then out["access-control-allow-credentials"] = "true" end
  out["access-control-allow-methods"] = cors.echo_methods and method or cors.methods
  local names = cors.headers
  if cors.echo_headers then
    names = first(headers, "access-control-request-headers")
    if names == "" then names = nil end
  end
  out["access-control-allow-headers"] = names
  out["access-control-expose-headers"] = cors.expose
  out["access-control-max-age"] = cors.age
  reply(h, 200, out)
  return true
end

-- What is set on answers of everything inside: custom headers, then what CORS says.
local function outer(headers, p, origin)
  if p.response then apply(headers, p.response) end
  local cors = p.cors
  if not cors then return end
  if origin then headers:replace("access-control-allow-origin", origin) end
  if cors.credentials then headers:replace("access-control-allow-credentials", "true") end
  if cors.expose then headers:replace("access-control-expose-headers", cors.expose) end
  if cors.vary then
    local vary = headers:get("vary") or ""
    if vary ~= "Origin" then
      headers:replace("vary", vary == "" and "Origin" or vary .. ",Origin")
    end
  end
end

local function good_host(p, headers)
  local host = headers:get(":authority") or ""
  for i = 1, #(p.proxies or {}) do
    local value = first(headers, p.proxies[i])
    if value ~= "" then host = value break end
  end
  host = host:lower()
  for i = 1, #p.hosts do if p.hosts[i] == host then return true end end
  return false
end

local function proven(p, headers)
  for i = 1, #(p.proofs or {}) do
    if first(headers, p.proofs[i][1]) == p.proofs[i][2] then return true end
  end
  return false
end

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local function nonce()
  local bytes, bits, held, out = ffi.string(random_words(4), 16), 0, 0, {}
  for i = 1, 16 do
    bits, held = bits * 256 + byte(bytes, i), held + 8
    while held >= 6 do
      held = held - 6
      local at = math.floor(bits / 2 ^ held)
      bits = bits - at * 2 ^ held
      out[#out + 1] = sub(DIGITS, at + 1, at + 1)
    end
  end
  local at = bits * 2 ^ (6 - held)
  out[#out + 1] = sub(DIGITS, at + 1, at + 1)
  return table.concat(out)
end

local function peer(h)
  local address = h:streamInfo():downstreamDirectRemoteAddress()
  return address:match("^%[(.*)%]:%d+$") or address:match("^(.*):%d+$") or address
end

step.headers = {
  request = function(h, p)
    local headers = h:headers()
    local cors = p.cors
    if cors and preflight(h, cors, headers) then return true end
    if p.request then apply(headers, p.request) end
    if p.forwarded then headers:replace("x-forwarded-for", p.forwarded .. ", " .. peer(h)) end
    if p.host then headers:replace(":authority", p.host) end
    local origin
    if cors and (cors.origins or cors.regex) then
      origin = allowed(h, cors, first(headers, "origin"), true)
    end
    if p.hosts and not good_host(p, headers) then
      local out = setmetatable({
        ["content-type"] = "text/plain; charset=utf-8", ["x-content-type-options"] = "nosniff",
      }, plain)
      outer(out, p, origin)
      reply(h, 500, out, "Bad Host\n")
      return true
    end
    local secure = p.secure and proven(p, headers)
    if origin or secure or p.nonces then
      h:streamInfo():dynamicMetadata():set(NOTES, p.key, {
        origin = origin, secure = secure, nonce = p.nonces and nonce(),
      })
    end
  end,
  response = function(h, p)
    local headers, notes = h:headers(), {}
    if p.secure or p.nonces or p.cors then
      notes = (h:streamInfo():dynamicMetadata():get(NOTES) or {})[p.key] or notes
    end
    if p.security then apply(headers, p.security) end
    if notes.secure then apply(headers, p.secure) end
    for i = 1, #(p.nonces or {}) do
      local text = table.concat(p.nonces[i][2], "'nonce-" .. notes.nonce .. "'")
      headers:replace(p.nonces[i][1], text)
    end
    outer(headers, p, notes.origin)
  end,
}
""".replace("ORIGINS_NAMESPACE", _ORIGINS)

KIND = Kind(_problems, _steps, keyed_hash.LUA + _LUA, notices=_notices)
