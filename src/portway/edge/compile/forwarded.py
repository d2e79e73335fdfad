"""X-Forwarded-* and X-Real-Ip, as Traefik sets them before routing.

From untrusted peers the headers are removed and set anew; trusted peers keep what they sent.
Nearly all of it is native early header mutation. Only ``X-Forwarded-Port`` (the port of Host)
and ``X-Forwarded-Proto`` of websocket upgrades depend on the request in a way Envoy's formatters
cannot express; a Lua filter does these, and only for requests that have such a Host or upgrade.
"""

from __future__ import annotations

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation
from envoy.config.core.v3.base_pb2 import DataSource, HeaderValue, HeaderValueOption
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.common.matching.v3.extension_matcher_pb2 import ExtensionWithMatcher
from envoy.extensions.filters.http.composite.v3.composite_pb2 import (
    Composite,
    ExecuteFilterAction,
)
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.type.matcher.v3.http_inputs_pb2 import HttpRequestHeaderMatchInput
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher as EnvoyRegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher as EnvoyStringMatcher
from xds.type.matcher.v3.matcher_pb2 import Matcher
from xds.type.matcher.v3.regex_pb2 import RegexMatcher
from xds.type.matcher.v3.string_pb2 import StringMatcher

from portway.edge.services import retries
from portway.envoy.messages import pack

PEER = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"

# What Traefik removes from requests of untrusted peers, with underscores for hyphens too. One
# expression for all: looking up each name would cost four times as much per request.
_MANAGED = (
    r"x-forwarded-(uri|method|prefix|tls-client-cert(-info)?)"
    r"|x_forwarded_(for|proto|host|port|server|uri|method|prefix|tls_client_cert(_info)?)"
    r"|x_real_ip"
)
_FOR = "x-forwarded-for"  # this one and those not named above are set anew

_OVERWRITE = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_IF_ABSENT = HeaderValueOption.ADD_IF_ABSENT

_SCRIPT = """
local IDEMPOTENT = {IDEMPOTENT_SET}
local function run(h)
  local headers = h:headers()
  if KEEP and APPEND then
    local peer = h:streamInfo():downstreamDirectRemoteAddress()
    peer = peer:match("^%[(.*)%]:%d+$") or peer:match("^(.*):%d+$") or peer
    local before = headers:get("x-forwarded-for")
    headers:replace("x-forwarded-for", before and before ~= "" and before .. ", " .. peer or peer)
  end
  if not IDEMPOTENT[headers:get(":method")] then headers:replace(RETRY_HEADER, RETRY_ON) end
  local upgrade = headers:get("upgrade")
  local proto = headers:get("x-forwarded-proto")
  if not KEEP and upgrade and upgrade:lower() == "websocket" then
    proto = TLS and "wss" or "ws"
    headers:replace("x-forwarded-proto", proto)
  end
  if KEEP and headers:get("x-forwarded-port") then return end
  local port = (headers:get(":authority") or ""):match(":(%d+)$")
  if not port then
    port = (TLS or proto == "https" or proto == "wss") and "443" or "80"
  end
  headers:replace("x-forwarded-port", port)
end
function envoy_on_request(h)
  local ok, err = pcall(run, h)
  if not ok then
    h:logErr(tostring(err))
    h:respond({[":status"] = "500"}, "Internal Server Error")
  end
end
"""


def early_mutation(
    *, trusted: bool, tls: bool, hostname: str, append_for: bool
) -> TypedExtensionConfig:
    """The mutation every request of a listener goes through before a route is chosen."""
    mutations = []
    if not trusted:
        pattern = EnvoyStringMatcher(safe_regex=EnvoyRegexMatcher(regex=_MANAGED))
        mutations.append(
            HeaderMutation(remove_on_match=HeaderMutation.RemoveOnMatch(key_matcher=pattern))
        )
        if not append_for:
            mutations.append(HeaderMutation(remove=_FOR))
    keep = _IF_ABSENT if trusted else _OVERWRITE
    if append_for and not trusted:
        mutations.append(_set(_FOR, PEER, keep))
    mutations.append(_set("x-forwarded-host", "%REQ(:AUTHORITY)%", keep))
    mutations.append(_set("x-forwarded-server", hostname.replace("%", "%%"), _OVERWRITE))
    mutations.append(_set("x-real-ip", PEER, keep))
    if not trusted:
        mutations.append(_set("x-forwarded-port", "443" if tls else "80", keep))
    extension = header_mutation_pb2.HeaderMutation(mutations=mutations)
    return TypedExtensionConfig(name="forwarded", typed_config=pack(extension))


