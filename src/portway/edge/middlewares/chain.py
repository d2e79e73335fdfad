from __future__ import annotations

from portway.config.options import Options


class Chain(Options):
    middlewares: list[str] = []
