"""From arguments and files to the configuration of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from portway.agent.config import certificates, check
from portway.agent.config.config import AgentConfig
from portway.agent.config.definitions import definition_problems, definition_warnings
from portway.agent.config.derive import derive
from portway.agent.config.error import ConfigError, Findings, listed
from portway.agent.config.files import Contents, Source, contents, sources
from portway.agent.config.flags import Command, parse
from portway.agent.config.node_id import node_id
from portway.agent.config.reading import build, merge, read
from portway.agent.config.settings import Settings
from portway.agent.config.support import lacks

_DEV = {
    "bind_addr": "127.0.0.1",
    "disable_anonymous_signature": True,
    "disable_keyring_file": True,
    "enable_debug": True,
    "log_level": "DEBUG",
    "server": True,
    "ui_config": {"enabled": True},
    "performance": {"raft_multiplier": 1},
    "ports": {"grpc": 8502},
    "gossip_lan": {
        "gossip_interval": "100ms",
        "probe_interval": "100ms",
        "probe_timeout": "100ms",
        "suspicion_mult": 3,
    },
    "gossip_wan": {
        "gossip_interval": "100ms",
        "probe_interval": "100ms",
        "probe_timeout": "100ms",
        "suspicion_mult": 3,
    },
}


class Loaded(NamedTuple):
    """A configuration, what its user must be told of it, and the arguments it came from."""

    config: AgentConfig
    warnings: list[str]
    arguments: tuple[str, ...] = ()


def load(arguments: Sequence[str], *, persist: bool = True) -> Loaded:
    """The configuration that the arguments of ``agent`` describe.

    Later sources win: defaults, those of ``-dev``, flags that may be given again, files and
    directories in their order, the other flags, ``-hcl``. ``persist`` keeps a new node ID in
    the data directory, which is made if it does not exist. Raises ConfigError.
    """
    command = parse(arguments)
    found = Findings()
    found.warnings += command.warnings
    given, files = _given(command, found)
    return _loaded(given, command.dev, files, found, tuple(arguments), persist)


def validate(paths: Sequence[str], format_: str = "") -> Loaded:
    """The configuration of the files and directories alone; nothing is written.

    Raises ConfigError.
    """
    found = Findings()
    given, files = _files(paths, format_, found)
    return _loaded(given, False, files, found, (), False)


def _given(command: Command, found: Findings) -> tuple[dict[str, Any], list[str]]:
    """The canonical form of everything the user said, and the names of the files."""
    tree = _flags(command.lists, found)
    from_files, files = _files(command.paths, command.config_format, found)
    tree = merge(Settings, tree, from_files)
    tree = merge(Settings, tree, _flags(command.scalars, found))
    for index, text in enumerate(command.hcl):
        said = contents(Source(f"flags-{index}.hcl", "hcl", text))
        found.warnings += said.warnings
        tree = merge(Settings, tree, said.tree)
    return tree, files


def _flags(tree: dict[str, Any], found: Findings) -> dict[str, Any]:
    reading = read(tree, Settings)
    if reading.issues:
        raise ConfigError(listed([issue.text for issue in reading.issues]))
    found.warnings += reading.warnings
    return reading.tree


def _files(paths: Sequence[str], format_: str, found: Findings) -> tuple[dict[str, Any], list[str]]:
    read_from, warnings = sources(paths, format_)
    found.warnings += warnings
    tree: dict[str, Any] = {}
    for source in read_from:
        said: Contents = contents(source)
        found.warnings += said.warnings
        tree = merge(Settings, tree, said.tree)
    return tree, [source.name for source in read_from]


def _loaded(
    given: dict[str, Any],
    dev: bool,
    files: list[str],
    found: Findings,
    arguments: tuple[str, ...],
    persist: bool,
) -> Loaded:
    tree = merge(Settings, read(_DEV, Settings).tree, given) if dev else given
    config = derive(build(Settings, tree), dev=dev, files=files, found=found)
    warnings, refusals = lacks(given, Settings())
    found.warnings += warnings
    found.problems += refusals
    found.problems += check.problems(config)
    found.problems += certificates.problems(config)
    found.problems += definition_problems(config)
    problems = list(dict.fromkeys(found.problems))  # interfaces share keys, and so problems
    if problems:
        raise ConfigError(problems[0] if len(problems) == 1 else listed(problems))
    found.warnings += check.warnings(config)
    found.warnings += definition_warnings(config)
    identity = node_id(
        config.node_id,
        "" if config.dev_mode else config.data_dir,
        from_host=not config.disable_host_node_id,
        persist=persist,
    )
    config = msgspec.structs.replace(config, node_id=identity)
    return Loaded(config, list(dict.fromkeys(found.warnings)), arguments)
