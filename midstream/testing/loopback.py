"""A small HTTP/1.1 server on loopback that can also fail as networks do, and that leaves nothing behind.

Source: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
_POLL = 0.02  # seconds; how long `stop` may wait for the accepting thread
_JOIN = 5.0  # seconds; a handler ends at once when its socket does


class Exchange(BaseHTTPRequestHandler):
    """One connection; for each request on it the server's `respond` is called with this object."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def lower_headers(self) -> dict[str, str]:
        """The headers of the request, names in lower case."""
        return {name.lower(): value for name, value in self.headers.items()}

    def read_body(self) -> bytes:
        """Read the body of the request, once."""
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def reply(
        self, status: int, body: bytes, headers: Mapping[str, str], *, promised: int | None = None
    ) -> None:
        """Answer with a whole body, or with less of it than is promised; then the connection must be broken."""
        length = len(body) if promised is None else promised
        self._begin(status, {**headers, "content-length": str(length)})
        self.wfile.write(body)

    def reply_json(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        """Answer with a JSON body."""
        self.reply(
            status, json.dumps(body).encode(), {"content-type": "application/json", **headers}
        )

    def stream(
        self,
        events: Iterator[bytes],
        headers: Mapping[str, str],
        *,
        delay: float = 0.0,
        end: bool = True,
    ) -> None:
        """Answer with server-sent events, each in a chunk of its own.

        Args:
            events: What to send.
            headers: Headers beside those of a stream.
            delay: Seconds before each event.
            end: Whether to say that the body is over; without it the connection must be broken.
        """
        kind = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        self._begin(200, {**kind, **headers, "transfer-encoding": "chunked"})
        for event in events:
            self.pause(delay)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        if end:
            self.wfile.write(b"0\r\n\r\n")

    def pause(self, seconds: float) -> None:
        """Wait, unless the server closes first.

        Raises:
            ConnectionAbortedError: The server is closing.
        """
        if seconds > 0 and self._loopback.closing.wait(seconds):
            raise ConnectionAbortedError("the server is closing")

    def drop(self) -> None:
        """End the connection in the proper way, whatever was said before."""
        self.close_connection = True

    def reset(self) -> None:
        """Break the connection: the client sees a reset."""
        self.close_connection = True
        # zero seconds of lingering turn the close into a RST; the reader holds the socket open, so it goes first
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    def do_POST(self) -> None:
        """Hand the request over; a client or a server that goes away ends the connection."""
        try:
            self._loopback.respond(self)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_PUT = do_DELETE = do_PATCH = do_POST  # noqa: N815  # the names are http.server's

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: what was seen is on record."""

    @property
    def _loopback(self) -> LoopbackServer:
        assert isinstance(self.server, LoopbackServer)
        return self.server

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


class LoopbackServer(ThreadingHTTPServer):
    """Serves from a random port on 127.0.0.1, a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, respond: Callable[[Exchange], None]) -> None:
        """Bind the port and begin to serve."""
        self.respond = respond
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        super().__init__((HOST, 0), Exchange)
        self._acceptor = threading.Thread(
            target=self.serve_forever, args=(_POLL,), name="midstream-provider", daemon=True
        )
        self._acceptor.start()

    def server_bind(self) -> None:
        """Bind without asking for the host's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread that `stop` knows of."""
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="midstream-provider-connection",
            daemon=True,
        )
        with self._lock:
            self._open = {other: its for other, its in self._open.items() if other.is_alive()}
            self._open[thread] = request
            thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when the other side broke the connection; anything else is a bug here and is printed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """End all connections, and return when every thread is gone."""
        self.closing.set()
        self.shutdown()
        self._acceptor.join(_JOIN)
        self.server_close()
        with self._lock:
            connections = dict(self._open)
        for connection in connections.values():
            with contextlib.suppress(OSError):  # the handler closed it in this moment
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections:
            thread.join(_JOIN)
