"""THE TABLE: one row says everything about a live value.

Widgets, OSC addresses, MIDI ranges, preset keys, `--set` and the parameter page are derived from
these rows and never typed again. Pure data and arithmetic: no thread, no state.
"""

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, TypeGuard

from engine.core.errors import ParameterError, shown

Value: TypeAlias = float | int | bool | str
Kind: TypeAlias = Literal["float", "int", "bool", "choice", "text"]
Curve: TypeAlias = Literal["linear", "log", "exp"]
Stage: TypeAlias = Literal["source", "annotate", "engine", "output", "view"]
Effect: TypeAlias = Literal["frame", "step", "chunk", "reload"]

_ON = ("1", "on", "true", "yes")
_OFF = ("0", "off", "false", "no")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One live value.

    `stage` is who reads it; `effect` is when a change is heard: at the next output frame, the next
    denoising step, the next chunk, or after a reload during which the picture is held.
    `curve` shapes the way from a knob's 0..1 to native units: linear; log (equal ratios, needs
    low > 0); exp (fine at the low end). `macro` rows are the big knobs. `max_length` bounds a text.
    `zero`: what a whole number of 0 is called where it stands for something else than none.
    """

    key: str
    kind: Kind
    default: Value
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    curve: Curve = "linear"
    group: str
    label: str
    help: str
    stage: Stage
    effect: Effect
    macro: bool = False
    max_length: int = 0
    zero: str = ""

    @property
    def osc_address(self) -> str:
        """The fixed OSC address, e.g. /cuelight/vace/context_scale."""
        return "/cuelight/" + self.key.replace(".", "/")

    @property
    def allowed(self) -> str:
        """What values are allowed, in words."""
        if self.kind in ("float", "int"):
            low, high = self._range()
            noun = "a number" if self.kind == "float" else "a whole number"
            called = f" (0: {self.zero})" if self.zero else ""
            return f"{noun} from {low:g} to {high:.10g}{' ' + self.unit if self.unit else ''}{called}"
        if self.kind == "bool":
            return "true or false"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        return f"a text of at most {self.max_length} characters"

    def check(self, value: object) -> Value:
        """`value` in its native type, exactly as strict as the row.

        Whole floats pass for int rows and ints for float rows; nothing else is converted.
        Raises ParameterError naming key, value, range and fix.
        """
        if self.kind == "float" and _is_number(value):
            return self._in_range(float(value), value)
        if self.kind == "int" and _is_number(value) and float(value).is_integer():
            return int(self._in_range(float(value), value))
        if self.kind == "bool" and isinstance(value, bool):
            return value
        if self.kind == "choice" and isinstance(value, str) and value in self.choices:
            return value
        if self.kind == "text" and isinstance(value, str):
            return self._checked_text(value)
        raise self._refused(value)

    def parse(self, text: str) -> Value:
        """The value written as `text`, as in `--set key=value`. Raises ParameterError."""
        word = text.strip().lower()
        if self.kind == "bool":
            if word in _ON or word in _OFF:
                return word in _ON
            raise self._refused(text)
        if self.zero and word == self.zero:
            return self.check(0)
        if self.kind in ("float", "int"):
            try:
                return self.check(int(word) if self.kind == "int" else float(word))
            except ValueError:
                raise self._refused(text) from None
        return self.check(text)

    def clamp(self, value: object) -> tuple[Value, bool]:
        """The nearest allowed value, and whether it had to be changed: for wires, which tolerate.

        Numbers are limited and rounded, a number is on from 0.5 for a bool row and an index for a
        choice row, a long text is cut. Only what has no nearest value raises ParameterError.
        """
        if self.kind == "text" and isinstance(value, str):
            return self._checked_text(value[: self.max_length]), len(value) > self.max_length
        if isinstance(value, str) or value is None:
            return self.check(value), False
        number = self._tolerant_number(value)
        if self.kind == "bool":
            return number >= 0.5, number not in (0.0, 1.0)
        if self.kind == "choice":
            index = round(min(max(number, 0.0), len(self.choices) - 1.0))
            return self.choices[index], index != number
        if self.kind == "text":
            raise self._refused(value)
        low, high = self._range()
        limited = min(max(number, low), high)
        if self.kind == "int":
            return round(limited), round(limited) != number
        return limited, limited != number

    def normalized(self, value: Value) -> float:
        """Where `value` (native units) lies on a knob, 0..1. Raises ParameterError for texts."""
        value = self.check(value)
        if self.kind == "bool":
            return 1.0 if value else 0.0
        if self.kind == "choice":
            return self.choices.index(str(value)) / max(1, len(self.choices) - 1)
        if self.kind == "text":
            raise self._no_knob()
        low, high = self._range()
        if self.curve == "log":
            return math.log(float(value) / low) / math.log(high / low)
        linear = (float(value) - low) / (high - low)
        return math.sqrt(linear) if self.curve == "exp" else linear

    def native(self, norm: float) -> Value:
        """The value at knob position `norm`; positions outside 0..1 are limited, NaN is refused."""
        if not _is_number(norm) or math.isnan(norm):
            raise self._refused(norm)
        norm = min(max(float(norm), 0.0), 1.0)
        if self.kind == "bool":
            return norm >= 0.5
        if self.kind == "choice":
            return self.choices[min(int(norm * len(self.choices)), len(self.choices) - 1)]
        if self.kind == "text":
            raise self._no_knob()
        low, high = self._range()
        if self.curve == "log":
            number = low * math.pow(high / low, norm)
        else:
            number = low + (high - low) * (norm * norm if self.curve == "exp" else norm)
        number = min(max(number, low), high)
        return round(number) if self.kind == "int" else number

    def _range(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise ParameterError(f"{self.key} has no range")
        return float(self.low), float(self.high)

    def _in_range(self, number: float, value: object) -> float:
        low, high = self._range()
        if not low <= number <= high:  # NaN fails too
            raise self._refused(value)
        return number

    def _checked_text(self, text: str) -> str:
        if len(text) > self.max_length:
            raise ParameterError(
                f"{self.key} is {len(text)} characters long, at most {self.max_length} are allowed",
                f"shorten it by {len(text) - self.max_length} characters",
            )
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ParameterError(
                f"{self.key} holds a character that is not text", "remove the NUL or broken Unicode character"
            )
        return text

    def _tolerant_number(self, value: object) -> float:
        if isinstance(value, bool):
            return 1.0 if value else 0.0
        if not _is_number(value) or math.isnan(value):
            raise self._refused(value)
        return float(value)

    def _refused(self, value: object) -> ParameterError:
        return ParameterError(f"{self.key} cannot be {shown(value)}", f"give it {self.allowed}")

    def _no_knob(self) -> ParameterError:
        return ParameterError(f"{self.key} is a text and has no position on a knob", "send the text itself")


def _is_number(value: object) -> TypeGuard[float]:
    """A real number that a float can hold; bool is one for Python but never for us."""
    if isinstance(value, int):
        return not isinstance(value, bool) and value.bit_length() <= 1000
    return isinstance(value, numbers.Real)


LORA_SLOTS = 4
"""Hands are bound to slots, not to files: another LoRA in a slot keeps its knob."""


def _lora_rows() -> tuple[Parameter, ...]:
    """File, region and strength of every slot."""
    return tuple(
        parameter
        for slot in range(1, LORA_SLOTS + 1)
        for parameter in (
            Parameter(
                key=f"lora.{slot}.file", kind="text", default="", max_length=1000,
                group="lora", label=f"LoRA {slot}", stage="engine", effect="chunk",
                help="A LoRA file made for the model in use: a path, or a name in the models' folder loras.",
            ),
            Parameter(
                key=f"lora.{slot}.region", kind="choice", default="everywhere",
                choices=("everywhere", "inside", "outside"),
                group="lora", label=f"LoRA {slot} region", stage="engine", effect="chunk",
                help="Where in the picture this LoRA acts: everywhere, inside the mask, or outside it.",
            ),
            Parameter(
                key=f"lora.{slot}.strength", kind="float", default=1.0, low=-2.0, high=2.0,
                group="lora", label=f"LoRA {slot} strength", stage="engine", effect="step", macro=slot <= 2,
                help="How strongly this LoRA acts: 0 not at all, 1 as trained.",
            ),
        )
    )  # fmt: skip


REFERENCES = 3
"""VACE was trained with at most three reference pictures."""


def _picture_rows() -> tuple[Parameter, ...]:
    """Pictures that lead the model: references, and key frames."""
    references = tuple(
        Parameter(
            key=f"reference.{number}.file", kind="text", default="", max_length=1000,
            group="reference", label=f"Reference {number}", stage="engine", effect="chunk",
            help="A picture of what is to be seen: a subject, a style; until it is taken away. Empty: none.",
        )
        for number in range(1, REFERENCES + 1)
    )  # fmt: skip
    key_frames = tuple(
        Parameter(
            key=f"extension.{end}", kind="text", default="", max_length=1000,
            group="extension", label=f"{end.capitalize()} frame", stage="engine", effect="chunk",
            help=f"A picture that the coming chunks {verb}; then it is over. Empty: none.",
        )
        for end, verb in (("first", "begin with"), ("last", "lead to"))
    )  # fmt: skip
    return (
        *references,
        Parameter(
            key="reference.fit", kind="choice", default="white", choices=("white", "crop"),
            group="reference", label="Reference fit", stage="engine", effect="chunk",
            help="White shows the whole reference on white, as VACE was trained; crop fills the picture.",
        ),
        *key_frames,
        Parameter(
            key="extension.chunks", kind="int", default=1, low=1, high=16, unit="chunks",
            group="extension", label="Over", stage="engine", effect="chunk",
            help="Over how many chunks the first frame lets go and the last frame takes over.",
        ),
    )  # fmt: skip


def _by_key(rows: Iterable[Parameter]) -> Mapping[str, Parameter]:
    return MappingProxyType({parameter.key: parameter for parameter in rows})


TABLE: Mapping[str, Parameter] = _by_key(
    (
        Parameter(
            key="vace.context_scale", kind="float", default=1.0, low=0.0, high=2.0,
            group="vace", label="Control", stage="engine", effect="step", macro=True,
            help="How strongly the picture follows the control picture: 0 ignores it, 1 is as trained.",
        ),
        Parameter(
            key="vace.hints", kind="choice", default="auto", choices=("auto", "every", "two", "one"),
            group="vace", label="Hints", stage="engine", effect="chunk",
            help="At how many steps the control is looked at. Auto: the fewest proven good, and no clean "
            "pass where that is proven good too.",
        ),
        Parameter(
            key="prompt.text", kind="text", default="gold figure, night", max_length=2000,
            group="prompt", label="Prompt", stage="engine", effect="chunk",
            help="What to make of the camera picture, in words.",
        ),
        Parameter(
            key="prompt.transition", kind="int", default=0, low=0, high=32, unit="chunks",
            group="prompt", label="Transition", stage="engine", effect="chunk",
            help="Over how many chunks a new prompt takes over: 0 at once.",
        ),
        Parameter(
            key="prompt.blend", kind="choice", default="linear", choices=("linear", "slerp"),
            group="prompt", label="Blend", stage="engine", effect="chunk",
            help="How a transition mixes the two prompts: along a line, or turning from one into the other.",
        ),
        Parameter(
            key="noise.scale", kind="float", default=1.0, low=0.0, high=1.0,
            group="noise", label="Noise", stage="engine", effect="chunk", macro=True,
            help="How much is invented anew: 1 starts from noise alone, less from the camera's own picture.",
        ),
        Parameter(
            key="noise.motion", kind="float", default=0.0, low=0.0, high=1.0,
            group="noise", label="Motion", stage="engine", effect="chunk",
            help="How far movement in the camera picture lowers the noise, so that the picture follows it.",
        ),
        *_lora_rows(),
        *_picture_rows(),
        Parameter(
            key="engine.steps", kind="int", default=0, low=0, high=4, zero="auto",
            group="engine", label="Steps", stage="engine", effect="chunk",
            help="Denoising steps per chunk: fewer is faster and rougher. Auto: as many as the model wants.",
        ),
        Parameter(
            key="engine.rate", kind="int", default=0, low=0, high=60, unit="frames/s", zero="off",
            group="engine", label="Least rate", stage="engine", effect="chunk",
            help="Frames a second to be generated at least: auto steps give way for it. Off: they never do.",
        ),
        Parameter(
            key="engine.seed", kind="int", default=42, low=0, high=2**31 - 1,
            group="engine", label="Seed", stage="engine", effect="chunk",
            help="The noise to start from; the same seed gives the same picture.",
        ),
        Parameter(
            key="engine.step_list", kind="text", default="", max_length=80,
            group="engine", label="Step list", stage="engine", effect="chunk",
            help="Denoising steps by hand, such as 1000,750,500; empty: as many as Steps says, evenly.",
        ),
        Parameter(
            key="engine.warp", kind="bool", default=True,
            group="engine", label="Warped steps", stage="engine", effect="chunk",
            help="Warp the steps as the model was trained; off takes them literally.",
        ),
        Parameter(
            key="engine.pipeline", kind="choice", default="pocket",
            choices=("pocket", "longlive", "streamdiffusionv2", "memflow", "reward_forcing", "krea",
                     "self_forcing", "causal_forcing"),
            group="engine", label="Model", stage="engine", effect="reload",
            help="Which model generates. The picture is held while it loads.",
        ),
        Parameter(
            key="engine.vae", kind="choice", default="tae", choices=("tae", "lighttae", "wan", "lightvae"),
            group="engine", label="Autoencoder", stage="engine", effect="reload",
            help="Turns latents into pictures: tae is fastest, wan is best. Pocket always uses its own.",
        ),
        Parameter(
            key="engine.text_encoder", kind="choice", default="gpu", choices=("gpu", "cpu", "unload"),
            group="engine", label="Text encoder", stage="engine", effect="reload",
            help="Where it is between prompts: on the GPU, in main memory, or loaded for each new prompt.",
        ),
        Parameter(
            key="engine.fp8", kind="bool", default=False,
            group="engine", label="FP8", stage="engine", effect="reload",
            help="Keep the large weights in 8 bits: half the memory, faster on new GPUs, less exact.",
        ),
        Parameter(
            key="engine.resolution", kind="choice", default="128x224",
            choices=("128x224", "160x288", "192x336", "320x576", "368x640", "512x512", "480x832"),
            group="engine", label="Size", stage="engine", effect="reload",
            help="Height x width of the generated picture. The picture is held while it changes.",
        ),
        Parameter(
            key="annotator.name", kind="choice", default="scribble",
            choices=(
                "none", "scribble", "edges", "gray", "pose", "segmentation", "depth", "flow", "face", "hands",
                "layout",
            ),
            group="annotator", label="Annotator", stage="annotate", effect="chunk",
            help="How the control picture is drawn from the camera.",
        ),
        Parameter(
            key="annotator.detail", kind="float", default=0.5, low=0.0, high=1.0,
            group="annotator", label="Detail", stage="annotate", effect="chunk", macro=True,
            help="How many lines are drawn; pose: from 0.75 the face too; depth: how much shading counts.",
        ),
        Parameter(
            key="annotator.gain", kind="float", default=1.0, low=0.0, high=1.0,
            group="annotator", label="Gain", stage="annotate", effect="chunk", macro=True,
            help="Contrast of the control picture: 0 is its neutral, 1 is as drawn.",
        ),
        Parameter(
            key="annotator.second", kind="choice", default="none",
            choices=("none", "scribble", "edges", "gray", "pose", "depth", "flow", "layout"),
            group="annotator", label="Second annotator", stage="annotate", effect="chunk",
            help="A second control picture, composed with the first: lines are joined, tones are averaged.",
        ),
        Parameter(
            key="annotator.second_gain", kind="float", default=1.0, low=0.0, high=1.0,
            group="annotator", label="Second gain", stage="annotate", effect="chunk",
            help="How strong the second control picture is: 0 is its neutral, 1 is as drawn.",
        ),
        Parameter(
            key="annotator.smoothing", kind="float", default=0.0, low=0.0, high=0.95,
            group="annotator", label="Smoothing", stage="annotate", effect="chunk",
            help="How much of the last control picture stays in the next: more is calmer and later.",
        ),
        Parameter(
            key="annotator.hold", kind="int", default=12, low=0, high=120, unit="frames",
            group="annotator", label="Hold", stage="annotate", effect="chunk",
            help="How long the last control picture or mask stays when its person is lost, before it fades.",
        ),
        Parameter(
            key="mask.source", kind="choice", default="none",
            choices=("none", "person", "background", "face", "hands"),
            group="mask", label="Mask", stage="annotate", effect="chunk",
            help="What is generated, as the annotator leads; all else is kept. None: its own mask.",
        ),
        Parameter(
            key="mask.grow", kind="float", default=0.0, low=0.0, high=0.2, curve="exp",
            group="mask", label="Grow mask", stage="annotate", effect="chunk",
            help="Make the mask wider on every side, in parts of the picture's height.",
        ),
        Parameter(
            key="mask.invert", kind="bool", default=False,
            group="mask", label="Invert mask", stage="annotate", effect="chunk",
            help="Swap what a found mask (person, face, hands) generates and keeps; not a picture's.",
        ),
        Parameter(
            key="mask.file", kind="text", default="", max_length=1000,
            group="mask", label="Mask picture", stage="engine", effect="chunk",
            help="A picture that is light where the model generates and dark where the camera is kept.",
        ),
        Parameter(
            key="mask.inpaint", kind="bool", default=True,
            group="mask", label="Inpaint", stage="annotate", effect="chunk",
            help="Generate inside the mask and keep the rest. Off: all is generated; LoRAs may act inside.",
        ),
        Parameter(
            key="mask.composite", kind="bool", default=True,
            group="mask", label="Keep pixels", stage="engine", effect="chunk",
            help="Show the camera's own pixels where the mask keeps them; off shows what the model makes.",
        ),
        Parameter(
            key="mask.feather", kind="float", default=0.02, low=0.0, high=0.2, curve="exp",
            group="mask", label="Feather", stage="engine", effect="chunk",
            help="Width of the soft border between both, in parts of the picture's height.",
        ),
        Parameter(
            key="mask.brush", kind="float", default=0.06, low=0.005, high=0.5, curve="log",
            group="mask", label="Brush", stage="view", effect="frame",
            help="Radius of the brush that draws a mask on the pictures, in parts of the picture's height.",
        ),
        Parameter(
            key="canvas.zoom", kind="float", default=1.0, low=1.0, high=3.0,
            group="canvas", label="Zoom out", stage="annotate", effect="chunk",
            help="How much smaller the camera's picture lies on the canvas; 1 fills it. Around is generated.",
        ),
        Parameter(
            key="canvas.x", kind="float", default=0.0, low=-1.0, high=1.0,
            group="canvas", label="Across", stage="annotate", effect="chunk",
            help="Where the smaller picture lies on the canvas: -1 at the left edge, 1 at the right one.",
        ),
        Parameter(
            key="canvas.y", kind="float", default=0.0, low=-1.0, high=1.0,
            group="canvas", label="Down", stage="annotate", effect="chunk",
            help="Where the smaller picture lies on the canvas: -1 at the top, 1 at the bottom.",
        ),
        Parameter(
            key="canvas.fit", kind="choice", default="crop", choices=("crop", "whole"),
            group="canvas", label="Camera fit", stage="annotate", effect="chunk",
            help="A camera of another aspect fills the canvas cropped, or lies on it whole and is completed.",
        ),
        Parameter(
            key="canvas.keep", kind="bool", default=True,
            group="canvas", label="Keep camera", stage="annotate", effect="chunk",
            help="Keep the camera's picture and generate around it. Off: all is generated, annotators lead.",
        ),
        Parameter(
            key="layout.follow", kind="choice", default="none",
            choices=("none", "head", "left hand", "right hand", "body"),
            group="layout", label="Follow", stage="annotate", effect="chunk",
            help="Which part of the performer carries the layout's box; none: it stays where it was put.",
        ),
        Parameter(
            key="layout.x", kind="float", default=0.5, low=0.0, high=1.0,
            group="layout", label="Across", stage="annotate", effect="chunk",
            help="The middle of the layout's box, from the picture's left edge (0) to the right one (1).",
        ),
        Parameter(
            key="layout.y", kind="float", default=0.5, low=0.0, high=1.0,
            group="layout", label="Down", stage="annotate", effect="chunk",
            help="The middle of the layout's box, from the picture's top (0) to the bottom (1).",
        ),
        Parameter(
            key="layout.width", kind="float", default=0.3, low=0.02, high=1.0,
            group="layout", label="Width", stage="annotate", effect="chunk",
            help="How wide the layout's box is, in parts of the picture's width.",
        ),
        Parameter(
            key="layout.height", kind="float", default=0.5, low=0.02, high=1.0,
            group="layout", label="Height", stage="annotate", effect="chunk",
            help="How high the layout's box is, in parts of the picture's height.",
        ),
        Parameter(
            key="layout.shape", kind="choice", default="box", choices=("box", "point"),
            group="layout", label="Shape", stage="annotate", effect="chunk",
            help="A box of a size, or a point: a small ring where the subject is to be, of whatever size.",
        ),
        Parameter(
            key="source.uri", kind="text", default="demo", max_length=1000,
            group="source", label="Source", stage="source", effect="frame",
            help="Where pictures come from: demo, camera:ID, file:PATH, image:PATH, a path, or tcp://host:port.",
        ),
        Parameter(
            key="source.loop", kind="bool", default=True,
            group="source", label="Loop", stage="source", effect="frame",
            help="Start a clip again when it ends.",
        ),
        Parameter(
            key="source.mirror", kind="bool", default=False,
            group="source", label="Mirror source", stage="source", effect="frame",
            help="Swap left and right for everybody: the model and the audience see it too.",
        ),
        Parameter(
            key="output.blackout", kind="bool", default=False,
            group="output", label="Blackout", stage="output", effect="frame",
            help="Show the audience black.",
        ),
        Parameter(
            key="output.freeze", kind="bool", default=False,
            group="output", label="Freeze", stage="output", effect="frame",
            help="Hold the picture the audience sees now.",
        ),
        Parameter(
            key="output.clean_camera", kind="bool", default=False,
            group="output", label="Clean camera", stage="output", effect="frame",
            help="Show the audience the camera as it is.",
        ),
        Parameter(
            key="output.dim", kind="float", default=1.0, low=0.0, high=1.0,
            group="output", label="Dim", stage="output", effect="frame", macro=True,
            help="Brightness of the output: 0 is black, 1 is full.",
        ),
        Parameter(
            key="output.mix", kind="float", default=0.0, low=0.0, high=1.0,
            group="output", label="Mix", stage="output", effect="frame", macro=True,
            help="Blend from the generated picture (0) to the camera (1).",
        ),
        Parameter(
            key="output.record", kind="bool", default=False,
            group="output", label="Record", stage="output", effect="frame",
            help="Record what the audience sees.",
        ),
        Parameter(
            key="output.virtual_camera", kind="bool", default=False,
            group="output", label="Virtual camera", stage="output", effect="frame",
            help="Offer the output to other programs as a camera.",
        ),
        Parameter(
            key="output.fps", kind="int", default=30, low=10, high=60, unit="frames/s",
            group="output", label="Output rate", stage="output", effect="frame",
            help="Frames the audience gets per second.",
        ),
        Parameter(
            key="view.mirror", kind="bool", default=True,
            group="view", label="Mirror preview", stage="view", effect="frame",
            help="Swap left and right in the operator's camera preview only.",
        ),
    )
)  # fmt: skip


def row(key: str) -> Parameter:
    """The row of `key`. Raises ParameterError naming the closest keys."""
    found = TABLE.get(key)
    if found is None:
        close = difflib.get_close_matches(key, TABLE, n=3, cutoff=0.4) or list(TABLE)[:3]
        raise ParameterError(f"there is no parameter {key!r}", "did you mean " + ", ".join(close) + "?")
    return found


def rows(group: str | None = None, stage: str | None = None) -> tuple[Parameter, ...]:
    """The rows in table order, of one `group` and/or one `stage` where given."""
    return tuple(
        parameter
        for parameter in TABLE.values()
        if group in (None, parameter.group) and stage in (None, parameter.stage)
    )
