"""Parity: our numbers against recorded ones, fp32 on the CPU.

A recording's kind is the beginning of its file name; sizes, calls and inputs come out of the file, so
recordings never seen before run as well. What the product does not do yet is said to be so, never passed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from engine.core.errors import CuelightError
from engine.parity.codec import replay_context, replay_folding, replay_tae
from engine.parity.dit import replay_stream, replay_unit, replay_upstream
from engine.parity.golden import LIMIT, Golden, NotYet
from engine.parity.pieces import replay_fill, replay_norms, replay_rope, replay_sampler, replay_timestep

NONSENSE = (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AttributeError, OSError)
"""What a recording with nonsense in it makes a replay raise; it must not hide the rows of the others."""

Verdict = Literal["pass", "FAIL", "not yet"]
Replay = Callable[[Golden], None]

KINDS: dict[str, Replay | None] = {
    "fill_selfcheck": replay_fill,
    "rope": replay_rope,
    "timestep_embedding": replay_timestep,
    "norms_unpatchify": replay_norms,
    "sampler": replay_sampler,
    "dit_unit": replay_unit,
    "dit_stream": replay_stream,
    "vace_unit": replay_unit,
    "vace_stream": replay_stream,
    "upstream_vace_dit": replay_upstream,
    "tae_stream": replay_tae,
    "vaceenc_mask_folding": replay_folding,
    "vaceenc_tae_depth": replay_context,
    "vaceenc_tae_inpaint": replay_context,
    "sampler_v2v": None,
    "vaceenc": None,
    "upstream_vace_enc": None,
    "e2e": None,
    "krea": None,
    "lighttae": None,
    "lora": None,
    "memflow": None,
    "preprocess": None,
    "prompt_blend": None,
    "recache": None,
    "reward_forcing": None,
    "sdv2": None,
    "t5": None,
    "text_cleaning": None,
    "wanvae": None,
}
"""Kind (longest matching beginning of a file name) -> its replay, None for what a later issue brings."""


@dataclass(frozen=True)
class ParityRow:
    """Outcome of one file; `error` is the largest difference met, None where nothing was compared."""

    file: str
    kind: str
    error: float | None
    verdict: Verdict
    note: str = ""


def run_parity(folder: Path) -> list[ParityRow]:
    """Replay every recording in the folder."""
    recordings = [(path, kind) for path in sorted(folder.iterdir()) if (kind := kind_of(path))]
    with torch.inference_mode():
        return [_run(path, kind) for path, kind in recordings]


def kind_of(path: Path) -> str:
    """The kind of a recording, or "" when the file is none."""
    if path.suffix not in (".safetensors", ".json"):
        return ""
    return max((kind for kind in KINDS if path.name.startswith(kind)), key=len, default="")


def _run(path: Path, kind: str) -> ParityRow:
    replay = KINDS[kind]
    golden = None
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
            return ParityRow(path.name, kind, None, "not yet")
        golden = Golden(path)
        if replay is None:
            return ParityRow(path.name, kind, None, "not yet")
        replay(golden)
        golden.finish()
    except NotYet as reason:
        return ParityRow(path.name, kind, None, "not yet", reason.what)
    except CuelightError as error:
        return ParityRow(path.name, kind, golden.error if golden else None, "FAIL", error.what)
    except NONSENSE as error:
        return ParityRow(path.name, kind, None, "FAIL", f"{type(error).__name__}: {error}")
    return ParityRow(path.name, kind, golden.error, "pass" if golden.error <= LIMIT else "FAIL")


def main(folder: Path) -> int:
    """Print one row per file; exit status 0 when nothing failed, 1 otherwise or without recordings."""
    rows = run_parity(folder)
    if not rows:
        print(f"No recordings in {folder}.")
        return 1
    print(f"{'file':48} {'kind':22} {'max error':>10}  verdict")
    for row in rows:
        error = "" if row.error is None else f"{row.error:.1e}"
        print(f"{row.file:48} {row.kind:22} {error:>10}  {row.verdict}{f': {row.note}' if row.note else ''}")
    count = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("pass", "FAIL", "not yet")}
    print(f"{count['pass']} passed (limit {LIMIT:g}), {count['FAIL']} failed, {count['not yet']} not yet")
    return 1 if count["FAIL"] else 0
