"""The composed control picture: two annotators, mask, hold and smoothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from engine.core.parameters import row
from engine.core.types import Image
from engine.video.annotation import Annotation
from engine.video.annotators import ANNOTATORS
from engine.video.canvas import Framing, placed
from engine.video.control import MASK_SOURCES, Composed, ControlDesk, ControlSettings
from engine.video.mixing import DARK_COLORS, DARK_LINES, LIGHT_COLORS, LIGHT_LINES, TONES, Kind, Layer, mixed
from engine.video.steady import FADE, Hold, Smoothing

HEIGHT, WIDTH = 20, 30
IMAGE = np.random.default_rng(2).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def flat(level: int) -> Image:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def stroke(ground: int, ink: tuple[int, int, int], columns: slice) -> Image:
    picture = flat(ground)
    picture[:, columns] = ink
    return picture


LEFT, RIGHT = slice(5, 8), slice(20, 23)
WHITE, BLACK, BLUE = (255, 255, 255), (0, 0, 0), (0, 0, 255)


# --- mixing ------------------------------------------------------------------------------------------------


def mix(first: Image, kind: Kind, second: Image, other: Kind, gains: tuple[float, float] = (1, 1)) -> Layer:
    return mixed(Layer(first, kind, gains[0]), Layer(second, other, gains[1]))


def test_light_lines_are_joined_on_black() -> None:
    made = mix(stroke(0, WHITE, LEFT), LIGHT_LINES, stroke(0, BLUE, RIGHT), LIGHT_COLORS)
    assert made.kind == LIGHT_LINES
    assert (made.picture[:, LEFT] == WHITE).all() and (made.picture[:, RIGHT] == BLUE).all()
    assert not made.picture[:, 10:15].any()


def test_dark_lines_are_joined_on_white() -> None:
    made = mix(stroke(255, BLACK, LEFT), DARK_LINES, stroke(255, BLUE, RIGHT), DARK_COLORS)
    assert (made.picture[:, LEFT] == BLACK).all() and (made.picture[:, RIGHT] == BLUE).all()
    assert (made.picture[:, 10:15] == WHITE).all()


def test_lines_of_the_other_polarity_are_turned_to_the_firsts() -> None:
    scribble, edges = stroke(255, BLACK, LEFT), stroke(0, WHITE, RIGHT)
    on_white = mix(scribble, DARK_LINES, edges, LIGHT_LINES).picture
    assert (on_white[:, LEFT] == BLACK).all() and (on_white[:, RIGHT] == BLACK).all()
    assert (on_white[:, 10] == WHITE).all()
    assert (mix(edges, LIGHT_LINES, scribble, DARK_LINES).picture == 255 - on_white).all()


@pytest.mark.parametrize("pose_first", [True, False])
def test_colours_are_never_turned(pose_first: bool) -> None:
    """A pose with a scribble: the scribble gives way, whichever is first."""
    pose, scribble = (stroke(0, BLUE, LEFT), LIGHT_COLORS), (stroke(255, BLACK, RIGHT), DARK_LINES)
    made = mix(*pose, *scribble) if pose_first else mix(*scribble, *pose)
    assert made.kind == LIGHT_COLORS
    assert (made.picture[:, LEFT] == BLUE).all() and (made.picture[:, RIGHT] == WHITE).all()
    assert not made.picture[:, 10].any()


def test_a_pose_over_motion_keeps_the_colours_of_both() -> None:
    made = mix(stroke(255, (255, 0, 0), RIGHT), DARK_COLORS, stroke(0, BLUE, LEFT), LIGHT_COLORS).picture
    assert (made[:, LEFT] == BLUE).all() and (made[:, RIGHT] == (255, 0, 0)).all()
    assert (made[:, 10] == WHITE).all()


@pytest.mark.parametrize("lines_first", [True, False])
def test_lines_lie_over_tones(lines_first: bool) -> None:
    scribble, depth = (stroke(255, BLACK, LEFT), DARK_LINES), (flat(90), TONES)
    made = mix(*scribble, *depth) if lines_first else mix(*depth, *scribble)
    assert made.kind == TONES
    assert (made.picture[:, LEFT] == BLACK).all()
    assert (made.picture[:, 10] == 90).all()


def test_a_faint_line_is_thin_ink_over_tones() -> None:
    """A pose at half its gain is drawn in half brightness: half of the tones are seen through it."""
    made = mix(stroke(0, (0, 0, 128), LEFT), LIGHT_COLORS, flat(100), TONES).picture
    assert made[0, 6].tolist() == pytest.approx([50, 50, 178], abs=2)


@pytest.mark.parametrize(("gains", "level"), [((1, 1), 150), ((1, 0), 100), ((0.5, 1), 167), ((0, 0), 150)])
def test_tones_are_averaged_by_their_gains(gains: tuple[float, float], level: int) -> None:
    made = mix(flat(100), TONES, flat(200), TONES, gains).picture
    assert (made == level).all()


def test_every_annotator_says_what_its_picture_is_made_of() -> None:
    kinds = {name: row.kind for name, row in ANNOTATORS.items()}
    assert kinds == {
        "none": None, "scribble": DARK_LINES, "edges": LIGHT_LINES, "gray": TONES, "depth": TONES,
        "flow": DARK_COLORS, "pose": LIGHT_COLORS, "face": None, "hands": None, "segmentation": None,
        "layout": DARK_LINES,
    }  # fmt: skip
    assert {name for name, row in ANNOTATORS.items() if row.masks} == {"face", "hands", "segmentation"}
    assert {name for name, _ in MASK_SOURCES.values()} == {"face", "hands", "segmentation"}


def test_the_choices_of_the_table_are_what_can_be_drawn() -> None:
    drawing = tuple(name for name, row in ANNOTATORS.items() if row.kind is not None)
    assert row("annotator.second").choices == ("none", *drawing)
    assert row("mask.source").choices == ("none", *MASK_SOURCES)


# --- hold --------------------------------------------------------------------------------------------------

SEEN = Annotation(flat(200), None)
LOST = Annotation(flat(0), None, False, "no person seen")


def test_the_last_good_picture_is_held_then_fades_into_what_is_drawn_of_nobody() -> None:
    hold = Hold()
    assert hold.keep(SEEN, 3) is SEEN
    held = [hold.keep(LOST, 3) for _ in range(3)]
    assert all(drawn.control is SEEN.control and drawn.found for drawn in held)
    assert held[0].note == "no person seen: the last control picture is held"
    fading = [hold.keep(LOST, 3) for _ in range(FADE)]
    levels = [int(drawn.control[0, 0, 0]) for drawn in fading if drawn.control is not None]
    assert len(levels) == FADE and 200 > levels[0] > levels[-1] > 0
    assert levels == sorted(levels, reverse=True)
    after = hold.keep(LOST, 3)
    assert after is LOST, "then it is said that nobody is there"


def test_a_subject_that_comes_back_is_shown_at_once_and_can_be_lost_again() -> None:
    hold = Hold()
    hold.keep(SEEN, 2)
    for _ in range(30):
        hold.keep(LOST, 2)
    again = replace(SEEN, control=flat(90))
    assert hold.keep(again, 2) is again
    assert hold.keep(LOST, 2).control is again.control


def test_without_hold_nothing_is_held_and_nobody_yet_is_nobody() -> None:
    hold = Hold()
    assert hold.keep(LOST, 5) is LOST
    hold.keep(SEEN, 0)
    assert hold.keep(LOST, 0) is LOST


def test_a_mask_is_held_too() -> None:
    hold = Hold()
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    hold.keep(Annotation(None, mask), 2)
    nobody = Annotation(None, np.zeros_like(mask), False, "no person seen")
    held = hold.keep(nobody, 2)
    assert held.mask is mask and held.found and held.note == "no person seen: the last mask is held"


def test_nothing_of_another_size_is_held() -> None:
    hold = Hold()
    hold.keep(SEEN, 5)
    small = Annotation(np.zeros((4, 4, 3), np.uint8), None, False, "no person seen")
    assert hold.keep(small, 5) is small


# --- smoothing ---------------------------------------------------------------------------------------------


def test_smoothing_is_a_running_mean() -> None:
    smoothing = Smoothing()
    levels = [int(smoothing.smooth(flat(level), 0.5, "a")[0, 0, 0]) for level in (0, 200, 200, 200)]
    assert levels == [0, 100, 150, 175]


def test_smoothing_comes_to_rest_on_a_still_picture() -> None:
    smoothing = Smoothing()
    smoothing.smooth(flat(0), 0.9, "a")
    for _ in range(200):
        made = smoothing.smooth(flat(255), 0.9, "a")
    assert (made == 255).all()


def test_without_smoothing_and_for_another_annotator_the_picture_is_as_drawn() -> None:
    smoothing = Smoothing()
    for memory, of in ((0.0, "a"), (0.9, "b")):
        smoothing.smooth(flat(10), 0.9, "a")
        assert (smoothing.smooth(flat(250), memory, of) == 250).all()


def test_smoothing_survives_a_change_of_size() -> None:
    smoothing = Smoothing()
    smoothing.smooth(flat(10), 0.9, "a")
    assert smoothing.smooth(np.full((4, 4, 3), 9, np.uint8), 0.9, "a").shape == (4, 4, 3)


# --- all together ------------------------------------------------------------------------------------------


class Studio:
    """Draws like annotators of these names would: flat pictures, a mask of the left half."""

    LEVELS: ClassVar = {"gray": 100, "depth": 200, "pose": 40}

    def __init__(self) -> None:
        self.asked: list[tuple[str, float, bool]] = []
        self.lost: set[str] = set()
        self.broken: set[str] = set()

    def __call__(self, name: str, image: Image, detail: float, gain: float, invert: bool) -> Annotation:
        self.asked.append((name, gain, invert))
        if name in self.broken:
            return Annotation(None, None, False, f"{name} is broken  Fix: mend it")
        found, note = name not in self.lost, f"no {name} seen" if name in self.lost else ""
        if name in self.LEVELS:
            return Annotation(flat(self.LEVELS[name] if found else 0), None, found, note)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        if found:
            mask[:, : WIDTH // 2] = 255
        mask = 255 - mask if invert else mask
        return Annotation(np.where(mask[..., None] > 0, np.uint8(128), image), mask, found, note)


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def desk(studio: Studio) -> ControlDesk:
    return ControlDesk(studio)


Ask = Callable[[ControlSettings], Composed]


@pytest.fixture
def ask(desk: ControlDesk) -> Ask:
    return lambda wanted: desk.annotate(IMAGE, wanted)


def test_one_annotator_alone_is_what_it_draws(ask: Ask, studio: Studio) -> None:
    drawn = ask(ControlSettings("gray", gain=0.7))
    assert (drawn.control == 100).all() and drawn.mask is None and drawn.found and not drawn.note
    assert studio.asked == [("gray", 0.7, False)]


def test_none_draws_nothing_and_asks_nobody(ask: Ask, studio: Studio) -> None:
    drawn = ask(ControlSettings("none", invert=True, hold=9, smoothing=0.5))
    assert drawn.control is None and drawn.mask is None and drawn.found
    assert studio.asked == []


def test_the_second_has_its_own_gain_and_is_composed(ask: Ask, studio: Studio) -> None:
    drawn = ask(ControlSettings("gray", gain=1.0, second="depth", second_gain=0.5))
    assert studio.asked == [("gray", 1.0, False), ("depth", 0.5, False)]
    assert (drawn.control == 133).all(), "two thirds of 100 and one of 200"
    assert (ask(ControlSettings("none", second="depth")).control == 200).all(), "also alone"


def test_the_same_annotator_twice_is_drawn_once(ask: Ask, studio: Studio) -> None:
    assert (ask(ControlSettings("gray", second="gray")).control == 100).all()
    assert len(studio.asked) == 1


@pytest.mark.parametrize("name", ["none", "segmentation", "face"])
def test_a_mask_without_a_picture_is_gray_inside(ask: Ask, name: str) -> None:
    drawn = ask(ControlSettings(name, mask="person"))
    assert drawn.control is not None and drawn.mask is not None
    assert (drawn.control[:, : WIDTH // 2] == 128).all()
    assert (drawn.control[:, WIDTH // 2 :] == IMAGE[:, WIDTH // 2 :]).all()
    assert (drawn.mask[:, : WIDTH // 2] == 255).all() and not drawn.mask[:, WIDTH // 2 :].any()


@pytest.mark.parametrize("source", MASK_SOURCES)
@pytest.mark.parametrize("invert", [False, True])
def test_each_source_masks_what_it_says_and_the_control_leads_inside(
    ask: Ask, studio: Studio, source: str, invert: bool
) -> None:
    drawn = ask(ControlSettings("gray", mask=source, invert=invert))
    assert studio.asked[-1][0] == MASK_SOURCES[source][0]
    generates_left = (source == "background") == invert
    left = slice(0, WIDTH // 2) if generates_left else slice(WIDTH // 2, WIDTH)
    assert drawn.mask is not None and drawn.control is not None
    assert (drawn.mask[:, left] == 255).all() and (drawn.mask == 255).mean() == 0.5
    assert (drawn.control[drawn.mask == 255] == 100).all()
    assert (drawn.control[drawn.mask == 0] == IMAGE[drawn.mask == 0]).all()


def test_a_mask_annotator_masks_by_itself_and_may_have_a_second_inside(ask: Ask) -> None:
    alone = ask(ControlSettings("segmentation"))
    assert alone.control is not None and (alone.control[:, 0] == 128).all()
    led = ask(ControlSettings("segmentation", second="depth"))
    assert led.control is not None and (led.control[:, 0] == 200).all()
    assert (led.control[:, -1] == IMAGE[:, -1]).all()


def test_growing_takes_kept_pixels_back(ask: Ask) -> None:
    drawn = ask(ControlSettings("gray", mask="person", grow=0.1))
    assert drawn.mask is not None and drawn.control is not None
    assert (drawn.mask[:, : WIDTH // 2 + 2] == 255).all() and not drawn.mask[:, WIDTH // 2 + 2 :].any()
    assert (drawn.control[:, : WIDTH // 2 + 2] == 100).all()


def test_a_lost_person_is_held_then_all_is_kept(ask: Ask, studio: Studio) -> None:
    wanted = ControlSettings("gray", mask="person", hold=2)
    ask(wanted)
    studio.lost.add("segmentation")
    held = [ask(wanted) for _ in range(2)]
    assert all(drawn.mask is not None and drawn.mask.any() and drawn.found for drawn in held)
    assert "is held" in held[0].note
    for _ in range(FADE + 1):
        lost = ask(wanted)
    assert lost.mask is not None and not lost.mask.any() and not lost.found
    assert (lost.control == IMAGE).all() and lost.note == "no segmentation seen"


def test_a_held_mask_shows_the_cameras_new_picture_outside(desk: ControlDesk, studio: Studio) -> None:
    wanted = ControlSettings("segmentation", hold=5)
    desk.annotate(IMAGE, wanted)
    studio.lost.add("segmentation")
    drawn = desk.annotate(255 - IMAGE, wanted)
    assert drawn.control is not None
    assert (drawn.control[:, WIDTH // 2 :] == 255 - IMAGE[:, WIDTH // 2 :]).all()


def test_what_was_held_is_forgotten_when_the_annotator_changes(ask: Ask, studio: Studio) -> None:
    ask(ControlSettings("pose", hold=50))
    ask(ControlSettings("gray", hold=50))
    studio.lost.add("pose")
    assert not ask(ControlSettings("pose", hold=50)).found


def test_a_new_stream_remembers_nothing(desk: ControlDesk, studio: Studio) -> None:
    wanted = ControlSettings("pose", hold=50, smoothing=0.9)
    desk.annotate(IMAGE, wanted)
    studio.lost.add("pose")
    desk.forget()
    drawn = desk.annotate(IMAGE, wanted)
    assert not drawn.found and (drawn.control == 0).all()


# --- a mask that stays, and the canvas ---------------------------------------------------------------------


def still() -> Image:
    """A mask of the upper half."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[: HEIGHT // 2] = 255
    return mask


