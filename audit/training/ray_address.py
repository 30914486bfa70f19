"""Whether anything that speaks Ray's protocol answers at an address.

``ray.init`` tries for two minutes, says so on the terminal, and ends the process.
"""

from __future__ import annotations

import os
import socket

from audit.errors import BadInput

_SECONDS = 10.0


def refuse_unreachable(address: str) -> None:
    """Refuse an ``address`` where no cluster answers; ``auto`` is Ray's to find.

    Raises:
        BadInput: it is no address, or nobody there speaks gRPC.
    """
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not host or not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadInput(
            "address",
            address,
            "must be auto, HOST:PORT or ray://HOST:PORT",
            "ray start prints it; the port is 6379, or 10001 with ray://",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
        # With encryption the handshake is Ray's affair.
        if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
            _handshake(f"{host}:{port}")
    except OSError as error:
        raise BadInput(
            "address",
            address,
            f"does not answer as a Ray cluster ({error.strerror or error})",
            "Start one there (ray start --head), or mend the address",
        ) from error


def _handshake(target: str) -> None:
    import grpc

    with grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_SECONDS)
        except grpc.FutureTimeoutError:
            raise TimeoutError("something else listens at that port") from None
