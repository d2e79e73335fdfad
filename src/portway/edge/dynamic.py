"""The dynamic configuration: what providers deliver and the edge turns into traffic."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from portway.config.options import FILE_ONLY, LABEL_ONLY, Duration, Options, Unsupported
from portway.edge import middlewares as mw


class Domain(Options):
    main: str = ""
    sans: list[str] = []


class RouterTLS(Options):
    allow_empty = True
    options: str = ""
    cert_resolver: str = ""
    domains: list[Domain] = []


class Observability(Options):
    access_logs: bool | None = None
    metrics: bool | None = None
    tracing: bool | None = None
    trace_verbosity: str = ""


class Router(Options):
    entry_points: list[str] = []
    middlewares: list[str] = []
    service: str = ""
    rule: str = ""
    parent_refs: Unsupported | None = None
    rule_syntax: str = ""
    priority: int = 0
    tls: RouterTLS | None = None
    observability: Observability | None = None


class Server(Options):
    url: str = ""
    weight: int | None = None
    preserve_path: bool = False


class LabelServer(Options):
    """The one server a container describes through its labels."""

    url: str = ""
    scheme: str = ""
    port: str = ""
    weight: int | None = None
    preserve_path: bool = False


class HealthCheck(Options):
    scheme: str = ""
    mode: Literal["", "http", "grpc"] = ""
    path: str = ""
    method: str = ""
    status: int = 0
    port: int = 0
    interval: Duration = Duration(30)
    unhealthy_interval: Duration | None = None
    timeout: Duration = Duration(5)
    hostname: str = ""
    follow_redirects: bool = True
    headers: dict[str, str] = {}


class ResponseForwarding(Options):
    flush_interval: Duration = Duration(0.1)


class LoadBalancer(Options):
    servers: Annotated[list[Server], FILE_ONLY] = []
    server: Annotated[LabelServer | None, LABEL_ONLY] = None
    strategy: Literal["", "wrr", "p2c", "hrw", "leasttime"] = ""
    pass_host_header: bool = True
    response_forwarding: ResponseForwarding | None = None
    servers_transport: str = ""
    sticky: Unsupported | None = None
    health_check: HealthCheck | None = None
    passive_health_check: Unsupported | None = None
    middlewares: Unsupported | None = None


class Service(Options):
    """Exactly one of the fields is set."""

    load_balancer: LoadBalancer | None = None
    weighted: Unsupported | None = None
    mirroring: Unsupported | None = None
    failover: Unsupported | None = None
    highest_random_weight: Unsupported | None = None


class Middleware(Options):
    """Exactly one of the fields is set; each type lives in a module of its own."""

    add_prefix: mw.AddPrefix | None = None
    basic_auth: mw.BasicAuth | None = None
    chain: mw.Chain | None = None
    headers: mw.Headers | None = None
    ip_allow_list: mw.IPAllowList | None = None
    ip_white_list: mw.IPAllowList | None = None
    rate_limit: mw.RateLimit | None = None
    redirect_regex: mw.RedirectRegex | None = None
    redirect_scheme: mw.RedirectScheme | None = None
    replace_path: mw.ReplacePath | None = None
    replace_path_regex: mw.ReplacePathRegex | None = None
    strip_prefix: mw.StripPrefix | None = None
    strip_prefix_regex: mw.StripPrefixRegex | None = None
    buffering: Unsupported | None = None
    circuit_breaker: Unsupported | None = None
    compress: Unsupported | None = None
    content_type: Unsupported | None = None
    digest_auth: Unsupported | None = None
    encoded_characters: Unsupported | None = None
    errors: Unsupported | None = None
    forward_auth: Unsupported | None = None
    grpc_web: Unsupported | None = None
    in_flight_req: Unsupported | None = None
    pass_tls_client_cert: Unsupported | None = None
    plugin: Unsupported | None = None
    retry: Unsupported | None = None


class Certificate(Options):
    """A key pair; each half is a path or the PEM text itself."""

    cert_file: str = ""
    key_file: str = ""


class ForwardingTimeouts(Options):
    dial_timeout: Duration | None = None
    response_header_timeout: Duration = Duration(0)
    idle_conn_timeout: Duration = Duration(90)
    read_idle_timeout: Duration = Duration(0)
    ping_timeout: Duration = Duration(15)


class ServersTransport(Options):
    server_name: str = ""
    insecure_skip_verify: bool = False
    root_cas: list[str] = field(default_factory=list, name="rootCAs")
    certificates: list[Certificate] = []
    cipher_suites: Unsupported | None = None
    min_version: Unsupported | None = None
    max_version: Unsupported | None = None
    max_idle_conns_per_host: int = 0
    forwarding_timeouts: ForwardingTimeouts | None = None
    disable_http2: bool = field(default=False, name="disableHTTP2")
    peer_cert_uri: str = field(default="", name="peerCertURI")
    spiffe: Unsupported | None = None


class HTTP(Options):
    routers: dict[str, Router] = {}
    services: dict[str, Service] = {}
    middlewares: dict[str, Middleware] = {}
    servers_transports: dict[str, ServersTransport] = {}


class Dynamic(Options):
    """One provider's whole contribution, as a file spells it."""

    http: HTTP | None = None
    tcp: Unsupported | None = None
    udp: Unsupported | None = None
    tls: Unsupported | None = None
