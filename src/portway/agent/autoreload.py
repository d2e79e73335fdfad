"""``auto_reload_config``: the configuration is read again when one of its files changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from portway.agent.config import AgentConfig

_QUIET = 500  # milliseconds without a change before the files are read


def watched_files(config: AgentConfig) -> set[Path]:
    """The configuration files and the certificates they name."""
    tls = config.tls_https
    certificates: Iterable[str] = (tls.ca_file, tls.cert_file, tls.key_file)
    return {Path(name).resolve() for name in (*config.files, *certificates) if name}


async def watch_files(
    config: Callable[[], AgentConfig], reload: Callable[[], Awaitable[None]]
) -> None:
    """Call ``reload`` after each change of a file, until cancelled."""
    from watchfiles import awatch

    folders = {path.parent for path in watched_files(config())}
    if not folders:
        return

    def concerns(_: object, path: str) -> bool:
        files = watched_files(config())
        changed = Path(path)
        # A new file of a configuration directory counts as well.
        return changed in files or changed.suffix in (".json", ".hcl")

    async for _ in awatch(*folders, watch_filter=concerns, debounce=_QUIET, recursive=False):
        await reload()
