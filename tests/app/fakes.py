"""A runtime without threads, model or camera, and ports without wires: what the window sees, by hand."""

from dataclasses import replace

import numpy as np

from engine.core.channels import Latest
from engine.core.commands import COMMANDS
from engine.core.errors import ParameterError
from engine.core.types import ControlFrame, Frame, Image, OutputFrame
from engine.runtime import Status

RUNNING = Status(
    fps_generated=14.2, fps_output=30.0, latency_ms=912.0, chunk_ms=843.0, longest_gap_ms=35.0,
    drops={"camera": 0, "control": 12, "chunks": 0, "generated": 0, "recorder": 0}, repeats=410, skipped=0,
    rung="generated", reason="", engine="running", mode="V2V scribble 1.0",
    mode_reason="the scribble of the camera leads", ignored_words=(), prompt_note="", loras=("", "", "", ""),
    source="demo clip, 640x360 at 25 fps", source_ok=True, annotator_note="",
    virtual_camera="", recording="", device="cpu", errors=(),
)  # fmt: skip
LOADING = replace(
    RUNNING,
    engine="loading",
    mode="",
    mode_reason="",
    rung="slate",
    reason="starting",
    fps_generated=0.0,
    latency_ms=0.0,
)


class FakeRuntime:
    """Has the face of engine.runtime.Runtime; a test puts pictures and statuses into it."""

    def __init__(self) -> None:
        self.source_preview: Latest[Frame] = Latest()
        self.control_preview: Latest[ControlFrame] = Latest()
        self.program: Latest[OutputFrame] = Latest()
        self.now = RUNNING
        self.started = self.stopped = 0
        self.commands: list[str] = []
        self._index = 0

    def start(self) -> None:
        self.started += 1

    def stop(self, timeout: float = 10.0) -> tuple[str, ...]:
        self.stopped += 1
        return ()

    def command(self, name: str) -> None:
        if name not in COMMANDS:
            raise ParameterError(f"there is no command {name!r}", f"use one of {', '.join(COMMANDS)}")
        self.commands.append(name)

    def status(self) -> Status:
        return self.now

    def show(self, source: Image, control: Image | None, program: Image, at: float = 0.0) -> None:
        """Put one picture into each channel."""
        frame = Frame(source, at, self._index)
        self.source_preview.put(frame)
        self.control_preview.put(ControlFrame(frame, control, None, "scribble", True, ""))
        self.program.put(OutputFrame(program, "generated", "", at, 0, at, self._index))
        self._index += 1


def flat(red: int, green: int, blue: int, height: int = 36, width: int = 64) -> Image:
    """A picture of one colour."""
    return np.full((height, width, 3), (red, green, blue), np.uint8)


class FakeLock:
    """Remembers what was asked of it; `works` says whether this computer has such a way."""

    def __init__(self, works: bool = True) -> None:
        self.works = works
        self.asked: list[str] = []

    def take(self) -> bool:
        self.asked.append("take")
        return self.works

    def free(self) -> None:
        self.asked.append("free")