@pytest.mark.parametrize(("name", "inside"), [("none", 128), ("gray", 100)])
def test_a_mask_that_stays_generates_there_as_the_annotator_leads(
    desk: ControlDesk, name: str, inside: int
) -> None:
    drawn = desk.annotate(IMAGE, ControlSettings(name), still=still())
    assert drawn.control is not None and np.array_equal(drawn.mask, still())
    assert (drawn.control[: HEIGHT // 2] == inside).all()
    assert (drawn.control[HEIGHT // 2 :] == IMAGE[HEIGHT // 2 :]).all()


def test_a_mask_that_stays_joins_the_one_that_moves(desk: ControlDesk) -> None:
    drawn = desk.annotate(IMAGE, ControlSettings("gray", mask="person"), still=still())
    assert drawn.control is not None and drawn.mask is not None
    wanted = still()
    wanted[:, : WIDTH // 2] = 255
    assert np.array_equal(drawn.mask, wanted)
    assert (drawn.control[wanted == 255] == 100).all() and (
        drawn.control[wanted == 0] == IMAGE[wanted == 0]
    ).all()


def test_a_mask_of_another_size_waits_for_its_session(desk: ControlDesk) -> None:
    assert desk.annotate(IMAGE, ControlSettings("gray"), still=np.zeros((4, 4), np.uint8)).mask is None


def test_a_mask_that_is_no_inpainting_is_a_region_and_touches_nothing(desk: ControlDesk) -> None:
    wanted = ControlSettings("gray", mask="person")
    kept = desk.annotate(IMAGE, wanted, still=still())
    free = desk.annotate(IMAGE, replace(wanted, inpaint=False), still=still())
    assert free.mask is None and free.control is not None and (free.control == 100).all()
    assert kept.mask is not None and np.array_equal(kept.region, kept.mask)
    assert np.array_equal(free.region, kept.mask)
    assert desk.annotate(IMAGE, ControlSettings("gray")).region is None


CORNER = placed((HEIGHT, WIDTH), (HEIGHT, WIDTH), Framing(zoom=2.0, x=-1.0, y=-1.0))
INSIDE = (slice(0, HEIGHT // 2), slice(0, WIDTH // 2))


@pytest.mark.parametrize("name", ["none", "gray"])
def test_around_a_smaller_picture_is_generated_and_itself_is_kept(desk: ControlDesk, name: str) -> None:
    drawn = desk.annotate(IMAGE, ControlSettings(name), CORNER)
    assert drawn.control is not None and drawn.mask is not None
    assert not drawn.mask[INSIDE].any() and (drawn.mask == 255).mean() == 0.75 == drawn.around
    assert (drawn.control[drawn.mask == 255] == 128).all()
    assert np.array_equal(drawn.control[INSIDE], CORNER.picture(IMAGE)[INSIDE])
    assert np.array_equal(drawn.picture, CORNER.picture(IMAGE))


def test_unkept_all_is_generated_and_the_annotator_leads_where_the_camera_is(desk: ControlDesk) -> None:
    drawn = desk.annotate(IMAGE, ControlSettings("gray", keep=False), CORNER)
    assert drawn.control is not None and drawn.mask is None and drawn.around == 0.75
    assert (drawn.control[INSIDE] == 100).all() and (drawn.control[HEIGHT // 2 :] == 128).all()


def test_the_canvas_composes_with_both_masks(desk: ControlDesk) -> None:
    """Person (left half of the view), upper half of the canvas, and around a view in the lower right."""
    place = placed((HEIGHT, WIDTH), (HEIGHT, WIDTH), Framing(zoom=1.25, x=1.0, y=1.0))
    drawn = desk.annotate(IMAGE, ControlSettings("gray", mask="person"), place, still())
    assert drawn.control is not None and drawn.mask is not None
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[:4] = wanted[:, :6] = True  # around
    wanted[: HEIGHT // 2] = True
    wanted[:, 6 : 6 + 12] = True  # the person
    assert np.array_equal(drawn.mask == 255, wanted)
    led = wanted.copy()
    led[:4] = led[:, :6] = False
    assert (drawn.control[led] == 100).all() and (drawn.control[wanted & ~led] == 128).all()
    assert np.array_equal(drawn.control[~wanted], place.picture(IMAGE)[~wanted])
    own = np.zeros((HEIGHT, WIDTH), bool)
    own[: HEIGHT // 2] = True
    own[4:, 6 : 6 + 12] = True
    assert np.array_equal(drawn.region == 255, own), "a LoRA tells the person from what lies around"
    bare = desk.annotate(IMAGE, ControlSettings("gray", mask="person", inpaint=False), place, still())
    assert np.array_equal(bare.mask, place.outside()) and np.array_equal(bare.region, drawn.region)


def test_without_a_mask_of_its_own_a_canvas_parts_the_picture(desk: ControlDesk) -> None:
    assert np.array_equal(desk.annotate(IMAGE, ControlSettings("gray"), CORNER).region, CORNER.outside())


def test_who_drew_is_told_with_the_gains(desk: ControlDesk, studio: Studio) -> None:
    wanted = ControlSettings("pose", gain=0.8, second="depth", second_gain=0.3)
    assert desk.annotate(IMAGE, wanted).drawn_by == (("pose", 0.8), ("depth", 0.3))
    studio.broken.add("depth")
    assert desk.annotate(IMAGE, wanted).drawn_by == (("pose", 0.8),)
    assert desk.annotate(IMAGE, ControlSettings("none", mask="person")).drawn_by == ()


def test_smoothing_never_touches_kept_pixels(desk: ControlDesk) -> None:
    wanted = ControlSettings("gray", mask="person", smoothing=0.9)
    desk.annotate(IMAGE, wanted)
    drawn = desk.annotate(255 - IMAGE, wanted)
    assert drawn.control is not None
    assert (drawn.control[:, WIDTH // 2 :] == 255 - IMAGE[:, WIDTH // 2 :]).all()


@pytest.mark.parametrize("broken", ["gray", "depth", "segmentation"])
def test_one_broken_part_does_not_take_the_others_down(ask: Ask, studio: Studio, broken: str) -> None:
    studio.broken.add(broken)
    drawn = ask(ControlSettings("gray", second="depth", mask="person", hold=5))
    assert drawn.control is not None and not drawn.found
    assert drawn.note == f"{broken} is broken  Fix: mend it"
    level = {"gray": 200, "depth": 100, "segmentation": 150}[broken]
    assert (drawn.control[:, 0] == level).all()


def test_all_that_is_to_be_said_is_said_the_remedy_last(ask: Ask, studio: Studio) -> None:
    studio.broken.add("gray")
    studio.lost.add("pose")
    assert ask(ControlSettings("gray", second="pose")).note == "no pose seen; gray is broken  Fix: mend it"
