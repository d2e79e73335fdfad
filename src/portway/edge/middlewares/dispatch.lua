-- Decoded step lists by content id, in a young and an old half of at most CACHED each.
local young, old, count = {}, {}, 0

local function decode(context)
  local list, responds = context:get("steps"), false
  for i = 1, #list do
    local entry = list[i]
    local functions = step[entry.f] or error("no such step: " .. tostring(entry.f))
    entry.request, entry.response = functions.request, functions.response
    entry.p = entry.p or {}
    responds = responds or entry.response ~= nil
  end
  list.slot, list.responds = context:get("slot"), responds
  list.notes = responds and not context:get("always")
  list.clean, list.tidy = context:get("clean"), context:get("tidy")
  return list
end

local function steps_of(h)
  local context = h:filterContext()
  local id = context:get("id")
  local list = young[id]
  if list then return list end
  list = old[id] or decode(context)
  if count >= CACHED then young, old, count = {}, young, 0 end
  young[id], count = list, count + 1
  return list
end

local function note(h, list, passed)
  h:streamInfo():dynamicMetadata():set(list.slot, "passed", passed)
end

local function on_request(h)
  local list = steps_of(h)
  local noted = 0
  if list.clean then
    local headers = h:headers()
    headers:remove(DELAY_HEADER)
    headers:remove(DELAY_HEADER .. "-percentage")
  end
  for i = 1, #list do
    local entry = list[i]
    if entry.request then
      if list.notes and entry.r and noted < i - 1 then
        note(h, list, i - 1)
        noted = i - 1
      end
      if entry.request(h, entry.p, entry.o) then return end
    end
  end
  if list.tidy then
    local headers = h:headers()
    local uri = request_uri(headers)
    if uri ~= headers:get(":path") then headers:replace(":path", uri) end
  end
  if list.notes and noted < #list then note(h, list, #list) end
end

local function on_response(h)
  local list = steps_of(h)
  if not list.responds then return end
  local passed = #list
  if list.notes then
    passed = (h:streamInfo():dynamicMetadata():get(list.slot) or {}).passed or 0
  end
  for i = passed, 1, -1 do
    local entry = list[i]
    if entry.response then entry.response(h, entry.p) end
  end
end

function envoy_on_request(h)
  local ok, problem = pcall(on_request, h)
  if not ok then
    h:logErr("portway: " .. tostring(problem))
    h:respond({[":status"] = "500"}, "Internal Server Error")
  end
end

local function spoil(h)
  local headers, names = h:headers(), {}
  for name in pairs(headers) do names[#names + 1] = name end
  for i = 1, #names do
    if names[i] ~= ":status" then headers:remove(names[i]) end
  end
  headers:replace(":status", "500")
  local text = "Internal Server Error"
  for chunk in h:bodyChunks() do
    chunk:setBytes(text)
    text = ""
  end
end

function envoy_on_response(h)
  local ok, problem = pcall(on_response, h)
  if not ok then
    h:logErr("portway: " .. tostring(problem))
    spoil(h)
  end
end
