"""A proxy on 127.0.0.1 that may stop forwarding, as a network may, without closing anything."""

import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards connections to a port of this machine, unless it is told to hold everything back.

    Parameters
    ----------
    port : int
        Where to.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._ended = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        self._open.set()
        self._listener.close()
        for one in self._sockets:
            one.close()

    def hold(self) -> None:
        """Take everything from now on and bring nothing."""
        self._open.clear()

    def go_on(self) -> None:
        """Forward again, first what was held back."""
        self._open.set()

    def _accept(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return
