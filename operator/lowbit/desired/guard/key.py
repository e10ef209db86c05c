"""The guard's check of the API key, in Lua. It reads the mounted file at each request: changes work at once."""

from __future__ import annotations

KEY_CHECK = """\
local bit = require("bit")

-- The whole file without its last line ends, or nil when there is no key to compare with.
local function read_key()
  local file = io.open("%(path)s", "rb")
  if file == nil then return nil end
  local key = file:read("*a")
  file:close()
  if key == nil then return nil end
  key = key:gsub("[\\r\\n]+$", "")
  if key == "" then return nil end
  return key
end

-- Takes as long as the given token is, whatever the key.
local function same(key, token)
  local difference = bit.bxor(#key, #token)
  for index = 1, #token do
    difference = bit.bor(difference, bit.bxor(token:byte(index), key:byte(index) or 0))
  end
  return difference == 0
end

local function bearer(header)
  if header == nil then return nil end
  return header:match("^[Bb][Ee][Aa][Rr][Ee][Rr] +([^ ]+)$")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path") or ""
  if path == "/health" or path:sub(1, 8) == "/health?" then return end
  local read, key = pcall(read_key)
  if not read or key == nil then
    handle:respond({[":status"] = "503"}, \
"The API key of this model cannot be read: its Secret lacks the key, or holds nothing.")
    return
  end
  local token = bearer(headers:get("authorization"))
  if token == nil or not same(key, token) then
    handle:respond({[":status"] = "401", ["www-authenticate"] = "Bearer"}, \
"Send the API key of this model as a header: Authorization: Bearer KEY.")
    return
  end
  headers:remove("authorization")  -- the engine has no use for it
end
"""


def key_check(path: str) -> str:
    """The Lua program that compares the Bearer token with the file at path."""
    return KEY_CHECK % {"path": path}
