"""The truth table of modes: every combination of what can be present."""

from dataclasses import replace
from itertools import product

import pytest

from engine.modes import Mode, Present, mode_of

# What is present, and the name of the mode without references and video: control, mask, first, last.
NAMES = {
    (False, False, False, False): "",
    (False, False, False, True): "EXTEND",
    (False, False, True, False): "EXTEND",
    (False, False, True, True): "EXTEND",
    (False, True, False, False): "INPAINT",
    (False, True, False, True): "EXTEND + INPAINT",
    (False, True, True, False): "EXTEND + INPAINT",
    (False, True, True, True): "EXTEND + INPAINT",
    (True, False, False, False): "V2V",
    (True, False, False, True): "EXTEND + V2V",
    (True, False, True, False): "EXTEND + V2V",
    (True, False, True, True): "EXTEND + V2V",
    (True, True, False, False): "INPAINT",
    (True, True, False, True): "EXTEND + INPAINT",
    (True, True, True, False): "EXTEND + INPAINT",
    (True, True, True, True): "EXTEND + INPAINT",
}
LAYOUTS = {
    (False, False): ("{}", "{}", "{}"),
    (True, False): ("given", "{}", "{}"),
    (False, True): ("{}", "{}", "given"),
    (True, True): ("given", "{}", "given"),
}


def combination(
    control: bool, mask: bool, first: bool, last: bool, references: int = 0, video: bool = False
) -> Present:
    return Present(
        control=control,
        annotator="pose" if control else "none",
        kept=0.25 if mask else None,
        first=float(first),
        last=float(last),
        references=references,
        noise=0.7 if video else None,
    )


@pytest.mark.parametrize("references", range(4))
@pytest.mark.parametrize("video", [False, True])
def test_truth_table(references: int, video: bool) -> None:
    """All 128 combinations: name, layout, references beside it."""
    for control, mask, first, last in product(*[(False, True)] * 4):
        what = (control, mask, first, last)
        mode = mode_of(combination(*what, references=references, video=video))
        names = [NAMES[what]] if NAMES[what] else []
        if video and not control and not mask:
            names = [*names, "V2V"]  # the camera under the noise leads, if nothing else of the kind does
        names += ["R2V"] if references else []
        assert mode.name == (" + ".join(names) or "T2V"), what
        part = "masked" if mask else "control" if control else "free"
        shown = any(what) or references > 0
        expected = tuple(place.format(part) for place in LAYOUTS[first, last]) if shown else ()
        assert mode.layout == expected, what
        assert mode.references == references
        for word, there in (
            ("pose 1.00", control), ("25 % kept", mask), ("first frame", first), ("last frame", last),
            (f"{references} reference", references > 0), ("noise 0.70 over the camera", video),
        ):  # fmt: skip
            assert (word in mode.reason) == there, (word, mode)


