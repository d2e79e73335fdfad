"""Go's regular expressions and replacement templates in terms of RE2, which Envoy runs.

Go's ``regexp`` package and RE2 accept the same syntax and choose the same match; only the
replacement templates are spelled differently (``$1`` against ``\\1``).
"""

from __future__ import annotations

import re
from typing import Any

import re2

_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")
_MAX_GROUP = 9  # RE2 rewrites know \0 to \9


def problem(key: str, pattern: str) -> str | None:
    """What is wrong with a pattern, as one sentence that names the key; None when valid."""
    try:
        _compile(pattern)
    except re2.error as error:
        return f"{key} {pattern!r} is not a valid regular expression: {_text(error)}"
    return None


_LINE_END = re.compile(r"[\r\n\0]")


def replacement_problem(key: str, pattern: str, template: str) -> str | None:
    """What is wrong with a replacement for a valid pattern; None when it can be carried out."""
    if _LINE_END.search(template):
        return f"{key} {template!r} has a line break or NUL, which no URL has: write it in one line"
    high = [g for g in _groups(_compile(pattern), template) if g > _MAX_GROUP]
    if high:
        return (
            f"{key} {template!r} uses group {high[0]}; at most {_MAX_GROUP} can be referred to:"
            " turn groups that are not used into (?:…)"
        )
    return None


def rewrite(pattern: str, template: str) -> str:
    """Go's replacement template as an RE2 rewrite for this pattern.

    As ``Regexp.Expand`` documents: ``$name`` takes the longest name, a group that does not
    exist is empty, ``$$`` is a dollar, a lone ``$`` stands for itself.
    """
    compiled = _compile(pattern)
    out, end = [], 0
    for match in _REFERENCE.finditer(template):
        out.append(template[end : match.start()].replace("\\", "\\\\"))
        end = match.end()
        name = match[1] or match[2]
        if name is None:
            out.append("$")
        elif (group := _group(compiled, name)) is not None:
            out.append(f"\\{group}")
    out.append(template[end:].replace("\\", "\\\\"))
    return "".join(out)


def enclosed(pattern: str) -> str:
    """The pattern as one group, to be part of a larger one."""
    try:
        _compile(f"({pattern})")
    except re2.error:  # an open \\Q quotes up to the end
        return f"({pattern}\\E)"
    return f"({pattern})"


def _groups(compiled: Any, template: str) -> list[int]:
    names = (match[1] or match[2] for match in _REFERENCE.finditer(template))
    return [g for name in names if name and (g := _group(compiled, name)) is not None]


def _group(compiled: Any, name: str) -> int | None:
    if re.fullmatch(r"0|[1-9][0-9]*", name):
        return int(name) if int(name) <= compiled.groups else None
    return compiled.groupindex.get(name)  # type: ignore[no-any-return]


def _compile(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options=options)


def _text(error: BaseException) -> str:
    (reason, *_) = error.args or ("",)
    return reason.decode() if isinstance(reason, bytes) else str(reason)
