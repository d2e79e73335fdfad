"""The edge API: the runtime objects over HTTP, with Traefik's endpoints and shapes."""

from portway.edge.api.app import Product, create_app
from portway.edge.api.servers import Health

__all__ = ["Health", "Product", "create_app"]
