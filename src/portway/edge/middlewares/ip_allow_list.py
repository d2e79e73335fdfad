from __future__ import annotations

from portway.config.options import Options
from portway.edge.middlewares.source import IPStrategy


class IPAllowList(Options):
    source_range: list[str] = []
    ip_strategy: IPStrategy | None = None
    reject_status_code: int = 0
