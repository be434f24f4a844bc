"""`cuelight adherence`: what is measured rises with what a session follows, and becomes rows."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import engine.adherence
import engine.adherence.bench
from engine.adherence import CONTROLS, Clip, Plan, drawn_frames
from engine.adherence.bench import Bench
from engine.adherence.cases import Case, Truth, Words, drawn_cases, filmed_cases, words_of
from engine.adherence.crew import one_by_one
from engine.adherence.judge import Judge
from engine.adherence.measure import BETTER, FOLLOWED, Finding, Row, Scores
from engine.adherence.trials import ControlTrial, Trial
from engine.chunk import ChunkInput
from engine.cli import main
from engine.core.errors import AnnotatorError
from engine.core.store import Snapshot
from engine.core.types import ControlFrame, Frame
from engine.render import settings
from tests.echo import EchoSession

MATERIALS = ("gold", "ice", "moss")
KEYS = ["source", "control", "metric", "better", "scale", "value", "cases"]


class Echo(EchoSession):
    """The echo session shows the control picture itself, and flat gray at scale 0."""

    def reset(self, replay: bool = False) -> None:
        super().reset()


class Elsewhere(Echo):
    """Shows lines as many and as strong as asked for, in other places."""

    def step(self, chunk, live, conditioning, settings, *, emit):
        elsewhere = ChunkInput(np.roll(chunk.control, (16, 20), axis=(1, 2)), None, chunk.annotator)
        super().step(elsewhere, live, conditioning, settings, emit=emit)


class Blinking(Echo):
    """Every other chunk is dark."""

    first_lacks = 0

    def step(self, chunk, live, conditioning, settings, *, emit):
        dark = len(self.chunks) % 2
        shown = ChunkInput(chunk.control // (2 if dark else 1), None, chunk.annotator)
        super().step(shown, live, conditioning, settings, emit=emit)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Echo]:
    sessions: list[Echo] = []

    def open_session(values: Snapshot) -> Echo:
        sessions.append(Echo("echo", 128, 224))
        return sessions[-1]

    monkeypatch.setattr(engine.adherence.bench, "open_session", open_session)
    return sessions


def lines_case(seconds: float = 0.4) -> Iterator[Case]:
    drawn = Clip("drawn", "procedural", drawn_frames)
    return filmed_cases(drawn, "scribble", 1, seconds, settings({}), MATERIALS)


def measured(session: Echo, cases: Iterator[Case], scales: Sequence[float], judge: Judge) -> Scores:
    bench = Bench(session, judge, settings({}), Path())  # type: ignore[arg-type]
    scores = Scores()
    for finding in one_by_one(map(ControlTrial, cases), bench, scales):
        scores.add(finding)
    return scores


def test_the_measure_rises_with_what_the_session_follows(judge: Judge) -> None:
    session = Echo("echo", 128, 224)
    scores = measured(session, lines_case(), (0.0, 0.5, 1.0), judge)
    edge = {scale: scores.of["procedural", "scribble", "edge_f", scale][0] for scale in (0.0, 1.0)}
    assert edge[0.0] == 0.0 and edge[1.0] > 0.9
    assert session.resets == 3


def test_following_is_told_from_showing_something_else(judge: Judge) -> None:
    followed, ignored = (
        measured(kind("echo", 128, 224), lines_case(), (1.0,), judge).of[
            "procedural", "scribble", "edge_f", 1.0
        ][0]
        for kind in (Echo, Elsewhere)
    )
    assert ignored < followed / 2


def test_chunks_that_differ_flicker(judge: Judge) -> None:
    calm, blinking = (
        measured(kind("echo", 128, 224), lines_case(1.2), (1.0,), judge).of[
            "procedural", "scribble", "flicker", 1.0
        ][0]
        for kind in (Echo, Blinking)
    )
    assert blinking > 3 * calm


def test_a_drawn_case_knows_its_truth_and_a_true_render_is_the_ceiling(judge: Judge) -> None:
    case = next(drawn_cases("depth", 1, 0.2, settings({}), MATERIALS))
    assert case.truth.rendered and case.words.material == "gold" and "gold" in case.words.prompt
    assert case.truth.depth is not None and case.truth.depth.shape == (3, 128, 224)
    scores = measured(Echo("echo", 128, 224), iter([case]), (1.0,), judge)
    assert scores.ceiling["depth", "depth_rmse"][0] < case.truth.depth.std()
    assert scores.of["procedural", "depth", "palette_distance", 1.0][0] > 0


def test_drawn_cases_are_the_same_every_time_and_name_each_material_once() -> None:
    drawn = list(drawn_cases("pose", 3, 0.1, settings({}), MATERIALS))
    again = list(drawn_cases("pose", 3, 0.1, settings({}), MATERIALS))
    assert [case.words.material for case in drawn] == list(MATERIALS)
    for first, second in zip(drawn, again, strict=True):
        assert np.array_equal(first.truth.video, second.truth.video) and first.words == second.words
        assert first.truth.joints is not None


def test_a_prompt_that_was_set_is_said_to_every_clip() -> None:
    values = settings({"prompt.text": "blue moss, fog"})
    case = next(drawn_cases("inpaint", 1, 0.1, values, MATERIALS))
    assert case.words.prompt == "blue moss, fog" and case.words.material == "moss"
    assert not case.truth.rendered  # its own true render has other colours
    assert (
        len(list(filmed_cases(Clip("drawn", "real", drawn_frames), "gray", 3, 0.1, values, MATERIALS))) == 1
    )


def test_a_prompt_names_one_material_and_one_palette_or_none() -> None:
    assert words_of("A red gold figure, night.", MATERIALS) == Words(
        "A red gold figure, night.", "gold", words_of("red", MATERIALS).palette
    )
    assert words_of("gold and ice in red and blue", MATERIALS) == Words("gold and ice in red and blue")


def test_a_short_clip_begins_again_for_the_next_prompt() -> None:
    def five(seconds: float):  # type: ignore[no-untyped-def]
        return iter([np.full((128, 224, 3), 40 * index, np.uint8) for index in range(5)])

    clip = Clip("five", "real", five, fps=10)
    cases = filmed_cases(clip, "gray", 3, 0.2, settings({}), MATERIALS)
    first = [int(case.truth.video[0, 0, 0, 0]) for case in cases]
    assert first == [0, 80, 0]


def still(control: str) -> Case:
    picture = np.full((128, 224, 3), 200, np.uint8)
    frames = [ControlFrame(Frame(picture, 0.0, i), picture, None, control, True, "") for i in range(2)]
    return Case(
        "real", control, "still", frames, Words("gold", "gold"), Truth(np.stack([picture] * 2), False)
    )


def test_what_asks_for_nothing_has_no_score(judge: Judge) -> None:
    for control in ("scribble", "depth", "pose", "inpaint"):
        found = measured(Echo("echo", 128, 224), iter([still(control)]), (1.0,), judge).of
        assert {metric for _, _, metric, _ in found} == {"material_accuracy"}


def test_the_command_prints_and_writes_its_rows(
    tmp_path: Path, opened: list[Echo], capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = tmp_path / "rows.json"
    words = ["--scales", "0,1", "--seconds", "0.4", "--annotator", "edges", "--clips", "1"]
    assert main(["adherence", *words, "--json", str(numbers)]) == 0
    rows = json.loads(numbers.read_text())["rows"]
    assert all(list(row) == KEYS and row["better"] == BETTER[row["metric"]] for row in rows)
    assert {(row["source"], row["control"]) for row in rows} == {("procedural", "edges")}
    assert {row["metric"] for row in rows} == {
        "edge_f", "material_accuracy", "palette_distance",
    }  # fmt: skip
    nothing, followed = (row["value"] for row in rows if row["metric"] == "edge_f")
    assert nothing < followed <= 1.0
    said = capsys.readouterr().out
    assert "procedural, edges" in said and "2 pixels" in said and "true" in said
    assert len(opened) == 1 and opened[0].closed


def test_a_file_is_a_real_clip_and_comes_beside_the_drawn_ones(opened: list[Echo], tmp_path: Path) -> None:
    from engine.video.opencv import cv2

    path = tmp_path / "still.png"
    cv2.imwrite(str(path), next(iter(drawn_frames(0.1))))
    plan = Plan((1.0,), ("scribble",), 1, 0.1)
    rows = engine.adherence.main([str(path)], settings({}), plan)
    assert {row["source"] for row in rows} == {"procedural", "real"}
    rows = engine.adherence.main([str(path)], settings({}), Plan((1.0,), ("scribble",), 0, 0.1))
    assert {row["source"] for row in rows} == {"real"}


def test_an_annotator_that_cannot_run_is_named_and_left_out(
    opened: list[Echo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.adherence import cases
    from engine.video.opencv import cv2

    path = tmp_path / "still.png"
    cv2.imwrite(str(path), next(iter(drawn_frames(0.1))))
    whole = cases.filmed_controls

    def broken(clip, control, seconds, values):
        if control == "gray":
            raise AnnotatorError("the annotator gray has no file", "install it")
        return whole(clip, control, seconds, values)

    monkeypatch.setattr(engine.adherence, "filmed_controls", broken)
    rows = engine.adherence.main([str(path)], settings({}), Plan((1.0,), ("gray", "scribble"), 0, 0.1))
    assert {row["control"] for row in rows} == {"scribble"}
    assert "without gray, the annotator gray has no file" in capsys.readouterr().out


def test_a_clip_without_lines_cannot_be_measured(opened: list[Echo], tmp_path: Path) -> None:
    from engine.video.opencv import cv2

    path = tmp_path / "empty.png"
    cv2.imwrite(str(path), np.full((128, 224, 3), 90, np.uint8))
    with pytest.raises(AnnotatorError, match="no lines"):
        engine.adherence.main([str(path)], settings({}), Plan((1.0,), ("scribble",), 0, 0.1))


def test_without_an_annotator_there_is_nothing_to_measure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adherence", "--annotator", "none"]) == 2
    assert "nothing to follow" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--controls", "lines"], ["--clips", "-1"], ["--drift", "0"]])
def test_a_misused_option_says_what_there_is(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["adherence", *words])
    assert "usage: cuelight adherence" in capsys.readouterr().err


def test_the_whole_command_with_pocket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = tmp_path / "rows.json"
    words = ["--controls", "inpaint", "--clips", "1", "--seconds", "1.5", "--scales", "0,1", "--drift", "2"]
    assert main(["adherence", *words, "--json", str(numbers)]) == 0
    rows = json.loads(numbers.read_text())["rows"]
    metrics = {row["metric"] for row in rows}
    assert metrics == {
        "mask_ssim", "material_accuracy", "palette_distance", "flicker", "stutter", "drift",
    }  # fmt: skip
    assert all(np.isfinite(row["value"]) for row in rows)
    assert "drift over 2 s" in capsys.readouterr().out


def test_modes_are_measured_where_they_are_named_and_where_no_control_is(
    opened: list[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def trials(groups: Sequence[str], sources: object) -> Iterator[Trial]:
        asked.append(tuple(groups))
        return iter(())

    monkeypatch.setattr(engine.adherence, "_mode_trials", trials)
    monkeypatch.setattr(engine.adherence, "_control_trials", lambda *given: iter(()))
    for plan in (Plan((1.0,)), Plan((1.0,), ("gray",)), Plan((1.0,), modes=("kept",))):
        engine.adherence.main([], settings({}), plan)
    assert asked == [("kept", "references", "extension", "compositions"), (), ("kept",)]


def test_a_named_mode_is_measured_alone_and_becomes_rows(
    opened: list[Echo], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.adherence import trials

    monkeypatch.setattr(trials, "round_trip", lambda pipeline, pictures: pictures)
    numbers = tmp_path / "rows.json"
    words = ["--modes", "kept", "--scales", "0,1", "--seconds", "0.4", "--clips", "1", "--markdown"]
    assert main(["adherence", *words, "--json", str(numbers)]) == 0
    rows = json.loads(numbers.read_text())["rows"]
    assert all(list(row) == KEYS for row in rows)
    assert {row["control"] for row in rows} == {"kept_static", "kept_outpaint", "kept_person"}
    best = [row["value"] for row in rows if row["metric"] == "kept_ssim"]
    assert len(best) == 6 and min(best) >= 0.98
    assert "| kept_person | kept_ssim (up) | 1.000 | 1.000 | 1.000 |" in capsys.readouterr().out


def test_an_unknown_mode_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["adherence", "--modes", "dreams"])
    assert "kept, references, extension, compositions" in capsys.readouterr().err


QUICK = ["--scales", "0,1", "--seconds", "0.1", "--clips", "2", "--controls", "gray,flow"]


def test_rows_are_kept_after_every_clip_and_say_of_how_many_they_are(opened: list[Echo]) -> None:
    kept: list[list[Row]] = []
    rows = engine.adherence.main([], settings({}), Plan((1.0,), ("gray", "flow"), 2, 0.1), kept.append)
    assert len(kept) == 4 and kept[-1] == rows
    gray = [next(row["cases"] for row in early if row["control"] == "gray") for early in kept]
    assert gray == [1, 2, 2, 2]
    assert [{row["control"] for row in early} for early in kept] == [{"gray"}] * 2 + [{"gray", "flow"}] * 2


def test_what_is_stopped_leaves_a_whole_file_and_the_table_of_what_was_measured(
    opened: list[Echo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(trials: Iterator[Trial], bench: Bench, scales: Sequence[float]) -> Iterator[Finding]:
        for number, finding in enumerate(one_by_one(trials, bench, scales)):
            if number == 3:
                raise KeyboardInterrupt
            yield finding

    numbers = tmp_path / "rows.json"
    monkeypatch.setattr(engine.adherence, "one_by_one", interrupted)
    assert main(["adherence", *QUICK, "--json", str(numbers)]) == 130
    written = json.loads(numbers.read_text())
    assert written["complete"] is False
    assert {(row["control"], row["cases"]) for row in written["rows"]} == {("gray", 2), ("flow", 1)}
    said = capsys.readouterr()
    assert "procedural, flow" in said.out
    assert f"stopped after 3 clips; {numbers} holds the numbers of these" in said.err
    assert opened[0].closed and [path.name for path in tmp_path.iterdir()] == ["rows.json"]


def test_stopped_before_anything_was_measured_nothing_is_written(
    opened: list[Echo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: object) -> Iterator[Trial]:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.adherence, "_control_trials", interrupted)
    assert main(["adherence", *QUICK, "--json", str(tmp_path / "rows.json")]) == 130
    assert capsys.readouterr().err.endswith("cuelight: stopped after 0 clips\n")
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("jobs", ["0", "-1", "many", "65"])
def test_a_number_of_processes_that_cannot_be_is_refused(
    jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["adherence", "--jobs", jobs])
    assert "number of processes" in capsys.readouterr().err


def test_every_control_that_can_be_followed_is_told_and_measured_but_for_edges(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert set(CONTROLS) == set(FOLLOWED) - {"edges"}
    with pytest.raises(SystemExit):
        main(["adherence", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "of scribble, edges, depth, gray, pose, inpaint, flow, layout (default" in said


class Filled(Echo):
    """Shows a golden body on black: where the box is, or where something moves."""

    def step(self, chunk, live, conditioning, settings, *, emit):
        from engine.pocket.guides import from_box, from_flow

        read = from_flow if chunk.annotator == "flow" else from_box
        near = np.stack([read(picture).near for picture in chunk.control])
        body = (near[..., None] * np.array([230, 180, 60])).astype(np.uint8)
        super().step(
            ChunkInput(128 + body // 2, None, chunk.annotator), live, conditioning, settings, emit=emit
        )


@pytest.mark.parametrize("control", ["flow", "layout"])
def test_flow_and_layout_ask_for_a_body_drawn_and_filmed(control: str, judge: Judge) -> None:
    values = settings({"layout.x": 0.3, "layout.width": 0.4})
    film = Clip("drawn", "real", drawn_frames)
    drawn, filmed = (
        next(cases)
        for cases in (
            drawn_cases(control, 1, 0.3, values, MATERIALS),
            filmed_cases(film, control, 1, 0.3, values, MATERIALS),
        )
    )
    for case in (drawn, filmed):
        assert case.truth.mask is not None and case.truth.mask.shape == (len(case.frames), 128, 224)
        assert set(np.unique(case.truth.mask)) == {0.0, 1.0}
        assert all(frame.mask is None and frame.control is not None for frame in case.frames)
    assert filmed.truth.mask is not None
    if control == "layout":
        columns = np.nonzero(filmed.truth.mask[0])[1]
        assert abs(columns.mean() / 224 - 0.3) < 0.01 and abs(np.ptp(columns) / 224 - 0.4) < 0.03
    else:
        assert not filmed.truth.mask[0].any(), "the first picture has no motion yet"
    scores = measured(Filled("echo", 128, 224), iter([drawn, filmed]), (0.0, 1.0), judge)
    for source in ("procedural", "real"):
        followed, ignored = (scores.of[source, control, "mask_ssim", scale][0] for scale in (1.0, 0.0))
        assert followed > ignored, source