def request_filter(*, trusted: bool, tls: bool, append_for: bool) -> hcm.HttpFilter:
    """The filter for what depends on the request in ways Envoy's formatters cannot express:
    X-Forwarded-Port, the websocket form of X-Forwarded-Proto, and the retry conditions of
    methods that must not be repeated.

    For untrusted peers it runs only when Host names a port, an upgrade is asked for or the
    method is such a one; the early mutation has set the default port already. For trusted
    peers it always runs and appends the peer to X-Forwarded-For, after a comma and a space as
    Traefik writes it.
    """
    values = {
        "IDEMPOTENT_SET": ", ".join(f"{method} = true" for method in sorted(retries.IDEMPOTENT)),
        "RETRY_HEADER": f'"{retries.HEADER}"',
        "RETRY_ON": f'"{retries.NOT_REPEATABLE}"',
        "KEEP": str(trusted).lower(),
        "TLS": str(tls).lower(),
        "APPEND": str(append_for).lower(),
    }
    script = _SCRIPT
    for name, value in values.items():
        script = script.replace(name, value)
    lua = Lua(default_source_code=DataSource(inline_string=script))
    lua.clear_route_cache.value = False
    if trusted:
        return hcm.HttpFilter(name="forwarded", typed_config=pack(lua))
    action = ExecuteFilterAction(
        typed_config=TypedExtensionConfig(name="forwarded", typed_config=pack(lua))
    )
    on_match = Matcher.OnMatch(action={"name": "run", "typed_config": pack(action)})
    needs_script = Matcher.MatcherList.Predicate(
        or_matcher=Matcher.MatcherList.Predicate.PredicateList(
            predicate=[
                _header(":authority", StringMatcher(contains=":")),
                _header("upgrade", StringMatcher(contains="websocket", ignore_case=True)),
                _other_method(),
            ]
        )
    )
    matcher = Matcher(
        matcher_list=Matcher.MatcherList(
            matchers=[Matcher.MatcherList.FieldMatcher(predicate=needs_script, on_match=on_match)]
        )
    )
    composite = TypedExtensionConfig(name="composite", typed_config=pack(Composite()))
    return hcm.HttpFilter(
        name="forwarded",
        typed_config=pack(ExtensionWithMatcher(extension_config=composite, xds_matcher=matcher)),
    )


def _set(name: str, value: str, action: HeaderValueOption.HeaderAppendAction) -> HeaderMutation:
    header = HeaderValue(key=name, value=value)
    return HeaderMutation(append=HeaderValueOption(header=header, append_action=action))


def _other_method() -> Matcher.MatcherList.Predicate:
    """Methods that must not be repeated; GET, the most frequent, is ruled out first."""
    pattern = RegexMatcher(regex=retries.IDEMPOTENT_METHODS, google_re2=RegexMatcher.GoogleRE2())
    values = (StringMatcher(exact="GET"), StringMatcher(safe_regex=pattern))
    parts = [
        Matcher.MatcherList.Predicate(not_matcher=_header(":method", value)) for value in values
    ]
    return Matcher.MatcherList.Predicate(
        and_matcher=Matcher.MatcherList.Predicate.PredicateList(predicate=parts)
    )


def _header(name: str, value: StringMatcher) -> Matcher.MatcherList.Predicate:
    source = pack(HttpRequestHeaderMatchInput(header_name=name))
    return Matcher.MatcherList.Predicate(
        single_predicate=Matcher.MatcherList.Predicate.SinglePredicate(
            input={"name": "header", "typed_config": source},
            value_match=value,
        )
    )
