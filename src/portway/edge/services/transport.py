"""Servers transports: how connections to servers are made, secured and kept."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from envoy.config.core.v3.base_pb2 import DataSource, TransportSocket
from envoy.config.core.v3.protocol_pb2 import (
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    KeepaliveSettings,
)
from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsCertificate,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as upstream
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration as DurationMessage
from google.protobuf.wrappers_pb2 import UInt32Value

from portway.config.options import Unsupported
from portway.edge.dynamic import Certificate, ForwardingTimeouts, ServersTransport
from portway.edge.services import retries
from portway.edge.services.target import Target, is_address
from portway.edge.static import options as static
from portway.envoy.messages import pack

Protocol = Literal["http1", "http2", "auto"]

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# Another endpoint must be tried in time when one does not answer, so a connection attempt is
# given far less than Traefik's 30 s; the TLS handshake counts as part of it.
CONNECT_TIMEOUT = 1.0
CONNECT_TIMEOUT_TLS = 3.0
_NO_TIMEOUT = 86_400.0  # Envoy wants a positive number where Go writes 0 for "none"
_MAX_RESPONSE_HEADERS_KB = 8192  # Envoy's own maximum; Go's is 10 MB
_MAX_RESPONSE_HEADERS = 1000

_VERSIONS = {
    "VersionTLS10": TlsParameters.TLSv1_0,
    "VersionTLS11": TlsParameters.TLSv1_1,
    "VersionTLS12": TlsParameters.TLSv1_2,
    "VersionTLS13": TlsParameters.TLSv1_3,
}

# Go's names of cipher suites and BoringSSL's. TLS 1.3 suites cannot be chosen, in Go neither.
_CIPHERS = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
_TLS13_CIPHERS = frozenset(
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
)

DEFAULT = ServersTransport()
"""Traefik's transport of services that name none, when nothing is configured."""

# Traefik's defaults: who does not ask for something else gets ours, without a warning.
_GO_DIAL_TIMEOUT = 30.0
_GO_IDLE_CONNS = 200


def from_static(options: static.ServersTransport) -> ServersTransport:
    """The transport ``default@internal`` that the static configuration describes."""
    timeouts = options.forwarding_timeouts
    own_dial = timeouts.dial_timeout != _GO_DIAL_TIMEOUT
    own_idle = options.max_idle_conns_per_host != _GO_IDLE_CONNS
    return ServersTransport(
        insecure_skip_verify=options.insecure_skip_verify,
        root_cas=options.root_cas,
        max_idle_conns_per_host=options.max_idle_conns_per_host if own_idle else 0,
        spiffe=options.spiffe,
        forwarding_timeouts=ForwardingTimeouts(
            dial_timeout=timeouts.dial_timeout if own_dial else None,
            response_header_timeout=timeouts.response_header_timeout,
            idle_conn_timeout=timeouts.idle_conn_timeout,
        ),
    )


class Identity(NamedTuple):
    """Who a TLS server must prove to be: the name sent as SNI and the name its certificate
    must hold, each empty when not wanted."""

    sni: str = ""
    name: str = ""


def problems(transport: ServersTransport) -> list[str]:
    """What is wrong with a transport, or asked of it and not honoured, one sentence each.

    Files that it names are read to see that they hold certificates.
    """
    found: list[str] = []
    if transport.spiffe is not None:
        found.append("spiffe: SPIFFE identities of servers are not supported yet")
    found += _version_problems(transport)
    names = _names(transport.cipher_suites)
    found += [
        f"cipherSuites: {name!r} is not a cipher suite of Go's crypto/tls"
        for name in names
        if name not in _CIPHERS and name not in _TLS13_CIPHERS
    ]
    for root in transport.root_cas:
        found += _pem_problem("rootCAs", root, "CERTIFICATE")
    for pair in transport.certificates:
        found += _pem_problem("certificates.certFile", pair.cert_file, "CERTIFICATE")
        found += _pem_problem("certificates.keyFile", pair.key_file, "PRIVATE KEY")
    return found


