"""``portway edge``: the parent process with its control process and Envoy."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run the edge with Traefik's flags until stopped; returns the exit code."""
    from portway.edge import supervise

    return supervise.run([sys.executable, "-m", "portway.edge.control", *argv])
