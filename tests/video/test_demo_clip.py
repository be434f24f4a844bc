"""The bundled clip: small, well-formed, and a loop without a seam."""

import numpy as np
import pytest

from engine.core.paths import assets_dir
from engine.core.types import Image
from engine.video.sources import open_source


@pytest.fixture(scope="module")
def film() -> list[Image]:
    source = open_source("demo")
    pictures = []
    while (image := source.read()) is not None:
        pictures.append(image)
    source.close()
    return pictures


def test_it_is_small_and_lasts_nearly_ten_seconds(film: list[Image]) -> None:
    assert (assets_dir() / "demo.mp4").stat().st_size < 1_500_000
    assert len(film) == 288
    assert film[0].shape == (360, 640, 3)


def test_it_moves_and_its_end_joins_its_beginning(film: list[Image]) -> None:
    def change(a: Image, b: Image) -> float:
        return float(np.abs(a.astype(int) - b).mean())

    steps = [change(film[i], film[i + 1]) for i in range(0, 287, 7)]
    assert min(steps) > 0.05, "it never stands still"
    assert change(film[-1], film[0]) <= 1.2 * max(steps), "the seam is a step like any other"
    assert change(film[0], film[144]) > 3 * np.median(steps), "half a loop later it looks different"


def test_the_script_draws_what_is_in_the_file(film: list[Image]) -> None:
    from engine.pocket.demo_clip import frame

    drawn = frame(100)
    assert np.abs(drawn.astype(int) - film[100]).mean() < 4
