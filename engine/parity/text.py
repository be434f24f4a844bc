"""Replays of the recordings of the text side: encoder, cleaning, blends."""

import string

import torch
from torch import Tensor

from engine.model.blend import Method, Transition, blended
from engine.model.cleaning import cleaned
from engine.model.umt5 import Umt5, Umt5Arch, distance_buckets
from engine.parity.documents import JsonGolden
from engine.parity.golden import Golden, Mismatch, filled


def replay_t5(golden: Golden) -> None:
    """The encoder with absent tokens masked, and, as the product runs it, with the true tokens alone."""
    if golden.meta("shared_pos"):
        raise Mismatch("one position table for all blocks: UMT5 has one per block")
    arch = Umt5Arch(
        vocabulary=golden.meta("vocab"), dim=golden.meta("dim"), attention_dim=golden.meta("dim_attn"),
        ffn_dim=golden.meta("dim_ffn"), heads=golden.meta("num_heads"), layers=golden.meta("num_layers"),
        buckets=golden.meta("num_buckets"),
    )  # fmt: skip
    network = filled(lambda: Umt5(arch), golden.meta("salt"))
    ids, mask = golden.take("ids").long(), golden.take("mask")
    golden.expect("a mask of 0 and 1", True, bool(((mask == 0) | (mask == 1)).all()))
    true = mask.bool()
    lengths = true.sum(1).tolist()
    golden.expect("lens", golden.meta("lens"), lengths)
    recorded = golden.take("pos_bias_block0").shape[2]
    bias = network.get_submodule("blocks.0.pos_embedding")(
        distance_buckets(ids.shape[1], arch), torch.float32
    )
    golden.compare("pos_bias_block0", bias[:, :, :recorded])
    masked = network(ids, true)
    golden.compare_if_recorded("hidden_raw", masked)
    golden.compare("prompt_embeds", masked * true[..., None])
    golden.compare("prompt_embeds", _true_rows(network, ids, lengths))


def _true_rows(network: Umt5, ids: Tensor, lengths: list[int]) -> Tensor:
    """Each text alone, without its padding, then continued by zeros."""
    rows = torch.zeros(*ids.shape, network.arch.dim)
    for number, length in enumerate(lengths):
        rows[number, :length] = network(ids[number : number + 1, :length])[0]
    return rows


def replay_cleaning(golden: JsonGolden) -> None:
    """The reference's three modes; its application uses `whitespace`, which is ours."""
    inputs = golden.take("inputs")
    golden.compare("outputs/whitespace", [cleaned(text) for text in inputs])
    golden.compare("outputs/lower", [cleaned(text).lower() for text in inputs])
    golden.compare("outputs/canonicalize", [_canonical(cleaned(text)) for text in inputs])


def _canonical(text: str) -> str:
    """Lower case without ASCII punctuation; underscores part words. Spoils what the encoder understands."""
    spaced = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return " ".join(spaced.lower().split())


def replay_blend(golden: Golden) -> None:
    """Weighted blends, and transitions as the reference counts them: the first step is the source.

    The name of a blend holds its weights; `zero_rows` blends texts of different lengths, 3 to 1.
    """
    prompts = {name: golden.take(name) for name in "abc"}
    for key in golden.keys("linear_") + golden.keys("slerp_"):
        method, _, words = key.partition("_")
        names, weights = (
            ("ac", [3, 1]) if words == "zero_rows" else ("abc", [int(w) for w in words.split("_")])
        )
        chosen = [prompts[name] for name in names[: len(weights)]]
        golden.compare(key, blended(chosen, weights, _method(method)))
    for key in golden.keys("transition"):
        count, _, method = key.removeprefix("transition").partition("_")
        way = Transition(prompts["a"], prompts["b"], int(count), _method(method), first="holds")
        golden.compare(key, torch.cat([way.next() for _ in range(int(count))]))


def _method(name: str) -> Method:
    if name == "linear":
        return "linear"
    if name == "slerp":
        return "slerp"
    raise Mismatch(f"unknown blend {name}")
