from __future__ import annotations

from portway.config.options import Options


class RedirectRegex(Options):
    regex: str = ""
    replacement: str = ""
    permanent: bool = False
