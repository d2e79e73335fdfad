"""Wrong configurations of an agent, and exactly what is said of each."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from portway.agent.config import ConfigError, load, validate

# What follows the text of HCL that is wrong by itself: ``failed to parse c.hcl: ``.
UNREADABLE = {
    "datacentre = 1": "invalid config key datacentre; did you mean datacenter?",
    "acl { enable = true }": "invalid config key acl.enable; did you mean enabled?",
    "acl { tokens { agnt = 1 } }": "invalid config key acl.tokens.agnt; did you mean agent?",
    "nonsense_xyz = 1": "invalid config key nonsense_xyz",
    "ports { htp = 80 }": "invalid config key ports.htp; did you mean http?",
    "dns_config { service_tll { a = 1 } }": "invalid config key dns_config.service_tll;"
    " did you mean service_ttl?",
    'service { nme = "x" }': "invalid config key services[0].nme; did you mean name?",
    'services = [{ name = "a" }, { port2 = 1 }]': "invalid config key services[1].port2;"
    " did you mean port?",
    'check { intervall = "1s" }': "invalid config key checks[0].intervall; did you mean interval?",
    'check { script = "/bin/true" }': "invalid config key checks[0].script",
    'service { name = "a" check { htttp = "x" } }': "invalid config key services[0].check.htttp;"
    " did you mean http?",
    "telemetry { statsd_addr = 1 }": "invalid config key telemetry.statsd_addr;"
    " did you mean statsd_address?",
    "autopilot { cleanup = 1 }": "invalid config key autopilot.cleanup; valid here:"
    " cleanup_dead_servers, last_contact_threshold, max_trailing_logs, min_quorum,"
    " server_stabilization_time",
    'service { name = "a" namespace = "team" }': "services[0].namespace: namespaces are a Consul"
    " Enterprise feature",
    'server = "yes"': "'server' expected type 'bool', got unconvertible type 'string',"
    " value: 'yes'",
    "server = 1": "'server' expected type 'bool', got unconvertible type 'int', value: '1'",
    "datacenter = 3": "'datacenter' expected type 'string', got unconvertible type 'int',"
    " value: '3'",
    'ports { http = "8500" }': "'ports.http' expected type 'int', got unconvertible type"
    " 'string', value: '8500'",
    "ports { http = 1.5 }": "'ports.http' expected type 'int', got unconvertible type 'float64',"
    " value: '1.5'",
    "ports = 5": "'ports' expected a map, got 'int'",
    "ports { http = 1 }\nports { http = 2 }": "'ports' expected a map, got 'slice': the block"
    " stands here 2 times; write it once",
    'retry_join = "10.0.0.1"': "'retry_join': source data must be an array or slice, got string",
    "retry_join = [1]": "'retry_join[0]' expected type 'string', got unconvertible type 'int',"
    " value: '1'",
    "node_meta { a = 1 }": "'node_meta[a]' expected type 'string', got unconvertible type 'int',"
    " value: '1'",
    'node_meta = "a"': "'node_meta' expected a map, got 'string'",
    "services = 1": "'services': source data must be an array or slice, got int",
    "acl { tokens { default = 5 } }": "'acl.tokens.default' expected type 'string', got"
    " unconvertible type 'int'",
    "encrypt = 5": "'encrypt' expected type 'string', got unconvertible type 'int'",
    'check_update_interval = "5 minutes"': 'check_update_interval: invalid duration: "5 minutes":'
    ' time: invalid duration "5 minutes"',
    'check_update_interval = "30"': 'check_update_interval: invalid duration: "30": time: missing'
    ' unit in duration "30"; write 30s for seconds',
    "check_update_interval = 30": "'check_update_interval' expected type 'string', got"
    " unconvertible type 'int', value: '30'",
    'dns_config { service_ttl { web = "x" } }': "dns_config.service_ttl[web]: invalid duration:"
    ' "x": time: invalid duration "x"',
    'service { name = "a" check { ttl = "soon" } }': "services[0].check.ttl: invalid duration:"
    ' "soon": time: invalid duration "soon"',
    'service { name = "a" proxy { upstreams { destination_type = "x" } } }': "services[0].proxy"
    '.upstreams[0].destination_type: "x" is not valid; write one of service, prepared_query',
    "log_json = true\nLOG_JSON = false": "'LOG_JSON' is given twice, as LOG_JSON and in another"
    " spelling (line 2)",
}

# What follows from a text of HCL for an agent with -dev.
REFUSED = {
    'datacenter = ""': "datacenter cannot be empty",
    'datacenter = "dc 1"': "datacenter can only contain lowercase alphanumeric, - or _"
    ' characters. received: "dc 1"',
    'primary_datacenter = "dc.1"': "primary_datacenter can only contain lowercase alphanumeric,"
    ' - or _ characters. received: "dc.1"',
    'node_name = "  "': "node_name cannot be empty",
    'node_name = "a\\nb"': "node_name cannot contain control characters or a slash",
    'node_id = "abc"': "node_id: specified NodeID is invalid: 'abc' is not a UUID",
    'node_meta { "a b" = "x" }': "node_meta invalid: Couldn't load metadata pair ('a b', 'x'):"
    " Key contains invalid characters",
    'node_meta { consul-x = "y" }': "node_meta invalid: Couldn't load metadata pair"
    " ('consul-x', 'y'): Key prefix 'consul-' is reserved for internal use",
    'domain = ""': "domain cannot be empty",
    'domain = "a..b"': 'domain: "a..b." is not a name of DNS',
    'domain = "exa mple"': 'domain: "exa mple." is not a name of DNS',
    'alt_domain = "service.x"': "alt_domain cannot start with"
    " {service,connect,node,query,addr,dc1}",
    'alt_domain = "dc1.x"': "alt_domain cannot start with {service,connect,node,query,addr,dc1}",
    'bind_addr = "nowhere"': "bind_addr: invalid ip address: nowhere",
    'bind_addr = "127.0.0.1 127.0.0.2"': "bind_addr cannot contain multiple addresses:"
    " 127.0.0.1 127.0.0.2",
    'bind_addr = "unix:///x"': "bind_addr cannot be a unix socket",
    'bind_addr = "{{ GetPrivIP }}"': "bind_addr: error parsing '{{ GetPrivIP }}': function"
    ' "GetPrivIP" not defined; did you mean GetPrivateIP?',
    'bind_addr = "{{ GetInterfaceIP \\"nope0\\" }}"': "bind_addr: '{{ GetInterfaceIP"
    ' "nope0" }}\' found no address on this host',
    'client_addr = "localhost"': "client_addr: invalid ip address: localhost",
    'client_addr = ""': "client_addr cannot be empty",
    'addresses { dns = "unix:///x" }': "DNS address cannot be a unix socket",
    'addresses { http = "1.2.3" }': "addresses.http: invalid ip address: 1.2.3",
    "ports { https = 8500 }": "HTTPS address 127.0.0.1:8500 already configured for HTTP",
    "ports { dns = 8500 }": "DNS address 127.0.0.1:8500 already configured for HTTP",
    "ports { http = 70000 }": "ports.http: invalid port: 70000; write 1 to 65535, or -1 to disable"
    " it",
    "ports { server = 0 }": "server-port must be greater than zero",
    "ports { serf_lan = -1 }": "serf-lan-port must be greater than zero",
    "ports { sidecar_min_port = 5 sidecar_max_port = 4 }": "sidecar_min_port must be less than"
    " sidecar_max_port. To disable, set both to zero.",
    'advertise_addr = "0.0.0.0"': "Advertise address cannot be 0.0.0.0, :: or [::]",
    'advertise_addr_wan = "::"': "Advertise WAN address cannot be 0.0.0.0, :: or [::]",
    'advertise_addr_ipv4 = "fd00::1"': "advertise_addr_ipv4: 'fd00::1' is not an ipv4 address",
    'tagged_addresses { lan_ipv6 = "10.0.0.1" }': "tagged_addresses[lan_ipv6]: '10.0.0.1' is not"
    " an ipv6 address",
    "bootstrap_expect = -1": "bootstrap_expect cannot be -1. Must be greater than or equal to zero",
    "bootstrap_expect = 3": "'bootstrap_expect > 0' not allowed in dev mode",
    "server = false bootstrap = true": "'bootstrap = true' requires 'server = true'",
    "performance { raft_multiplier = 11 }": "performance.raft_multiplier cannot be 11. Must be"
    " between 1 and 10",
    "raft_protocol = 1": "raft_protocol version 1 is not supported by this version of Consul",
    'raft_logstore { backend = "disk" }': 'raft_logstore.backend must be one of "default",'
    ' "boltdb" or "wal", not "disk"',
    "autopilot { max_trailing_logs = -1 }": "autopilot.max_trailing_logs cannot be -1. Must be"
    " greater than or equal to zero",
    "dns_config { udp_answer_limit = -1 }": "dns_config.udp_answer_limit cannot be -1. Must be"
    " greater than or equal to zero",
    "dns_config { a_record_limit = -1 }": "dns_config.a_record_limit cannot be -1. Must be"
    " greater than or equal to zero",
    'dns_config { node_ttl = "-1s" }': "dns_config.node_ttl cannot be -1s. Must be greater than"
    " or equal to zero",
    'dns_config { service_ttl { "a*b" = "1s" } }': 'dns_config.service_ttl: "a*b" is not a name,'
    " a prefix ending in *, or *",
    "dns_config { soa { refresh = -1 } }": "dns_config.soa.refresh must be between 0 and"
    " 4294967295 seconds",
    'dns_config { recursor_strategy = "fast" }': 'dns_config.recursor_strategy: "fast" is not'
    " valid; write one of sequential, random",
    'recursors = ["0.0.0.0"]': "DNS recursor address cannot be 0.0.0.0, :: or [::]",
    'recursors = ["8.8.8.8.8"]': "recursors: '8.8.8.8.8' is not an address such as 192.0.2.1:53",
    'http_config { allow_write_http_from = ["10.0.0.1"] }': "http_config.allow_write_http_from:"
    " invalid cidr: 10.0.0.1",
    'http_config { block_endpoints = ["v1/agent"] }': "http_config.block_endpoints: 'v1/agent' is"
    " not a path such as /v1/agent",
    'http_config { response_headers { "a b" = "c" } }': "http_config.response_headers: 'a b' is"
    " not a header",
    'http_config { response_headers { a = "b\\r\\nc: d" } }': "http_config.response_headers: 'a'"
    " is not a header",
    'serf_lan_allowed_cidrs = ["x"]': "serf_lan_allowed_cidrs: invalid CIDR address: x",
    'max_query_time = "-1s"': "max_query_time cannot be -1s. Must be greater than or equal to zero",
    'unix_sockets { mode = "rw" }': "unix_sockets.mode: 'rw' is not an octal mode such as 0660",
    'unix_sockets { user = "nobody-here" }': "unix_sockets.user: there is no user 'nobody-here'",
    'unix_sockets { group = "nobody-here" }': "unix_sockets.group: there is no group 'nobody-here'",
    'ui_config { dir = "/x" }': "Both the ui_config.enabled and ui_config.dir (or -ui and -ui-dir)"
    " were specified, please provide only one.",
    'ui_config { content_path = "/a b/" }': "ui-content-path can only contain alphanumeric, -, _,"
    ' or /. received: "/a b/"',
    'ui_config { content_path = "/v1/" }': "ui-content-path cannot have 'v[0-9]'. received:"
    ' "/v1/"',
    'ui_config { metrics_provider = "P" }': "ui_config.metrics_provider can only contain lowercase"
    " alphanumeric, - or _ characters.",
    'ui_config { metrics_provider_options_json = "[]" }': "ui_config.metrics_provider_options_json"
    ' must be empty or a string containing a valid JSON object. received: "[]"',
    'ui_config { metrics_proxy { base_url = "ftp://x" } }': "ui_config.metrics_proxy.base_url must"
    ' be a valid http or https URL. received: "ftp://x"',
    'ui_config { dashboard_url_templates { web = "x" } }': "ui_config.dashboard_url_templates"
    " values must be a valid http or https URL.",
    'acl { default_policy = "maybe" }': 'acl.default_policy: "maybe" is not valid; write one of'
    " allow, deny",
    'acl { down_policy = "x" }': 'acl.down_policy: "x" is not valid; write one of allow, deny,'
    " extend-cache, async-cache",
    'default_intention_policy = "x"': 'default_intention_policy: "x" is not valid; write one of'
    " allow, deny",
    'encrypt = "short"': "encrypt has invalid key: it is not base64; consul keygen makes one",
    'encrypt = "YWJj"': "encrypt has invalid key: it has 3 bytes, not 16, 24 or 32",
    'connect { ca_provider = "x" }': 'connect.ca_provider: "x" is not valid; write one of consul,'
    " vault, aws-pca",
    "limits { kv_max_value_size = -1 }": "limits.kv_max_value_size cannot be -1. Must be greater"
    " than or equal to zero",
    "limits { http_max_conns_per_client = -5 }": "limits.http_max_conns_per_client cannot be -5."
    " Must be greater than or equal to zero",
    'limits { request_limits { mode = "on" } }': 'limits.request_limits.mode: "on" is not valid;'
    " write one of disabled, permissive, enforcing",
    "check_output_max_size = 0": "check_output_max_size must be positive, to discard check output"
    " use the discard_check_output flag",
    "cache { entry_fetch_max_burst = 0 }": "cache.entry_fetch_max_burst must be strictly positive,"
    " was: 0",
    "cache { entry_fetch_rate = 0 }": "cache.entry_fetch_rate must be strictly positive, was: 0",
    'log_level = "loud"': "Invalid log level: LOUD. Valid log levels are: [TRACE DEBUG INFO WARN"
    " ERROR]",
    'enable_syslog = true syslog_facility = "LOCL0"': "syslog_facility: 'LOCL0' is not one; did"
    " you mean LOCAL0?",
    "log_rotate_max_files = -2": "log_rotate_max_files must be -1 (keep none), 0 (keep all) or"
    " more",
    'segment = "x"': "Network segments are not supported in this version of Consul",
    'server_rejoin_age_max = "1h"': "server_rejoin_age_max: duration '1h0m0s' cannot be less than:"
    " 6h0m0s",
    "tls { https { use_auto_cert = true } }": "use_auto_cert is only valid in the tls.grpc stanza",
    'config_entries { bootstrap = [{ kind = "service-defaults" }] }': "config_entries.bootstrap[0]:"
    " Name is required",
    'tls { defaults { tls_min_version = "1.2" } }': "tls.defaults.tls_min_version: '1.2' is not a"
    " version; valid: TLS_AUTO, TLSv1_0, TLSv1_1, TLSv1_2, TLSv1_3",
    'tls { https { tls_cipher_suites = "TLS_X" } }': "tls.https.tls_cipher_suites: unknown suite"
    " 'TLS_X'; valid here: TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,"
    " TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,"
    " TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,"
    " TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
    " TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,"
    " TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA,"
    " TLS_RSA_WITH_AES_128_GCM_SHA256, …",
    'tls { https { cert_file = "/nope" } }': "tls.https.cert_file needs a key_file beside it",
    'tls { https { cert_file = "/nope" key_file = "/nope" } }': "tls.https.cert_file: /nope: no"
    " such file or directory",
    'tls { defaults { ca_file = "/nope" } }': "tls.defaults.ca_file: /nope: no such file or"
    " directory",
    'tls { defaults { ca_path = "/nope" } }': "tls.defaults.ca_path: /nope: no such"
    " file or directory",
    "tls { defaults { verify_outgoing = true } }": "tls.defaults.verify_outgoing is set, but no CA"
    " certificates were provided",
    "auto_encrypt { tls = true }": "2 errors occurred:\n\t* auto_encrypt.tls is not supported yet:"
    " agents get no certificates from servers\n\t* auto_encrypt.tls can only be used on a client.",
    "service { port = 80 }": "services[0]: Missing service name",
    'service { name = "web" address = "0.0.0.0" }': 'service "web": Invalid service address',
    'service { name = "web" weights { passing = 0 warning = 1 } }': 'service "web": Invalid'
    " Weights: Passing must be greater than 0",
    'service { name = "web" check { http = "http://x" } }': 'service "web": Invalid check: Interval'
    " must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks",
    'service { name = "web" check { ttl = "1s" interval = "1s" } }': 'service "web": Invalid'
    " check: Interval and TTL cannot both be specified",
    'check { interval = "1s" tcp = "x:1" }': "checks[0]: Missing check name",
    'check { name = "c" ttl = "1s" status = "ok" }': 'check "c": Bad check status',
    'watches = [{ key = "a" }]': "watches[0]: Watch type must be specified",
    'watches = [{ type = "keys" args = ["x"] }]': "watches[0]: Unsupported watch type: keys; did"
    " you mean key?",
    'watches = [{ type = "key" args = ["x"] }]': "watches[0]: Must specify a single key to watch",
    'watches = [{ type = "key" key = "a" }]': "watches[0]: Must define a watch handler",
    'watches = [{ type = "key" key = "a" args = ["x"] handler = "y" }]': "watches[0]: Only one"
    " watch handler allowed",
    'watches = [{ type = "key" key = "a" handler_type = "http" }]': "watches[0]: Requires"
    " 'http_handler_config.path', a URL of http or https",
    'watches = [{ type = "key" key = "a" handler_type = "x" }]': "watches[0]: Handler type 'x' not"
    " recognized; write script or http",
    'watches = [{ type = "nodes" args = ["x"] tag = "y" }]': "watches[0]: Invalid parameters:"
    " [tag]; valid here: args, datacenter, filter, handler, handler_type, http_handler_config,"
    " stale, token, type",
    'watches = [{ type = "checks" args = ["x"] service = "a" state = "any" }]': "watches[0]: Cannot"
    " specify service and state",
    'watches = [{ type = "service" args = ["x"] service = "a" passingonly = "y" }]': "watches[0]:"
    " Expecting passingonly to be a boolean",
}

FLAGS = {
    "-foo": "flag provided but not defined: -foo",
    "--sever": "flag provided but not defined: -sever; did you mean -server?",
    "-data_dir=x": "flag provided but not defined: -data_dir; did you mean -data-dir?",
    "---dev": "bad flag syntax: ---dev",
    "-node": "flag needs an argument: -node",
    "-server=maybe": 'invalid boolean value "maybe" for -server: strconv.ParseBool:'
    ' parsing "maybe": invalid syntax',
    "-dev=x": 'invalid boolean value "x" for -dev: strconv.ParseBool: parsing "x": invalid syntax',
    "-http-port=http": 'invalid value "http" for flag -http-port: strconv.Atoi:'
    ' parsing "http": invalid syntax',
    "-bootstrap-expect 1.5": 'invalid value "1.5" for flag -bootstrap-expect: strconv.Atoi:'
    ' parsing "1.5": invalid syntax',
    "-retry-interval 30": '1 error occurred:\n\t* retry_interval: invalid duration: "30": time:'
    ' missing unit in duration "30"; write 30s for seconds',
    "-config-format=yaml": "config: -config-format must be either 'hcl' or 'json', not 'yaml'",
    "-dev server": "Unexpected extra arguments: server; flags have the form -name=value",
    "-server -bind=127.0.0.1": "data_dir cannot be empty",
    "-bind=127.0.0.1 -data-dir=d -bootstrap-expect=1": "'bootstrap_expect > 0' requires"
    " 'server = true'",
    "-server -bind=127.0.0.1 -data-dir=d -bootstrap -bootstrap-expect=1": "'bootstrap_expect > 0'"
    " and 'bootstrap = true' are mutually exclusive",
    "-dev -data-dir=/dev/null": 'data_dir "/dev/null" is not a directory',
    "-dev -config-file=/nope.hcl": (
        "config: Open failed on /nope.hcl. open /nope.hcl: no such file or directory"
    ),
    "-dev -config-dir=/nope": (
        "config: Open failed on /nope. open /nope: no such file or directory"
    ),
    "-dev -hcl=a=": "failed to parse flags-0.hcl: line 1: expected a value, found the end of the"
    " text",
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_files_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "c.hcl"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        validate([str(file)])
    assert str(caught.value) == f"failed to parse {file}: 1 error occurred:\n\t* {UNREADABLE[text]}"


@pytest.mark.parametrize("text", REFUSED)
def test_configurations_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["-dev", "-hcl", text], persist=False)
    assert str(caught.value) == REFUSED[text]


@pytest.mark.parametrize("arguments", FLAGS)
def test_flags_that_are_refused(arguments: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(arguments.split(), persist=False)
    assert str(caught.value) == FLAGS[arguments]


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.hcl"
    file.write_text('datacenter = "x"\nserver = 1\nports {\n  htp = 1\n}\n')
    with pytest.raises(ConfigError) as caught:
        validate([str(file)])
    assert str(caught.value) == (
        f"failed to parse {file}: 2 errors occurred:"
        "\n\t* 'server' expected type 'bool', got unconvertible type 'int', value: '1' (line 2)"
        "\n\t* invalid config key ports.htp; did you mean http? (line 4)"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.txt", b"", "config: {} has no known suffix: extension must be .hcl or .json, or config"
         " format must be set"),
        ("c.hcl", b"a\xff", "failed to parse {}: line 1: it is not UTF-8 text"),
        ("c.json", b"[]", "failed to parse {}: line 1: not a configuration: expected an object at"
         " the top"),
        ("c.json", b'{"_comment": "x", "//": "y"}', "failed to parse {}: 2 errors occurred:\n\t*"
         " invalid config key _comment\n\t* invalid config key //"),
        ("c.hcl", b"server = true\n= 1", "failed to parse {}: line 2: expected a key, found '='"),
    ],
)  # fmt: skip
def test_files_that_are_none(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        validate([str(file)])
    assert str(caught.value) == said.format(file)


def test_there_are_enough_of_them() -> None:
    assert len(list(itertools.chain(UNREADABLE, REFUSED, FLAGS))) >= 150
