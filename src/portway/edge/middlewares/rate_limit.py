from __future__ import annotations

from portway.config.options import Duration, Options, Unsupported
from portway.edge.middlewares.source import SourceCriterion


class RateLimit(Options):
    average: int = 0
    period: Duration = Duration(1)
    burst: int = 1
    source_criterion: SourceCriterion | None = None
    redis: Unsupported | None = None
