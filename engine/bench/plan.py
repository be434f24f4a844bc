"""What is to be measured: a plan, the sizes that are usual, and the list for a machine with a GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from engine.core.errors import EngineError
from engine.model.hints import HintChoice
from engine.model.kernels import AUTO
from engine.model.pipelines import pipeline_spec
from engine.model.spec import POCKET, WAN_14B
from engine.model.vae import VAEKind

Mode = Literal["none", "depth", "inpaint", "layout", "extension", "references"]
"""Text only; a control picture of any kind; one and a mask that keeps half of it; plain shapes on white; a
key frame at the beginning of every chunk; two reference pictures and nothing else.
"""

Precision = Literal["auto", "fp32", "bf16", "fp8"]
"""Of the networks; auto: what the program would use on this machine. FP8: weights of the blocks only."""

Weights = Literal["installed", "random"]

Rival = Literal["", "eager"]
"""None; the engine in which nothing that was computed is kept or joined."""

USUAL_SIZES = {POCKET: (128, 224), WAN_14B: (320, 576)}
USUAL_SIZE = (368, 640)
"""Height and width: of models without an entry above."""

SUITE_S = 560.0
"""Ten minutes less the time in which a process starts and ends."""
ROW_S = 75.0
"""After so long a plan of that list makes no further chunk, unless it is asked to take longer."""

LONGEST_S = 86400.0


@dataclass(frozen=True)
class Plan:
    """One measurement. `size`: height and width in pixels, None: what is usual for the pipeline.

    `steps`: denoising steps, 0: as many as the model wants.

    `warm_up` chunks are made before `chunks` are measured, or more where those take less than `seconds`.
    `weights`: random ones even where the pipeline's
    own are here; afterwards, which it were. `attention`: a kernel of `kernels.NAMES`.
    `graphs`: passes are recorded as CUDA graphs; give enough chunks to warm up for every state of the ring.
    `against`: instead of a full measurement, by turns with this form of the same engine.
    """

    pipeline: str = "pocket"
    size: tuple[int, int] | None = None
    steps: int = 0
    mode: Mode = "depth"
    vae: VAEKind = "tae"
    precision: Precision = "auto"
    warm_up: int = 3
    chunks: int = 15
    seconds: float = 0.0
    weights: Weights = "installed"
    hints: HintChoice = "auto"
    attention: str = AUTO
    graphs: bool = False
    against: Rival = ""

    def __post_init__(self) -> None:
        """Refuse counts with which nothing would be measured."""
        if self.warm_up < 1 or self.chunks < 2 or not 0 <= self.seconds <= LONGEST_S:
            raise EngineError(
                f"{self.warm_up} chunks to warm up, {self.chunks} to measure, or {self.seconds:g} s "
                "are too few or too much.",
                f"Warm up with at least 1, measure at least 2, for at most {LONGEST_S:g} s.",
            )

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width. Raises EngineError for a pipeline there is not."""
        return self.size or USUAL_SIZES.get(pipeline_spec(self.pipeline).arch, USUAL_SIZE)

    @property
    def step_count(self) -> int:
        """How many denoising steps a chunk takes. Raises EngineError for a pipeline there is not."""
        return self.steps or pipeline_spec(self.pipeline).steps

    def document(self) -> dict[str, object]:
        """As plain values, for JSON."""
        height, width = self.picture
        return asdict(self) | {"size": f"{height}x{width}", "steps": self.step_count}


SUITE = (
    Plan("longlive", mode="depth"),
    Plan("longlive", mode="none"),
    Plan("longlive", mode="depth", graphs=True, warm_up=20),
    Plan("longlive", mode="depth", hints="one"),
    Plan("longlive", mode="depth", against="eager"),
    Plan("longlive", mode="inpaint"),
    Plan("longlive", mode="depth", precision="fp8"),
    Plan("longlive", (480, 832), mode="none"),
    Plan("longlive", (480, 832), mode="depth"),
    Plan("causal_forcing", mode="depth"),
    Plan("longlive", mode="depth", vae="wan"),
    Plan("krea", mode="none"),
    Plan("longlive", mode="depth", seconds=60.0),
    Plan("krea", mode="depth", precision="fp8"),
    Plan("longlive", mode="depth", hints="two"),
    Plan("longlive", mode="references"),
    Plan("longlive", mode="extension"),
    Plan("pocket", mode="depth"),
)
"""What `cuelight bench --gpu` measures, the most important first: the list ends when its time is over."""
