"""What tests of stages share."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program keeps pictures; its home is `tmp_path`."""
    monkeypatch.setenv("CUELIGHT_HOME", str(tmp_path))
    pictures = tmp_path / "config" / "pictures"
    pictures.mkdir(parents=True)
    return pictures
