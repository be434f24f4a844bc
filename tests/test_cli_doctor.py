"""`cuelight doctor`: every row says something true, a broken part never hides the others."""

import inspect
import socket
import sys
from collections.abc import Callable

import pytest

from controllers.osc import OscServer
from engine import doctor
from engine.core.errors import SourceError, WeightsError
from engine.doctor import CHECKS, Finding, main
from engine.model.attention import attend
from engine.model.kernels import Chosen, Trial


def raising(error: Exception) -> Callable[[], Finding]:
    def check() -> Finding:
        raise error

    return check


def test_rows_are_printed_with_their_fixes(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        ("One", lambda: Finding("ok", "fine")),
        ("Two", lambda: Finding("warn", "missing", "plug it in")),
    ]
    assert main(rows) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["ok", "One", "fine"],
        ["warn", "Two", "missing"],
        ["fix:", "plug", "it", "in"],
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WeightsError("the file is cut short", "install again"), "install again"),
        (ModuleNotFoundError("No module named 'av'", name="av"), "av is not installed"),
        (RuntimeError("driver"), "RuntimeError: driver"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_check_that_breaks_is_a_fail_and_the_rest_goes_on(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([("Broken", raising(error)), ("After", lambda: Finding("ok", "reached"))]) == 1
    out = capsys.readouterr().out
    assert said in out and "reached" in out and "Traceback" not in out


def test_a_taken_osc_port_is_a_warning_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        monkeypatch.setattr(doctor, "OSC_PORT", other.getsockname()[1])
        taken = doctor.osc()
    assert taken.status == "warn" and str(doctor.OSC_PORT) in taken.text and taken.fix
    assert doctor.osc().status == "ok"


def test_little_memory_and_disk_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ENOUGH_MEMORY", 2**60)
    monkeypatch.setattr(doctor, "ENOUGH_DISK", 2**60)
    if sys.platform.startswith("linux"):
        assert doctor.memory().status == "warn"
    assert doctor.recording().status == "warn"


def test_no_camera_is_a_warning_with_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.video.sources.list_cameras", lambda: [])
    finding = doctor.cameras()
    assert finding.status == "warn" and "demo" in finding.fix


def test_a_camera_that_fails_to_list_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "engine.video.sources.list_cameras", raising(SourceError("no access", "join group video"))
    )
    assert main([("Cameras", doctor.cameras)]) == 1


def test_no_screen_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert doctor.display().status == "warn"
    monkeypatch.setenv("DISPLAY", ":93")
    assert doctor.display() == Finding("ok", doctor.display().text) and ":93" in doctor.display().text


def test_an_old_and_a_new_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    assert doctor.python_version().status == "warn"
    monkeypatch.setattr(sys, "version_info", (3, 12, 0))
    assert doctor.python_version().status == "ok"


@pytest.mark.parametrize(("name", "check"), CHECKS, ids=[name for name, _ in CHECKS])
def test_every_check_answers_on_this_machine(name: str, check: Callable[[], Finding]) -> None:
    finding = doctor._found(check)
    assert finding.status in ("ok", "warn"), finding
    assert finding.text and (finding.status == "ok" or finding.fix)


def test_the_osc_port_is_the_one_that_is_listened_on() -> None:
    assert inspect.signature(OscServer).parameters["port"].default == doctor.OSC_PORT


def test_a_wrong_attention_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.attention().status == "ok"
    refused = Trial("sage", 0.5, refused="wrong by 50.0% on a card")
    found = Chosen("sdpa", attend, (Trial("sdpa", 0.0), refused))
    monkeypatch.setattr("engine.model.kernels.choose", lambda *given: found)
    finding = doctor.attention()
    assert finding.status == "warn" and "sage refused: wrong by 50.0%" in finding.text and finding.fix
