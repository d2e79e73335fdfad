from __future__ import annotations

from portway.config.options import Options


class ReplacePath(Options):
    path: str = ""
