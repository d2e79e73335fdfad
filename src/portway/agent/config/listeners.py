"""What the interfaces of clients bind, and the recursors of DNS."""

from __future__ import annotations

from portway.agent.config.address import evaluated, ip_of
from portway.agent.config.addresses import Ports
from portway.agent.config.config import Bind, Listen
from portway.agent.config.error import Findings
from portway.agent.config.settings import Settings
from portway.agent.config.tls import TlsSettings

_LISTENERS = {
    "http": "HTTP",
    "https": "HTTPS",
    "dns": "DNS",
    "grpc": "gRPC",
    "grpc_tls": "gRPC-TLS",
}


def listen(settings: Settings, ports: Ports, tls: TlsSettings, found: Findings) -> Listen:
    """The listeners; what is wrong is told to ``found``."""
    if not settings.client_addr:
        found.problems.append("client_addr cannot be empty")
    binds = {name: _binds(settings, name, getattr(ports, name), found) for name in _LISTENERS}
    for bind in binds["dns"]:
        if bind.path:
            found.problems.append("DNS address cannot be a unix socket")
    taken: dict[str, str] = {}
    for name, title in _LISTENERS.items():
        for bind in binds[name]:
            if str(bind) in taken:
                found.problems.append(
                    f"{title} address {bind} already configured for {taken[str(bind)]}"
                )
            taken.setdefault(str(bind), title)
    if binds["https"] and not (tls.cert_file and tls.key_file):
        found.warnings.append(
            "ports.https is set, but no HTTPS listener is opened:"
            " tls.https has no cert_file and key_file"
        )
        binds["https"] = []
    return Listen(**binds)


def _binds(settings: Settings, name: str, port: int, found: Findings) -> list[Bind]:
    own = getattr(settings.addresses, name)
    key, text = (f"addresses.{name}", own) if own else ("client_addr", settings.client_addr)
    binds: list[Bind] = []
    for word in evaluated(key, text, found).split():
        if word.startswith("unix://"):
            if own or port > 0:
                binds.append(Bind(path=word.removeprefix("unix://")))
            continue
        ip = ip_of(word)
        if ip is None:
            found.problems.append(f"{key}: invalid ip address: {word}")
        elif port > 0:
            binds.append(Bind(host=str(ip), port=port))
    return list(dict.fromkeys(binds))


def recursors_of(settings: Settings, found: Findings) -> list[str]:
    """The DNS servers to ask, as written, each once."""
    recursors: list[str] = []
    for text in settings.recursors:
        for word in evaluated("recursors", text, found).split():
            host = word if ip_of(word) else word.rpartition(":")[0] or word
            ip = ip_of(host)
            if ip is not None and ip.is_unspecified:
                found.problems.append("DNS recursor address cannot be 0.0.0.0, :: or [::]")
            elif ip is None and not _is_host(host):
                found.problems.append(f"recursors: {word!r} is not an address such as 192.0.2.1:53")
            else:
                recursors.append(word)
    return list(dict.fromkeys(recursors))


def _is_host(name: str) -> bool:
    labels = name.rstrip(".").split(".")
    return all(label.replace("-", "a").replace("_", "a").isalnum() for label in labels) and not (
        labels[-1].isdigit()
    )
