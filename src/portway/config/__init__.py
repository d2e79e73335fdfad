"""Configuration: typed objects, one decoder for every source, errors that say where and what.

``parse`` reads a text, ``grow`` reads dotted keys (labels, flags, variables); both give a
tree that ``decode`` turns into an ``Options`` class and a list of ``Problem``.
"""

from portway.config.decode import Decoding, decode
from portway.config.options import FILE_ONLY, LABEL_ONLY, Doc, Duration, Options, Unsupported
from portway.config.problem import Problem, nearest
from portway.config.text import ParseError, parse
from portway.config.tree import At, Flat, Table, Tree, grow, place

__all__ = [
    "FILE_ONLY",
    "LABEL_ONLY",
    "At",
    "Decoding",
    "Doc",
    "Duration",
    "Flat",
    "Options",
    "ParseError",
    "Problem",
    "Table",
    "Tree",
    "Unsupported",
    "decode",
    "grow",
    "nearest",
    "parse",
    "place",
]
