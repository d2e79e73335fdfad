"""The filter language of ``?filter=``: text to a function of one object."""

from portway.discovery.filter.compile import Constants, Predicate, compile_filter
from portway.discovery.filter.error import FilterError

__all__ = ["Constants", "FilterError", "Predicate", "compile_filter"]
