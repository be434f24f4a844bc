"""`cuelight doctor`: checks this machine row by row and says what to do.

Every check really tries the thing (opens, loads, computes) and takes a second or so. ok: fine; warn:
something a performer may miss; fail: Cuelight cannot generate here. It changes nothing and knows no window.
"""

import importlib.metadata
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.core.errors import CuelightError
from engine.core.paths import models_dir, recordings_dir

OSC_PORT = 9000
ENOUGH_MEMORY = 3 * 2**30  # bytes available: the embedded model, mediapipe and the window take about 2 GB
ENOUGH_DISK = 2 * 2**30  # bytes: about an hour of recording
WIDTH = 16  # of the column of names


@dataclass(frozen=True)
class Finding:
    """What one check found; `fix` says what to do about a warn or a fail."""

    status: Literal["ok", "warn", "fail"]
    text: str
    fix: str = ""


Check = tuple[str, Callable[[], Finding]]


def main(checks: Sequence[Check] | None = None) -> int:
    """Run the checks and print a row for each; 1 when one failed, else 0."""
    failed = False
    for name, check in CHECKS if checks is None else checks:
        finding = _found(check)
        failed |= finding.status == "fail"
        print(f"{finding.status:<5} {name:<{WIDTH}} {finding.text}")
        if finding.fix:
            print(f"{'':<5} {'':<{WIDTH}} fix: {finding.fix}")
    return 1 if failed else 0


def python_version() -> Finding:
    """Old enough for mediapipe's wheel, new enough for us."""
    version = sys.version.split()[0]
    if sys.version_info >= (3, 13):
        return Finding(
            "warn", f"{version}: nothing finds people (mediapipe has no wheel for it)", "use Python 3.12"
        )
    return Finding("ok", version)


def torch_device() -> Finding:
    """The torch that is installed, and the device the engine would use."""
    import torch

    from engine.model.load import best_device

    device, dtype = best_device()
    if device.type == "cuda":
        probe = torch.ones(256, 256, device=device)
        works = float((probe @ probe).sum()) == 256.0**3
        text = f"torch {torch.__version__} on {torch.cuda.get_device_name(device)}, {_short(dtype)}"
        if not works:
            return Finding("fail", f"{text} computes wrongly", "update the card's driver")
        return Finding("ok", text)
    text = f"torch {torch.__version__} on {device.type}, {_short(dtype)}"
    if device.type == "cpu" and _has_nvidia():
        fix = "install a CUDA build of torch (pytorch.org) into .venv"
        return Finding("warn", f"{text}, although there is an NVIDIA card", fix)
    return Finding("ok", text)


def attention() -> Finding:
    """The attention kernels that are here: those that compute rightly, and those that are refused."""
    from engine.model.kernels import choose
    from engine.model.load import best_device
    from engine.model.spec import WAN_1_3B

    device, dtype = best_device()
    found = choose(WAN_1_3B.head_dim, device, dtype)
    others = [trial.text for trial in found.trials if trial.name != found.name]
    text = "; ".join([f"{found.name} is used", *others])
    if found.notices:
        return Finding("warn", text, "update or remove what is refused; the show plays without it")
    return Finding("ok", text)


