from __future__ import annotations

from portway.config.options import Options


class ReplacePathRegex(Options):
    regex: str = ""
    replacement: str = ""
