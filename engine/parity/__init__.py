"""Parity: our numbers against recorded ones, fp32 on the CPU.

A recording's kind is the beginning of its file name; sizes, calls and inputs come out of the file, so
recordings never seen before run as well. What the product does not do yet is said to be so, never passed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch

from engine.core.errors import CuelightError
from engine.parity.codec import replay_tae, replay_wan_vae
from engine.parity.contexts import replay_context, replay_folding, replay_upstream_context
from engine.parity.dit import replay_unit, replay_upstream
from engine.parity.documents import JsonGolden
from engine.parity.end_to_end import replay_camera, replay_controlled
from engine.parity.golden import LIMIT, Golden
from engine.parity.lora import replay_builtin, replay_file, replay_lora, replay_names
from engine.parity.noise import replay_preprocess, replay_v2v
from engine.parity.pieces import replay_fill, replay_norms, replay_rope, replay_sampler, replay_timestep
from engine.parity.streams import replay_bank, replay_context_recompute, replay_ema, replay_window
from engine.parity.text import replay_blend, replay_cleaning, replay_t5

NONSENSE = (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AttributeError, OSError)
"""What a recording with nonsense in it makes a replay raise; it must not hide the rows of the others."""

Recording = TypeVar("Recording", Golden, JsonGolden)
Verdict = Literal["pass", "FAIL", "not yet"]
Replay = Callable[[Golden], None]
JsonReplay = Callable[[JsonGolden], None]

KINDS: dict[str, Replay | None] = {
    "fill_selfcheck": replay_fill,
    "rope": replay_rope,
    "timestep_embedding": replay_timestep,
    "norms_unpatchify": replay_norms,
    "sampler": replay_sampler,
    "dit_unit": replay_unit,
    "dit_stream": replay_window,
    "vace_unit": replay_unit,
    "vace_stream": replay_window,
    "upstream_vace_dit": replay_upstream,
    "tae_stream": replay_tae,
    "vaceenc_mask_folding": replay_folding,
    "sampler_v2v": replay_v2v,
    "vaceenc": replay_context,
    "upstream_vace_enc": replay_upstream_context,
    "e2e_vace": replay_controlled,
    "e2e_v2v": replay_camera,
    "krea": replay_context_recompute,
    "lighttae": replay_tae,
    "lora": replay_lora,
    "lora_file": replay_file,
    "lora_longlive": replay_builtin,
    "lora_longlive_file": replay_file,
    "memflow": replay_bank,
    "preprocess": replay_preprocess,
    "prompt_blend": replay_blend,
    "recache": replay_window,
    "reward_forcing": replay_ema,
    "sdv2": replay_window,
    "t5": replay_t5,
    "wanvae": replay_wan_vae,
}
"""Kind (longest matching beginning of a file name) -> its replay, None for what a later issue brings."""

JSON_KINDS: dict[str, JsonReplay | None] = {
    "lora_key_normalization": replay_names,
    "text_cleaning": replay_cleaning,
}
"""The same for documents (.json)."""


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
    tables = {".safetensors": tuple(KINDS), ".json": tuple(JSON_KINDS)}
    kinds = tables.get(path.suffix, ())
    return max((kind for kind in kinds if path.name.startswith(kind)), key=len, default="")


def _run(path: Path, kind: str) -> ParityRow:
    golden: Golden | JsonGolden | None = None
    try:
        if path.suffix == ".json":
            golden = JsonGolden(path)
            replayed = _replay(golden, JSON_KINDS[kind])
        else:
            golden = Golden(path)
            replayed = _replay(golden, KINDS[kind])
        if not replayed:
            return ParityRow(path.name, kind, None, "not yet")
    except CuelightError as error:
        return ParityRow(path.name, kind, golden.error if golden else None, "FAIL", error.what)
    except NONSENSE as error:
        return ParityRow(path.name, kind, None, "FAIL", f"{type(error).__name__}: {error}")
    return ParityRow(path.name, kind, golden.error, "pass" if golden.error <= LIMIT else "FAIL")


def _replay(golden: Recording, replay: Callable[[Recording], None] | None) -> bool:
    """Replay a recording and see that nothing in it was left out; False where there is no replay yet."""
    if replay is None:
        return False
    replay(golden)
    golden.finish()
    return True


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
