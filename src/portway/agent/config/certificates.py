"""The files of TLS: whether they are there, fit together, and suffice for what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from portway.agent.config.config import AgentConfig
from portway.agent.config.tls import CIPHER_SUITES, VERSIONS, Tls, TlsInterface, TlsSettings
from portway.config import nearest


def problems(config: AgentConfig) -> Iterator[str]:
    """Everything wrong with the ``tls`` block and its files. Reads the files."""
    yield from _misplaced(config.tls)
    defaults = config.tls.defaults
    seen: set[str] = set()
    interfaces = (
        ("https", config.tls.https, config.tls_https),
        ("internal_rpc", config.tls.internal_rpc, config.tls_internal_rpc),
        ("grpc", config.tls.grpc, config.tls_grpc),
    )
    for name, own, settings in interfaces:
        for key, text in _of_interface(settings):
            shown = f"{_block(name, own, defaults, key)}{text}"
            if shown not in seen:
                seen.add(shown)
                yield shown


def _misplaced(tls: Tls) -> Iterator[str]:
    if tls.grpc.verify_outgoing is not None:
        yield "verify_outgoing is not valid in the tls.grpc stanza"
    if (tls.grpc.verify_server_hostname, tls.https.verify_server_hostname) != (None, None):
        yield (
            "verify_server_hostname is only valid in the tls.defaults and tls.internal_rpc stanzas"
        )
    auto = (tls.defaults.use_auto_cert, tls.https.use_auto_cert, tls.internal_rpc.use_auto_cert)
    if any(said is not None for said in auto):
        yield "use_auto_cert is only valid in the tls.grpc stanza"


def _block(name: str, own: TlsInterface, defaults: TlsInterface, key: str) -> str:
    """The block that said it: the interface's own, or the defaults it took it from."""
    own_says = getattr(own, key) is not None or getattr(defaults, key) is None
    return f"tls.{name if own_says else 'defaults'}."


def _of_interface(settings: TlsSettings) -> Iterator[tuple[str, str]]:
    """The key a problem is about, and the text, which begins with the key."""
    version = settings.tls_min_version
    if version not in VERSIONS:
        valid = ", ".join(VERSIONS)
        yield "tls_min_version", f"tls_min_version: {version!r} is not a version; valid: {valid}"
    for suite in filter(None, (part.strip() for part in settings.tls_cipher_suites.split(","))):
        if suite not in CIPHER_SUITES:
            hint = nearest(suite, CIPHER_SUITES)
            yield "tls_cipher_suites", f"tls_cipher_suites: unknown suite {suite!r}{hint}"
    yield from _pair(settings)
    yield from _authorities(settings)
    if settings.verify_incoming:
        if not (settings.ca_file or settings.ca_path):
            yield (
                "verify_incoming",
                "verify_incoming is set, but no CA certificates were provided",
            )
        if not (settings.cert_file and settings.key_file) and not settings.use_auto_cert:
            yield "verify_incoming", "verify_incoming is set, but no cert/key pair was provided"
    if settings.verify_outgoing and not (settings.ca_file or settings.ca_path):
        yield "verify_outgoing", "verify_outgoing is set, but no CA certificates were provided"


def _pair(settings: TlsSettings) -> Iterator[tuple[str, str]]:
    cert, key = settings.cert_file, settings.key_file
    if bool(cert) != bool(key):
        given, lacking = ("cert_file", "key_file") if cert else ("key_file", "cert_file")
        yield given, f"{given} needs a {lacking} beside it"
        return
    if not cert:
        return
    for name, path in (("cert_file", cert), ("key_file", key)):
        problem = _unreadable(path)
        if problem:
            yield name, f"{name}: {problem}"
            return
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key, password=_no_password)
    except _EncryptedError:
        yield "key_file", f"key_file: {key} is encrypted; write it without a passphrase"
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield "key_file", f"key_file: {key} is not the key of the certificate in {cert}"
        else:
            yield "cert_file", f"cert_file: {cert} and {key} do not hold a certificate and a key"


class _EncryptedError(Exception):
    pass


def _no_password() -> str:
    raise _EncryptedError  # without this, OpenSSL asks at the terminal


def _authorities(settings: TlsSettings) -> Iterator[tuple[str, str]]:
    for name, path in (("ca_file", settings.ca_file), ("ca_path", settings.ca_path)):
        if not path:
            continue
        files = [path]
        if name == "ca_path":
            try:
                files = _in_directory(path)
            except (OSError, ValueError) as error:
                yield name, f"{name}: {path}: {_reason(error)}"
                continue
        if not files:
            yield name, f"{name}: {path} holds no certificates"
        for file in files:
            problem = _unreadable(file) or _no_certificates(file)
            if problem:
                yield name, f"{name}: {problem}"
                break


def authority_files(settings: TlsSettings) -> list[str]:
    """The files with certificates of authorities: ``ca_file``, and those in ``ca_path``."""
    files = [settings.ca_file] if settings.ca_file else []
    if settings.ca_path:
        files += _in_directory(settings.ca_path)
    return files


def _in_directory(path: str) -> list[str]:
    return sorted(str(file) for file in Path(path).iterdir() if file.is_file())


def _unreadable(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return ""
    except (OSError, ValueError) as error:
        return f"{path}: {_reason(error)}"


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _no_certificates(path: str) -> str:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, OSError):
        return f"{path} holds no certificates"
    return ""
