"""Composing: exact ends of every blend, inputs untouched, slates that can be read."""

import numpy as np
import pytest

from engine.stages.compose import FADE_S, Canvas, Fader, blend, dimmed
from tests.fakes import flat


def test_blend_and_dim_at_their_ends() -> None:
    low, high = flat(40), flat(200)
    assert blend(low, high, 0.0) is low
    assert blend(low, high, 1.0) is high
    assert np.all(blend(low, high, 0.25) == 80)
    assert dimmed(high, 1.0) is high
    assert np.all(dimmed(high, 0.5) == 100)
    assert not dimmed(high, 0.0).any()
    assert np.all(low == 40) and np.all(high == 200)


def test_canvas_fits_and_remembers() -> None:
    canvas = Canvas(36, 64)
    image = flat(9, 128, 224)
    fitted = canvas.fit("generated", image)
    assert fitted.shape == (36, 64, 3) and np.all(fitted == 9)
    assert canvas.fit("generated", image) is fitted
    other = canvas.fit("generated", flat(10, 128, 224))
    assert np.all(other == 10)


def test_fader_fades_half_a_second_from_what_was_shown() -> None:
    fader = Fader()
    assert np.all(fader.apply("generated", flat(200), 0.0) == 200), "the first picture needs no fade"
    assert np.all(fader.apply("hold", flat(100), 10.0) == 200)
    assert np.all(fader.apply("hold", flat(100), 10.0 + FADE_S / 2) == 150)
    assert np.all(fader.apply("generated", flat(250), 10.0 + FADE_S / 2) == 150), (
        "a new fade starts from there"
    )
    assert np.all(fader.apply("generated", flat(250), 11.0) == 250)
    after = flat(60)
    assert fader.apply("generated", after, 12.0) is after


@pytest.mark.parametrize(
    "text", ["", "clip ended", "Zürich 東京 camera vanished", "word " * 100, "\n\n", "x" * 500]
)
def test_slate_is_dark_and_holds_its_text(text: str) -> None:
    canvas = Canvas(360, 640)
    card = canvas.slate(text)
    assert card.shape == (360, 640, 3)
    assert card.mean() < 60, "no flash in a dark venue"
    assert (card.max() > 100) == bool(text.strip())
    assert canvas.slate(text) is card
    assert canvas.slate("other") is not card
