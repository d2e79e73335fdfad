"""Prepared queries: templates, resolution of names, execution."""

from portway.discovery.queries.execute import (
    Execution,
    QueryNotFoundError,
    Source,
    execute,
    resolve,
)
from portway.discovery.queries.template import TemplateError, check_template, render

__all__ = [
    "Execution",
    "QueryNotFoundError",
    "Source",
    "TemplateError",
    "check_template",
    "execute",
    "render",
    "resolve",
]
