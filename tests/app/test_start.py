"""The program as a person starts it, in a process of its own, with the real engine."""

import os
import signal
import subprocess
import sys
import time

import pytest

from app.crash import log_path
from app.settings import settings_path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no polite kill")
def test_it_opens_and_a_polite_kill_closes_it_like_a_person_would(tmp_path) -> None:
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    arguments = [sys.executable, "-m", "app", "--no-midi", "--osc-port", "0", "--prompt", "ice"]
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 240
            while not (log_path().exists() and "the window is open" in log_path().read_text()):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert 'text = "ice"' in settings_path().read_text()
