"""What both training stages share: resumable state, averaged weights, the learning-rate curve, the log.

A stage is resumed by starting the same command again: model, average, optimiser, step and time spent come
back from `stage.pt` in its work folder (our own file, read with `weights_only=True`). Random states do not:
they are seeded anew from the step, so that a resumed run sees other data than the one before it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engine.pocket.muon import Muon
from engine.pocket.peers import Peers

ALONE = Peers()
PEER_SEEDS = 1_000_003
"""How far apart the seeds of processes that train together are: farther than any run has steps."""


class Average:
    """Exponential moving average of a model's weights, kept in fp32; what ships is the average."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone().float() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Blend the model in; early steps forget faster, so that random weights do not linger."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in model.state_dict().items():
            self.weights[key].lerp_(value.float(), 1 - decay)


class Stage:
    """One resumable run: call `begin()`, then `run(...)`, or `advance(loss)` once a step until `finished`."""

    def __init__(
        self,
        model: nn.Module,
        folder: Path,
        *,
        steps: int,
        rate: float,
        decay: float = 0.999,
        save_every: int = 100,
        minutes: float | None = None,
        matrices: Sequence[Tensor] = (),
        peers: Peers = ALONE,
    ) -> None:
        """`matrices`: parameters that Muon trains, at twice the rate; Adam trains all the others.

        `peers`: the processes that train this model together, each with a stage of its own.
        """
        self.model, self.folder = model, folder
        self.peers = peers
        self.steps, self.minutes = steps, minutes
        self.save_every = save_every
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, rate, betas=(0.9, 0.98), weight_decay=0.01)
        ]
        if matrices:
            self.optimizers.append(Muon(matrices, 2 * rate))
        self._rates = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        self.average = Average(model, decay)
        self.step = 0
        self._spent = self._agreed = 0.0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent on this stage, interrupted runs included."""
        return self._spent + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """How far the run is, 0..1: by its steps, or by its `minutes` where those come first."""
        seconds = self.seconds if self.peers.count == 1 else self._agreed
        by_time = 0.0 if self.minutes is None else seconds / (60 * self.minutes)
        return min(1.0, max(self.step / max(1, self.steps), by_time))

    @property
    def finished(self) -> bool:
        """True once all steps are done, or the time is spent."""
        return self.progress >= 1.0

    @property
    def resumes(self) -> bool:
        """True where an interrupted run lies in the work folder."""
        return (self.folder / "stage.pt").exists()

    def begin(self) -> None:
        """Continue from the work folder where a run was interrupted, else start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.resumes:
            return
        state = torch.load(self.folder / "stage.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.average.weights = state["average"]
        self.step = state["step"]
        self._spent = self._agreed = state.get("seconds", 0.0)

    def run(
        self,
        loss: Callable[[np.random.Generator], tuple[Tensor, dict[str, float]]],
        export: Callable[[], None] = lambda: None,
    ) -> None:
        """Train until `finished`: `loss(rng)` gives a scalar and parts of it for the log, as for `advance`.

        `export` is called after each save. PyTorch's random state and `rng` are seeded from the step, other
        ones for each of the peers.
        """
        seed = 1 + self.step + PEER_SEEDS * self.peers.rank
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        while not self.finished:
            self.advance(*loss(rng))
            if self._saves:
                export()

    def advance(self, loss: Tensor, parts: dict[str, float] | None = None) -> None:
        """One optimiser step on a scalar loss; logs every 20 steps and saves every `save_every`."""
        curve = _curve(self.step, self.progress)
        for optimizer, rate in zip(self.optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * curve
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self._share()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.average.update(self.model, self.step)
        if self.step % 20 == 0 and self.peers.leads:
            self._log({"loss": loss.item(), "norm": float(norm), **(parts or {})})
        if self._saves:
            self.save()

    def _share(self) -> None:
        """Take the mean of all peers' gradients and times, so that their models and rates stay the same."""
        if self.peers.count == 1:
            return
        spent = torch.tensor([self.seconds])
        shared = [spent]
        for parameter in self.model.parameters():
            if parameter.grad is None:  # not in this process's samples
                parameter.grad = torch.zeros_like(parameter)
            shared.append(parameter.grad)
        self.peers.mean(shared)
        self._agreed = float(spent)

    @property
    def _saves(self) -> bool:
        """Whether this process is to write what the step that was made led to."""
        return self.peers.leads and (self.step % self.save_every == 0 or self.finished)

    def save(self) -> None:
        """Write the resumable state; the old one stays until the new one is complete."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average.weights,
            "step": self.step,
            "seconds": self.seconds,
        }
        fresh = self.folder / "stage.pt.new"
        torch.save(state, fresh)
        fresh.replace(self.folder / "stage.pt")

    def _log(self, values: dict[str, float]) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 1),
               **{k: round(v, 5) for k, v in values.items()}}  # fmt: skip
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")
        print(row, flush=True)


def _curve(step: int, progress: float) -> float:
    """Warm-up over 40 steps, then a cosine down to 3 %."""
    warm = min(1.0, (step + 1) / 40)
    return warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * progress)))
