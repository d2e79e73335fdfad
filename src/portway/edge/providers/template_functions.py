"""The functions templates can call: Go's own and the common ones of Sprig, plus ``normalize``.

Argument orders are Sprig's: the piped value comes last (``.Name | replace "_" "-"``).
Missing map values arrive as None.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from portway.edge.providers.naming import normalize

MAX_ITEMS: Final = 100_000  # how long a string or list a function may make


def truth(value: Any) -> bool:
    """Go's idea of a true value: everything but zero values and empty collections."""
    return bool(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _string(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool):
        return int(value)
    try:
        return int(float(value)) if isinstance(value, str) else int(value or 0)
    except ValueError:
        return 0  # Sprig's cast does the same


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(value, str | list | tuple):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise IndexError(f"index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise TypeError(f"can't index {value!r}")
    return value


def _slice(value: Any, start: int = 0, stop: int | None = None) -> Any:
    stop = len(value) if stop is None else stop
    if not 0 <= start <= stop <= len(value):
        raise IndexError("slice out of range")
    return value[start:stop]


_VERBS: Final[Mapping[str, Callable[[str, Any], str]]] = {
    "v": lambda flags, value: f"%{flags}s" % _text(value),
    "s": lambda flags, value: f"%{flags}s" % _text(value),
    "q": lambda flags, value: json.dumps(_text(value), ensure_ascii=False),
    "d": lambda flags, value: f"%{flags}d" % _number(value),
    "t": lambda flags, value: _text(bool(value)),
    "x": lambda flags, value: (
        value.encode().hex() if isinstance(value, str) else f"%{flags}x" % _number(value)
    ),
    "f": lambda flags, value: f"%{flags}f" % float(value),
}


def _printf(form: str, *values: Any) -> str:
    left = list(values)

    def show(match: re.Match[str]) -> str:
        flags, verb = match[1], match[2]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        if any(int(number) > 1000 for number in re.findall(r"\d+", flags)):
            raise ValueError("the width is too large")
        if verb not in _VERBS:
            raise ValueError(f"%{verb} is not supported; there are %{', %'.join(_VERBS)}")
        return _VERBS[verb](flags, value)

    return re.sub(r"%([-+# 0]*\d*(?:\.\d+)?)([A-Za-z%])", show, form)


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise TypeError("missing argument for comparison")
    return any(first == other for other in others)


def _order(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(a: Any, b: Any) -> bool:
        if isinstance(a, str) != isinstance(b, str):
            raise TypeError(f"can't compare {a!r} with {b!r}")
        return test(a, b)

    return compare


def _regex(test: Callable[[Any], Any], pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return test(re2.compile(pattern, options))
    except re2.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error


def _replacement(text: str) -> str:
    """Go's ``${1}`` and ``$1`` as RE2's ``\\1``."""
    return re.sub(r"\$\{?(\d)\}?", r"\\\1", text.replace("\\", "\\\\"))


def _repeat(count: int, text: str) -> str:
    if count * len(text) > MAX_ITEMS:
        raise ValueError("the result is too long")
    return text * max(count, 0)


def _until(*bounds: int) -> list[int]:
    steps = range(*bounds)
    if len(steps) > MAX_ITEMS:
        raise ValueError("the result is too long")
    return list(steps)


def _substr(start: int, end: int, text: str) -> str:
    if start < 0:
        return text[:end]
    return text[start:] if end < 0 or end > len(text) else text[start:end]


def _trunc(count: int, text: str) -> str:
    return text[count:] if count < 0 else text[:count]


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", text)


def _dict(*pairs: Any) -> dict[str, Any]:
    return {_text(k): v for k, v in zip(pairs[::2], (*pairs[1::2], ""), strict=False)}


def _get(mapping: Mapping[str, Any], key: str) -> Any:
    return mapping.get(key, "")


def _divide(a: Any, b: Any) -> int:
    if _number(b) == 0:
        raise ZeroDivisionError("division by zero")
    return int(_number(a) / _number(b))


def _modulo(a: Any, b: Any) -> int:
    if _number(b) == 0:
        raise ZeroDivisionError("division by zero")
    return _number(a) - _number(b) * _divide(a, b)


def _has(item: Any, items: Sequence[Any]) -> bool:
    return item in (items or ())


def _fail(text: str) -> Any:
    raise ValueError(text)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    # Go's own; "and" and "or" are evaluated by the template as far as needed
    "and": lambda *a: next((x for x in a if not x), a[-1]),
    "or": lambda *a: next((x for x in a if x), a[-1]),
    "not": lambda a: not truth(a),
    "len": len,
    "index": _index,
    "slice": _slice,
    "print": lambda *a: "".join(map(_text, a)),
    "println": lambda *a: " ".join(map(_text, a)) + "\n",
    "printf": _printf,
    "eq": _equal,
    "ne": lambda a, b: a != b,
    "lt": _order(lambda a, b: a < b),
    "le": _order(lambda a, b: a <= b),
    "gt": _order(lambda a, b: a > b),
    "ge": _order(lambda a, b: a >= b),
    # Traefik's
    "normalize": lambda text: normalize(_string(text)),
    # Sprig's: values
    "default": lambda fallback, value=None: value if truth(value) else fallback,
    "empty": lambda value: not truth(value),
    "coalesce": lambda *a: next((x for x in a if truth(x)), None),
    "ternary": lambda yes, no, test: yes if test else no,
    "fail": _fail,
    "env": lambda name: os.environ.get(name, ""),
    "expandenv": lambda text: re.sub(
        r"\$\{?(\w+)\}?", lambda m: os.environ.get(m[1], ""), _string(text)
    ),
    # Sprig's: text
    "trim": lambda text: _string(text).strip(),
    "trimAll": lambda cut, text: _string(text).strip(cut),
    "trimPrefix": lambda prefix, text: _string(text).removeprefix(prefix),
    "trimSuffix": lambda suffix, text: _string(text).removesuffix(suffix),
    "lower": lambda text: _string(text).lower(),
    "upper": lambda text: _string(text).upper(),
    "title": lambda text: re.sub(r"\b[a-z]", lambda m: m[0].upper(), _string(text)),
    "untitle": lambda text: re.sub(r"\b[A-Z]", lambda m: m[0].lower(), _string(text)),
    "repeat": lambda count, text: _repeat(count, _string(text)),
    "substr": lambda start, end, text: _substr(start, end, _string(text)),
    "trunc": lambda count, text: _trunc(count, _string(text)),
    "contains": lambda part, text: part in _string(text),
    "hasPrefix": lambda prefix, text: _string(text).startswith(prefix),
    "hasSuffix": lambda suffix, text: _string(text).endswith(suffix),
    "quote": lambda *a: " ".join(json.dumps(_text(x), ensure_ascii=False) for x in a),
    "squote": lambda *a: " ".join(f"'{_text(x)}'" for x in a),
    "cat": lambda *a: " ".join(map(_text, a)),
    "nospace": lambda text: re.sub(r"\s", "", _string(text)),
    "indent": lambda n, text: re.sub(r"(?m)^", _repeat(n, " "), _string(text)),
    "nindent": lambda n, text: "\n" + re.sub(r"(?m)^", _repeat(n, " "), _string(text)),
    "replace": lambda old, new, text: _string(text).replace(old, new),
    "kebabcase": lambda text: "-".join(_words(_string(text))).lower(),
    "snakecase": lambda text: "_".join(_words(_string(text))).lower(),
    "camelcase": lambda text: "".join(w[:1].upper() + w[1:] for w in _words(_string(text))),
    "toString": _text,
    "b64enc": lambda text: base64.b64encode(_string(text).encode()).decode(),
    "b64dec": lambda text: base64.b64decode(_string(text)).decode(errors="replace"),
    "sha256sum": lambda text: hashlib.sha256(_string(text).encode()).hexdigest(),
    "toJson": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    "regexMatch": lambda pattern, text: _regex(lambda r: r.search(text) is not None, pattern),
    "regexFind": lambda pattern, text: _regex(
        lambda r: m[0] if (m := r.search(text)) else "", pattern
    ),
    "regexReplaceAll": lambda pattern, text, new: _regex(
        lambda r: r.sub(_replacement(new), text), pattern
    ),
    # Sprig's: collections
    "list": lambda *a: list(a),
    "dict": _dict,
    "get": _get,
    "hasKey": lambda mapping, key: key in mapping,
    "keys": sorted,
    "values": lambda mapping: [mapping[k] for k in sorted(mapping)],
    "split": lambda cut, text: {f"_{i}": part for i, part in enumerate(_string(text).split(cut))},
    "splitList": lambda cut, text: _string(text).split(cut),
    "join": lambda cut, items: cut.join(map(_text, items)),
    "first": lambda items: items[0] if items else None,
    "last": lambda items: items[-1] if items else None,
    "rest": lambda items: items[1:],
    "initial": lambda items: items[:-1],
    "append": lambda items, item: [*items, item],
    "prepend": lambda items, item: [item, *items],
    "concat": lambda *a: [item for items in a for item in items],
    "reverse": lambda items: list(reversed(items)),
    "uniq": lambda items: list(dict.fromkeys(items)),
    "without": lambda items, *gone: [item for item in items if item not in gone],
    "compact": lambda items: [item for item in items if truth(item)],
    "sortAlpha": lambda items: sorted(map(_text, items)),
    "has": _has,
    "until": _until,
    "untilStep": _until,
    # Sprig's: numbers
    "atoi": _number,
    "int": _number,
    "int64": _number,
    "add": lambda *a: sum(map(_number, a)),
    "add1": lambda a: _number(a) + 1,
    "sub": lambda a, b: _number(a) - _number(b),
    "mul": lambda *factors: _product(factors),
    "div": _divide,
    "mod": _modulo,
    "max": lambda *a: max(map(_number, a)),
    "min": lambda *a: min(map(_number, a)),
}


def _product(factors: Sequence[Any]) -> int:
    result = 1
    for factor in factors:
        result *= _number(factor)
    return result
