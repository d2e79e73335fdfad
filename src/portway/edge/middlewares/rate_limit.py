"""rateLimit: a token bucket per source.

``average`` requests per ``period`` (1 s) are let through on average, up to ``burst`` (1) at
once. A request that comes a little early is held back until its token is there, for at most
half the time between two tokens (500 ms for rates below one per second); one that comes
earlier gets 429 ``Too Many Requests`` with ``Retry-After`` (whole seconds) and ``X-Retry-In``
(a Go duration) saying exactly when. ``average`` 0 switches the limit off. Requests are grouped
by ``sourceCriterion``: the client's address (default, ``ipStrategy``), a header
(``requestHeaderName``; requests without it share one bucket) or the host (``requestHost``).

Every router has buckets of its own, per entry point, as in Traefik. Unlike Traefik's they
outlive configuration changes: they live in memory that all workers of the Envoy process
share, and are exact across workers.

A bucket is one number, its *theoretical arrival time* (GCRA, ITU-T I.371): with ``T`` seconds
between tokens, a request moves it to ``max(tat, now) + T`` and is ``delay = that - now -
burst*T`` early. That is the token bucket with reservations that Traefik uses. A time in the
past means a full bucket, which is what a source never seen has: such a slot can be reused
without changing any answer. So memory stays bounded (2^17 slots in sets of eight, 2 MiB,
touched as needed); only when all eight slots of a set are busy does the fullest bucket
go, and its source starts afresh.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portway.config.options import Duration, Options, Unsupported
from portway.edge.middlewares import keyed_hash, source
from portway.edge.middlewares.source import SourceCriterion
from portway.edge.middlewares.step import Kind, Lua, Place, Step


class RateLimit(Options):
    """See the module."""

    average: int = 0
    period: Duration = Duration(1)
    burst: int = 1
    source_criterion: SourceCriterion | None = None
    redis: Unsupported | None = None


def _problems(options: RateLimit) -> Sequence[str]:
    problems = source.criterion_problems("sourceCriterion", options.source_criterion)
    if options.period < 0:
        problems.append(f"period {options.period} is negative; write a duration as 1s or 1m")
    if options.redis is not None:
        problems.append(
            "redis is not supported: buckets are kept by each Portway process; remove the option"
        )
    return problems


def _steps(options: RateLimit, place: Place) -> Sequence[Step]:
    if options.average <= 0:
        return ()
    return (Lua("rateLimit", _params(options, place), rejects=True, responds=False, delays=True),)


def _params(options: RateLimit, place: Place) -> dict[str, Any]:
    rate = options.average / (float(options.period) or 1.0)  # tokens per second
    return {
        "set": "\n".join((place.middleware, place.router, place.entry_point)),
        "source": source.criterion_params(
            options.source_criterion, appends_peer=place.appends_peer
        ),
        "interval": 1 / rate,
        "burst": max(options.burst, 1),
        "patience": 0.5 if rate < 1 else 0.5 / int(rate),
    }


# Memory is an unnamed file (memfd) of the Envoy process. Every Lua state, of which each worker
# has several, finds it among the process's descriptors and maps it; the first, on the main
# thread before workers get theirs, makes it. It goes with the process, so no crash leaves a
# lock behind and nobody has to clean up. Nothing between lock and unlock can raise or allocate.
_LUA = r"""
ffi.cdef[[
  int memfd_create(const char *name, unsigned int flags);
  int ftruncate(int fd, long size);
  void *mmap(void *address, size_t size, int protection, int flags, int fd, long offset);
  long readlink(const char *path, char *target, size_t size);
  int pthread_spin_init(volatile int *lock, int shared);
  int pthread_spin_trylock(volatile int *lock);
  int pthread_spin_unlock(volatile int *lock);
  int sched_yield(void);
  int close(int fd);
]]

local SETS, WAYS, LOCKS = 16384, 8, 64
local NAME, SIZE = "portway-rates", 8192 + 16 * SETS * WAYS
local READY = 0x504f5254

local function find_memory()
  local target = ffi.new("char[?]", 64)
  local misses, fd = 0, 0
  while misses < 1024 do
    local length = C.readlink("/proc/self/fd/" .. fd, target, 64)
    if length < 0 then
      misses = misses + 1
    else
      misses = 0
      if find(ffi.string(target, length), "/memfd:" .. NAME, 1, true) == 1 then return fd end
    end
    fd = fd + 1
  end
end

