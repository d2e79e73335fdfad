"""``portway edge``: become the parent process of a control process and Envoy."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str]) -> NoReturn:
    """Run the edge with Traefik's flags, in this process' place.

    The command line has loaded its libraries; the parent, which lives as long as the edge, is a
    new program that has next to none.
    """
    os.execv(sys.executable, [sys.executable, "-m", "portway.edge.supervise", *argv])  # noqa: S606
