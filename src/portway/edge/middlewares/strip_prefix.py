from __future__ import annotations

from portway.config.options import Options


class StripPrefix(Options):
    prefixes: list[str] = []
    force_slash: bool = False
