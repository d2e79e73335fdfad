"""The DNS interface: UDP and TCP, answered from the state in memory.

``serve_dns`` listens; ``Answers`` turns packets into replies; ``DnsSettings`` are the keys of
``dns_config``; ``Queries`` is what prepared queries need to provide.
"""

from portway.discovery.dns.answers import Answers
from portway.discovery.dns.found import Executed, Queries
from portway.discovery.dns.server import Listener, serve_dns
from portway.discovery.dns.settings import DnsSettings, Soa

__all__ = ["Answers", "DnsSettings", "Executed", "Listener", "Queries", "Soa", "serve_dns"]
