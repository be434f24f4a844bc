"""Errors carry what happened and what to do."""

import pytest

from engine.core import errors


def test_text_joins_what_and_fix() -> None:
    error = errors.SourceError("camera-7 vanished", "plug it in again")
    assert (error.what, error.fix) == ("camera-7 vanished", "plug it in again")
    assert str(error) == "camera-7 vanished  Fix: plug it in again"
    assert str(errors.SourceError("lost")) == "lost"


@pytest.mark.parametrize("name", [name for name in vars(errors) if name.endswith("Error")])
def test_all_are_ours(name: str) -> None:
    assert issubclass(vars(errors)[name], errors.CuelightError)
