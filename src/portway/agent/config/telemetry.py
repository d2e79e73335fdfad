"""The ``telemetry`` block."""

from __future__ import annotations

from portway.agent.config.block import Block, seconds
from portway.config import Duration


class Telemetry(Block):
    """Where metrics go and which."""

    prometheus_retention_time: Duration = seconds(0)
    disable_hostname: bool = False  # do not prefix gauges with the host's name
    metrics_prefix: str = "consul"
    prefix_filter: list[str] = []  # +prefix or -prefix
    filter_default: bool = True  # what happens to metrics no prefix names
    enable_host_metrics: bool = False
    disable_per_tenancy_usage_metrics: bool = False
    retry_failed_connection: bool = True
    statsd_address: str = ""
    statsite_address: str = ""
    dogstatsd_addr: str = ""
    dogstatsd_tags: list[str] = []
    circonus_api_app: str = ""
    circonus_api_token: str = ""
    circonus_api_url: str = ""
    circonus_broker_id: str = ""
    circonus_broker_select_tag: str = ""
    circonus_check_display_name: str = ""
    circonus_check_force_metric_activation: str = ""
    circonus_check_id: str = ""
    circonus_check_instance_id: str = ""
    circonus_check_search_tag: str = ""
    circonus_check_tags: str = ""
    circonus_submission_interval: str = ""
    circonus_submission_url: str = ""
