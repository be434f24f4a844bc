"""The whole thing: built from the command line, run on the real runtime, closed without a thread left."""

import gc
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from app.display import display_problem
from app.main import compose
from app.notices import Notices
from app.options import Options, parse
from app.settings import settings_path
from controllers.mapping import ControlMapping, save_mapping, user_path
from engine.core.backups import FOLDER
from engine.core.store import Store
from engine.runtime import Runtime
from engine.stages.pictures import keep_mask, picture_path
from tests.app.fakes import FakeLock, FakeRuntime
from tests.fakes import FakeAnnotators, FakeSession, FakeSource, FakeSources


def real_runtime(store: Store) -> Runtime:
    """The real threads and channels; only what touches the world is ours."""
    return Runtime(
        store,
        open_session=lambda _pipeline, height, width, *_: FakeSession(height, width, 0.05, []),
        open_source=FakeSources(demo=lambda: FakeSource("demo")).open,
        make_annotator=FakeAnnotators().make,
    )


def test_the_window_shows_what_the_real_runtime_makes_and_leaves_no_thread(qtbot) -> None:
    before = set(threading.enumerate())
    stage = compose(Options(osc_port=0, midi=False), Notices(), real_runtime)
    stage.start()
    qtbot.waitUntil(lambda: stage.window.status_strip.mode.shown.value == "V2V scribble", timeout=30_000)
    qtbot.waitUntil(lambda: stage.window.status_strip.rung.shown.value == "generated", timeout=30_000)
    assert stage.runtime.program.peek() is not None
    assert len(set(threading.enumerate()) - before) >= 5
    stage.window.close()
    assert stage.stop() == ()
    assert set(threading.enumerate()) - before == set()
    assert settings_path().is_file()


def test_midi_and_osc_threads_end_too(qtbot) -> None:
    before = set(threading.enumerate())
    stage = compose(Options(osc_port=39123), Notices(), lambda store: FakeRuntime())
    stage.start()
    stage.window.close()
    assert stage.stop() == ()
    assert set(threading.enumerate()) - before == set()


def test_values_come_back_at_the_next_start_and_the_command_line_goes_first(qtbot) -> None:
    first = compose(Options(osc_port=0, midi=False), Notices(), lambda store: FakeRuntime())
    first.start()
    first.store.set_many({"prompt.text": "ice", "output.mix": 0.5}, "gui")
    first.window.close()
    first.stop()
    notices = Notices()
    options = Options(source="/clips/a.mp4", prompt="fire", osc_port=0, midi=False)
    second = compose(options, notices, lambda store: FakeRuntime())
    values = second.store.snapshot().values
    assert (values["prompt.text"], values["source.uri"], values["output.mix"]) == (
        "fire",
        "/clips/a.mp4",
        0.5,
    )
    assert notices.take() == []
    second.errands.start()
    second.stop()


def test_strokes_that_nobody_names_are_gone_after_a_start(qtbot) -> None:
    forgotten, shown = (keep_mask(np.full((8, 8), level, np.uint8)) for level in (1, 2))
    for name in (forgotten, shown):
        os.utime(picture_path(name), (0, 0))
    stage = compose(Options(osc_port=0, midi=False), Notices(), lambda store: FakeRuntime())
    stage.store.set("mask.file", shown, "gui")
    stage.start()
    stage.window.close()
    stage.stop()
    assert [picture_path(name).is_file() for name in (forgotten, shown)] == [False, True]


def test_a_bad_option_value_is_told_and_the_window_opens_anyway(qtbot) -> None:
    options = Options(prompt="x" * 3000, osc_port=0, midi=False)
    stage = compose(options, Notices(), lambda store: FakeRuntime())
    assert stage.window.messages.text.text().startswith("prompt.text is 3000 characters long")
    assert stage.store.get("prompt.text") == "gold figure, night"
    stage.errands.start()
    stage.stop()


def test_an_unknown_command_of_a_pad_is_told(qtbot) -> None:
    notices = Notices()
    stage = compose(Options(osc_port=0, midi=False), notices, lambda store: FakeRuntime())
    stage.command("explode")
    stage.command("reset")
    assert stage.runtime.commands == ["reset"]
    assert "explode" in notices.take()[0].what
    stage.errands.start()
    stage.stop()


@pytest.mark.parametrize(
    ("environment", "platform", "fine"),
    [({}, "linux", False), ({"DISPLAY": ":0"}, "linux", True), ({"WAYLAND_DISPLAY": "w"}, "linux", True),
     ({"QT_QPA_PLATFORM": "offscreen"}, "linux", True), ({"DISPLAY": ""}, "linux", False),
     ({}, "darwin", True)],
)  # fmt: skip
def test_without_a_display_it_says_what_to_do(environment, platform, fine) -> None:
    problem = display_problem(environment, platform)
    assert (problem is None) is fine
    if problem is not None:
        assert "display" in problem.what
        assert "cuelight render" in problem.fix


