"""Whether the ports are free; in: which part wants which port; out: sentences that name the taken ones, their holders, and the way out."""

from __future__ import annotations

import errno
import socket
from collections.abc import Container
from dataclasses import dataclass

import psutil

from configs.settings import PREFIX
from server.errors import Invalid

LONGEST = 160  # characters of a command line


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part's port; `setting` is the dotted name under which it can be changed."""

    part: str
    host: str
    port: int
    setting: str


def complaints(wanted: list[Wanted]) -> list[str]:
    """One sentence for each port that cannot be had."""
    sentences = []
    owners: dict[int, Wanted] = {}
    for want in wanted:
        first = owners.setdefault(want.port, want)
        if first is not want:
            sentences.append(f"port {want.port} is wanted by two parts, {first.part} and {want.part}. {_change(want)}")
        elif problem := _problem(want):
            sentences.append(problem)
    return sentences


def free_from(first: int, but: Container[int], host: str = "127.0.0.1") -> int:
    """The lowest port from `first` on that can be opened and is not in `but`. Raises Invalid when there is none."""
    for port in range(first, 65536):
        if port not in but and not _problem(Wanted("", host, port, "")):
            return port
    raise Invalid(f"no port from {first} on is free")


def _problem(want: Wanted) -> str:
    try:
        found = socket.getaddrinfo(want.host.strip("[]"), want.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        return f"server.host {want.host!r} of {want.part} is no address: {exc.strerror}"
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: connections that linger do not count
        try:
            probe.bind(address)
            probe.listen(1)
        except PermissionError:
            return f"port {want.port} ({want.part}) may only be opened by root. {_change(want)}"
        except OSError as exc:
            if exc.errno == errno.EADDRNOTAVAIL:
                return f"server.host {want.host!r} of {want.part} is not an address of this machine"
            return f"port {want.port} is taken, {want.part} wants it; {_holder(want.port)}. {_change(want)}"
    return ""


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline())[:LONGEST] or process.name()
                ours = next((parent for parent in process.parents() if "startup.py" in " ".join(parent.cmdline())), None)
                started = f", started by another PaperProof, pid {ours.pid}" if ours else ""
                return f"pid {process.pid} holds it ({command}{started})"
    except psutil.Error:
        pass  # another user's process: the system does not tell
    return "another program holds it (the system does not tell which)"


def _change(want: Wanted) -> str:
    variable = PREFIX + want.setting.upper().replace(".", "__")
    block, _, key = want.setting.partition(".")
    other = want.port + 100 if want.port + 100 < 65536 else want.port - 100
    return (
        f"Stop that program, or choose another port: {variable}={other} in .env, or `{block}: {{{key}: {other}}}` in configs/settings.yaml"
    )
