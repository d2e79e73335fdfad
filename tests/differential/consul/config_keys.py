"""The keys of an agent's configuration in Consul 1.22, by the type of their values.

Dotted; ``[]`` is every item of a list. Those of Consul Enterprise, those that no user may set, and
those that 1.21 does not know yet are not here, nor other
spellings of a key.
"""

from __future__ import annotations

BOOLEANS = """
acl: enabled enable_token_replication enable_key_list_policy enable_token_persistence
auto_config: enabled
auto_config.authorization: enabled
auto_config.authorization.static: allow_reuse
autopilot: cleanup_dead_servers
: bootstrap disable_anonymous_signature disable_coordinates disable_host_node_id
  disable_http_unprintable_char_filter disable_keyring_file disable_remote_exec
  disable_update_check discard_check_output enable_agent_tls_for_checks
  enable_central_service_config enable_debug enable_script_checks enable_local_script_checks
  enable_syslog encrypt_verify_incoming encrypt_verify_outgoing leave_on_terminate log_json
  raft_prevote_disabled rejoin_after_leave auto_reload_config server skip_leave_on_interrupt
  translate_wan_addrs ui use_streaming_backend acl_enable_key_list_policy enable_acl_replication
  verify_incoming verify_incoming_https verify_incoming_rpc verify_outgoing verify_server_hostname
  tls_prefer_server_cipher_suites
checks.[]: disable_redirects tcp_use_tls grpc_use_tls tls_skip_verify h2ping_use_tls
auto_encrypt: tls allow_tls
connect: enabled enable_mesh_gateway_wan_federation
dns_config: allow_stale disable_compression enable_truncate only_passing
  enable_additional_node_meta_txt use_cache
http_config: use_cache
peering: enabled
performance: enable_xds_load_balancing
services.[].check: disable_redirects tcp_use_tls grpc_use_tls tls_skip_verify
  h2ping_use_tls
services.[].checks.[]: disable_redirects tcp_use_tls grpc_use_tls tls_skip_verify
  h2ping_use_tls
services.[]: enable_tag_override
services.[].proxy.transparent_proxy: dialed_directly
services.[].proxy.expose: checks
services.[].connect: native
tls.defaults: verify_incoming verify_outgoing verify_server_hostname use_auto_cert
tls.internal_rpc: verify_incoming verify_outgoing verify_server_hostname use_auto_cert
tls.https: verify_incoming verify_outgoing verify_server_hostname use_auto_cert
tls.grpc: verify_incoming verify_outgoing verify_server_hostname use_auto_cert
telemetry: disable_hostname disable_per_tenancy_usage_metrics enable_host_metrics
  retry_failed_connection filter_default
ui_config: enabled
rpc: enable_streaming
raft_logstore: disable_log_cache
raft_logstore.verification: enabled
raft_logstore.boltdb: no_freelist_sync
reporting.license: enabled
"""

