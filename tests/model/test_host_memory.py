"""Keeping freed memory: asked for where the C library can, silently left where it cannot."""

import ctypes
import sys
from types import SimpleNamespace

import pytest

from engine.model.host_memory import KEPT, LARGEST_PIECE, keep_freed_memory


def test_the_c_library_is_told_both_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda name, value: told.append((name, value)) or 1)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert keep_freed_memory()
    assert [value for _, value in told] == [LARGEST_PIECE, KEPT]


@pytest.mark.parametrize(
    ("platform", "library"), [("linux", SimpleNamespace()), ("darwin", None), ("win32", None)]
)
def test_other_systems_go_on_without_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, library: object
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert not keep_freed_memory()
