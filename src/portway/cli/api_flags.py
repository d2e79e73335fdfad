"""The flags that every command has which asks the HTTP API: names and what help says of them."""

from __future__ import annotations

CLIENT = (
    (
        "http-addr",
        "Where the HTTP API is: an `address` with port, a URL, or unix:///path of a socket."
        " Environment: CONSUL_HTTP_ADDR; CONSUL_HTTP_SSL=true asks over HTTPS. Default:"
        " http://127.0.0.1:8500.",
    ),
    (
        "token",
        "ACL token of the request. Environment: CONSUL_HTTP_TOKEN. Without one the agent's own"
        " default token counts.",
    ),
    (
        "token-file",
        "File that holds the ACL token; it comes before -token. Environment:"
        " CONSUL_HTTP_TOKEN_FILE.",
    ),
    ("ca-file", "File of the CA that signed the API's certificate. Environment: CONSUL_CACERT."),
    (
        "ca-path",
        "Directory of CA files, any of which may have signed the API's certificate. Environment:"
        " CONSUL_CAPATH.",
    ),
    (
        "client-cert",
        "File of the certificate to show to the API where it asks for one. Environment:"
        " CONSUL_CLIENT_CERT.",
    ),
    (
        "client-key",
        "File of the key of -client-cert. Environment: CONSUL_CLIENT_KEY.",
    ),
    (
        "tls-server-name",
        "Name that the API's certificate must have, and that is sent as SNI. Environment:"
        " CONSUL_TLS_SERVER_NAME.",
    ),
)
SERVER = (
    ("datacenter", "Datacenter to ask; without it that of the agent."),
    (
        "namespace",
        "Namespace to ask; a server without namespaces refuses it. Environment: CONSUL_NAMESPACE.",
    ),
    (
        "partition",
        "Admin partition to ask; a server without partitions refuses it. Environment:"
        " CONSUL_PARTITION.",
    ),
)
STALE = (
    "Any server may answer, not only the leader: faster, and possibly with data that is no longer"
    " current. It changes nothing where something is written. Default: false."
)
