# Portway's image. Wheels are built outside and installed without an index:
#   python -m pip wheel --wheel-dir dist/wheels -c constraints.txt . && docker build -t portway .
# BASE is any Debian or Ubuntu based image (glibc >= 2.30) with Python 3.11 and its venv module.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
COPY dist/wheels /wheels
RUN python3 -m venv /opt/portway \
    && /opt/portway/bin/pip install --no-index --no-cache-dir --find-links=/wheels portway \
    && rm -rf /wheels \
    && ln -s /opt/portway/bin/portway /usr/local/bin/portway \
    && ln -s /opt/portway/bin/portway /usr/local/bin/traefik \
    && ln -s /opt/portway/bin/portway /usr/local/bin/consul
EXPOSE 80
ENTRYPOINT ["portway"]
