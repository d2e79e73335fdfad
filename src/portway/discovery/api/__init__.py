"""The ``/v1`` HTTP API: one module per family, each with its ``ROUTES``."""

from portway.discovery.api.app import App
from portway.discovery.api.connection import MAX_HEAD
from portway.discovery.api.context import Context, Settings, Tokens
from portway.discovery.api.rate import RateSettings, RequestRates
from portway.discovery.api.routes import all_routes
from portway.discovery.api.serve import Limit, Listener, serve

__all__ = [
    "MAX_HEAD",
    "App",
    "Context",
    "Limit",
    "Listener",
    "RateSettings",
    "RequestRates",
    "Settings",
    "Tokens",
    "all_routes",
    "serve",
]
