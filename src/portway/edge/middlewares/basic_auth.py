"""basicAuth: a user name and password are asked for (RFC 7617).

``users`` lists ``name:hash`` entries, ``usersFile`` names a file of them; an entry of
``users`` wins over one of the file. Hashes are those of ``htpasswd``: bcrypt, apr1, SHA-1
(see :mod:`portway.edge.passwords`). ``realm`` (``traefik``) is what browsers show;
``removeHeader`` keeps the ``Authorization`` header from the service; ``headerField`` names a
header that tells the service the user.

Hashes stay in the control process. A worker that sees an ``Authorization`` header for the
first time asks there; who passed is remembered for a minute per worker, under a keyed hash
of the header, so that no password lies in memory. Only success is remembered. When the
control process cannot be asked the answer is 500, so during its restart only users who
passed lately get in.

A change of ``users`` counts at once. ``usersFile`` is read again when it has changed: a new
user gets in at once, a removed one for another minute at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from portway.config.options import Options
from portway.edge import passwords
from portway.edge.middlewares import keyed_hash, source
from portway.edge.middlewares.step import Kind, Lua, Place, Step

CLUSTER: Final = "portway-control"
"""The cluster of the control process's internal HTTP server."""
_REALM = "traefik"


class BasicAuth(Options):
    """See the module."""

    users: list[str] = []
    users_file: str = ""
    realm: str = ""
    remove_header: bool = False
    header_field: str = ""


class UserList(NamedTuple):
    """What :meth:`portway.edge.passwords.Checker.register` takes."""

    id: str
    users: Sequence[str]
    users_file: str


def user_list(middleware: str, options: BasicAuth) -> UserList:
    """The list that routes with this middleware (``name@provider``) ask about. Its id changes
    with ``users`` and ``usersFile``, which voids what workers remember."""
    body = msgspec.json.encode([middleware, options.users, options.users_file])
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    return UserList(digest, options.users, options.users_file)


def _problems(options: BasicAuth) -> Sequence[str]:
    problems = []
    try:
        passwords.parse_users(options.users, options.users_file)
    except passwords.UsersError as error:
        problems.append(str(error))
    if options.header_field and not source.header_name_valid(options.header_field):
        problems.append(
            f"headerField {options.header_field!r} is not a header name, as X-WebAuth-User is"
        )
    if not source.header_value_valid(options.realm):
        problems.append(f"realm {options.realm!r} has control characters; write plain text")
    return problems


def _notices(options: BasicAuth) -> Sequence[str]:
    try:
        hashes = passwords.parse_users(options.users, options.users_file)
    except passwords.UsersError:  # reported by _problems
        return ()
    return [
        f"user {name!r} can never log in: the hash is of no known form; use htpasswd -B (bcrypt),"
        " -m (apr1) or -s (SHA), and double every $ in compose files"
        for name, digest in hashes.items()
        if not passwords.known_hash(digest)
    ]


def _steps(options: BasicAuth, place: Place) -> Sequence[Step]:
    params = {
        "id": user_list(place.middleware, options).id,
        "challenge": f'Basic realm="{options.realm or _REALM}"',
        "remove": options.remove_header,
        "field": options.header_field.lower(),
    }
    return (Lua("basicAuth", params, rejects=True, responds=False),)


_LUA = r"""
local KEPT, SECONDS, MAX_HEADER = 4096, 60, MAX_CREDENTIALS

local seed = random_words(4)

-- 128 bits under secret keys: what is remembered says nothing about the password.
local function tag(text)
  local a, b = keyed_hash(text, seed[0], seed[1])
  local c, d = keyed_hash(text, seed[2], seed[3])
  return format("%d.%d.%d.%d", a, b, c, d)
end

-- Who passed, by tag, in a young and an old half.
local young, old, count = {}, {}, 0

local function remembered(key)
  local entry = young[key] or old[key]
  if entry and seconds(COARSE) < entry.till then return entry.user end
end

local function remember(key, user)
  if count >= KEPT then young, old, count = {}, young, 0 end
  if not young[key] then count = count + 1 end
  young[key] = { user = user, till = seconds(COARSE) + SECONDS }
end

local function ask(h, p, authorization)
  local answer = h:httpCall("CLUSTER", {
    [":method"] = "GET", [":path"] = "/basic/" .. p.id, [":authority"] = "control",
    authorization = authorization,
  }, nil, { timeout_ms = 10000, send_xff = false })
  local status = answer[":status"]
  if status == "200" and answer["x-user"] then return answer["x-user"] end
  if status ~= "401" then
    error("basicAuth: the password checker answered " .. tostring(status))
  end
end

step.basicAuth = { request = function(h, p)
  local given = h:headers():getAtIndex("authorization", 0)
  if given and #given <= MAX_HEADER and sub(given, 1, 6):lower() == "basic " then
    local key = tag(p.id .. given)
    local user = remembered(key)
    if not user then
      user = ask(h, p, given)
      if user then remember(key, user) end
    end
    if user then
      local headers = h:headers()
      if p.field ~= "" then headers:replace(p.field, user) end
      if p.remove then headers:remove("authorization") end
      return
    end
  end
  reply(h, 401, { ["content-type"] = "text/plain", ["www-authenticate"] = p.challenge },
    "401 Unauthorized\n")
  return true
end }
""".replace("MAX_CREDENTIALS", str(passwords.MAX_CREDENTIALS)).replace("CLUSTER", CLUSTER)

KIND = Kind(_problems, _steps, keyed_hash.LUA + _LUA, notices=_notices)