TEXTS = """
acl: policy_ttl role_ttl token_ttl down_policy default_policy
acl.tokens: initial_management replication agent_recovery default agent
  config_file_service_registration dns
addresses: dns http https grpc grpc_tls
: advertise_addr advertise_addr_ipv4 advertise_addr_ipv6 advertise_addr_wan
  advertise_addr_wan_ipv4 advertise_addr_wan_ipv6 advertise_reconnect_timeout bind_addr
  check_update_interval client_addr domain alt_domain data_dir datacenter default_query_time
  default_intention_policy discovery_max_stale encrypt log_level log_file log_rotate_duration
  max_query_time node_id node_name pid_file primary_datacenter primary_gateways_interval
  raft_snapshot_interval reconnect_timeout reconnect_timeout_wan retry_interval retry_interval_wan
  serf_lan serf_wan server_name server_rejoin_age_max session_ttl_min syslog_facility
  ui_content_path ui_dir acl_agent_master_token acl_agent_token acl_token acl_master_token
  acl_replication_token acl_datacenter acl_default_policy acl_down_policy acl_ttl ca_file ca_path
  cert_file key_file tls_cipher_suites tls_min_version
auto_config: intro_token intro_token_file
auto_config.authorization.static: oidc_discovery_url oidc_discovery_ca_cert jwks_url jwks_ca_cert
  bound_issuer expiration_leeway not_before_leeway clock_skew_leeway
autopilot: last_contact_threshold server_stabilization_time
checks.[]: id name notes service_id token status http method body tcp udp interval
  docker_container_id shell grpc tls_server_name alias_node alias_service
  timeout ttl h2ping os_service deregister_critical_service_after
cloud: resource_id client_id client_secret hostname auth_url scada_address
connect: ca_provider
dns_config: max_stale node_ttl recursor_strategy recursor_timeout cache_max_age
gossip_lan: gossip_interval probe_interval probe_timeout
gossip_wan: gossip_interval probe_interval probe_timeout
limits: https_handshake_timeout rpc_client_timeout rpc_handshake_timeout
limits.request_limits: mode
locality: region zone
performance: leave_drain_time rpc_hold_timeout grpc_keepalive_interval grpc_keepalive_timeout
services.[]: kind id name address socket_path token
services.[].check: id name notes service_id token status http method body tcp udp
  interval docker_container_id shell grpc tls_server_name alias_node
  alias_service timeout ttl h2ping os_service deregister_critical_service_after
services.[].checks.[]: id name notes service_id token status http method body tcp udp
  interval docker_container_id shell grpc tls_server_name alias_node
  alias_service timeout ttl h2ping os_service deregister_critical_service_after
services.[].proxy: destination_service_name destination_service_id local_service_address
  local_service_socket_path mode
services.[].proxy.upstreams.[]: destination_type destination_namespace destination_partition
  destination_peer destination_name datacenter local_bind_address local_bind_socket_path
  local_bind_socket_mode
services.[].proxy.upstreams.[].mesh_gateway: mode
services.[].proxy.mesh_gateway: mode
services.[].proxy.expose.paths.[]: path protocol
services.[].locality: region zone
tls.defaults: ca_file ca_path cert_file key_file tls_min_version tls_cipher_suites
tls.internal_rpc: ca_file ca_path cert_file key_file tls_min_version tls_cipher_suites
tls.https: ca_file ca_path cert_file key_file tls_min_version tls_cipher_suites
tls.grpc: ca_file ca_path cert_file key_file tls_min_version tls_cipher_suites
telemetry: circonus_api_app circonus_api_token circonus_api_url circonus_broker_id
  circonus_broker_select_tag circonus_check_display_name circonus_check_force_metric_activation
  circonus_check_id circonus_check_instance_id circonus_check_search_tag circonus_check_tags
  circonus_submission_interval circonus_submission_url dogstatsd_addr metrics_prefix
  prometheus_retention_time statsd_address statsite_address
ui_config: dir content_path metrics_provider metrics_provider_options_json
ui_config.metrics_proxy: base_url
ui_config.metrics_proxy.add_headers.[]: name value
unix_sockets: group mode user
raft_logstore: backend
raft_logstore.verification: interval
"""

NUMBERS = """
autopilot: max_trailing_logs min_quorum
: bootstrap_expect check_output_max_size log_rotate_bytes log_rotate_max_files protocol
  raft_protocol raft_snapshot_threshold raft_trailing_logs retry_max retry_max_wan
cache: entry_fetch_max_burst entry_fetch_rate
checks.[]: output_max_size success_before_passing failures_before_warning failures_before_critical
dns_config: a_record_limit udp_answer_limit
gossip_lan: gossip_nodes suspicion_mult retransmit_mult
gossip_wan: gossip_nodes suspicion_mult retransmit_mult
http_config: max_header_bytes
limits: http_max_conns_per_client rpc_max_burst rpc_max_conns_per_client kv_max_value_size
  txn_max_req_len rpc_rate
performance: raft_multiplier
ports: dns http https serf_lan serf_wan server grpc grpc_tls proxy_min_port proxy_max_port
  sidecar_min_port sidecar_max_port expose_min_port expose_max_port
services.[]: port
services.[].check: output_max_size success_before_passing failures_before_warning
  failures_before_critical
services.[].checks.[]: output_max_size success_before_passing failures_before_warning
  failures_before_critical
services.[].weights: passing warning
services.[].proxy: local_service_port
services.[].proxy.transparent_proxy: outbound_listener_port
services.[].proxy.upstreams.[]: local_bind_port
services.[].proxy.expose: port
services.[].proxy.expose.paths.[]: listener_port local_path_port
raft_logstore.wal: segment_size_mb
dns_config.soa: refresh retry expire min_ttl
limits.request_limits: read_rate write_rate
xds: update_max_per_second
"""

LISTS = """
auto_config: server_addresses dns_sans ip_sans
auto_config.authorization.static: claim_assertions jwt_supported_algs bound_audiences
  jwt_validation_pub_keys
checks.[]: args
auto_encrypt: dns_san ip_san
: recursors experiments primary_gateways retry_join retry_join_wan serf_lan_allowed_cidrs
  serf_wan_allowed_cidrs start_join start_join_wan watches
http_config: block_endpoints allow_write_http_from
services.[]: tags
services.[].check: args
services.[].checks.[]: args
telemetry: dogstatsd_tags prefix_filter
ui_config: metrics_provider_files
ui_config.metrics_proxy: path_allowlist
config_entries: bootstrap
"""

MAPS = """
auto_config.authorization.static: claim_mappings list_claim_mappings
dns_config: service_ttl
http_config: response_headers
: node_meta tagged_addresses
services.[]: meta tagged_addresses
ui_config: dashboard_url_templates
checks.[]: header
services.[].check: header
services.[].checks.[]: header
connect: ca_config
services.[].proxy: config
services.[].proxy.upstreams.[]: config
"""
