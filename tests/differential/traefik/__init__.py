"""The same configuration and request through the real Traefik and through Portway."""
