"""HCL 1 text, the language of Consul's configuration files and ACL rules, as plain data.

HCL 1 and JSON describe the same trees. ``a { … }`` and ``a = { … }`` are an object; a key given
twice is a list when either value is an object or a list of objects, otherwise the last value
counts; ``a "x" { … }`` is ``{"a": {"x": {…}}}``. Text that begins with ``{`` is JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from portway.config.hcl_parser import MAX_DEPTH, HclError, Parser, finite, put

__all__ = ["MAX_BYTES", "MAX_DEPTH", "HclError", "parse_hcl", "parse_json"]

MAX_BYTES = 16 << 20

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_hcl(text: str, source: str) -> dict[str, Any]:
    """The object a text of HCL 1 describes; an empty text is an empty object.

    Values are str, bool, int, float, list and dict, and None in JSON. ``source`` names the
    text in errors. Raises HclError, with the line, on anything that is not HCL, and on a text
    beyond ``MAX_BYTES`` or ``MAX_DEPTH``.
    """
    _bounded(text, source)
    if text.lstrip().startswith("{"):
        return parse_json(text, source)
    return Parser(text, source).body(end="")


def parse_json(text: str, source: str) -> dict[str, Any]:
    """A JSON object, with the bounds, the errors and the repeated keys of HCL.

    Raises HclError.
    """
    _bounded(text, source)
    try:
        tree = json.loads(
            text, object_pairs_hook=_object, parse_float=finite, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise HclError(source, error.lineno, f"not valid JSON: {error.msg}") from None
    except RecursionError:
        raise HclError(source, 1, f"more than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise HclError(source, 1, f"not valid JSON: {error}") from None
    if not isinstance(tree, dict):
        raise HclError(source, 1, "not a configuration: expected an object at the top")
    if _deeper(tree, MAX_DEPTH):
        raise HclError(source, 1, f"more than {MAX_DEPTH} levels")
    if _SURROGATE.search(text):
        try:
            json.dumps(tree, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise HclError(source, 1, "not valid JSON: half of a surrogate pair") from None
    return tree


def _bounded(text: str, source: str) -> None:
    try:
        too_large = len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise HclError(source, line, "the text is not UTF-8") from None
    if too_large:
        raise HclError(source, 1, f"the text is larger than {MAX_BYTES >> 20} MiB")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        put(result, key, value)
    return result


def _deeper(tree: Any, levels: int) -> bool:
    if isinstance(tree, dict):
        return levels <= 0 or any(_deeper(child, levels - 1) for child in tree.values())
    if isinstance(tree, list):
        return levels <= 0 or any(_deeper(child, levels - 1) for child in tree)
    return False
