"""What of Pocket is trained together, how it begins, and how it remembers while it learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.model.policies import CachePlan
from engine.model.spec import POCKET
from engine.model.tae import LATENT_CHANNELS
from engine.model.text import VocabularyEncoder
from engine.model.wan import CausalWan
from engine.pocket.latents import CHUNK
from engine.pocket.styles import VOCABULARY
from engine.pocket.synonyms import SYNONYMS


class PastCache:
    """A stand-in for `KVCache`: keeps one forward's keys and values, puts them in front of the next one's.

    It writes nothing in place, which gradients would not survive.
    """

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self.recording = True

    def write(self, layer: int, k_BNHD: Tensor, v_BNHD: Tensor, plan: CachePlan) -> tuple[Tensor, Tensor]:
        """Record while `recording`, else give the recorded past followed by the chunk's own."""
        if self.recording:
            self.kept[layer] = k_BNHD, v_BNHD
            return k_BNHD, v_BNHD
        k, v = self.kept[layer]
        return torch.cat([k, k_BNHD], 1), torch.cat([v, v_BNHD], 1)


@torch.no_grad()
def wake(dit: CausalWan) -> None:
    """Initialise for learning everything from nothing in little time.

    The public recipe starts with gates, text and control near zero, which protects what is already learned.
    Here nothing is: behind those zeros words and control stay unheard for hundreds of steps. So gates start
    open, text at full strength, the control reaches the main blocks at once, and in the branch's input it is
    louder than the noise and the constant mask. On one fixed batch, 60 steps ended at an error of 0.14
    instead of 0.31.
    """
    for index in (0, 2):
        linear = dit.text_embedding[index]
        assert isinstance(linear, nn.Linear)
        nn.init.xavier_uniform_(linear.weight)
    dit.patch_embedding.weight.mul_(0.2)
    dit.vace_patch_embedding.weight[:, LATENT_CHANNELS : 2 * LATENT_CHANNELS] *= 5
    dit.vace_patch_embedding.weight[:, 2 * LATENT_CHANNELS :] *= 0.1
    for block in (*dit.blocks, *dit.vace_blocks):
        block.modulation[:, (2, 5)] = 0.7
    for index, block in enumerate(dit.vace_blocks):
        nn.init.orthogonal_(block.after_proj.weight, gain=0.5)
        if index == 0:
            nn.init.eye_(block.before_proj.weight)


class Pocket(nn.Module):
    """What is trained together: the transformer and the rows of the vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.dit = CausalWan(POCKET)
        wake(self.dit)
        self.text = VocabularyEncoder(VOCABULARY, POCKET.text_dim, POCKET.text_len, SYNONYMS)

    def matrices(self) -> list[nn.Parameter]:
        """The weights inside the blocks, which Muon trains."""
        blocks = (*self.dit.blocks, *self.dit.vace_blocks)
        return [p for block in blocks for p in block.parameters() if p.ndim == 2]

    def embed(self, prompts: list[str]) -> Tensor:
        """Zero-padded rows `[B, L, text_dim]` of prompts, words in a random order."""
        rows = torch.zeros(len(prompts), POCKET.text_len, POCKET.text_dim)
        for i, prompt in enumerate(prompts):
            known = self.text.parse(prompt)[0]
            if known:
                order = torch.randperm(len(known)).tolist()
                rows[i, : len(known)] = self.text.rows(tuple(known[j] for j in order))
        return rows


@torch.no_grad()
def remember(model: Pocket, shown: Tensor, text: Tensor) -> tuple[PastCache, CachePlan]:
    """What the live cache holds after a chunk `[B, 3, 16, h, w]`, and the plan of the one that follows.

    No gradient goes through it: the model learns to read its memories, not to write them.
    """
    own, following = tuple(range(CHUNK)), tuple(range(CHUNK, 2 * CHUNK))
    cache = PastCache()
    plan = CachePlan((), (), query_positions=own, key_positions=own)
    model.dit(shown, torch.zeros(len(shown), CHUNK), text, cache=cache, plan=plan)
    cache.recording = False
    return cache, CachePlan((), (), query_positions=following, key_positions=own + following)
