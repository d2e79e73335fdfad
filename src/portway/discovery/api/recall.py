"""Answers that are given again: the same request came, and nothing it tells of has changed.

Whoever polls sends the same bytes again and again, and so do all programs of a kind. Their answer
is kept with the topic that would change it, and is given without reading the request anew.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from portway.discovery.acl import AclError
from portway.discovery.acl.authorizer import Authorizer
from portway.discovery.api.context import Context
from portway.discovery.api.request import Request
from portway.discovery.state import Topic

MAX_REQUEST = 1024  # bytes of a request that is remembered
_MAX_ANSWER = 16 * 1024  # bytes
_MOST = 16 * 1024 * 1024  # bytes of requests and answers
_EACH = 1024  # bytes that keeping one takes besides


class _Kept(NamedTuple):
    answer: bytes
    topic: Topic
    changed: int
    epoch: int
    secret: str
    default: str
    authorizer: Authorizer
    method: str
    route: str


class Recall:
    """The latest answers by their requests, each the bytes of the wire."""

    def __init__(self, context: Context) -> None:
        self._context = context
        # A dict would look at all it has forgotten for the first it has not.
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._bytes = 0

    def keep(self, raw: bytes, request: Request, answer: bytes) -> None:
        """Remember the answer to ``raw``, as long as what ``request`` said of it holds."""
        topic = request.lasts_until
        if topic is None or len(answer) > _MAX_ANSWER:
            return
        self._forget(raw)
        self._bytes += _EACH + len(raw) + len(answer)
        while self._bytes > _MOST:
            self._forget(next(iter(self._kept)))
        self._kept[raw] = _Kept(
            answer,
            topic,
            topic.index,
            self._context.server.state.view.epoch,
            request.token,
            self._context.settings.default_token,
            request.authorizer,
            request.method,
            request.route,
        )

    def find(self, raw: bytes) -> bytes | None:
        """The answer to these bytes, if it is what reading them anew would give."""
        kept = self._kept.get(raw)
        if kept is None:
            return None
        if not self._holds(kept):
            self._forget(raw)
            return None
        if self._context.observe is not None:
            self._context.observe(kept.method, kept.route, 0.0)
        return kept.answer

    def _forget(self, raw: bytes) -> None:
        kept = self._kept.pop(raw, None)
        if kept is not None:
            self._bytes -= _EACH + len(raw) + len(kept.answer)

    def _holds(self, kept: _Kept) -> bool:
        view = self._context.server.state.view
        if kept.topic.index != kept.changed or view.epoch != kept.epoch or view.ended:
            return False
        if kept.default != self._context.settings.default_token:
            return False
        try:
            return self._context.tokens.resolve(kept.secret) is kept.authorizer
        except AclError:
            return False
