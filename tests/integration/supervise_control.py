"""A stand-in for the control process: argv is the listener's port and the backend's port.

With ``--exit CODE`` in place of ports it exits at once, as a wrong configuration does, and so
it does with 78 when a file "broken" is in the runtime directory. With ``--orphan`` it leaves a
process to whoever adopts it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from portway.edge.supervise import (
    EX_CONFIG,
    RUNTIME_DIR_VARIABLE,
    Launch,
    report_ready,
    report_valid,
)
from portway.envoy.admin import Admin
from portway.envoy.ads import Ads
from portway.envoy.bootstrap import sockets
from portway.envoy.drain import drain

from .envoy_rig import site


async def main(port: int, backend: int) -> None:
    where = sockets(Path(os.environ[RUNTIME_DIR_VARIABLE]))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, (where.ads.parent / "usr1").write_text, "received")
    ads = Ads(print)
    await ads.start(where.ads)
    report_valid(Launch(drain_seconds=2, stop_seconds=10, concurrency=1))
    ads.update(site(port, "a", backend))
    settled = asyncio.ensure_future(ads.settled())
    settled.add_done_callback(lambda _: report_ready())
    await stop.wait()
    async with Admin(where.admin) as admin:
        await drain(admin, 0, 5)
    await ads.stop()


def leave_an_orphan(pid_file: Path) -> None:
    """Fork twice, so that the second child loses its parent before it ends."""
    child = os.fork()
    if child == 0:
        parent = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent:
                time.sleep(0.01)
            pid_file.write_text(str(os.getpid()))
        os._exit(0)
    os.waitpid(child, 0)
    signal.pause()


if __name__ == "__main__":
    runtime_dir = Path(os.environ[RUNTIME_DIR_VARIABLE])
    if sys.argv[1] == "--exit":
        sys.exit(int(sys.argv[2]))
    if sys.argv[1] == "--orphan":
        leave_an_orphan(runtime_dir / "orphan")
    if (runtime_dir / "broken").exists():
        sys.exit(EX_CONFIG)
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
