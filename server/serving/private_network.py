"""Workers on machines of a private network; in: server.worker_networks; out: addresses to listen on, and a guard that knows its peers.

Controller and workers ask for no key, so a request's sender decides: this machine always, others only from the networks that the
settings name. A worker elsewhere answers only the machine of its controller, which the gateway runs on, too.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from configs.settings import Server, is_loopback
from server.access import Access, App, Receive, Scope, Send, openai_error
from server.errors import Forbidden, Invalid

LOOPBACK = "127.0.0.1"


def inside(host: str, networks: Iterable[str]) -> bool:
    """Whether `host` is an address (no name) of one of the networks; `::ffff:10.0.0.1` counts as 10.0.0.1."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in ipaddress.ip_network(network) for network in networks)


def controller_hosts(networks: Iterable[str]) -> tuple[str, ...]:
    """Loopback, and this machine's own addresses in each of the networks. Raises Invalid for a network in which it has none."""
    hosts = [LOOPBACK]
    own = [] if not (networks := tuple(networks)) else _own_addresses()
    for network in networks:
        there = [address for address in own if inside(address, (network,))]
        if not there:
            raise Invalid(f"server.worker_networks names {network}, where this machine has no address; it has {', '.join(own)}")
        hosts += there
    return tuple(dict.fromkeys(hosts))


def worker_hosts(controller: str, networks: Iterable[str]) -> tuple[str, ...]:
    """Loopback; for a controller elsewhere also the address from which it is reached, last. Raises Invalid outside of `networks`."""
    host = urlsplit(controller).hostname or ""
    if is_loopback(host):
        return (LOOPBACK,)
    if not inside(host, networks):
        raise Invalid(
            f"the controller at {controller} is on another machine, and {host} lies in none of server.worker_networks; name its private "
            "network there, on both machines, and the controller by its address"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))  # nothing is sent: the system chooses the address
        except OSError as exc:
            raise Invalid(f"no way leads to the controller at {controller}: {exc.strerror or exc}") from exc
        own = str(probe.getsockname()[0])
    if not inside(own, networks):
        raise Invalid(f"this machine reaches {controller} from {own}, which lies in none of server.worker_networks")
    return (LOOPBACK, own)


def guarded(app: App, hosts: Iterable[str], peers: Iterable[str], *, body_limit_mib: int) -> App:
    """`app` for loopback and for `peers` (networks or addresses), under the names of `hosts`; others get 403."""
    server = Server.model_validate({"allowed_hosts": tuple(hosts)})
    return _Peers(Access(app, server, body_limit_mib=body_limit_mib), tuple(peers))


def may_ask(peer: str, peers: Iterable[str]) -> bool:
    """Whether a request may come from the address `peer`."""
    return is_loopback(peer) or inside(peer, peers) or inside(peer, ("127.0.0.0/8",))


class _Peers:
    def __init__(self, app: App, peers: tuple[str, ...]) -> None:
        self._app = app
        self._peers = peers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        peer = (scope.get("client") or ("",))[0]
        if scope["type"] == "http" and not may_ask(peer, self._peers):
            networks = ", ".join(self._peers) or "no other machine"
            exc = Forbidden(f"{peer} may not ask here, only this machine and {networks} (server.worker_networks)")
            await JSONResponse(openai_error(exc), exc.status)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _own_addresses() -> list[str]:
    import psutil

    found = [entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries]
    addresses = []
    for text in found:
        with contextlib.suppress(ValueError):  # a hardware address
            addresses.append(str(ipaddress.ip_address(text)))
    return addresses
