"""Replays of whole chains: control or camera pictures in, generated pictures out, chunk after chunk.

Every part is the product's own. The reference's rules for steps, strength, encoder states and hard cuts are
re-created around them; where the product does otherwise, the tests of the session pin it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engine.model.latent_space import State
from engine.model.noise import mixed
from engine.model.policies import SinkWindow
from engine.model.savings import WHOLE
from engine.model.schedule import Schedule, Step, denoised, noised
from engine.model.stream import LatentStream
from engine.model.tae import TAE
from engine.model.wan_vae import WanVAE
from engine.parity.codec import filled_tae, filled_wan_vae, pictures
from engine.parity.contexts import ReferenceStreams
from engine.parity.dit import attend_with_padding, causal_model
from engine.parity.golden import Golden
from engine.parity.noise import ReferenceController, reference_first_step
from engine.parity.streams import compare_calls, overhear

WAN_WIDTH = 16
"""Base width of the recorded Wan autoencoder."""


class _Chain:
    """One recorded chain, played through ours."""

    def __init__(self, golden: Golden, largest_chunk: int) -> None:
        self.golden = golden
        self.config: dict[str, Any] = {"vace_layers": None, **golden.meta("config")}
        self.vae: TAE | WanVAE
        if self.config["vae"] == "tae":
            self.vae = filled_tae(self.config["vae_salt"])
        else:
            self.vae = filled_wan_vae(self.config["vae_salt"], WAN_WIDTH)
        self.model = causal_model(self.config)
        self.heard = overhear(self.model)
        self.policy = SinkWindow(
            self.config["local_attn_size"], self.config["sink_size"], relative=False, recaches=True
        )
        self.stream = LatentStream(
            self.model,
            self.policy,
            latent_size=(self.config["height"] // 8, self.config["width"] // 8),
            latents_per_chunk=largest_chunk,
            device="cpu",
            dtype=torch.float32,
            savings=WHOLE,
            vace_attend=attend_with_padding,
        )
        self.schedule = Schedule(self.config["timestep_shift"])
        self.decoder: State | None = None

    def run(self, chunk: Callable[[int, list[dict[str, Any]]], None]) -> None:
        """All chunks; each is made by `chunk` (number, recorded calls), then compared."""
        for recorded in self.golden.meta("chunks"):
            number = recorded["chunk"]
            calls = [call for call in self.golden.meta("calls") if call["chunk"] == number]
            self.golden.expect("start_frame", recorded["start_frame"], self.stream.start)
            self.heard.clear()
            chunk(number, calls)
            self._compare(recorded, calls)

    def text(self, calls: list[dict[str, Any]]) -> Tensor:
        """The embedded prompt of a chunk."""
        return self.golden.take(f"text.{calls[-1]['text']}")

    def denoise(
        self,
        number: int,
        x: Tensor,
        steps: tuple[Step, ...],
        decoded: str,
        context: Tensor | None = None,
        scale: float = 0.0,
    ) -> None:
        """All steps of a chunk that was begun, its pictures (recorded as `decoded`), and its clean pass."""
        golden = self.golden
        fresh = golden.take(f"renoise.c{number}")
        for index, step in enumerate(steps):
            flow = self.stream.predict(x, step.t, context=context, context_scale=scale)
            x = denoised(x, flow, step.sigma)
            if index + 1 < len(steps):
                x = noised(x, fresh[index][None], steps[index + 1].sigma)
        golden.compare(f"latents.c{number}", x)
        shown, self.decoder = self.vae.decode(x, self.decoder)
        golden.compare_if_recorded(f"{decoded}.c{number}", shown)
        self.stream.finish(x)

    def _compare(self, recorded: dict[str, Any], calls: list[dict[str, Any]]) -> None:
        golden, tokens = self.golden, self.stream.cache.tokens_per_latent
        compare_calls(golden, calls, self.heard)
        stop = self.stream.start
        golden.expect("next_start_frame", recorded["next_start_frame"], stop)
        counters = [stop * tokens, len(self.policy.held(stop)) * tokens]
        golden.expect("cache counters", recorded["kv_index_layer0"], counters)


def replay_controlled(golden: Golden) -> None:
    """Control pictures through VACE, with a prompt switch: recached, or cut as the reference does."""
    chain = _Chain(golden, golden.meta("config")["num_frame_per_block"])
    config, contexts = chain.config, ReferenceStreams(chain.vae)
    steps = chain.schedule.steps(config["denoising_steps"], warped=False)
    said: list[int] = []

    def chunk(number: int, calls: list[dict[str, Any]]) -> None:
        switched = bool(said) and said[-1] != calls[-1]["text"]
        said.append(calls[-1]["text"])
        text = chain.model.cross_cache(chain.text(calls))
        if switched and config["hard_cut_on_switch"]:
            chain.stream.reset()
            chain.decoder = None
        elif switched:
            chain.stream.recache(text)
        video = pictures(golden.take(f"control_u8.c{number}"))
        everywhere = torch.ones(1, video.shape[1], *video.shape[3:])
        context = contexts.context(video, everywhere, "inactive")
        contexts.first = False
        golden.compare(f"vace_context.c{number}", context)
        x = golden.take(f"noise.c{number}")
        chain.stream.begin(x.shape[1], text)
        chain.denoise(number, x, steps, "video", context[None], config["vace_context_scale"])

    chain.run(chunk)
    for key in golden.keys("text."):
        golden.take(key)  # a recording may hold a text that it never says


def replay_camera(golden: Golden) -> None:
    """Camera pictures under noise of a fixed strength, or of the reference's motion-aware one."""
    config, recorded = golden.meta("config"), golden.meta("v2v")
    chain = _Chain(golden, golden.take("mixnoise.c0").shape[1])
    controller: ReferenceController | None = None
    if config["noise_controller"]:
        usual = golden.take("mixnoise.c1").shape[1]
        controller = ReferenceController(config["initial_noise_scale"], compared=usual)
    state: State | None = None

    def chunk(number: int, calls: list[dict[str, Any]]) -> None:
        nonlocal state
        video = pictures(golden.take(f"video_u8.c{number}"))
        strength = controller.next(video[0]) if controller else config["initial_noise_scale"]
        said = recorded[str(number)]
        golden.agree("noise_scale", said["noise_scale"], strength)
        golden.expect("the first step", said["first_step"], reference_first_step(strength))
        latents, state = chain.vae.encode(video, state)
        x = mixed(latents, golden.take(f"mixnoise.c{number}"), strength)
        listed = [reference_first_step(strength), *config["denoising_steps"][1:]]
        chain.stream.begin(x.shape[1], chain.model.cross_cache(chain.text(calls)))
        chain.denoise(number, x, chain.schedule.steps(listed, warped=False), "out_video")

    chain.run(chunk)