def cpu_bf16() -> Finding:
    """Whether this processor multiplies bfloat16 faster than float32."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        a = torch.ones(256, 256, dtype=dtype)
        times = []
        for _ in range(8):  # the first ones warm up; the shortest is the one nobody disturbed
            begin = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - begin)
        return min(times)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine, threads that wait for each other measure the others
    try:
        ratio = seconds(torch.float32) / seconds(torch.bfloat16)
    finally:
        torch.set_num_threads(threads)
    if ratio < 1:
        return Finding(
            "ok", f"{threads} threads; no fast bfloat16 (float32 is {1 / ratio:.3g} times as fast)"
        )
    return Finding("ok", f"{threads} threads; bfloat16 is {ratio:.3g} times as fast as float32")


def memory() -> Finding:
    """Memory that programs may still take."""
    available = _available_memory()
    if available is None:
        return Finding("ok", "not measured on this system")
    text = f"{available / 2**30:.1f} GiB available"
    if available < ENOUGH_MEMORY:
        return Finding("warn", text, "close other programs")
    return Finding("ok", text)


def weights() -> Finding:
    """The embedded model: there, complete, of the right shapes."""
    from engine.model.load import load_pipeline

    pipeline = load_pipeline("pocket")
    millions = sum(parameter.numel() for parameter in pipeline.dit.parameters()) / 1e6
    return Finding("ok", f"pocket, {millions:.1f} million parameters in its transformer")


def models() -> Finding:
    """Downloaded pipelines: which are complete, and where the files lie."""
    from engine.model import registry

    rows, folder = registry.load(), models_dir()
    complete, parts = [], []
    for row in rows.pipelines.values():
        files = rows.files_of(row.name, *rows.chosen(folder))
        lacking = rows.missing(files, folder)
        if not lacking:
            complete.append(row.name)
        elif "dit" not in lacking:  # shared files alone do not make a pipeline that someone wanted
            parts.append(f"{row.name} lacks {', '.join(lacking)}")
    text = f"{', '.join(complete)}; files in {folder}"
    if parts:
        return Finding("warn", f"{text}; {'; '.join(parts)}", "cuelight models get NAME")
    return Finding("ok", text)


def cameras() -> Finding:
    """Cameras that can be chosen now."""
    from engine.video.sources import list_cameras

    found = list_cameras()
    if not found:
        return Finding("warn", "none found", "plug one in, or play the demo clip, a file or tcp://host:port")
    return Finding("ok", "; ".join(f"{camera.name} (camera:{camera.id})" for camera in found))


def mediapipe() -> Finding:
    """Pose and person mask really run, offline."""
    import numpy as np

    from engine.video.annotators import make_annotator

    for name in ("pose", "segmentation"):
        annotator = make_annotator(name)
        try:
            annotator.annotate(np.zeros((128, 224, 3), np.uint8), detail=0.5, gain=1.0, invert=False)
        finally:
            annotator.close()
    return Finding("ok", f"pose and person mask run (mediapipe {importlib.metadata.version('mediapipe')})")


def recording() -> Finding:
    """An H.264 encoder and room to record."""
    import av

    folder = recordings_dir()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    av.Codec("libx264", "w")
    text = f"H.264, {free / 2**30:.0f} GiB free for {folder}"
    return Finding("ok", text) if free > ENOUGH_DISK else Finding("warn", text, "make room on that disk")


def virtual_camera() -> Finding:
    """The device through which other programs see the output."""
    from engine.video.virtual_camera import VirtualCamera

    camera = VirtualCamera()
    try:
        camera.start()
        return Finding("ok", f"{camera.device} takes pictures")
    except CuelightError as error:
        return Finding("warn", error.what, error.fix)
    finally:
        camera.stop()


def midi() -> Finding:
    """The system's MIDI, and the inputs on it."""
    import rtmidi

    if sys.platform.startswith("linux") and not os.path.exists("/dev/snd/seq"):
        return Finding("warn", "this system has no ALSA sequencer (/dev/snd/seq)", _MIDI_FIX)
    try:
        ports = rtmidi.MidiIn().get_ports()
    except (rtmidi.SystemError, SystemError, OSError) as error:
        return Finding("warn", f"this system's MIDI does not answer ({error})", _MIDI_FIX)
    if not ports:
        return Finding("warn", "no inputs", "plug a controller in; it is found while Cuelight runs")
    return Finding("ok", "; ".join(ports))


def osc() -> Finding:
    """The UDP port of OSC is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", OSC_PORT))
        except OSError as error:
            return Finding(
                "warn", f"UDP port {OSC_PORT} is taken ({error.strerror})",
                "close the other program (perhaps a Cuelight that runs already)",
            )  # fmt: skip
    return Finding("ok", f"UDP port {OSC_PORT} is free")


def display() -> Finding:
    """What the window needs: Qt, and a screen to open on."""
    try:
        text = f"Qt {importlib.metadata.version('PySide6-Essentials')}"
    except importlib.metadata.PackageNotFoundError:
        return Finding("warn", "PySide6 is not installed: no window", "pip install PySide6-Essentials")
    if sys.platform.startswith("linux"):
        screen = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
        if not screen:
            return Finding("warn", f"{text}, but no screen to open a window on", "start a desktop session")
        text += f" on {screen}"
    return Finding("ok", text)


CHECKS: tuple[Check, ...] = (
    ("Python", python_version),
    ("Device", torch_device),
    ("Attention", attention),
    ("Processor", cpu_bf16),
    ("Memory", memory),
    ("Model", weights),
    ("Pipelines", models),
    ("Cameras", cameras),
    ("People", mediapipe),
    ("Recording", recording),
    ("Virtual camera", virtual_camera),
    ("MIDI", midi),
    ("OSC", osc),
    ("Window", display),
)

_MIDI_FIX = "on Linux load it (sudo modprobe snd-seq) or start JACK; elsewhere restart the system"


def _found(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except CuelightError as error:
        return Finding("fail", error.what, error.fix)
    except ImportError as error:
        return Finding("fail", f"{error.name or error} is not installed", "install Cuelight again: make run")
    except Exception as error:  # one broken library must not hide the other rows
        return Finding("fail", f"could not be checked: {type(error).__name__}: {error}", "report this line")


def _short(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _has_nvidia() -> bool:
    return os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi") is not None


def _available_memory() -> int | None:
    """Bytes, or None where there is no simple way to ask."""
    if not sys.platform.startswith("linux"):
        return None
    with open("/proc/meminfo", encoding="ascii") as file:
        sizes = dict(line.split(":", 1) for line in file)
    return int(sizes["MemAvailable"].split()[0]) * 1024
