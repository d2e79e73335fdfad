"""The shared Lua script: helpers for the steps, and the dispatcher that runs them.

One script serves every route. A route passes its steps as ``filter_context``::

    {id, slot, always, clean, tidy, steps: [{f, p, r, o}, ...]}

``f`` names the function, ``p`` holds its params, ``r`` says that it may answer the request,
``o`` that it may leave the path open (see ``set_path``). ``id`` names the content, so that
the decoded steps are kept per worker and a request costs one string read. ``clean`` removes
a client's delay headers first, ``tidy`` closes an open path last. Rules that hold for every
step:

* An error anywhere answers 500 ``Internal Server Error``: a Lua filter that raises would
  otherwise let the request through.
* Response functions run in reverse order, and only for steps that the request reached and
  passed. Envoy runs the response side of every filter even for an answer given before the
  filter was reached, so the request side notes its progress in dynamic metadata (namespace
  = the slot's name); ``always`` says that nothing before or between can answer, which makes
  the note needless.
* ``respond`` never returns (Envoy suspends the script for good), so progress is noted
  before a step that may answer is entered.

A middleware's Lua text defines ``step.<name> = {request = function(h, p), response =
function(h, p)}``, either one optional. ``h`` is Envoy's stream handle, ``p`` the decoded
params, the same table for every request of this content on this worker. A header object
taken from ``h`` is dead after ``httpCall``; take it again. What the prelude offers:

``reply(h, status, headers, body)``
    Answer the request and end the script.
``delay(h, milliseconds)``
    Hold the request back before it goes upstream (the step must be marked ``delays``).
``split_path(headers)``
    The ``:path`` as path and query, the query with its ``?`` or empty. The path may be empty.
``set_path(headers, path, query, open)``
    The reverse. An empty path becomes ``/``, unless the third argument of the request
    function, ``open``, says that a later step (marked ``paths`` as well) has to see it empty,
    as it would in Go: what follows a prefix that was the whole path.
``request_uri(headers)``
    The ``:path`` as a client would have to send it.
``unescape(text)``, ``escape_path(text)``
    Percent-decoding (nil and the malformed part when it is malformed) and encoding of a path.
``path_forms(raw)``
    A path as Go's ``net/url`` holds it: decoded, and the raw form when it is not the
    default encoding of the decoded one (else nil).
``request_path(path, raw)``
    The reverse: the path to send.
``unclean(path)``
    Whether the path has empty, ``.`` or ``..`` segments.
``slashed(path)``, ``encoded_length(raw, decoded)``
    A path with its leading slash (an empty one stays empty); how many bytes of a raw path
    make up that many bytes of the decoded one.
``regex_result(h, key)``
    What the expression with this key (see ``native_regex``) made of its subject, and whether
    it matched. Answers 414 when the result exceeds what Envoy keeps (8 KiB), 500 when the
    expression did not run.
``redirect(h, url, permanent)``
    Redirect with the status that fits the method.
``TEXT``
    The headers of Go's ``http.Error``.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from portway.edge.middlewares.native_regex import MARK, NAMESPACE, SUBJECT_HEADER

DELAY_HEADER = "x-envoy-fault-delay-request"
CACHED_ROUTES = 2048
"""Decoded step lists kept per worker and slot, twice over (a young and an old half)."""


def script(fragments: Iterable[str], *, responses: bool = True) -> str:
    """The whole script: helpers, the steps' Lua texts, each in a scope of its own, and the
    dispatcher. Without ``responses`` it leaves responses alone, for routes none of whose
    steps has a response part.
    """
    package = files(__package__)
    return "".join(
        (
            _constants(),
            (package / "prelude.lua").read_text("utf-8"),
            *(f"do\n{text}\nend\n" for text in fragments if text),
            (package / "dispatch.lua").read_text("utf-8"),
            "" if responses else "envoy_on_response = nil\n",
        )
    )


def _constants() -> str:
    values: dict[str, str | int] = {
        "DELAY_HEADER": DELAY_HEADER,
        "CACHED": CACHED_ROUTES,
        "SUBJECT_HEADER": SUBJECT_HEADER,
        "REGEX_NAMESPACE": NAMESPACE,
        "MARK": MARK,
    }
    return "".join(f"local {name} = {_literal(value)}\n" for name, value in values.items())


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(c if c.isprintable() else f"\\{ord(c):03d}" for c in value) + '"'
