"""Sockets that several gateways listen on at one port of a machine, and how one leaves without refusing a client.

The kernel divides new connections among the sockets bound with SO_REUSEPORT, and resets those that still wait at one
when it is closed (Linux; tcp_migrate_req would move them). So a gateway that leaves first accepts all that wait.
"""

import contextlib
import socket

from shared.settings import Server


def shared_sockets(listening: Server) -> list[socket.socket]:
    """Return a socket for each address of the host, bound but not listening yet.

    Raises OSError where the host is unknown, or another program or another user's has the port.
    """
    found = socket.getaddrinfo(listening.host, listening.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as unless_all_are_bound:
        sockets = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(unless_all_are_bound.enter_context(socket.socket(family, kind, protocol)))
            if family == socket.AF_INET6:
                sockets[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sockets[-1].bind(address)
        unless_all_are_bound.pop_all()
    return sockets


def accept_waiting(listeners: list[socket.socket]) -> list[socket.socket]:
    """Close listening sockets after accepting every connection that waits at them; return those connections.

    Between the last accept and the close pass some microseconds, in which a connection may still be lost.
    """
    waiting = []
    for listener in listeners:
        listener.setblocking(False)  # noqa: FBT003  the standard library takes it so
        with contextlib.suppress(BlockingIOError), listener:
            while True:
                waiting.append(listener.accept()[0])
    return waiting
