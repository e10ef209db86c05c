"""Servers that do not answer at all: no such name, no connection, a certificate that is not trusted."""

from __future__ import annotations

import errno
import socket
import ssl
import sys
from collections.abc import Iterator

from lowbit.worker.refuse import LaterError, causes

ERRNOS = frozenset(
    {
        errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH,
        errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENOTCONN, errno.EADDRNOTAVAIL,
    }
)  # fmt: skip
LIBRARIES = {
    "httpx2": ("TransportError",),
    "aiohttp": ("ClientConnectionError", "ClientPayloadError"),
    "botocore.exceptions": ("HTTPClientError", "ConnectionError", "IncompleteReadError", "MetadataRetrievalError"),
    "requests.exceptions": ("ConnectionError", "Timeout", "ChunkedEncodingError"),
    "urllib3.exceptions": ("TimeoutError", "ProtocolError", "NewConnectionError"),
}
"""By module: errors of a connection that are no OSErrors, or none that carry an errno."""
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
LOOK = "look at the network, the proxy (platform.proxy), the network policies and the server"


def unreachable(error: BaseException, who: str = "a server") -> LaterError | None:
    """The error of a connection; None if it is not one. who: names the server and what it was asked for."""
    chain = list(causes(error))
    if not any(_is_of_network(each) for each in chain):
        return None
    words = " ".join((str(_first(chain)) or type(_first(chain)).__name__).split())
    if any(isinstance(each, ssl.SSLCertVerificationError) or UNTRUSTED in str(each) for each in chain):
        return LaterError(
            "CertificateRefused",
            f"{who}: its certificate is not trusted: {words}",
            "put the authority that has signed it into the ConfigMap of platform.caBundleConfigMap, "
            "or renew the certificate",
        )
    if any(isinstance(each, socket.gaierror) for each in chain):
        return LaterError(
            "NameNotResolved",
            f"{who}: its name cannot be resolved: {words}",
            "check the host's name in the manifest and in the chart's values, and the cluster's DNS",
        )
    return LaterError("Unreachable", f"{who}: it cannot be reached: {words}", LOOK)


def _is_of_network(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.filename is None:
        known = isinstance(error, ConnectionError | TimeoutError | socket.gaierror | ssl.SSLError)
        if known or error.errno in ERRNOS:
            return True
    return isinstance(error, tuple(_of_libraries()))


def _of_libraries() -> Iterator[type[BaseException]]:
    """The libraries' errors. One that was not imported has raised nothing."""
    for module, names in LIBRARIES.items():
        if module in sys.modules:
            yield from (getattr(sys.modules[module], name) for name in names)


def _first(chain: list[BaseException]) -> BaseException:
    """The error nearest to the socket: its words say most."""
    return next((each for each in reversed(chain) if isinstance(each, OSError)), chain[0])
