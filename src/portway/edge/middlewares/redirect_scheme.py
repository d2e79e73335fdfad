from __future__ import annotations

from portway.config.options import Options


class RedirectScheme(Options):
    scheme: str = ""
    port: str = ""
    permanent: bool = False
