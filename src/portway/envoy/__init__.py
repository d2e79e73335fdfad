"""The data plane: resources, the delta ADS server, the Envoy process and its admin socket.

Knows nothing of Traefik or Consul.
"""
