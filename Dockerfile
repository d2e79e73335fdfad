# Portway's image. Wheels are built outside and installed without an index:
#   python -m pip wheel --wheel-dir dist/wheels -c constraints.txt . && docker build -t portway .
# BASE is any Debian or Ubuntu based image (glibc >= 2.30) with Python 3.11 and its venv module.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
COPY dist/wheels /wheels
RUN python3 -m venv /opt/portway \
    && /opt/portway/bin/pip install --no-index --no-cache-dir --find-links=/wheels portway \
    && /opt/portway/bin/pip uninstall --quiet --yes setuptools pip

FROM ${BASE}
COPY --from=build /opt/portway /opt/portway
# The commands of existing guides run word for word, with the program's name or without. As in
# Consul's image, "agent" keeps its data and configuration under /consul.
RUN for name in portway traefik consul; do ln -s /opt/portway/bin/portway /usr/local/bin/$name; done \
    && mkdir -m 700 -p /consul/data /consul/config \
    && printf '%s\n' '#!/bin/sh' \
        'case "${1-}" in' \
        '    portway | traefik | consul | sh | bash | /*) exec "$@" ;;' \
        '    agent)' \
        '        shift' \
        '        [ -z "${CONSUL_BIND_INTERFACE-}" ] ||' \
        '            set -- "-bind={{ GetInterfaceIP \"$CONSUL_BIND_INTERFACE\" }}" "$@"' \
        '        [ -z "${CONSUL_CLIENT_INTERFACE-}" ] ||' \
        '            set -- "-client={{ GetInterfaceIP \"$CONSUL_CLIENT_INTERFACE\" }}" "$@"' \
        '        exec consul agent "-data-dir=${CONSUL_DATA_DIR:-/consul/data}" \' \
        '            "-config-dir=${CONSUL_CONFIG_DIR:-/consul/config}" "$@"' \
        '        ;;' \
        '    *) exec portway "$@" ;;' \
        'esac' > /usr/local/bin/portway-entrypoint \
    && chmod 755 /usr/local/bin/portway-entrypoint
VOLUME /consul/data
EXPOSE 80 8500 8600 8600/udp
ENTRYPOINT ["portway-entrypoint"]
