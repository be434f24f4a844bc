"""Live MPEG-TS over TCP: pictures arrive; silence, hanging up and nobody there end in a message, in time."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator

import av
import pytest

from engine.core.errors import SourceError
from engine.video import clip
from engine.video.clip import tcp_address
from engine.video.sources import open_source
from tests.video.films import corners, quarters


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "OPEN_S", 1.0)
    monkeypatch.setattr(clip, "READ_S", 0.4)


def transport_stream(count: int) -> bytes:
    """`count` pictures as MPEG-TS, as a sender on the network makes it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=30, options={"tune": "zerolatency", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quarters(48, 64), format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


@contextlib.contextmanager
def sender(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A sender that waits for one caller and runs `serve`; gives its address."""
    done = threading.Event()

    def run() -> None:
        with contextlib.suppress(OSError):
            caller, _ = server.accept()
            with caller:
                serve(caller, done)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=run, name="sender", daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        done.set()
    thread.join(5)
    assert not thread.is_alive()


def test_pictures_arrive_and_the_end_is_said() -> None:
    def serve(caller: socket.socket, done: threading.Event) -> None:
        caller.sendall(transport_stream(60))

    with sender(serve) as address:
        source = open_source(address)
        assert source.live and source.size == (64, 48) and source.name == address
        for _ in range(20):
            image = source.read()
            assert image is not None
            assert corners(image) == ["red", "green", "blue", "white"]
        source.rewind()
        with pytest.raises(SourceError) as caught:
            for _ in range(100):
                assert source.read() is not None
        assert "ended" in caught.value.what and caught.value.fix
        source.close()
        source.close()


@pytest.mark.usefixtures("short_waits")
def test_a_sender_that_falls_silent_is_noticed() -> None:
    def serve(caller: socket.socket, done: threading.Event) -> None:
        caller.sendall(transport_stream(60))
        done.wait(20)

    with sender(serve) as address:
        source = open_source(address)
        begin = time.monotonic()
        with pytest.raises(SourceError) as caught:
            while True:
                assert source.read() is not None
        assert time.monotonic() - begin < 15, "it does not wait for ever"
        assert "lost" in caught.value.what
        source.close()


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.0 200 OK\r\n\r\n" * 50], ids=["silent", "nonsense"])
def test_a_caller_that_gets_no_video_gives_up(greeting: bytes) -> None:
    def serve(caller: socket.socket, done: threading.Event) -> None:
        caller.sendall(greeting)
        done.wait(20)

    with sender(serve) as address:
        begin = time.monotonic()
        with pytest.raises(SourceError) as caught:
            open_source(address)
        assert time.monotonic() - begin < 15
        assert address in caught.value.what and caught.value.fix


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SourceError) as caught:
        open_source(f"tcp://127.0.0.1:{port}")
    assert "start the sender first" in caught.value.fix


@pytest.mark.parametrize(
    "uri", ["tcp://", "tcp:", "tcp://host", "tcp://host:0", "tcp://host:99999", "tcp://host:x"]
)
def test_half_an_address_is_refused(uri: str) -> None:
    with pytest.raises(SourceError, match="no stream address"):
        open_source(uri)


def test_only_host_and_port_reach_the_network() -> None:
    assert tcp_address("tcp://10.0.0.5:5000?listen=1&timeout=0") == "tcp://10.0.0.5:5000"
    assert tcp_address("tcp://user:secret@[::1]:5000/path") == "tcp://[::1]:5000"
