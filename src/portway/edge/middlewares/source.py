"""Who a request comes from: the address strategies several middlewares share.

The default is the address of the connection's peer. ``ipStrategy`` looks at
``X-Forwarded-For`` instead, as it came in: ``depth`` takes the n-th entry from the right
(nothing when there are fewer), ``excludedIPs`` the first entry from the right that is not in
the list; ``depth`` wins when both are set. ``ipv6Subnet`` then replaces an IPv6 address by
the first one of its subnet of that size (not with ``excludedIPs``). An untrusted peer's
``X-Forwarded-For`` never reaches a middleware, so both find nothing then: entry points name
the peers they trust.

In Envoy the entry point has already appended the peer to ``X-Forwarded-For`` when
middlewares run (:attr:`Place.appends_peer`), so the Lua text leaves out the last entry.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from msgspec import field

from portway.config.options import Options

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PREFIX_LENGTH = re.compile(r"\d{1,3}")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class IPStrategy(Options):
    """How the client's address is found; see the module."""

    allow_empty = True
    depth: int = 0
    excluded_ips: list[str] = field(default_factory=list, name="excludedIPs")
    ipv6_subnet: int | None = field(default=None, name="ipv6Subnet")


class SourceCriterion(Options):
    """What groups requests: the client's address, a request header, or the request's host."""

    ip_strategy: IPStrategy | None = None
    request_header_name: str = ""
    request_host: bool = False


def network(text: str) -> Network:
    """An address or CIDR range as Go's ``net`` reads it: host bits are dropped, IPv4 mapped
    into IPv6 is IPv4.

    Raises ValueError with a message that says what would be valid.
    """
    body = text.strip()
    _, slash, length = body.partition("/")
    try:
        if "%" in body or (slash and not _PREFIX_LENGTH.fullmatch(length)):
            raise ValueError
        found = ipaddress.ip_network(body, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address or CIDR range; write 10.0.0.0/8 or 2001:db8::7"
        ) from None
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        low = int(found.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((low, found.prefixlen - 96))
    return found


def range_problems(key: str, texts: Iterable[str]) -> list[str]:
    """What is wrong with a list of addresses and ranges, each naming ``key[index]``."""
    problems = []
    for index, text in enumerate(texts):
        try:
            network(text)
        except ValueError as error:
            problems.append(f"{key}[{index}]: {error}")
    return problems


def ranges(texts: Iterable[str]) -> dict[str, list[str]]:
    """Valid addresses and ranges as the Lua text takes them: per family, the sorted, disjoint
    ranges as first and last address in hexadecimal, flat: ``[first, last, first, last, …]``.
    """
    networks = [network(text) for text in texts]
    v4 = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network))
    v6 = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv6Network))
    return {"v4": _ends(v4), "v6": _ends(v6)}


def _ends(networks: Iterable[Network]) -> list[str]:
    pairs = ((n.network_address, n.broadcast_address) for n in networks)
    return [address.packed.hex() for address in chain.from_iterable(pairs)]


def strategy_problems(key: str, strategy: IPStrategy | None) -> list[str]:
    """What is wrong with an ``ipStrategy`` found under ``key``."""
    if strategy is None:
        return []
    problems = []
    if strategy.depth <= 0:
        problems += range_problems(f"{key}.excludedIPs", strategy.excluded_ips)
    subnet = strategy.ipv6_subnet
    if subnet is not None and not 0 < subnet <= 128:
        problems.append(f"{key}.ipv6Subnet {subnet} is not a prefix length; write 1 to 128")
    return problems


def strategy_params(strategy: IPStrategy | None, *, appends_peer: bool) -> dict[str, Any]:
    """A valid strategy as the ``client_address`` of the Lua text takes it."""
    params: dict[str, Any] = {}
    if strategy is None:
        return params
    if strategy.depth > 0:
        params["depth"] = strategy.depth
    elif strategy.excluded_ips:
        params["excluded"] = ranges(strategy.excluded_ips)
    if strategy.ipv6_subnet is not None and "excluded" not in params:
        params["subnet"] = strategy.ipv6_subnet
    if appends_peer and ("depth" in params or "excluded" in params):
        params["appended"] = True
    return params


def criterion_problems(key: str, criterion: SourceCriterion | None) -> list[str]:
    """What is wrong with a ``sourceCriterion`` found under ``key``."""
    if criterion is None:
        return []
    chosen = [
        name
        for name, given in (
            ("ipStrategy", criterion.ip_strategy is not None),
            ("requestHeaderName", criterion.request_header_name != ""),
            ("requestHost", criterion.request_host),
        )
        if given
    ]
    problems = strategy_problems(f"{key}.ipStrategy", criterion.ip_strategy)
    if len(chosen) > 1:
        problems.append(f"{key}: {' and '.join(chosen)} are mutually exclusive; keep one")
    name = criterion.request_header_name
    if name and not header_name_valid(name):
        problems.append(f"{key}.requestHeaderName {name!r} is not a header name, as X-Api-Key is")
    return problems


