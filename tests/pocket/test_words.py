"""Every word of the vocabulary paints, every synonym means one, every prompt of training is understood."""

import itertools

import numpy as np
import pytest

from engine.model.spec import POCKET
from engine.model.text import VocabularyEncoder
from engine.pocket.guides import from_lines
from engine.pocket.painting import Guide, paint
from engine.pocket.scenes import BUILDERS
from engine.pocket.styles import (
    MATERIALS,
    PALETTES,
    SETTINGS,
    SUBJECTS,
    VOCABULARY,
    Look,
    random_look,
    without_material,
)
from engine.pocket.synonyms import SYNONYMS
from tests.pocket.conftest import HEIGHT, WIDTH

VISIBLE = 2.0
"""Levels of 255 by which two pictures differ in the mean before we call them different."""


@pytest.fixture(scope="module")
def guide() -> Guide:
    scene = BUILDERS["portrait"](np.random.default_rng(3), WIDTH / HEIGHT)
    return from_lines(scene.raster(0.0, HEIGHT, WIDTH).lines)


@pytest.fixture(scope="module")
def encoder() -> VocabularyEncoder:
    return VocabularyEncoder(VOCABULARY, POCKET.text_dim, POCKET.text_len, SYNONYMS)


def difference(guide: Guide, a: Look, b: Look) -> float:
    return float(np.abs(paint(guide, a).astype(float) - paint(guide, b)).mean())


def test_words_are_said_once_each() -> None:
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    assert set(SUBJECTS) == set(BUILDERS)


def test_materials_and_settings_look_different_from_each_other(guide: Guide) -> None:
    for a, b in itertools.combinations(MATERIALS, 2):
        assert difference(guide, Look(a), Look(b)) > VISIBLE, (a, b)
    for a, b in itertools.combinations(SETTINGS, 2):
        assert difference(guide, Look(setting=a), Look(setting=b)) > VISIBLE, (a, b)


def test_what_a_reference_may_tell_can_be_left_out_of_a_prompt() -> None:
    for words in itertools.product((None, "gold"), (None, "red"), (None, "night"), (None, "figure")):
        material, palette, setting, subject = words
        said = Look(material, palette, setting, subject).prompt
        assert without_material(said) == Look(setting=setting, subject=subject).prompt


def test_a_silent_prompt_is_clay_by_day_and_other_words_change_it(guide: Guide) -> None:
    plain = Look()
    assert difference(guide, plain, Look("clay", setting="day")) == 0
    for word in MATERIALS.keys() - {"clay"}:
        assert difference(guide, plain, Look(word)) > VISIBLE, word
    for word in SETTINGS.keys() - {"day"}:
        assert difference(guide, plain, Look(setting=word)) > VISIBLE, word


@pytest.mark.parametrize("material", [None, *MATERIALS])
def test_every_palette_word_recolours_every_material(guide: Guide, material: str | None) -> None:
    for palette in PALETTES:
        assert difference(guide, Look(material), Look(material, palette)) > VISIBLE, palette
    for a, b in itertools.combinations(PALETTES, 2):
        assert difference(guide, Look(material, a), Look(material, b)) > VISIBLE / 2, (a, b)


def test_a_word_for_the_subject_paints_nothing(guide: Guide) -> None:
    assert difference(guide, Look("gold"), Look("gold", subject="figure")) == 0


def test_a_picture_without_lines_is_the_setting(guide: Guide) -> None:
    empty = from_lines(np.zeros((HEIGHT, WIDTH), np.float32))
    picture = paint(empty, Look("gold", setting="night"))
    assert picture.max() < 60, "nothing but night"


def test_synonyms_mean_words_and_are_none_themselves(encoder: VocabularyEncoder) -> None:
    assert not SYNONYMS.keys() & set(VOCABULARY)
    assert set(SYNONYMS.values()) <= set(VOCABULARY)
    for word, meaning in SYNONYMS.items():
        assert encoder.parse(word) == ((meaning,), ())


def test_every_word_is_understood_as_itself(encoder: VocabularyEncoder) -> None:
    for word in VOCABULARY:
        assert encoder.parse(word.upper()) == ((word,), ())


def test_prompts_of_training_are_understood_completely(encoder: VocabularyEncoder) -> None:
    rng = np.random.default_rng(0)
    lengths = set()
    for _ in range(300):
        look = random_look(rng, str(rng.choice(SUBJECTS)))
        known, ignored = encoder.parse(look.prompt)
        wanted = {word for word in (look.material, look.palette, look.setting, look.subject) if word}
        assert set(known) == wanted and ignored == ()
        lengths.add(len(known))
    assert lengths == {0, 1, 2, 3, 4}
