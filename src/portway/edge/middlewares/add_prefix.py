from __future__ import annotations

from portway.config.options import Options


class AddPrefix(Options):
    prefix: str = ""