def warnings(transport: ServersTransport) -> list[str]:
    """What a transport asks for that makes no difference here, one sentence each."""
    if transport.max_idle_conns_per_host > 0:
        return [
            "maxIdleConnsPerHost is not honoured: idle connections to servers are kept until"
            " forwardingTimeouts.idleConnTimeout"
        ]
    return []


def _version_problems(transport: ServersTransport) -> list[str]:
    found = []
    chosen = {}
    for option, raw in (
        ("minVersion", transport.min_version),
        ("maxVersion", transport.max_version),
    ):
        value = _names(raw)
        if value and value[0] not in _VERSIONS:
            found.append(f"{option}: {value[0]!r} is not one of {', '.join(_VERSIONS)}")
        elif value:
            chosen[option] = _VERSIONS[value[0]]
    if len(chosen) == 2 and chosen["minVersion"] > chosen["maxVersion"]:
        found.append("minVersion is above maxVersion")
    return found


def _names(raw: Unsupported | None) -> tuple[str, ...]:
    """The value of an option kept raw by the decoder: a name, or a list of names."""
    value = raw.value if raw else None
    if not value:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return tuple(str(part) for part in value)


def _is_pem(text: str) -> bool:
    return text.lstrip().startswith("-----BEGIN")


def _pem_problem(option: str, source: str, label: str) -> list[str]:
    if not source:
        return [f"{option} is empty: give a file or the PEM text"]
    text = source
    if not _is_pem(source):
        try:
            text = _read(source)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            return [f"{option}: cannot read {source!r}: {reason}"]
    if not any(line.startswith("-----BEGIN") and label in line for line in text.splitlines()):
        where = "the text" if _is_pem(source) else repr(source)
        return [f"{option}: {where} holds no PEM block of type {label}"]
    return []


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii", errors="replace")


def identity(transport: ServersTransport, target: Target) -> Identity | None:
    """What the TLS connection to a server says and demands; None for a plain connection."""
    if target.scheme != "https":
        return None
    if transport.server_name:
        name = transport.server_name
    elif target.is_address and transport.insecure_skip_verify:
        name = ""
    else:
        name = target.host
    verified = "" if transport.insecure_skip_verify else name
    return Identity("" if is_address(name) else name, verified)


def plain_socket() -> TransportSocket:
    """The transport socket of connections without TLS."""
    return TransportSocket(
        name="envoy.transport_sockets.raw_buffer", typed_config=pack(RawBuffer())
    )


def tls_socket(
    transport: ServersTransport, who: Identity, alpn: Sequence[str] = ()
) -> TransportSocket:
    """The transport socket of TLS connections to servers of one identity.

    ``alpn`` is what is offered; leave it empty where Envoy chooses (protocol ``auto``).
    """
    parameters = TlsParameters(
        tls_minimum_protocol_version=TlsParameters.TLSv1_2,
        tls_maximum_protocol_version=TlsParameters.TLSv1_3,
        cipher_suites=[_CIPHERS[n] for n in _names(transport.cipher_suites) if n in _CIPHERS],
    )
    for name in _names(transport.min_version):
        parameters.tls_minimum_protocol_version = _VERSIONS[name]
    for name in _names(transport.max_version):
        parameters.tls_maximum_protocol_version = _VERSIONS[name]
    context = UpstreamTlsContext(
        sni=who.sni,
        common_tls_context=CommonTlsContext(
            tls_params=parameters,
            tls_certificates=[_key_pair(pair) for pair in transport.certificates],
            validation_context=_validation(transport, who),
            alpn_protocols=alpn,
        ),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))


def _key_pair(pair: Certificate) -> TlsCertificate:
    return TlsCertificate(
        certificate_chain=_source(pair.cert_file), private_key=_source(pair.key_file)
    )


def _source(pem_or_path: str) -> DataSource:
    if _is_pem(pem_or_path):
        return DataSource(inline_string=pem_or_path)
    return DataSource(filename=pem_or_path)


