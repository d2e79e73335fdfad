# A server for one machine: portway agent -config-dir=examples/agent
server    = true
bind_addr = "127.0.0.1"
data_dir  = "/tmp/portway-data"

acl {
  enabled        = true
  default_policy = "deny"   # begin with: portway acl bootstrap
}

dns_config {
  service_ttl = { "*" = "5s" }
}
