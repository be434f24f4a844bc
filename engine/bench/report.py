"""What was measured, as lines to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.bench.measure import HOST, Result
from engine.bench.plan import Plan
from engine.bench.stages import HINTS, STAGES


def heading(plan: Plan) -> str:
    """What is measured, in a line."""
    height, width = plan.picture
    against = f", against {plan.against}" if plan.against else ""
    played = ", CUDA graphs" if plan.graphs else ""
    long = f", for {plan.seconds:g} s" if plan.seconds else ""
    return (
        f"{plan.pipeline} {height}x{width}, {plan.step_count} steps, mode {plan.mode}, hints {plan.hints}, "
        f"autoencoder {plan.vae}, precision {plan.precision}, attention {plan.attention}"
        f"{played}{against}{long}"
    )


def outline(row: Mapping[str, object]) -> str:
    """One measured row in a line, or why it was not measured."""
    if "note" in row:
        return str(row["note"])
    if row.get("against"):
        times = f"{row['ratio']:.2f} times as fast as {row['against']}"
        return f"{times}, pictures differ by {row['difference']:.1e}"
    chunk = row["chunk_ms"]
    if not isinstance(chunk, Mapping):
        raise TypeError("a measured row without chunk_ms")
    return (
        f"{row['fps']:.1f} frames/s, chunk p50 {chunk['p50']:.0f} ms, p99 {chunk['p99']:.0f} ms, "
        f"first frame {row['first_frame_ms']:.0f} ms, prompt switch {row['prompt_switch_ms']:.0f} ms, "
        f"{row['fraction']:.0%} of the roof, {_size(row['peak_memory'])}{_growth(row['grown_memory'])}"
    )


def lines(result: Result) -> Iterator[str]:
    """The table of one result."""
    chunk, roof = result.chunk_ms, result.roof
    yield f"  weights           {result.plan.weights}, {result.precision}; attention {result.kernel}"
    yield f"  frames/s          {result.fps:.1f}"
    yield "  chunk ms          " + "  ".join(f"{name} {value:.1f}" for name, value in chunk.items())
    for stage in (*STAGES, HOST):
        yield f"    {stage:<15} {result.stages_ms[stage]:8.1f}"
        if stage == "denoise":
            yield f"      {HINTS:<13} {result.stages_ms[HINTS]:8.1f}"
    yield f"  first frame ms    {result.first_frame_ms:.1f} (cold {result.cold_frame_ms:.1f})"
    yield f"  prompt switch ms  {result.prompt_switch_ms:.1f}"
    if result.plan.graphs:
        yield f"  recordings        {result.recorded or 'none: ' + result.refused}"
    yield f"  peak memory       {_size(result.peak_memory)}{_growth(result.grown_memory)}"
    yield (
        f"  roof              {result.operations / 1e12:.3f} TFLOP a chunk; {roof.flops / 1e12:.2f} TFLOP/s "
        f"and {roof.bytes / 1e9:.1f} GB/s measured: {result.roof_ms:.1f} ms, {result.fraction:.0%} realised"
    )


def _growth(count: object) -> str:
    return f", grown by {count / 2**20:.1f} MiB" if isinstance(count, int) else ""


def _size(count: object) -> str:
    return f"{count / 2**20:.0f} MiB" if isinstance(count, int) else "memory not told"
