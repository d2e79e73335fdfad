"""The README's first command, one round of it."""

import subprocess
import sys
from pathlib import Path

from tests.ports import free_port

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_services_come_scale_and_vanish_without_a_failed_request() -> None:
    command = [sys.executable, str(DEMO), "--once"]
    command += ["--port", str(free_port()), "--api-port", str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Host(`shop.localhost`) && PathPrefix(`/api`)" in done.stdout  # the routes
    for name in ("shop-1", "shop-2", "shop-3"):
        assert f"{name}   answered" in done.stdout
    assert "requests that failed so far: 0" in done.stdout
