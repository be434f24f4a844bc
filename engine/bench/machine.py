"""On what something was measured: processor, card, threads, versions, and the commit of the program."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

UNKNOWN = "unknown"


def describe_machine() -> dict[str, object]:
    """Plain values that tell two machines, or two states of the program, apart."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device_name(),
        "system": platform.platform(terse=True),
        "torch": torch.__version__,
        "commit": commit(),
    }


def device_name() -> str:
    """The card that torch would use, or the processor's vector instructions."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "mps" if torch.backends.mps.is_available() else torch.backends.cpu.get_cpu_capability()


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def commit(folder: Path = Path(__file__).parent) -> str:
    """The commit of the checkout that this file lies in; `+` where files differ from it."""
    told = _git(folder, "rev-parse", "--short", "HEAD")
    if told is None:
        return UNKNOWN
    return told + ("+" if _git(folder, "status", "--porcelain", "-uno") else "")


def peak_memory(device: torch.device) -> int | None:
    """Bytes: the most that was allocated on a card, or of main memory by this process; None if not told."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return told if sys.platform == "darwin" else told * 1024


def held_memory(device: torch.device) -> int | None:
    """Bytes that are allocated on a card now; None elsewhere, where only the most is told."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else None


def _git(folder: Path, *words: str) -> str | None:
    """What git says, None where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