@pytest.mark.parametrize("references", range(4))
@pytest.mark.parametrize("video", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_truth_table_of_the_canvas(references: int, video: bool, second: bool) -> None:
    """Each combination on a canvas of which 75 % lie around the camera: kept, masked inside, or all led."""
    drawn_by = (("pose", 0.8), ("depth", 0.3)) if second else (("pose", 1.0),)
    pose = "pose 0.80 + depth 0.30" if second else "pose 1.00"
    for control, inside, first, last in product(("none", "kept", "led"), (False, True), *[(False, True)] * 2):
        # The camera's own quarter: kept whole, half of it masked, or (not kept) all of it generated.
        kept = None if control == "led" else 0.125 if inside else 0.25
        there = replace(
            combination(True, False, first, last, references, video),
            annotator="none" if control == "none" else "pose",
            drawn_by=() if control == "none" else drawn_by,
            kept=kept,
            around=0.75,
        )
        mode = mode_of(there)
        names = ["EXTEND"] if first or last else []
        names += ["OUTPAINT"]
        names += ["V2V"] if kept is None else ["INPAINT"] if inside else []
        names += ["R2V"] if references else []
        assert mode.name == " + ".join(names), there
        part = "control" if kept is None else "masked"
        assert mode.layout == tuple(place.format(part) for place in LAYOUTS[first, last])
        leads = control == "led" or (control == "kept" and inside)
        for word, said in (
            ("75 % outside", True), (f"{pose},", leads), ("12 % kept", kept == 0.125),
            ("25 % kept", False), ("none", False), ("ignored", control == "kept" and not inside),
            ("outside at 1.00", not leads),
        ):  # fmt: skip
            assert (word in mode.reason) == said, (word, mode)
        assert mode_of(replace(there, scale=0.0)).name == ("V2V" if video else "T2V")


def test_the_lamp_names_a_second_annotator_and_how_strongly_each_leads() -> None:
    both = Present(control=True, annotator="pose", drawn_by=(("pose", 1.0), ("depth", 0.375)), scale=0.8)
    assert mode_of(both) == Mode("V2V", "pose 0.80 + depth 0.30", ("control",) * 3)
    alone = replace(both, annotator="none", drawn_by=(("depth", 0.5),))
    assert mode_of(alone).reason == "depth 0.40"
    gray = replace(both, annotator="none", drawn_by=(), kept=0.4)
    assert mode_of(gray).reason == "40 % kept at 0.80", "a mask alone is drawn by nobody"


def test_a_camera_picture_that_is_kept_whole_makes_the_annotator_useless_and_that_is_said() -> None:
    there = Present(control=True, annotator="scribble", drawn_by=(("scribble", 1.0),), kept=0.25, around=0.75)
    assert mode_of(there).reason == ("75 % outside at 1.00; scribble ignored: the camera's picture is kept")
    assert mode_of(replace(there, kept=0.24)).name == "OUTPAINT", "its border moved"


def test_scale_zero_is_text_alone_whatever_is_present() -> None:
    for control, mask, first, last in product(*[(False, True)] * 4):
        for references in range(4):
            there = combination(control, mask, first, last, references)
            mode = mode_of(replace(there, scale=0.0))
            assert mode.name == "T2V" and mode.layout == () and mode.references == 0
            silent = there.context
            cause = "context scale is 0" if silent else "none gives no control picture"
            assert mode.reason == f"text only: {cause}"
    assert mode_of(Present(control=True, scale=0.0, noise=0.5)) == Mode("V2V", "noise 0.50 over the camera")


def test_the_lamp_says_what_leads_and_what_is_ignored() -> None:
    pose = Present(control=True, annotator="pose", scale=0.8, references=2)
    assert mode_of(pose).reason == "pose 0.80, 2 references"
    lost = replace(pose, wanted_mask=True, note="no person found")
    assert mode_of(lost).reason == "pose 0.80, 2 references; mask ignored: no person found"
    assert mode_of(replace(lost, note="")).reason == "pose 0.80, 2 references; mask ignored: there is none"
    assert mode_of(replace(lost, wanted_mask=False)).reason.endswith("2 references; no person found")
    assert mode_of(Present(annotator="pose", note="no person found")).reason == "text only: no person found"
    assert mode_of(Present(references=1, scale=0.5)).reason == "1 reference at 0.50"
    assert mode_of(Present(first=0.5, last=1.0)).reason == "first frame 0.50 at 1.00, last frame"


def test_a_mask_that_says_nothing_is_told() -> None:
    white = mode_of(Present(control=True, annotator="gray", kept=0.0))
    assert (white.name, white.layout[0]) == ("V2V", "control")
    assert white.reason == "gray 1.00; the mask is all white and keeps nothing"
    black = mode_of(Present(control=True, annotator="gray", kept=1.0))
    assert black.name == "INPAINT"
    assert black.reason == "gray 1.00, all of it kept; the mask is all black and lets nothing be generated"


@pytest.mark.parametrize("latents", [1, 2, 5])
def test_the_layout_has_as_many_latents_as_the_chunk(latents: int) -> None:
    mode = mode_of(Present(control=True, first=1.0, latents=latents))
    assert mode.layout == ("given", *["control"] * (latents - 1))


@pytest.mark.parametrize(
    ("inside", "note", "said"),
    [
        (0.3, "", "LoRA 1 inside the mask; LoRA 3 outside the mask"),
        (0.0, "no person seen", "LoRA 1 nowhere: no person seen; LoRA 3 everywhere: no person seen"),
        (0.0, "", "LoRA 1 nowhere: the mask is all black; LoRA 3 everywhere: the mask is all black"),
        (1.0, "", "LoRA 1 everywhere: the mask is all white; LoRA 3 nowhere: the mask is all white"),
        (None, "", "LoRA 1 nowhere: there is no mask; LoRA 3 everywhere: there is no mask"),
    ],
)
def test_the_lamp_says_where_a_lora_acts(inside: float | None, note: str, said: str) -> None:
    loras = ((1, "inside"), (3, "outside"))
    there = Present(control=True, annotator="pose", inside=inside, note=note, loras=loras)
    reason = mode_of(there).reason
    assert reason.startswith("pose 1.00") and reason.endswith(f"; {said}")
    assert mode_of(replace(there, loras=())).reason.endswith(note or "pose 1.00"), "said of nobody else"
    text = mode_of(replace(there, control=False, annotator="none", note=""))
    assert text.name == "T2V" and "LoRA 1" in text.reason, "also where VACE is not asked"


def test_a_mask_that_is_missing_is_told_for_both_of_its_uses() -> None:
    lost = Present(
        control=True, annotator="pose", wanted_mask=True, note="no person found", loras=((2, "inside"),)
    )
    assert mode_of(lost).reason == "pose 1.00; mask ignored: no person found; LoRA 2 nowhere: no person found"
