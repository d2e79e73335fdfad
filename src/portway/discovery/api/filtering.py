"""``?filter=``: the expression of a request as a function of one row."""

from __future__ import annotations

from portway.discovery.api.error import ApiError
from portway.discovery.api.request import Request
from portway.discovery.filter import Constants, FilterError, Predicate, compile_filter


def row_filter(request: Request, kind: type, constants: Constants = ()) -> Predicate:
    """What lets a row of ``kind`` pass. Raises ApiError (500, as documented) when it is wrong."""
    try:
        return compile_filter(request.param("filter"), kind, constants)
    except FilterError as error:
        raise ApiError(500, str(error)) from None