local function map(fd)
  local memory = C.mmap(nil, SIZE, 3, 1, fd, 0)
  if ffi.cast("intptr_t", memory) == -1 then error("rateLimit: cannot map shared memory") end
  return memory
end

local function open_memory()
  local fd = find_memory()
  if fd then return map(fd) end
  fd = C.memfd_create(NAME, 1)
  if fd < 0 or C.ftruncate(fd, SIZE) ~= 0 then error("rateLimit: cannot make shared memory") end
  local memory = map(fd)
  local words, locks = ffi.cast("uint32_t *", memory), ffi.cast("int *", memory) + 1024
  local seed = random_words(2)
  words[1], words[2] = seed[0], seed[1]
  for i = 0, LOCKS - 1 do C.pthread_spin_init(locks + 16 * i, 0) end
  words[0] = READY
  return memory
end

local usable, memory = pcall(open_memory)
local words, lock_of, times, keys, seed1, seed2
if usable then
  words = ffi.cast("volatile uint32_t *", memory)
  usable = words[0] == READY
  if not usable then memory = "rateLimit: shared memory is not set up" end
end
if usable then
  lock_of = {}
  for i = 0, LOCKS - 1 do lock_of[i] = ffi.cast("volatile int *", memory) + 1024 + 16 * i end
  times = ffi.cast("double *", ffi.cast("char *", memory) + 8192)
  keys = ffi.cast("uint32_t *", ffi.cast("char *", memory) + 8192 + 8 * SETS * WAYS)
  seed1, seed2 = tobit(words[1]), tobit(words[2])
end

-- How early the request is, in seconds; it is counted unless that is more than its patience.
local function early(first, second, interval, burst, patience)
  local set = band(first, SETS - 1)
  local lock, base = lock_of[band(set, LOCKS - 1)], set * WAYS
  local high, low = first % 4294967296, second % 4294967296
  local present, tries = seconds(MONOTONIC), 0
  while C.pthread_spin_trylock(lock) ~= 0 do
    tries = tries + 1
    if tries % 64 == 0 then C.sched_yield() end
  end
  local slot, oldest, known = base, times[base], false
  for i = base, base + WAYS - 1 do
    if keys[2 * i] == high and keys[2 * i + 1] == low then
      slot, known = i, true
      break
    end
    if times[i] < oldest then slot, oldest = i, times[i] end
  end
  local arrival = known and times[slot] or present
  local furthest = present + burst * interval + patience
  if arrival < present then arrival = present end
  if arrival > furthest then  -- the limit was stricter before
    arrival = furthest
    times[slot] = arrival
  end
  arrival = arrival + interval
  local delay = arrival - present - burst * interval
  if delay <= patience then
    if not known then keys[2 * slot], keys[2 * slot + 1] = high, low end
    times[slot] = arrival
  end
  C.pthread_spin_unlock(lock)
  return delay
end

-- As Go writes durations: 59.911686277s, 8m34.2s, 56.679281ms, 612.5µs.
local function go_duration(seconds)
  local nanos = math.floor(seconds * 1e9)
  local function decimal(size)
    return (gsub(gsub(format("%.9f", nanos / size), "0+$", ""), "%.$", ""))
  end
  if nanos < 1e3 then return nanos .. "ns" end
  if nanos < 1e6 then return decimal(1e3) .. "µs" end
  if nanos < 1e9 then return decimal(1e6) .. "ms" end
  local minutes = math.floor(nanos / 6e10)
  local hours = math.floor(minutes / 60)
  nanos = nanos - minutes * 6e10
  local text = decimal(1e9) .. "s"
  if minutes > 0 then text = minutes % 60 .. "m" .. text end
  if hours > 0 then text = hours .. "h" .. text end
  return text
end

step.rateLimit = { request = function(h, p)
  if not usable then error(memory) end
  local first, second = keyed_hash(p.set .. "\n" .. request_source(h, p.source), seed1, seed2)
  local wait = early(first, second, p.interval, p.burst, p.patience)
  if wait > p.patience then
    reply(h, 429, {
      ["retry-after"] = format("%.0f", math.ceil(wait)), ["x-retry-in"] = go_duration(wait),
    }, "Too Many Requests")
    return true
  end
  if wait > 0 then
    local held = h:headers():get(DELAY_HEADER)
    delay(h, tonumber(held or 0) + wait * 1000)
  end
end }
"""

KIND = Kind(_problems, _steps, keyed_hash.LUA + source.LUA + _LUA)
