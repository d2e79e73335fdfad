"""The rules of the interfaces of clients: DNS, HTTP, Unix sockets, the console."""

from __future__ import annotations

import grp
import ipaddress
import json
import pwd
import re
from collections.abc import Callable, Iterator

from portway.agent.config.config import AgentConfig
from portway.agent.config.rule import AT_LEAST_ZERO, is_url, not_negative, one_of

_UI_PATH = re.compile(r"[A-Za-z0-9/_-]+")
_UI_NAME = re.compile(r"[a-z0-9_-]+")


def problems(config: AgentConfig) -> Iterator[str]:
    """What keeps an agent from serving its clients with this configuration."""
    yield from _dns(config)
    yield from _http(config)
    yield from _sockets(config)
    yield from _ui(config)


def _dns(config: AgentConfig) -> Iterator[str]:
    dns = config.dns_config
    for key in ("a_record_limit", "udp_answer_limit"):
        if getattr(dns, key) < 0:
            yield f"dns_config.{key} cannot be {getattr(dns, key)}. {AT_LEAST_ZERO}"
    for key in ("max_stale", "node_ttl", "recursor_timeout", "cache_max_age"):
        yield from not_negative(f"dns_config.{key}", getattr(dns, key))
    for name, ttl in dns.service_ttl.items():
        yield from not_negative(f"dns_config.service_ttl[{name}]", ttl)
        if "*" in name[:-1]:
            yield f'dns_config.service_ttl: "{name}" is not a name, a prefix ending in *, or *'
    for key in dns.soa.__struct_fields__:
        if not 0 <= getattr(dns.soa, key) < 2**32:
            yield f"dns_config.soa.{key} must be between 0 and {2**32 - 1} seconds"
    if dns.recursor_strategy not in ("", "sequential", "random"):
        yield one_of("dns_config.recursor_strategy", dns.recursor_strategy, "sequential", "random")


def _http(config: AgentConfig) -> Iterator[str]:
    http = config.http_config
    for text in http.allow_write_http_from:
        if not _is_network(text):
            yield f"http_config.allow_write_http_from: invalid cidr: {text}"
    for prefix in http.block_endpoints:
        if not prefix.startswith("/"):
            yield f"http_config.block_endpoints: {prefix!r} is not a path such as /v1/agent"
    for name, value in http.response_headers.items():
        if not _is_header(name, value):
            yield f"http_config.response_headers: {name!r} is not a header"
    if http.max_header_bytes < 0:
        yield f"http_config.max_header_bytes cannot be {http.max_header_bytes}. {AT_LEAST_ZERO}"
    for key in ("serf_lan_allowed_cidrs", "serf_wan_allowed_cidrs"):
        for text in getattr(config, key):
            if not _is_network(text):
                yield f"{key}: invalid CIDR address: {text}"
    for key in ("default_query_time", "max_query_time", "discovery_max_stale", "session_ttl_min"):
        yield from not_negative(key, getattr(config, key))


def _sockets(config: AgentConfig) -> Iterator[str]:
    sockets = config.unix_sockets
    if sockets.mode and not re.fullmatch(r"0?[0-7]{3,4}", sockets.mode):
        yield f"unix_sockets.mode: {sockets.mode!r} is not an octal mode such as 0660"
    if sockets.user and not _is_number(sockets.user) and not _exists(pwd.getpwnam, sockets.user):
        yield f"unix_sockets.user: there is no user {sockets.user!r}"
    if sockets.group and not _is_number(sockets.group) and not _exists(grp.getgrnam, sockets.group):
        yield f"unix_sockets.group: there is no group {sockets.group!r}"


def _ui(config: AgentConfig) -> Iterator[str]:
    ui = config.ui_config
    if ui.enabled and ui.dir:
        yield (
            "Both the ui_config.enabled and ui_config.dir (or -ui and -ui-dir) were specified,"
            " please provide only one."
        )
    if not _UI_PATH.fullmatch(ui.content_path):
        yield (
            "ui-content-path can only contain alphanumeric, -, _, or /."
            f' received: "{ui.content_path}"'
        )
    elif re.match(r"/?v[0-9]", ui.content_path):
        yield f"ui-content-path cannot have 'v[0-9]'. received: \"{ui.content_path}\""
    if ui.metrics_provider and not _UI_NAME.fullmatch(ui.metrics_provider):
        yield (
            "ui_config.metrics_provider can only contain lowercase alphanumeric, - or _ characters."
        )
    if ui.metrics_provider_options_json and not _is_object(ui.metrics_provider_options_json):
        yield (
            "ui_config.metrics_provider_options_json must be empty or a string containing a"
            f' valid JSON object. received: "{ui.metrics_provider_options_json}"'
        )
    base = ui.metrics_proxy.base_url
    if base and not is_url(base):
        yield (
            "ui_config.metrics_proxy.base_url must be a valid http or https URL."
            f' received: "{base}"'
        )
    for path in ui.metrics_proxy.path_allowlist:
        if not path.startswith("/") or re.search(r"^//|[?#%]", path):
            yield f'ui_config.metrics_proxy.path_allowlist: path "{path}" is not an absolute path'
    for name, template in ui.dashboard_url_templates.items():
        if not _UI_NAME.fullmatch(name):
            yield (
                "ui_config.dashboard_url_templates key names can only contain lowercase"
                " alphanumeric, - or _ characters."
            )
        if not template.startswith(("http://", "https://")):
            yield "ui_config.dashboard_url_templates values must be a valid http or https URL."


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _is_header(name: str, value: str) -> bool:
    return re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) is not None and not re.search(
        r"[\x00-\x08\x0a-\x1f\x7f]", value
    )


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _exists(lookup: Callable[[str], object], name: str) -> bool:
    try:
        lookup(name)
    except (KeyError, ValueError):
        return False
    return True


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
