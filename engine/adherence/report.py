"""The table that `cuelight adherence` prints."""

from collections.abc import Sequence

import numpy as np

from engine.adherence.drift import Window, changes
from engine.adherence.measure import BETTER, Scores

ABOUT = {
    "edge_f": "lines of the picture within 2 pixels of the control's, F-score",
    "depth_rmse": "depth read from the picture against the true one, scale and shift fitted per picture",
    "mask_ssim": "the subject (inpainting: what was changed) against the mask, structural similarity",
    "pose_pck": "joints read from the picture within 0.2 body lengths of where they should be",
    "material_accuracy": "pictures whose material is read as the prompt's",
    "palette_distance": "colours against the true render's (real: the subject's tint and the word's), Lab",
    "reference_distance": "colours of the picture against the reference's, Lab",
    "reference_likeness": "materials read from the picture and from the reference, how far they overlap",
    "change": "mean difference of a pixel's colour from the picture without references, delta E",
    "anchor_psnr": "the picture nearest to a key frame against it, dB; true: through the autoencoder alone",
    "kept_ssim": "outside the mask, what is shown against the input, structural similarity",
    "kept_psnr": "the same in dB; 100: equal to the bit",
    "copy_ssim": "the same where the model's copy is shown; true: through the autoencoder alone",
    "copy_psnr": "the same in dB",
    "flicker": "change at chunk borders against inside, over the clip's own",
    "stutter": "the same at the borders of latents within chunks",
    "drift": "largest change of mean, deviation or sharpness, last minute against first",
}
FIRST_COLUMN, COLUMN = 34, 10
SOURCES = {"procedural": "drawn", "real": "filmed"}


def table(scores: Scores, scales: Sequence[float]) -> list[str]:
    """Lines: a block for each source and control, a line for each metric, a column for each scale."""
    lines = ["context scale".ljust(FIRST_COLUMN) + "true".rjust(COLUMN) + _row(scales, "g")]
    shown = dict.fromkeys((source, control) for source, control, _, _ in scores.of)
    for source, control in shown:
        lines.append(f"{source}, {control}")
        found = {metric for s, c, metric, _ in scores.of if (s, c) == (source, control)}
        for metric in (metric for metric in BETTER if metric in found):
            arrow = "up" if BETTER[metric] == "higher" else "down"
            values = [scores.of.get((source, control, metric, scale), []) for scale in scales]
            lines.append(
                f"  {metric} ({arrow})".ljust(FIRST_COLUMN)
                + _mean(_ceiling(scores, source, control, metric))
                + "".join(_mean(value) for value in values)
            )
    metrics = dict.fromkeys(metric for _, _, metric, _ in scores.of)
    lines += [f"{metric}: {ABOUT[metric]}" for metric in BETTER if metric in metrics]
    return [*lines, "true: the same measure of true renders, where no model had a hand in it"]


def markdown(scores: Scores, scales: Sequence[float]) -> list[str]:
    """The same as markdown tables, one for each source: what a model card shows."""
    lines = []
    for source in dict.fromkeys(source for source, *_ in scores.of):
        cells = ["control", "metric", "true", *(f"{scale:g}" for scale in scales)]
        lines += ["", f"| {SOURCES[source]}: {' | '.join(cells)} |", "|---" * len(cells) + "|"]
        for control, metric in dict.fromkeys((c, m) for s, c, m, _ in scores.of if s == source):
            arrow = "up" if BETTER[metric] == "higher" else "down"
            found = [_ceiling(scores, source, control, metric)]
            found += [scores.of.get((source, control, metric, scale), []) for scale in scales]
            numbers = " | ".join(f"{float(np.mean(values)):.3f}" if values else "" for values in found)
            lines.append(f"| {control} | {metric} ({arrow}) | {numbers} |")
    return lines


def drift_lines(first: Window, last: Window, name: str, seconds: float) -> list[str]:
    """Lines: each number in the first window, in the last, and by how much it changed."""
    pairs = {
        "picture mean": (first.pictures.mean, last.pictures.mean),
        "picture deviation": (first.pictures.deviation, last.pictures.deviation),
        "sharpness": (first.sharp.mean, last.sharp.mean),
        "latent mean": (first.latents.mean, last.latents.mean),
        "latent deviation": (first.latents.deviation, last.latents.deviation),
    }
    changed = changes(first, last)
    head = "".join(word.rjust(COLUMN) for word in ("first", "last", "change"))
    return [
        f"drift over {seconds:g} s, {name}".ljust(FIRST_COLUMN) + head,
        *(
            f"  {what}".ljust(FIRST_COLUMN) + _row(pair, ".3f") + f"{changed[what]:10.1%}"
            for what, pair in pairs.items()
        ),
    ]


def _ceiling(scores: Scores, source: str, control: str, metric: str) -> list[float]:
    """What true renders score; a drawn clip's colours are compared with its own true render: no distance."""
    if source == "procedural" and metric == "palette_distance":
        return [0.0]
    return scores.ceiling.get((control, metric), [])


def _mean(values: Sequence[float]) -> str:
    return f"{float(np.mean(values)):10.3f}" if values else "-".rjust(COLUMN)


def _row(values: Sequence[float], form: str) -> str:
    return "".join(f"{value:{form}}".rjust(COLUMN) for value in values)
