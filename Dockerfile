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
# The commands of existing guides run word for word, with the program's name or without.
RUN for name in portway traefik consul; do ln -s /opt/portway/bin/portway /usr/local/bin/$name; done \
    && printf '%s\n' '#!/bin/sh' \
        'case "${1-}" in' \
        '    portway | traefik | consul | sh | bash | /*) exec "$@" ;;' \
        '    *) exec portway "$@" ;;' \
        'esac' > /usr/local/bin/portway-entrypoint \
    && chmod 755 /usr/local/bin/portway-entrypoint
EXPOSE 80
ENTRYPOINT ["portway-entrypoint"]
