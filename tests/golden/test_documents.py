"""Recorded documents: every entry is used, and one other word fails."""

import json
import shutil
from pathlib import Path

import pytest

from engine.parity import main, run_parity
from engine.parity.documents import JsonGolden
from engine.parity.golden import Mismatch

HERE = Path(__file__).parent
CLEANING = "text_cleaning.json"


def document(folder: Path, content: object, name: str = CLEANING) -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_entries_are_named_by_their_way(tmp_path: Path) -> None:
    golden = JsonGolden(document(tmp_path, {"a": {"b": [1, 2], "c.d": "x"}, "e": None}))
    assert golden.keys() == ["a/b", "a/c.d", "e"]
    assert golden.take("a/b") == [1, 2] and "a/c.d" in golden and "a" not in golden
    golden.compare("e", None)
    with pytest.raises(Mismatch, match=r"a/c\.d is recorded as 'x', ours is 'y'"):
        golden.compare("a/c.d", "y")
    with pytest.raises(Mismatch, match="lacks the entry f"):
        golden.take("f")


def test_entries_left_over_fail(tmp_path: Path) -> None:
    golden = JsonGolden(document(tmp_path, {"a": 1, "b": 2}))
    golden.take("a")
    with pytest.raises(Mismatch, match="not compared: b"):
        golden.finish()


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "3", '{"inputs": 3}', "{}", "[" * 100_000, '{"inputs": [1], "outputs": {}}']
)
def test_a_damaged_document_is_a_failed_row(content: str, tmp_path: Path) -> None:
    (tmp_path / CLEANING).write_text(content)
    (row,) = run_parity(tmp_path)
    assert row.verdict == "FAIL" and row.note


def test_one_other_word_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((HERE / CLEANING).read_text())
    content["outputs"]["whitespace"][1] += "!"
    document(tmp_path, content)
    assert main(tmp_path) == 1
    assert "outputs/whitespace is recorded as" in capsys.readouterr().out


def test_a_document_with_more_than_is_known_fails(tmp_path: Path) -> None:
    content = json.loads((HERE / CLEANING).read_text())
    content["outputs"]["shouting"] = ["A CAT"]
    document(tmp_path, content)
    (row,) = run_parity(tmp_path)
    assert (row.verdict, row.note) == ("FAIL", "not compared: outputs/shouting")


def test_a_good_document_passes(tmp_path: Path) -> None:
    shutil.copy(HERE / CLEANING, tmp_path)
    (row,) = run_parity(tmp_path)
    assert (row.verdict, row.error, row.note) == ("pass", 0.0, "")
