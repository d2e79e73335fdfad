"""chain: several middlewares under one name."""

from __future__ import annotations

from collections.abc import Sequence

from portway.config.options import Options
from portway.edge.middlewares.step import Kind, Place, Step


class Chain(Options, frozen=True):
    """``middlewares`` run in the order written, wherever the chain is named."""

    middlewares: list[str] = []


def _problems(options: Chain) -> Sequence[str]:
    return ()


def _steps(options: Chain, place: Place) -> Sequence[Step]:
    """None of its own: whoever builds a router puts the members in its place."""
    return ()


def _references(options: Chain) -> Sequence[str]:
    return options.middlewares


KIND = Kind(_problems, _steps, references=_references)
