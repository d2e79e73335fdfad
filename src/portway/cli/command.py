"""What commands of the Consul words are made of: ``command``, ``flag`` and ``group``.

::

    @command("put", "KEY [DATA]", server=True)
    @flag("cas", bool, "Perform a Check-And-Set operation.")
    @flag("flags", UINT, "Unsigned integer value to assign to this pair.")
    def put(client: Client, args: tuple[str, ...], cas: bool, flags: int) -> int: ...

The function receives a ``Client`` made from the common flags (unless ``api=False``), the
arguments after the flags, and each flag by its name with ``_`` for ``-``. Its docstring is the
text of ``-help``; its result the exit code (None is 0). It raises ``Wrong`` for wrong usage and
``click.ClickException`` for failure: either is one line on standard error and exit code 1.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from portway.cli import api_flags, duration, goflags
from portway.cli.client import ApiError, Client
from portway.cli.usage import API_OPTIONS, COMMAND_OPTIONS, command_usage, group_usage

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:  # older versions of click have no parameter here
    _ParamType = click.ParamType
_Function = Callable[..., Any]
Table = Mapping[str, tuple[str, str]]  # name → "module:attribute", one sentence


class Wrong(click.ClickException):
    """Wrong usage: one line, shown as it is, and exit code 1."""


class Failed(click.ClickException):
    """What was asked for could not be done: shown as it is, and exit code 1."""


class _Kind(_ParamType):
    """A type of values, with Go's words for a text that is none."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except (ValueError, goflags.FlagError) as error:
            name = param.opts[0].lstrip("-")
            shape = "boolean " if self is BOOL else ""
            where = f"for -{name}" if self is BOOL else f"for flag -{name}"
            reason = str(error) if isinstance(error, goflags.FlagError) else "parse error"
            if self in _PARSERS and param.default is None:  # a type of Consul's own, not of Go's
                reason = _PARSERS[self].format(value, reason.replace("parse error", _SYNTAX))
            raise Wrong(f'invalid {shape}value "{value}" {where}: {reason}') from None


def _integer(text: str) -> int:
    value = int(text, 0)
    if not -(1 << 63) <= value < 1 << 63:
        raise goflags.FlagError("value out of range")
    return value


def _unsigned(text: str) -> int:
    value = int(text, 0)
    if value < 0:
        raise ValueError(text)
    if value >= 1 << 64:
        raise goflags.FlagError("value out of range")
    return value


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise goflags.FlagError(f'Missing "=" value in argument: {text}')
    return key, value


BOOL = _Kind("bool", goflags.boolean)
INT = _Kind("int", _integer)
UINT = _Kind("uint", _unsigned)
DURATION = _Kind("duration", duration.parse)  # seconds
PAIR = _Kind("key=value", _pair)  # (key, value)
_SYNTAX = "invalid syntax"
_PARSERS = {
    BOOL: 'strconv.ParseBool: parsing "{0}": {1}',
    UINT: 'strconv.ParseUint: parsing "{0}": {1}',
    DURATION: 'time: invalid duration "{0}"',
}
_KINDS = {bool: BOOL, int: INT, str: click.STRING}
_ZEROS: dict[click.ParamType[Any], Any] = {
    BOOL: False,
    INT: 0,
    UINT: 0,
    DURATION: 0.0,
    click.STRING: "",
}


class Flag(click.Option):
    """A flag, with what its help says beyond click's."""

    def __init__(
        self, name: str, kind: click.ParamType[Any], text: str, section: str, **settings: Any
    ) -> None:
        super().__init__([f"--{name}", name.replace("-", "_")], type=kind, help=text, **settings)
        self.flag_name = name
        self.section = section
        self.takes_value = kind is not BOOL


def flag(
    name: str,
    kind: type | click.ParamType[Any],
    text: str,
    *,
    default: Any = None,
    multiple: bool = False,
    section: str = COMMAND_OPTIONS,
    env: str | None = None,
) -> Callable[[_Function], _Function]:
    """Declare a flag. Without ``default`` it has the zero of its kind, as in Go.

    ``default=...`` (Ellipsis) gives None when the flag is not named. A ``multiple`` flag gives a
    tuple. ``env`` names the variable that is read when the flag is not given.
    """
    chosen = _KINDS[kind] if isinstance(kind, type) else kind
    if multiple:
        settings: dict[str, Any] = {"multiple": True}
    elif default is ...:
        settings = {"default": None}
    else:
        settings = {"default": _ZEROS[chosen] if default is None else default}

    def declare(function: _Function) -> _Function:
        flags = function.__dict__.setdefault("portway_flags", [])
        flags.append(Flag(name, chosen, text, section, envvar=env, **settings))
        return function

    return declare