def criterion_params(criterion: SourceCriterion | None, *, appends_peer: bool) -> dict[str, Any]:
    """A valid criterion as the ``request_source`` of the Lua text takes it."""
    if criterion is not None and criterion.request_header_name:
        return {"header": criterion.request_header_name.lower()}
    if criterion is not None and criterion.request_host:
        return {"host": True}
    strategy = criterion.ip_strategy if criterion is not None else None
    return strategy_params(strategy, appends_peer=appends_peer)


def header_name_valid(name: str) -> bool:
    """Whether ``name`` is a token (RFC 9110, 5.1)."""
    return _HEADER_NAME.fullmatch(name) is not None


def header_value_valid(value: str) -> bool:
    """Whether ``value`` can be a field value (RFC 9110, 5.5): no control bytes but tab."""
    return not any((ord(c) < 0x20 and c != "\t") or ord(c) == 0x7F for c in value)


def names_problems(key: str, names: Sequence[str]) -> list[str]:
    """Entries of a list of header names that are none."""
    return [
        f"{key}[{index}] {name!r} is not a header name, as X-Forwarded-Host is"
        for index, name in enumerate(names)
        if not header_name_valid(name)
    ]


# Addresses are compared as packed bytes (4 or 16), which sort as the addresses do.
LUA = r"""
local ffi = require("ffi")
ffi.cdef[[ int inet_pton(int family, const char *text, void *packed); ]]
local packed = ffi.new("uint8_t[16]")
local MAPPED = ("\0"):rep(10) .. "\255\255"

-- The packed form of a literal as written, so 16 bytes for an IPv4 mapped into IPv6.
local function literal(text)
  if #text > 64 or find(text, "%z") then return nil end
  if find(text, ":", 1, true) then
    local zone = find(text, "%", 1, true)
    if zone then text = sub(text, 1, zone - 1) end
    return ffi.C.inet_pton(10, text, packed) == 1 and ffi.string(packed, 16) or nil
  end
  return ffi.C.inet_pton(2, text, packed) == 1 and ffi.string(packed, 4) or nil
end

local function canonical(address)
  if address and #address == 16 and sub(address, 1, 12) == MAPPED then return sub(address, 13) end
  return address
end

local function unhex(list)
  local out = {}
  for i = 1, #list do
    out[i] = gsub(list[i], "..", function(digits) return char(tonumber(digits, 16)) end)
  end
  return out
end

-- Whether the packed address lies in ranges made by source.ranges.
local function inside(ranges, address)
  if not ranges.ready then
    ranges.v4, ranges.v6, ranges.ready = unhex(ranges.v4), unhex(ranges.v6), true
  end
  local list = #address == 4 and ranges.v4 or ranges.v6
  local low, high = 1, #list / 2
  while low <= high do
    local middle = math.floor((low + high) / 2)
    if address < list[2 * middle - 1] then
      high = middle - 1
    elseif address > list[2 * middle] then
      low = middle + 1
    else
      return true
    end
  end
  return false
end

local function without_port(text)
  return text:match("^%[([^%[%]]*)%]:[^:]*$") or text:match("^([^:%[%]]*):[^:]*$") or text
end

local function masked(address, bits)
  local whole = math.floor(bits / 8)
  local rest = bits % 8
  local out = sub(address, 1, whole)
  if rest > 0 then
    local keep = 2 ^ (8 - rest)
    out = out .. char(math.floor(byte(address, whole + 1) / keep) * keep)
  end
  return out .. ("\0"):rep(16 - #out)
end

-- The client's address as text, and as packed bytes where a subnet was taken.
local function client_address(h, s)
  local text
  if s.depth or s.excluded then
    local entries = h:headers():get("x-forwarded-for") or ""
    if s.appended then entries = entries:match("^(.*),[^,]*$") or "" end
    text = ""
    local seen, at = 0, #entries
    while at >= 0 do
      local start = at
      while start > 0 and byte(entries, start) ~= 44 do start = start - 1 end
      local entry = sub(entries, start + 1, at):match("^%s*(.-)%s*$")
      seen = seen + 1
      if s.depth then
        if seen == s.depth then text = entry break end
      elseif entry ~= "" then
        local address = canonical(literal(entry))
        if not (address and inside(s.excluded, address)) then text = entry break end
      end
      at = start - 1
    end
  else
    text = without_port(h:streamInfo():downstreamDirectRemoteAddress())
  end
  if s.subnet then
    local address = literal(text)
    if address and #address == 16 then return text, canonical(masked(address, s.subnet)) end
  end
  return text
end

-- What groups requests, as text; the forms cannot be mistaken for each other in one bucket
-- set, as a set uses one of them only.
local function request_source(h, s)
  if s.header then return h:headers():getAtIndex(s.header, 0) or "" end
  if s.host then return h:headers():get(":authority") or "" end
  local text, subnet = client_address(h, s)
  return subnet and "\0" .. subnet or text
end
"""
