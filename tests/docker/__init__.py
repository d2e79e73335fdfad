"""What tests with real containers need: images, and a machine that has the programs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

DAEMON = Path("/var/run/docker.sock")


def needs_docker(*programs: str) -> pytest.MarkDecorator:
    """Skips a test where a Docker daemon, the compiler for images or a program is missing."""
    missing = [name for name in ("docker", "gcc", *programs) if shutil.which(name) is None]
    if not DAEMON.exists():
        missing.insert(0, "a Docker daemon")
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")
