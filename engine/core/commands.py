"""What can be asked for once, by a key, a pad or a wire: commands by name, and what each does.

Unlike a value, a command is an event: it is queued and none is lost.
"""

from collections.abc import Mapping
from types import MappingProxyType

from engine.core.parameters import REFERENCES

RESET, REPLAY, SNAPSHOT = "reset", "replay", "snapshot"

TAKES: Mapping[str, str] = MappingProxyType(
    {f"take_reference_{number}": f"reference.{number}.file" for number in range(1, REFERENCES + 1)}
    | {"take_first": "extension.first", "take_last": "extension.last", "take_mask": "mask.file"}
)
"""Commands that put the picture the audience sees now into a row that names a picture: that row's key."""

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        RESET: "Start the picture anew.",
        REPLAY: "Start the picture anew with the noise it began with: the same once more.",
        SNAPSHOT: "Save the picture the audience sees now.",
    }
    | {
        name: f"Let the output as it is now be {what}."
        for name, what in zip(
            TAKES,
            (
                *(f"reference picture {number}" for number in range(1, REFERENCES + 1)),
                "the first frame of the coming chunks",
                "the last frame, which the coming chunks lead to",
                "the mask: generated where it is light",
            ),
            strict=True,
        )
    }
)
"""Every command, and what it does in words for a person."""


def command_address(name: str) -> str:
    """The OSC address of a command."""
    return f"/cuelight/command/{name}"
