"""The stream that carries OVSDB over TLS, apart from any database: Python's own TLS is at the other end."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ovs.poller import Poller
from ovs.stream import Stream

from tests.support.certificates import Pki
from tests.support.waiting import wait_until
from topology.ovsdb.tls_stream import secured

SECONDS = 120.0
Handler = Callable[[ssl.SSLSocket], None]


@pytest.fixture
def connect(pki: Pki) -> Iterator[Callable[[Handler], Any]]:
    """Connects a stream to a server that does one thing with its first connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.right.certificate, pki.right.key)
    threads: list[threading.Thread] = []
    streams: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS)

        def open_stream(handler: Handler) -> Any:
            def serve() -> None:
                sock, _ = listening.accept()
                sock.settimeout(SECONDS)
                with context.wrap_socket(sock, server_side=True) as tls:
                    handler(tls)

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            name = secured(f"ssl:127.0.0.1:{listening.getsockname()[1]}", pki.right.files())
            error, stream = Stream.open(name)
            assert error == 0
            streams.append(stream)
            began = time.monotonic()
            block(stream, stream.connect_wait)  # before the first connect(), as ovs.jsonrpc.Session does
            while (error := stream.connect()) == errno.EAGAIN:
                block(stream, stream.connect_wait)
            assert error == 0
            assert time.monotonic() - began < SECONDS / 2, "it waited for the peer to begin"
            return stream

        yield open_stream
        for stream in streams:
            stream.close()
        for thread in threads:
            thread.join()


def block(stream: Any, wait: Callable[[Poller], None]) -> None:
    """Wait as the loop of a replica does."""
    poller = Poller()
    stream.run_wait(poller)
    wait(poller)
    poller.timer_wait(int(SECONDS * 1000))
    poller.block()


def receive(stream: Any, size: int) -> bytes:
    while True:
        error, data = stream.recv(size)
        if error != errno.EAGAIN:
            assert error == 0
            return bytes(data)
        block(stream, stream.recv_wait)


def test_what_was_taken_from_the_socket_wakes_up_who_waits(connect: Callable[[Handler], Any]) -> None:
    """The rest of a record is not on the socket any more, so the socket would never say that there is more."""
    quit_now = threading.Event()

    def send(tls: ssl.SSLSocket) -> None:
        tls.sendall(b"x" * 8192)
        quit_now.wait(SECONDS)

    stream = connect(send)
    try:
        assert len(receive(stream, 4096)) == 4096
        began = time.monotonic()
        block(stream, stream.recv_wait)
        assert time.monotonic() - began < SECONDS / 2
        assert len(receive(stream, 4096)) == 4096
    finally:
        quit_now.set()


def test_more_than_the_socket_takes_arrives_in_order(connect: Callable[[Handler], Any]) -> None:
    """What is encrypted and not yet sent goes before what follows."""
    received = bytearray()
    full = threading.Event()

    def read(tls: ssl.SSLSocket) -> None:
        full.wait(SECONDS)
        while len(received) < size:
            received.extend(tls.recv(65536))

    message = bytes(range(256)) * 1024
    size = 40 * len(message)
    stream = connect(read)
    for _ in range(40):
        rest = message
        while rest:
            sent = stream.send(rest)
            if sent == -errno.EAGAIN:
                full.set()
                block(stream, stream.send_wait)
                continue
            assert sent > 0
            rest = rest[sent:]
    assert full.is_set(), "it was more than the socket takes"

    def arrived() -> bool:
        stream.run()
        return len(received) == size

    wait_until(arrived, SECONDS, "all has arrived")
    assert received == message * 40
