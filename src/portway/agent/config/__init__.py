"""The agent's configuration: files and flags in, one checked structure out."""

from portway.agent.config.banner import banner
from portway.agent.config.config import AgentConfig, Bind, Listen
from portway.agent.config.error import ConfigError
from portway.agent.config.files import contents, sources
from portway.agent.config.load import Loaded, load, validate
from portway.agent.config.reload import load_again, reloadable, unreloaded
from portway.agent.config.settings import Settings
from portway.agent.config.tls import TlsSettings
from portway.agent.config.watches import HttpHandler, Watch, WatchError, watch

__all__ = [
    "AgentConfig",
    "Bind",
    "ConfigError",
    "HttpHandler",
    "Listen",
    "Loaded",
    "Settings",
    "TlsSettings",
    "Watch",
    "WatchError",
    "banner",
    "contents",
    "load",
    "load_again",
    "reloadable",
    "sources",
    "unreloaded",
    "validate",
    "watch",
]
