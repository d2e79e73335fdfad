"""The agent's DNS interface: the configuration's settings, the listeners, who is asked."""

from __future__ import annotations

from portway.agent.config import AgentConfig
from portway.agent.runtime import Runtime
from portway.discovery.dns import Answers, DnsSettings, Listener, Soa, serve_dns
from portway.discovery.queries.dns import DnsQueries


def dns_settings(config: AgentConfig) -> DnsSettings:
    """The settings as the configuration says them. Raises ValueError naming the key."""
    dns = config.dns_config
    return DnsSettings(
        domain=config.domain,
        alt_domain=config.alt_domain,
        datacenter=config.datacenter,
        recursors=tuple(config.recursors),
        recursor_timeout=dns.recursor_timeout,
        recursor_strategy=dns.recursor_strategy,
        only_passing=dns.only_passing,
        node_ttl=dns.node_ttl,
        service_ttl=dict(dns.service_ttl),
        a_record_limit=dns.a_record_limit,
        udp_answer_limit=dns.udp_answer_limit,
        enable_truncate=dns.enable_truncate,
        disable_compression=dns.disable_compression,
        enable_additional_node_meta_txt=dns.enable_additional_node_meta_txt,
        soa=Soa(dns.soa.refresh, dns.soa.retry, dns.soa.expire, dns.soa.min_ttl),
    )


async def listen_dns(runtime: Runtime) -> Listener:
    """Answer DNS on the configuration's addresses. Raises OSError."""
    config = runtime.config
    answers = Answers(
        runtime.server.state,
        runtime.resolver,
        dns_settings(config),
        DnsQueries(runtime.server, runtime.resolver.resolve, config.node_name),
        token=runtime.tokens.of_dns,
    )
    addresses = [(bind.host, bind.port) for bind in config.listen.dns]
    try:
        return await serve_dns(addresses, answers)
    except OSError as error:
        where = ", ".join(str(bind) for bind in config.listen.dns)
        raise OSError(f"listen DNS {where}: {error.strerror or error}") from None
