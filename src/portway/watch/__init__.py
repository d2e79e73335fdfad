"""Watches: following a view of an agent, and handing on what changed.

The command line and the agent's configuration run the same watches. ``plan`` says what is asked
for, a ``Follower`` decides on each answer without doing I/O, ``follow`` is the loop for asyncio,
and handlers run a program or call a URL.
"""

from portway.watch.follow import Ask, Reply, WatchFailed, follow
from portway.watch.follower import Change, Follower, Request
from portway.watch.handler import HttpHandler, ScriptHandler, WatchHandler, environment, payload
from portway.watch.plan import TYPES, Plan, WatchError, plan

__all__ = [
    "TYPES",
    "Ask",
    "Change",
    "Follower",
    "HttpHandler",
    "Plan",
    "Reply",
    "Request",
    "ScriptHandler",
    "WatchError",
    "WatchFailed",
    "WatchHandler",
    "environment",
    "follow",
    "payload",
    "plan",
]
