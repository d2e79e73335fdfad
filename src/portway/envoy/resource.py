"""An Envoy resource as the data plane knows it: a type, a name and serialised bytes."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

TYPE = "type.googleapis.com/"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"
FILTER = TYPE + "envoy.config.core.v3.TypedExtensionConfig"
SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"


class Key(NamedTuple):
    """A resource's identity."""

    type_url: str
    name: str


class Resource(NamedTuple):
    """One resource: ``body`` is the serialised message, ``version`` a hash of it, so that
    a control process that restarts offers exactly the versions Envoy already holds."""

    key: Key
    body: bytes
    version: str

    @classmethod
    def of(cls, type_url: str, name: str, body: bytes) -> Resource:
        return cls(Key(type_url, name), body, hashlib.blake2b(body, digest_size=12).hexdigest())


class Rejection(NamedTuple):
    """Envoy refused resources: the type, the names that were in the refused message, and
    Envoy's own words. ``version`` is that of the refused resource when it is a single one."""

    type_url: str
    names: tuple[str, ...]
    message: str
    version: str = ""
