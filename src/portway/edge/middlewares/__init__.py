"""HTTP middlewares: one module each, holding options, validation, Envoy form and Lua.

A middleware module exports its ``Options`` class and registers itself here by the name the
configuration uses. See :mod:`portway.edge.middlewares.step` for what a module must provide.
"""

from portway.edge.middlewares.add_prefix import AddPrefix
from portway.edge.middlewares.basic_auth import BasicAuth
from portway.edge.middlewares.chain import Chain
from portway.edge.middlewares.headers import Headers
from portway.edge.middlewares.ip_allow_list import IPAllowList
from portway.edge.middlewares.rate_limit import RateLimit
from portway.edge.middlewares.redirect_regex import RedirectRegex
from portway.edge.middlewares.redirect_scheme import RedirectScheme
from portway.edge.middlewares.replace_path import ReplacePath
from portway.edge.middlewares.replace_path_regex import ReplacePathRegex
from portway.edge.middlewares.strip_prefix import StripPrefix
from portway.edge.middlewares.strip_prefix_regex import StripPrefixRegex

__all__ = [
    "AddPrefix",
    "BasicAuth",
    "Chain",
    "Headers",
    "IPAllowList",
    "RateLimit",
    "RedirectRegex",
    "RedirectScheme",
    "ReplacePath",
    "ReplacePathRegex",
    "StripPrefix",
    "StripPrefixRegex",
]
