from __future__ import annotations

from portway.config.options import Options


class StripPrefixRegex(Options):
    regex: list[str] = []
