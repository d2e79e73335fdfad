"""The ``http_config`` and ``ui_config`` blocks."""

from __future__ import annotations

from portway.agent.config.block import Block


class HttpConfig(Block):
    """The HTTP API."""

    block_endpoints: list[str] = []  # prefixes such as /v1/agent that answer 403
    allow_write_http_from: list[str] = []  # networks that may write; empty is all
    response_headers: dict[str, str] = {}  # added to every answer
    use_cache: bool = True
    max_header_bytes: int = 0  # of a request; 0 is 64 KiB


class AddHeader(Block):
    """One header of the requests a metrics proxy makes."""

    name: str = ""
    value: str = ""


class MetricsProxy(Block):
    """Where the console reads metrics."""

    base_url: str = ""
    add_headers: list[AddHeader] = []
    path_allowlist: list[str] = []


class UiConfig(Block):
    """The console."""

    enabled: bool = False
    dir: str = ""
    content_path: str = "/ui/"
    metrics_provider: str = ""
    metrics_provider_files: list[str] = []
    metrics_provider_options_json: str = ""
    metrics_proxy: MetricsProxy = MetricsProxy()
    dashboard_url_templates: dict[str, str] = {}
