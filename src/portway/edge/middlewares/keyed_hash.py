"""A keyed hash, a random key and a monotonic clock for Lua steps, which have none.

HalfSipHash-2-4 (Aumasson, Bernstein: SipHash, its 32-bit variant) with 64 bits of output: the
32-bit words are what LuaJIT's ``bit`` operations compute with exactly. The Lua text offers
``keyed_hash(text, key1, key2)`` → two 32-bit integers, ``random_words(n)`` → int32 array, and
``seconds(clock)`` → seconds since some start, for a ``clock_gettime`` clock.
"""

LUA = r"""
local ffi, bit = require("ffi"), require("bit")
local C = ffi.C
local band, bxor, lshift, rol, tobit = bit.band, bit.bxor, bit.lshift, bit.rol, bit.tobit
ffi.cdef[[
  int clock_gettime(int clock, long *time);
  long getrandom(void *buffer, size_t size, unsigned int flags);
]]
local MONOTONIC, COARSE = 1, 6

local clock_time = ffi.new("long[2]")
local function seconds(clock)
  C.clock_gettime(clock, clock_time)
  return tonumber(clock_time[0]) + tonumber(clock_time[1]) * 1e-9
end

local function random_words(count)
  local words = ffi.new("int32_t[?]", count)
  if C.getrandom(words, 4 * count, 0) ~= 4 * count then error("no random numbers") end
  return words
end

local function keyed_hash(text, key1, key2)
  local v0, v1 = key1, bxor(key2, 0xee)
  local v2, v3 = bxor(0x6c796765, key1), bxor(0x74656462, key2)
  local function rounds(count)
    for _ = 1, count do
      v0 = tobit(v0 + v1) v1 = bxor(rol(v1, 5), v0) v0 = rol(v0, 16)
      v2 = tobit(v2 + v3) v3 = bxor(rol(v3, 8), v2)
      v0 = tobit(v0 + v3) v3 = bxor(rol(v3, 7), v0)
      v2 = tobit(v2 + v1) v1 = bxor(rol(v1, 13), v2) v2 = rol(v2, 16)
    end
  end
  local length = #text
  local whole = length - length % 4
  for at = 1, whole, 4 do
    local a, b, c, d = byte(text, at, at + 3)
    local word = bxor(a, lshift(b, 8), lshift(c, 16), lshift(d, 24))
    v3 = bxor(v3, word)
    rounds(2)
    v0 = bxor(v0, word)
  end
  local word = lshift(length, 24)
  for at = whole + 1, length do
    word = bxor(word, lshift(byte(text, at), 8 * (at - whole - 1)))
  end
  v3 = bxor(v3, word)
  rounds(2)
  v0 = bxor(v0, word)
  v2 = bxor(v2, 0xee)
  rounds(4)
  local first = bxor(v1, v3)
  v1 = bxor(v1, 0xdd)
  rounds(4)
  return first, bxor(v1, v3)
end
"""
