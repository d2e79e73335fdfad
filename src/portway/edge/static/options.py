"""The static configuration: names, defaults and one-line descriptions of every option.

What is typed here is honoured. ``Unsupported`` options are Traefik's, are accepted, and are
reported at start.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from portway.config import Doc, Duration, Options, Unsupported
from portway.edge.static.address import Address

PRECEDENCE = (
    "kubernetesgateway",
    "kubernetescrd",
    "kubernetes",
    "kubernetesingressnginx",
    "swarm",
    "docker",
    "file",
    "redis",
    "knative",
    "consul",
    "consulcatalog",
    "nomad",
    "etcd",
    "ecs",
    "http",
    "zookeeper",
    "rest",
)
"""Providers from the strongest to the weakest: it breaks ties between equal priorities."""

REDIRECTION_PRIORITY = 2**63 - 2


class LifeCycle(Options):
    request_accept_grace_timeout: Annotated[
        Duration, Doc("Keep accepting requests for this long after the stop signal.")
    ] = Duration(0)
    grace_time_out: Annotated[
        Duration, Doc("Give requests in flight this long to finish before stopping.")
    ] = Duration(10)


class RespondingTimeouts(Options):
    read_timeout: Annotated[
        Duration, Doc("Longest time to read a whole request, body included; 0 is no limit.")
    ] = Duration(60)
    write_timeout: Annotated[Duration, Doc("Longest time to write a response; 0 is no limit.")] = (
        Duration(0)
    )
    idle_timeout: Annotated[
        Duration, Doc("Close a kept-alive connection after this long without a request.")
    ] = Duration(180)


class Transport(Options):
    life_cycle: LifeCycle = LifeCycle()
    responding_timeouts: RespondingTimeouts = RespondingTimeouts()
    keep_alive_max_time: Annotated[
        Duration, Doc("Close a kept-alive connection at this age; 0 is no limit.")
    ] = Duration(0)
    keep_alive_max_requests: Annotated[
        int, Doc("Close a kept-alive connection after this many requests; 0 is no limit.")
    ] = 0


class ForwardedHeaders(Options):
    insecure: Annotated[bool, Doc("Trust forwarded headers from everyone.")] = False
    trusted_ips: Annotated[
        list[str], Doc("Trust forwarded headers from these addresses and networks.")
    ] = field(default_factory=list, name="trustedIPs")
    connection: Unsupported | None = None
    not_append_x_forwarded_for: Annotated[bool, Doc("Leave X-Forwarded-For as it came.")] = False


class RedirectEntryPoint(Options):
    to: Annotated[str, Doc("Entry point to redirect to, or a port as :443.")] = ""
    scheme: Annotated[str, Doc("Scheme to redirect to.")] = "https"
    permanent: Annotated[bool, Doc("Redirect permanently.")] = True
    priority: Annotated[int, Doc("Priority of the redirection's router.")] = REDIRECTION_PRIORITY


class Redirections(Options):
    entry_point: RedirectEntryPoint | None = None


class EncodedCharacters(Options):
    allow_encoded_slash: bool = True
    allow_encoded_back_slash: bool = True
    allow_encoded_null_character: bool = True
    allow_encoded_semicolon: bool = True
    allow_encoded_percent: bool = True
    allow_encoded_question_mark: bool = True
    allow_encoded_hash: bool = True


class EntryPointHTTP(Options):
    middlewares: Annotated[
        list[str], Doc("Middlewares (name@provider) before those of every router.")
    ] = field(default_factory=list)
    tls: Unsupported | None = None
    redirections: Redirections | None = None
    encoded_characters: EncodedCharacters | None = None
    encode_query_semicolons: Unsupported | None = None
    sanitize_path: Annotated[
        bool, Doc("Resolve . and .. and merge slashes in paths before routing.")
    ] = True
    max_header_bytes: Annotated[int, Doc("Largest request header, in bytes.")] = 1 << 20
    underscore_headers_strategy: str = ""
    alias_headers_strategy: str = ""


class HTTP2(Options):
    max_concurrent_streams: Annotated[
        int, Doc("Concurrent HTTP/2 streams a client may open on a connection.")
    ] = 250
    max_decoder_header_table_size: Unsupported | None = None
    max_encoder_header_table_size: Unsupported | None = None


class EntryPointObservability(Options):
    access_logs: bool = True
    metrics: bool = True
    tracing: bool = True
    trace_verbosity: str = "minimal"


class EntryPoint(Options):
    address: Annotated[str, Doc("Where to listen: [host]:port.")] = ""
    reuse_port: Annotated[
        bool, Doc("Let several processes listen on the same port (SO_REUSEPORT).")
    ] = False
    as_default: Annotated[
        bool, Doc("Routers without entry points use the entry points with this flag.")
    ] = False
    allow_acme_by_pass: Unsupported | None = field(default=None, name="allowACMEByPass")
    transport: Transport = Transport()
    proxy_protocol: Unsupported | None = None
    forwarded_headers: ForwardedHeaders = ForwardedHeaders()
    http: EntryPointHTTP = EntryPointHTTP()
    http2: HTTP2 = HTTP2()
    http3: Unsupported | None = None
    udp: Unsupported | None = None
    observability: EntryPointObservability | None = None

    @property
    def listen(self) -> Address:
        """The address, parsed. Raises ValueError on one that ``load`` would have refused."""
        return Address.parse(self.address)


class ClientTLS(Options):
    ca: Annotated[str, Doc("Certificate authorities: a file or PEM text.")] = ""
    cert: Annotated[str, Doc("Client certificate: a file or PEM text.")] = ""
    key: Annotated[str, Doc("Key of the client certificate: a file or PEM text.")] = ""
    insecure_skip_verify: Annotated[bool, Doc("Accept any server certificate.")] = False


class Docker(Options):
    allow_empty = True
    endpoint: Annotated[str, Doc("The daemon: a Unix socket or a TCP address.")] = (
        "unix:///var/run/docker.sock"
    )
    username: Annotated[str, Doc("User name for basic authentication.")] = ""
    password: Annotated[str, Doc("Password for basic authentication.")] = ""
    tls: ClientTLS | None = None
    exposed_by_default: Annotated[
        bool, Doc("Expose containers that do not say traefik.enable=true.")
    ] = True
    watch: Annotated[bool, Doc("Follow containers as they come and go.")] = True
    default_rule: Annotated[str, Doc("Rule of routers that have none.")] = (
        "Host(`{{ normalize .Name }}`)"
    )
    constraints: Annotated[str, Doc("Only containers whose labels match this expression.")] = ""
    network: Annotated[str, Doc("Network of the containers' addresses.")] = ""
    use_bind_port_ip: Annotated[
        bool, Doc("Use the published host address instead of the container's own.")
    ] = field(default=False, name="useBindPortIP")
    allow_empty_services: Annotated[
        bool, Doc("Keep services whose containers are not healthy, without servers.")
    ] = False
    http_client_timeout: Annotated[
        Duration, Doc("Longest time for a call to the daemon; 0 is no limit.")
    ] = field(default=Duration(0), name="httpClientTimeout")


class File(Options):
    directory: Annotated[str, Doc("Read every .yml, .yaml and .toml file of a directory.")] = ""
    filename: Annotated[str, Doc("Read one file.")] = ""
    watch: Annotated[bool, Doc("Apply changes as they are written.")] = True
    debug_log_generated_template: Unsupported | None = None


class Providers(Options):
    providers_throttle_duration: Annotated[
        Duration, Doc("Accepted for compatibility: changes are applied within 100 ms.")
    ] = Duration(2)
    precedence: Annotated[
        list[str], Doc("Providers, strongest first, between routers of equal priority.")
    ] = field(default_factory=lambda: list(PRECEDENCE))
    docker: Annotated[Docker | None, Doc("Route to Docker containers by their labels.")] = None
    file: File | None = None
    swarm: Unsupported | None = None
    kubernetes_ingress: Unsupported | None = None
    kubernetes_ingress_nginx: Unsupported | None = field(
        default=None, name="kubernetesIngressNGINX"
    )
    kubernetes_crd: Unsupported | None = field(default=None, name="kubernetesCRD")
    kubernetes_gateway: Unsupported | None = None
    knative: Unsupported | None = None
    rest: Unsupported | None = None
    consul_catalog: Unsupported | None = None
    nomad: Unsupported | None = None
    ecs: Unsupported | None = None
    consul: Unsupported | None = None
    etcd: Unsupported | None = None
    zoo_keeper: Unsupported | None = None
    redis: Unsupported | None = None
    http: Unsupported | None = None
    plugin: Unsupported | None = None


class API(Options):
    allow_empty = True
    base_path: Annotated[str, Doc("Path under which the API is served.")] = "/"
    insecure: Annotated[bool, Doc("Serve the API on the entry point named traefik.")] = False
    dashboard: bool = True
    debug: Unsupported | None = None
    disable_dashboard_ad: bool = False
    dashboard_name: str = ""


class Ping(Options):
    allow_empty = True
    entry_point: Annotated[str, Doc("Entry point that answers /ping.")] = "traefik"
    manual_routing: Annotated[
        bool, Doc("Make no router for ping; use the service ping@internal.")
    ] = False
    terminating_status_code: Annotated[int, Doc("Status of /ping while stopping.")] = 503


class Log(Options):
    allow_empty = True
    level: Annotated[str, Doc("TRACE, DEBUG, INFO, WARN, ERROR, FATAL or PANIC.")] = "ERROR"
    format: Annotated[Literal["common", "json"], Doc("common or json.")] = "common"
    file_path: Annotated[str, Doc("Write the log to this file instead of standard output.")] = ""
    no_color: Annotated[bool, Doc("No colours in the common format.")] = False
    max_size: Unsupported | None = None
    max_age: Unsupported | None = None
    max_backups: Unsupported | None = None
    compress: Unsupported | None = None
    otlp: Unsupported | None = None


class Global(Options):
    check_new_version: Annotated[
        bool, Doc("Accepted for compatibility: Portway never calls home.")
    ] = True
    send_anonymous_usage: Annotated[
        bool, Doc("Accepted for compatibility: Portway never calls home.")
    ] = False
    not_append_x_forwarded_for: Annotated[
        bool, Doc("Leave X-Forwarded-For as it came, on every entry point.")
    ] = False


class Core(Options):
    default_rule_syntax: Annotated[str, Doc("Rule syntax; only v3 has an effect.")] = "v3"
    strict_tls_options: Unsupported | None = field(default=None, name="strictTLSOptions")


class ForwardingTimeouts(Options):
    dial_timeout: Annotated[
        Duration, Doc("Longest time to connect to a server; 0 is no limit.")
    ] = Duration(30)
    response_header_timeout: Annotated[
        Duration, Doc("Longest wait for a response's headers; 0 is no limit.")
    ] = Duration(0)
    idle_conn_timeout: Annotated[
        Duration, Doc("Close an idle connection to a server after this long.")
    ] = Duration(90)


class ServersTransport(Options):
    insecure_skip_verify: Annotated[bool, Doc("Accept any certificate of servers.")] = False
    root_cas: Annotated[
        list[str], Doc("Certificate authorities of servers: files or PEM texts.")
    ] = field(default_factory=list, name="rootCAs")
    max_idle_conns_per_host: Annotated[
        int, Doc("Idle connections kept to a server; 0 is the default.")
    ] = 200
    forwarding_timeouts: ForwardingTimeouts = ForwardingTimeouts()
    spiffe: Unsupported | None = None


class Metrics(Options):
    add_internals: Unsupported | None = None
    prometheus: Unsupported | None = None
    datadog: Unsupported | None = None
    statsd: Unsupported | None = None
    influxdb2: Unsupported | None = field(default=None, name="influxDB2")
    otlp: Unsupported | None = None


class Experimental(Options):
    plugins: Unsupported | None = None
    local_plugins: Unsupported | None = None
    abort_on_plugin_failure: Unsupported | None = None
    fast_proxy: Unsupported | None = None
    otlp_logs: Unsupported | None = field(default=None, name="otlplogs")
    knative: Unsupported | None = None
    kubernetes_gateway: Unsupported | None = None
    kubernetes_ingress_nginx: Unsupported | None = field(
        default=None, name="kubernetesIngressNGINX"
    )


class Static(Options):
    """The whole static configuration, with Traefik's names and defaults."""

    entry_points: dict[str, EntryPoint] = field(default_factory=dict)
    providers: Providers = Providers()
    api: Annotated[API | None, Doc("Serve the API.")] = None
    ping: Annotated[Ping | None, Doc("Answer /ping, for health checks.")] = None
    log: Log = Log()
    servers_transport: ServersTransport = ServersTransport()
    global_: Global = field(default_factory=Global, name="global")
    core: Core = Core()
    metrics: Metrics = Metrics()
    experimental: Experimental = Experimental()
    access_log: Unsupported | None = None
    tracing: Unsupported | None = None
    host_resolver: Unsupported | None = None
    certificates_resolvers: Unsupported | None = None
    tcp_servers_transport: Unsupported | None = None
    spiffe: Unsupported | None = None
    ocsp: Unsupported | None = None