def _validation(transport: ServersTransport, who: Identity) -> CertificateValidationContext | None:
    """The checks on a server's certificate. ``peerCertURI`` takes the place of the host name:
    it says who the server is, and Envoy accepts any one of the names it is given."""
    if transport.insecure_skip_verify and not transport.peer_cert_uri:
        return None
    if transport.peer_cert_uri:
        matcher = _san(SubjectAltNameMatcher.URI, transport.peer_cert_uri)
    elif is_address(who.name):
        matcher = _san(SubjectAltNameMatcher.IP_ADDRESS, who.name)
    else:
        matcher = _san(SubjectAltNameMatcher.DNS, who.name)
    return CertificateValidationContext(
        trusted_ca=_trusted(transport.root_cas), match_typed_subject_alt_names=[matcher]
    )


def _san(kind: SubjectAltNameMatcher.SanType, value: str) -> SubjectAltNameMatcher:
    return SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=value))


def _trusted(roots: Sequence[str]) -> DataSource:
    if not roots:
        return DataSource(filename=system_roots())
    if len(roots) == 1:
        return _source(roots[0])
    texts = [root if _is_pem(root) else _read(root) for root in roots]
    return DataSource(inline_string="\n".join(texts))


_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@lru_cache(maxsize=1)
def system_roots() -> str:
    """The file with the certificate authorities the system trusts (``SSL_CERT_FILE`` wins)."""
    default = ssl.get_default_verify_paths().cafile
    for path in (default, *_BUNDLES):
        if path and Path(path).is_file():
            return path
    return _BUNDLES[0]


def connect_timeout(transport: ServersTransport, tls: bool) -> float:
    """Seconds one connection attempt may take, TLS handshake included."""
    timeouts = transport.forwarding_timeouts
    if timeouts is None or timeouts.dial_timeout is None:
        return CONNECT_TIMEOUT_TLS if tls else CONNECT_TIMEOUT
    return float(timeouts.dial_timeout) if timeouts.dial_timeout > 0 else _NO_TIMEOUT


def response_header_timeout(transport: ServersTransport) -> float:
    """Seconds a server may take to begin its answer; 0 for no limit."""
    timeouts = transport.forwarding_timeouts
    return max(float(timeouts.response_header_timeout), 0.0) if timeouts else 0.0


def http_options(transport: ServersTransport, protocol: Protocol) -> Any:
    """HttpProtocolOptions of a cluster, packed."""
    timeouts = transport.forwarding_timeouts or _TIMEOUTS
    return _http_options(
        protocol,
        float(timeouts.idle_conn_timeout),
        float(timeouts.read_idle_timeout),
        float(timeouts.ping_timeout),
    )


_TIMEOUTS = ForwardingTimeouts()


@lru_cache(maxsize=256)
def _http_options(protocol: Protocol, idle: float, read_idle: float, ping: float) -> Any:
    # Traefik writes header names in Go's canonical form whatever the client's spelling was.
    canonical = Http1ProtocolOptions.HeaderKeyFormat(
        proper_case_words=Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords()
    )
    http1 = Http1ProtocolOptions(header_key_format=canonical, enable_trailers=True)
    http2 = Http2ProtocolOptions()
    if read_idle > 0:
        http2.connection_keepalive.CopyFrom(
            KeepaliveSettings(interval=seconds(read_idle), timeout=seconds(max(ping, 0.001)))
        )
    options = upstream.HttpProtocolOptions(
        common_http_protocol_options=HttpProtocolOptions(
            idle_timeout=seconds(max(idle, 0.0)),  # 0 is "no limit" for Go and for Envoy
            max_headers_count=UInt32Value(value=_MAX_RESPONSE_HEADERS),
            max_response_headers_kb=UInt32Value(value=_MAX_RESPONSE_HEADERS_KB),
        ),
        retry_policy=retries.cluster_policy(),
    )
    if protocol == "auto":
        options.auto_config.http_protocol_options.CopyFrom(http1)
        options.auto_config.http2_protocol_options.CopyFrom(http2)
    elif protocol == "http2":
        options.explicit_http_config.http2_protocol_options.CopyFrom(http2)
    else:
        options.explicit_http_config.http_protocol_options.CopyFrom(http1)
    return pack(options)


def seconds(value: float) -> DurationMessage:
    """A protobuf Duration of so many seconds."""
    nanos = round(value * 1_000_000_000)
    return DurationMessage(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)