class GoCommand(click.Command):
    """A command whose arguments have Go's grammar."""

    def __init__(self, name: str, arguments: str, text: str, flags: Sequence[Flag], run: _Function):
        rest = click.Argument(["args"], nargs=-1, type=click.UNPROCESSED)
        super().__init__(name, params=[*flags, rest], help=text, callback=run)
        self.arguments = arguments
        self.flags = flags

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return list(self.params)  # click's own --help has another grammar

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            known = {option.flag_name: not option.takes_value for option in self.flags}
            parsed = goflags.parse(known, args)
        except goflags.FlagError as error:
            raise Wrong(str(error)) from None
        if parsed.help:
            click.echo(self.get_help(ctx))
            ctx.exit()
        flags = [f"--{name}={value}" for name, value in parsed.flags]
        return super().parse_args(ctx, [*flags, "--", *parsed.rest])

    def get_help(self, ctx: click.Context) -> str:
        return command_usage(ctx.command_path, self.arguments, self.help or "", self.flags)


class GoGroup(click.Group):
    """A group of commands that are imported on use; alone it prints their list and fails."""

    def __init__(self, name: str, text: str, table: Table) -> None:
        super().__init__(name, help=text, invoke_without_command=True)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load(self.table, cmd_name)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return []

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first.startswith("-") and first.strip("-") in goflags.HELP:
            click.echo(self.get_help(ctx))
            ctx.exit()
        if first not in self.table:
            if any(
                argument.startswith("-") and argument.strip("-") in goflags.HELP
                for argument in args
            ):
                click.echo(self.get_help(ctx))
                ctx.exit()
            click.echo(self.get_help(ctx), err=True)
            ctx.exit(1)
        return super().parse_args(ctx, ["--", *args])

    def get_help(self, ctx: click.Context) -> str:
        summaries = {name: text for name, (_, text) in self.table.items()}
        return group_usage(ctx.command_path, self.help or "", summaries)


def load(table: Table, name: str) -> click.Command | None:
    """The command that ``table`` names, imported now; None if it names none."""
    if name not in table:
        return None
    module, _, attribute = table[name][0].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, click.Command)
    return found


def group(name: str, text: str, table: Table) -> GoGroup:
    """A group: its commands by name, each with where it is and a sentence about it."""
    return GoGroup(name, inspect.cleandoc(text), table)


def _api_flags(server: bool) -> list[Flag]:
    named = [*api_flags.CLIENT, *(api_flags.SERVER if server else ())]
    flags = [Flag(name, click.STRING, text, API_OPTIONS, default=None) for name, text in named]
    if server:
        flags.append(Flag("stale", BOOL, api_flags.STALE, API_OPTIONS, default=False))
    return flags


def command(
    name: str, arguments: str = "", *, api: bool = True, server: bool = False
) -> Callable[[_Function], GoCommand]:
    """Make a function a command; ``arguments`` is what usage shows after ``[options]``.

    ``api`` adds the flags that say where the HTTP API is; ``server`` those of requests that a
    server answers, ``-datacenter`` and ``-stale``.
    """

    def make(function: _Function) -> GoCommand:
        own: list[Flag] = list(reversed(function.__dict__.get("portway_flags", [])))
        common = _api_flags(server) if api else []
        given = {option.flag_name for option in own}
        common = [option for option in common if option.flag_name not in given]
        run = _with_client(function, common) if api else function
        return GoCommand(name, arguments, inspect.getdoc(function) or "", [*own, *common], run)

    return make


def _with_client(function: _Function, common: Sequence[Flag]) -> _Function:
    names = [str(option.name) for option in common]

    def run(**values: Any) -> Any:
        settings = {name: values.pop(name) for name in names}
        try:
            client = Client.configured(**settings)
        except (ValueError, OSError) as error:
            raise Failed(f"Error connecting to Consul agent: {error}") from None
        try:
            return function(client, **values)
        except ApiError as error:
            raise Failed(str(error)) from None
        finally:
            client.close()

    return run


def no_arguments(args: Sequence[str]) -> None:
    """Raise Wrong unless ``args`` is empty."""
    if args:
        raise Wrong(f"Too many arguments (expected 0, got {len(args)})")


def one_argument(args: Sequence[str], missing: str) -> str:
    """The only argument; Wrong with ``missing`` if there is none, or if there are more."""
    if not args:
        raise Wrong(missing)
    if len(args) > 1:
        raise Wrong(f"Too many arguments (expected 1, got {len(args)})")
    return args[0]


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Turn a request that fails into Failed, with ``what`` was to be done before its reason."""
    try:
        yield
    except ApiError as error:
        raise Failed(f"{what}: {error}") from None


def fail(message: str) -> NoReturn:
    """Raise Failed."""
    raise Failed(message)
