"""The status strip: what a chunk takes and what it was made with, where the performer points."""

from dataclasses import replace

import pytest

from tests.app.fakes import RUNNING


@pytest.mark.parametrize(
    ("effort", "expected_ms", "said"),
    [
        ("2 steps, hints at 1", 310.4, "843 ms per chunk, 310 ms expected\n2 steps, hints at 1"),
        ("4 steps", 0.0, "843 ms per chunk\n4 steps"),
        ("", 0.0, "843 ms per chunk"),
    ],
)
def test_the_rate_says_what_a_chunk_takes_and_is_made_with(
    window, bridge, runtime, effort: str, expected_ms: float, said: str
) -> None:
    runtime.now = replace(RUNNING, effort=effort, expected_ms=expected_ms)
    for _ in range(3):
        bridge.pull()
    assert window.status_strip.generated.toolTip() == said
