"""When our own code fails: log it, tell the performer once, and let the show run on.

Catches what reaches the top of any thread and of Qt's event loop. A fault that comes back at every tick is
logged once and counted afterwards: neither the log nor the strip is flooded.
"""

import faulthandler
import logging
import logging.handlers
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import TextIO

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from app.notices import Notices
from engine.core.errors import CuelightError
from engine.core.paths import cache_dir

_log = logging.getLogger("cuelight.crash")
_qt = logging.getLogger("cuelight.qt")
_LOG_BYTES = 1024 * 1024
_QT_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def log_path() -> Path:
    """The log file."""
    return cache_dir() / "log" / "cuelight.log"


def start_log() -> None:
    """Log to a file as well as to the terminal; without a writable disk, to the terminal only."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    handlers[0].setLevel(logging.WARNING)
    trouble = ""
    try:
        log_path().parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(
                log_path(), maxBytes=_LOG_BYTES, backupCount=3, encoding="utf-8"
            )
        )
    except OSError as error:
        trouble = f"no log file: {error}"
    logging.basicConfig(
        level=logging.INFO, handlers=handlers, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if trouble:
        _log.warning(trouble)


class CrashPath:
    """Takes the place of Python's and Qt's hooks between `install` and `remove`."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()
        self._dump: TextIO | None = None

    def install(self) -> None:
        """Hook in."""
        sys.excepthook = self.caught
        threading.excepthook = self._caught_in_thread
        qInstallMessageHandler(self._qt_said)
        if not faulthandler.is_enabled() and log_path().parent.is_dir():
            # What kills the process from outside Python leaves its stacks here.
            self._dump = (log_path().parent / "fatal.log").open("a", encoding="utf-8")
            faulthandler.enable(self._dump)

    def remove(self) -> None:
        """Give the hooks back."""
        sys.excepthook = sys.__excepthook__
        threading.excepthook = threading.__excepthook__
        qInstallMessageHandler(None)
        if self._dump is not None:
            faulthandler.disable()
            self._dump.close()
            self._dump = None

    def caught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """An exception reached the top."""
        if issubclass(kind, KeyboardInterrupt | SystemExit):
            sys.__excepthook__(kind, error, trace)
            return
        last = traceback.extract_tb(trace)[-1:] if trace is not None else []
        place = f"{Path(last[0].filename).name}:{last[0].lineno}" if last else "?"
        with self._lock:
            times = self._seen.get(f"{kind.__name__} {place}", 0) + 1
            self._seen[f"{kind.__name__} {place}"] = times
        if times == 1:
            _log.error("unexpected %s at %s", kind.__name__, place, exc_info=(kind, error, trace))
        if isinstance(error, CuelightError):
            self._notices.report(error)
        else:
            self._notices.post(
                f"Something unexpected happened ({kind.__name__} at {place}); the show goes on",
                f"please report it with {log_path().name} from {log_path().parent}",
            )

    def _caught_in_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self.caught(args.exc_type, args.exc_value, args.exc_traceback)

    def _qt_said(self, level: QtMsgType, context: QMessageLogContext, text: str) -> None:
        _qt.log(_QT_LEVELS.get(level, logging.WARNING), "%s", text)