def test_options() -> None:
    assert parse([]) == Options()
    given = parse(["--source", "camera:x", "--prompt", "ice", "--osc-port", "9001", "--jack", "--no-midi"])
    assert given == Options("camera:x", "ice", 9001, True, False)


def test_who_else_may_play_by_osc_and_is_told() -> None:
    given = parse(["--osc-host", "0.0.0.0", "--osc-to", "192.168.1.5:9001", "--osc-to", "127.0.0.1:9002"])
    assert given.osc_host == "0.0.0.0"
    assert given.osc_to == (("192.168.1.5", 9001), ("127.0.0.1", 9002))
    assert Options().osc_host == "127.0.0.1", "nobody else, unless somebody says so"


def test_the_window_may_be_smaller_or_larger() -> None:
    assert (parse([]).scale, parse(["--scale", "0.8"]).scale) == (1.0, 0.8)


def test_a_tablet_is_told_every_change(qtbot) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tablet:
        tablet.bind(("127.0.0.1", 0))
        tablet.settimeout(20)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = Options(osc_port=port, midi=False, osc_to=(tablet.getsockname(),))
        stage = compose(options, Notices(), lambda store: FakeRuntime())
        stage.start()
        try:
            stage.store.set("output.mix", 0.25, "gui")
            heard = b""
            while b"/cuelight/output/mix" not in heard:
                heard = tablet.recv(2048)
        finally:
            stage.window.close()
            assert stage.stop() == ()


def test_a_show_keeps_the_computer_awake_and_its_settings_safe(qtbot, monkeypatch) -> None:
    monkeypatch.setattr("app.autosave.EVERY_S", 0.0)
    lock = FakeLock()
    stage = compose(Options(osc_port=0, midi=False), Notices(), lambda store: FakeRuntime(), lock)
    stage.start()
    gc.collect()  # whatever only a signal holds is gone
    stage.store.set("prompt.text", "ice palace", "gui")
    stage.window.output_window.open()
    qtbot.waitUntil(lambda: lock.asked == ["take"])
    qtbot.waitUntil(settings_path().is_file)
    qtbot.waitUntil(lambda: "ice palace" in settings_path().read_text())
    stage.window.end()
    assert stage.stop() == ()


def test_a_mapping_is_kept_as_it_was_before_the_evening(qtbot) -> None:
    """One evening of learning must not push out what was before it."""
    mapping = user_path()
    save_mapping(mapping, ControlMapping("mine", ()))
    before = mapping.read_text()
    stage = compose(Options(osc_port=0, midi=False), Notices(), lambda store: FakeRuntime())
    for number in range(12):
        save_mapping(mapping, ControlMapping(f"learned {number}", ()))
    (kept,) = (mapping.parent / FOLDER).iterdir()
    assert kept.read_text() == before
    stage.errands.start()
    stage.stop()


def test_a_mapping_that_cannot_be_read_is_kept_aside_before_learning_saves_over_it(qtbot) -> None:
    mapping = user_path()
    mapping.parent.mkdir(parents=True)
    mapping.write_text("one typo = [")
    stage = compose(Options(osc_port=0, midi=False), Notices(), lambda store: FakeRuntime())
    assert stage.window.messages.text.text().startswith("Your MIDI mapping could not be read")
    assert not mapping.exists()
    (kept,) = mapping.parent.iterdir()
    assert kept.read_text() == "one typo = ["
    stage.errands.start()
    stage.stop()


@pytest.mark.parametrize(
    "argv",
    [
        ["--osc-port", "70000"], ["--osc-port", "x"], ["--osc-port", "-1"], ["--wrong"],
        ["--osc-host", "tablet"], ["--osc-to", "192.168.1.5"], ["--osc-to", "here:9000"],
        ["--osc-to", "127.0.0.1:0"], ["--osc-to", "127.0.0.1:9"] * 9, ["--scale", "3"], ["--scale", "big"],
    ],
)  # fmt: skip
def test_wrong_options_end_with_a_line(argv, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["parameters"], ["--help"], ["--version"]])
def test_sub_commands_and_help_never_import_qt(argv) -> None:
    code = (
        f"import sys; sys.modules['PySide6'] = None; from app.__main__ import main; sys.exit(main({argv!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cuelight" in done.stdout


def test_no_display_is_an_error_line_and_a_status(monkeypatch) -> None:
    code = "import sys; from app.__main__ import main; sys.exit(main([]))"
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == 2
    assert "no display" in done.stderr
    assert "fix:" in done.stderr
