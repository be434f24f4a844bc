"""When our own code fails: one message, one traceback in the log, and the hooks given back."""

import logging
import sys
import threading

import pytest
from PySide6.QtCore import qWarning

from app.crash import CrashPath, log_path
from engine.core.errors import SourceError


@pytest.fixture
def crash(notices, capsys):
    log_path().parent.mkdir(parents=True)
    path = CrashPath(notices)
    path.install()
    yield path
    path.remove()


def fail(error: Exception) -> None:
    try:
        raise error
    except type(error) as caught:
        sys.excepthook(type(caught), caught, caught.__traceback__)


def test_a_fault_at_every_tick_is_logged_once_and_told(crash, notices, caplog) -> None:
    for _ in range(50):
        fail(ValueError("boom"))
    told = notices.take()
    assert len({notice for notice in told}) == 1
    assert "ValueError at test_crash.py" in told[0].what
    assert "the show goes on" in told[0].what
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None


def test_an_error_of_ours_keeps_its_words(crash, notices, caplog) -> None:
    fail(SourceError("no camera", "plug one in"))
    (told,) = notices.take()
    assert (told.what, told.fix) == ("no camera", "plug one in")


def test_a_thread_of_ours_is_caught_too(crash, notices, caplog) -> None:
    thread = threading.Thread(target=lambda: 1 // 0, name="stray")
    thread.start()
    thread.join()
    assert "ZeroDivisionError" in notices.take()[0].what


def test_what_qt_says_goes_to_the_log(crash, caplog) -> None:
    with caplog.at_level(logging.WARNING, "cuelight.qt"):
        qWarning("from qt")
    assert "from qt" in caplog.text


def test_the_hooks_are_given_back(notices, capsys) -> None:
    path = CrashPath(notices)
    path.install()
    assert sys.excepthook == path.caught
    path.remove()
    assert sys.excepthook is sys.__excepthook__
    assert threading.excepthook is threading.__excepthook__
