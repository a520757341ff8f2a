"""A burst of new connections does not wait a turn of the event loop for each of them."""

import asyncio
import socket

import uvloop

from service.server import ACCEPTED_AT_ONCE, handles

CLIENTS = 2 * ACCEPTED_AT_ONCE


class Accepted(asyncio.Protocol):
    def __init__(self, transports: list[asyncio.BaseTransport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.append(transport)


async def turns(listeners: list[socket.socket]) -> int:
    """How many turns of the loop it takes until everybody who waits is accepted."""
    loop = asyncio.get_running_loop()
    accepted: list[asyncio.BaseTransport] = []
    servers = [
        await loop.create_server(lambda: Accepted(accepted), sock=listener)
        for listener in listeners
    ]
    clients = [socket.create_connection(listeners[0].getsockname()) for _ in range(CLIENTS)]
    taken = 0
    while len(accepted) < CLIENTS:
        await asyncio.sleep(0)
        taken += 1
    for server in servers:
        server.close()
    for transport in accepted:
        transport.close()
    for client in clients:
        client.close()
    return taken


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2 * CLIENTS)
    return listener


def test_as_many_are_taken_in_a_turn_as_there_are_handles() -> None:
    assert uvloop.run(turns([listening()])) >= CLIENTS  # why there are handles at all
    assert uvloop.run(turns(handles(listening()))) < CLIENTS / 2
