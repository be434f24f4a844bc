"""How much is computed for a chunk: its steps, its hints, its clean pass, and how long that should take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.chunk import Settings, nominal_steps
from engine.model.cost import CostModel, Work
from engine.model.governor import Effort, Governor, efforts
from engine.model.hints import HintChoice, chosen, cleans
from engine.model.load import Pipeline
from engine.model.schedule import Step
from engine.model.stream import LatentStream


class Pace:
    """What the chunks of a stream may take, learned from what the ones before took."""

    def __init__(self, pipeline: Pipeline, stream: LatentStream, tokens: int) -> None:
        """`tokens` of one latent."""
        self._pipeline, self._stream, self._tokens = pipeline, stream, tokens
        self._costs = CostModel(pipeline.spec.arch)
        self._governor = Governor()

    def observe(self, work: Work, seconds: float) -> None:
        """Learn how long some work took."""
        self._costs.observe(work, seconds)

    def expected(self, work: Work) -> float | None:
        """Seconds that some work should take; None while nothing like it was measured."""
        return self._costs.expected(work)

    def settled(self, settings: Settings, latents: int, *, controlled: bool) -> Settings:
        """The settings with as many steps as are in time, where that is asked for and left to the program."""
        if settings.deadline_s is None or settings.steps or settings.step_list:
            return settings

        def allowed(steps: int) -> Effort:
            timed = self._pipeline.schedule.steps(nominal_steps(steps), settings.warped and spec.warped)
            return self.effort(settings.hints, timed)

        def expected(effort: Effort) -> float | None:
            return self.expected(self.work(effort, latents, controlled=controlled))

        spec = self._pipeline.spec
        best = self._governor.choose(efforts(spec.steps, allowed), expected, settings.deadline_s)
        return replace(settings, steps=best.steps)

    def effort(self, choice: HintChoice, steps: Sequence[Step]) -> Effort:
        """What these steps take; a stream's first chunk, looked back at for long, is always passed clean."""
        timesteps, passed = [step.t for step in steps], self._pipeline.passed
        hints = chosen(choice, passed, timesteps)
        clean = self._stream.start == 0 or cleans(choice, hints, passed, timesteps)
        return Effort(len(steps), hints, clean)

    def work(self, effort: Effort, latents: int, *, controlled: bool) -> Work:
        """How much the chunk that comes is to compute; `controlled`: the VACE branch runs."""
        plan = self._stream.policy.plan(self._stream.start, latents)
        hinted = effort.hinted if controlled else 0
        clean = plan.clean and effort.clean
        keys = len(plan.key_positions) * self._tokens
        return Work(latents * self._tokens, keys, effort.steps, hinted, clean)
