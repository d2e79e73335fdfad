"""The control process with mistakes: some objects compile to what Envoy refuses, or not at all.

Routers and services called ``refused…`` become resources that break Envoy's own rules, and so
do header middlewares that set ``X-Refused``; a router called ``mistake`` makes the compiler
raise an error. ``python -m tests.integration.refusing_control FLAG…`` runs a whole Portway so.
"""

from __future__ import annotations

import sys
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutation

from portway.edge import control, pipeline, services, supervise
from portway.edge.compile import compiler
from portway.edge.compile import router as router_module
from portway.envoy.messages import pack
from portway.envoy.resource import Resource

_MODULE = "tests.integration.refusing_control"


def _break_routers() -> None:
    original = router_module.compile_router

    def compile_router(info: Any, *rest: Any) -> Any:
        if info.name.startswith("mistake"):
            raise ZeroDivisionError("a mistake of ours")
        compiled = original(info, *rest)
        if not info.name.startswith("refused"):
            return compiled
        route = Route(name=info.name)
        route.direct_response.status = 42
        broken = compiled.router._replace(route=route.SerializeToString())
        return compiled._replace(router=broken)

    vars(compiler)["compile_router"] = compile_router


def _break_services() -> None:
    original = services.compile_service

    def compile_service(info: Any, *rest: Any) -> Any:
        compiled = original(info, *rest)
        if compiled is None or not info.name.startswith("refused"):
            return compiled
        cluster = Cluster.FromString(compiled.cluster.body)
        cluster.connect_timeout.seconds = -1
        key = compiled.cluster.key
        return compiled._replace(cluster=Resource.of(*key, cluster.SerializeToString()))

    vars(services)["compile_service"] = compile_service


def _break_filters() -> None:
    original = pipeline.native_filter

    def native_filter(step: Any) -> Any:
        made = original(step)
        if b"x-refused" not in step.config.value:
            return made
        broken = HeaderMutation()
        broken.mutations.request_mutations.add().append.header.key = ""
        broken.mutations.request_mutations.add().remove = step.config.value.hex()[:1000]
        return TypedExtensionConfig(name=made.name, typed_config=pack(broken))

    vars(pipeline)["native_filter"] = native_filter


if __name__ == "__main__":
    if sys.argv[1:2] == ["--control"]:
        _break_routers()
        _break_services()
        _break_filters()
        sys.exit(control.main(sys.argv[2:]))
    sys.exit(supervise.run([sys.executable, "-m", _MODULE, "--control", *sys.argv[1:]]))
