-- Helpers every step may use. The constants in capitals come from prelude.py, in front.
local step = {}
local byte, char, find, format, gsub, lower, match, sub =
  string.byte, string.char, string.find, string.format, string.gsub, string.lower,
  string.match, string.sub
local TEXT = {["content-type"] = "text/plain; charset=utf-8", ["x-content-type-options"] = "nosniff"}

local function reply(h, status, headers, body)
  local out = {}
  for name, value in pairs(headers or {}) do out[name] = value end
  out[":status"] = tostring(status)
  h:respond(out, body)
end

local function delay(h, milliseconds)
  h:headers():replace(DELAY_HEADER, format("%d", math.ceil(milliseconds)))
end

local function split_path(headers)
  local whole = headers:get(":path") or "/"
  local at = find(whole, "?", 1, true)
  if at then return sub(whole, 1, at - 1), sub(whole, at) end
  return whole, ""
end

local function set_path(headers, path, query, open)
  if path == "" and not open then path = "/" end
  headers:replace(":path", path .. query)
end

local function unescape(text)
  if not find(text, "%", 1, true) then return text end
  local bad = match(gsub(text, "%%%x%x", ""), "%%")
  if bad then
    local at = 1
    while match(text, "^%%%x%x", at) or sub(text, at, at) ~= "%" do
      at = at + 1
    end
    return nil, sub(text, at, at + 2)
  end
  return (gsub(text, "%%(%x%x)", function(digits) return char(tonumber(digits, 16)) end))
end

local function escape_path(text)
  if not find(text, "[^%w%-_.~$&+,/:;=@]") then return text end
  return (gsub(text, "[^%w%-_.~$&+,/:;=@]", function(c) return format("%%%02X", byte(c)) end))
end

local function path_forms(raw)
  if not find(raw, "[^%w%-_.~$&+,/:;=@]") then return raw, nil end
  local path = unescape(raw)
  if not path then return raw, nil end
  if escape_path(path) == raw then return path, nil end
  return path, raw
end

local function request_path(path, raw)
  if raw and not find(raw, "[^%w%-_.~$&+,/:;=@!'()*%[%]%%]") and unescape(raw) == path then
    return raw
  end
  return escape_path(path)
end

local function slashed(path)
  if path == "" or byte(path) == 47 then return path end
  return "/" .. path
end

local function encoded_length(raw, decoded)
  local at, length = 1, #raw
  while decoded > 0 and at <= length do
    if byte(raw, at) == 37 and at + 2 <= length then at = at + 3 else at = at + 1 end
    decoded = decoded - 1
  end
  return at - 1
end

local function unclean(path)
  if not find(path, "/[/.]") and byte(path) ~= 46 then return false end
  return find(path, "//", 1, true) or find("/" .. path .. "/", "/%.%.?/")
end

local function request_uri(headers)
  local whole = headers:get(":path") or "/"
  if whole == "" or byte(whole) == 63 then return "/" .. whole end
  return whole
end

local function regex_result(h, key)
  local results = h:streamInfo():dynamicMetadata():get(REGEX_NAMESPACE)
  local found = results and results[key]
  if not found then
    local path = split_path(h:headers())
    if path == "" then return "", false end
    if #(h:headers():get(":path") or "") > 2048 then
      reply(h, 414, TEXT, "URI Too Long\n")
    end
    error("a regular expression has not run")
  end
  local text, marks = gsub(found, MARK, "")
  return text, marks > 0
end

local function printed_host(authority)
  local user, host = match(authority, "^(.*@)(.*)$")
  if not user then user, host = "", authority end
  if find(host, "[^%w%-_.~!$&'()*+,;=:%[%]<>\"\128-\255]") then return nil end
  local port = match(host, "^%[.*%](.*)$") or match(host, ":[^:]*$") or ""
  if byte(host) == 91 and not find(host, "]", 1, true) then return nil end
  if not find(port, "^:?%d*$") then return nil end
  return user .. gsub(host, "[\128-\255]", function(c) return format("%%%02X", byte(c)) end)
end

-- A URL as Go parses and prints it; nil when it is malformed.
local function printed_url(text)
  if find(text, "[%z\1-\31\127]") then return nil end
  local url, fragment = match(text, "^([^#]*)#?(.*)$")
  local before, query = match(url, "^([^?]*)(.*)$")
  local scheme, rest = match(before, "^(%a[%w+.-]*):(.*)$")
  if not scheme then scheme, rest = "", before else scheme = lower(scheme) .. ":" end
  local authority, path = match(rest, "^(//[^/]*)(.*)$")
  if not authority then
    if scheme ~= "" and byte(rest) ~= 47 then return scheme .. rest .. query end
    authority, path = "", rest
    if scheme == "" and find(path, "^[^/]*:") then return nil end
  else
    authority = printed_host(sub(authority, 3))
    if not authority then return nil end
    authority = "//" .. authority
  end
  local decoded, bad = unescape(path)
  if decoded then
    if path ~= "" then path = request_path(decoded, path) end
    if fragment ~= "" then
      fragment, bad = unescape(fragment)
      if fragment then
        fragment = "#" .. gsub(fragment, "[^%w%-_.~$&+,/:;=@!()*?]", function(c)
          return format("%%%02X", byte(c))
        end)
      end
    end
  end
  if bad then return nil end
  return scheme .. authority .. path .. query .. fragment
end

local REDIRECTS = {
  [301] = "Moved Permanently", [302] = "Found",
  [307] = "Temporary Redirect", [308] = "Permanent Redirect",
}

local function redirect(h, url, permanent)
  local location = printed_url(url)
  if not location then return reply(h, 502, nil, "Bad Gateway") end
  local get = h:headers():get(":method") == "GET"
  local status = permanent and (get and 301 or 308) or (get and 302 or 307)
  return reply(h, status, {location = location}, REDIRECTS[status])
end
