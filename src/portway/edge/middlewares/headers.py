from __future__ import annotations

from msgspec import field

from portway.config.options import Options


class Headers(Options):
    custom_request_headers: dict[str, str] = {}
    custom_response_headers: dict[str, str] = {}
    access_control_allow_credentials: bool = False
    access_control_allow_headers: list[str] = []
    access_control_allow_methods: list[str] = []
    access_control_allow_origin_list: list[str] = []
    access_control_allow_origin_list_regex: list[str] = []
    access_control_expose_headers: list[str] = []
    access_control_max_age: int = 0
    add_vary_header: bool = False
    allowed_hosts: list[str] = []
    hosts_proxy_headers: list[str] = []
    ssl_proxy_headers: dict[str, str] = {}
    sts_seconds: int = 0
    sts_include_subdomains: bool = False
    sts_preload: bool = False
    force_sts_header: bool = field(default=False, name="forceSTSHeader")
    frame_deny: bool = False
    custom_frame_options_value: str = ""
    content_type_nosniff: bool = False
    browser_xss_filter: bool = False
    custom_browser_xss_value: str = field(default="", name="customBrowserXSSValue")
    content_security_policy: str = ""
    content_security_policy_report_only: str = ""
    public_key: str = ""
    referrer_policy: str = ""
    permissions_policy: str = ""
    is_development: bool = False
    feature_policy: str = ""
    ssl_redirect: bool = False
    ssl_temporary_redirect: bool = False
    ssl_host: str = ""
    ssl_force_host: bool = False
