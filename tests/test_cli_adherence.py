"""`cuelight adherence`: the measure is symmetric and rises when the control picture is followed."""

import json
from pathlib import Path

import numpy as np
import pytest

import engine.adherence
from engine.adherence import (
    TOLERANCE,
    Clip,
    control_lines,
    drawn_frames,
    edge_f,
    measure,
    picture_lines,
)
from engine.cli import main
from engine.core.errors import AnnotatorError
from engine.render import settings
from engine.session import ChunkInput
from tests.echo import EchoSession

SIZE = (64, 96)


def lines(*columns: int) -> np.ndarray:
    picture = np.zeros(SIZE, bool)
    picture[8:56, list(columns)] = True
    return picture


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_lines_within_the_tolerance_count_in_full(shift: int) -> None:
    assert edge_f(lines(40 + shift), lines(40)) == 1.0


@pytest.mark.parametrize("shift", [3, 4, 20])
def test_lines_further_away_do_not_count(shift: int) -> None:
    assert TOLERANCE == 2
    assert edge_f(lines(40 + shift), lines(40)) == 0.0


def test_invented_lines_cost_as_much_as_missing_ones() -> None:
    # Half of one side is unmatched: the other part is 1, so F = 2 * 0.5 * 1 / 1.5.
    assert edge_f(lines(20, 60), lines(20)) == pytest.approx(2 / 3)
    assert edge_f(lines(20), lines(20, 60)) == pytest.approx(2 / 3)


def test_the_score_is_symmetric() -> None:
    random = np.random.default_rng(3)
    for density in (0.002, 0.02, 0.2):
        a, b = random.random((2, *SIZE)) < density
        assert edge_f(a, b) == pytest.approx(edge_f(b, a))


def test_nothing_against_something_is_zero_and_nothing_against_nothing_is_one() -> None:
    empty = np.zeros(SIZE, bool)
    assert edge_f(empty, lines(5)) == edge_f(lines(5), empty) == 0.0
    assert edge_f(empty, empty) == 1.0


def test_a_scribbles_stroke_is_one_line_and_so_is_an_edge() -> None:
    drawing = np.full((*SIZE, 3), 255, np.uint8)
    drawing[10:50, 30:34] = 0
    thin = control_lines(drawing, "scribble")
    assert thin.any() and thin.sum(axis=1).max() == 1 and thin[:, 28:36].sum() == thin.sum()
    assert np.array_equal(control_lines(255 - drawing, "edges"), thin)


def test_a_picture_is_reduced_to_its_outline() -> None:
    picture = np.full((*SIZE, 3), 60, np.uint8)
    picture[16:48, 24:72] = 200
    found = picture_lines(picture)
    outline = np.zeros(SIZE, bool)
    outline[16:48, [24, 71]] = outline[[16, 47], 24:72] = True
    assert edge_f(found, outline) > 0.95
    assert not picture_lines(np.full((*SIZE, 3), 90, np.uint8)).any()


def test_the_drawn_clip_is_the_same_every_time_and_moves() -> None:
    frames, again = list(drawn_frames(0.5)), list(drawn_frames(0.5))
    assert len(frames) == 15
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
    assert not np.array_equal(frames[0], frames[-1])


DRAWN = Clip("drawn", "procedural", drawn_frames)


def test_the_measure_rises_with_what_the_session_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[EchoSession] = []

    def open_session(pipeline: str, height: int, width: int, choice: object) -> EchoSession:
        opened.append(EchoSession(pipeline, height, width, choice))
        return opened[-1]

    monkeypatch.setattr(engine.adherence, "open_session", open_session)
    scores = measure([DRAWN], settings({}), (0.0, 0.5, 1.0), 0.4)["drawn"]
    # The echo session shows the control picture itself, and flat gray at scale 0.
    assert scores[0.0] == 0.0 and scores[1.0] > 0.9
    assert len(opened) == 3 and all(session.closed for session in opened)


def test_following_is_told_from_showing_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(EchoSession):
        """Shows lines as many and as strong as asked for, in other places."""

        def step(self, chunk, live, conditioning, settings, *, emit):  # type: ignore[no-untyped-def]
            elsewhere = ChunkInput(np.roll(chunk.control, (16, 20), axis=(1, 2)), None, chunk.annotator)
            super().step(elsewhere, live, conditioning, settings, emit=emit)

    scores = []
    for session in (EchoSession, Elsewhere):
        monkeypatch.setattr(engine.adherence, "open_session", session)
        scores.append(measure([DRAWN], settings({}), (1.0,), 0.4)["drawn"][1.0])
    followed, ignored = scores
    assert ignored < followed / 2


def test_a_clip_without_lines_cannot_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def empty(seconds: float):  # type: ignore[no-untyped-def]
        return iter([np.full((128, 224, 3), 90, np.uint8)] * 12)

    monkeypatch.setattr(engine.adherence, "open_session", EchoSession)
    with pytest.raises(AnnotatorError, match="no lines"):
        measure([Clip("empty", "real", empty)], settings({}), (1.0,), 1.0)


def test_the_command_prints_and_writes_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine.adherence, "open_session", EchoSession)
    numbers = tmp_path / "rows.json"
    status = main(
        ["adherence", "--scales", "0,1", "--seconds", "0.4", "--annotator", "edges", "--json", str(numbers)]
    )
    assert status == 0
    rows = json.loads(numbers.read_text())["rows"]
    assert [(row["source"], row["control"], row["metric"], row["better"], row["scale"]) for row in rows] == [
        ("procedural", "edges", "edge_f", "higher", 0.0),
        ("procedural", "edges", "edge_f", "higher", 1.0),
    ]
    assert rows[0]["value"] < rows[1]["value"] <= 1.0
    said = capsys.readouterr().out
    assert "demo" in said and "drawn" in said and "2 pixels" in said


def test_a_file_is_a_real_clip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from engine.video.opencv import cv2

    path = tmp_path / "still.png"
    cv2.imwrite(str(path), next(iter(drawn_frames(0.1))))
    monkeypatch.setattr(engine.adherence, "open_session", EchoSession)
    rows = engine.adherence.main([str(path)], settings({}), (1.0,), 0.4)
    assert [row["source"] for row in rows] == ["real"]


def test_without_an_annotator_there_is_nothing_to_measure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adherence", "--annotator", "none"]) == 2
    assert "nothing to follow" in capsys.readouterr().err
