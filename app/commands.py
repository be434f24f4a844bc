"""A command that a hand gives: obeyed, and told where it is not."""

from app.notices import Notices
from engine.core.commands import SNAPSHOT
from engine.core.errors import ParameterError
from engine.core.paths import recordings_dir
from engine.runtime import Runtime


def obey(name: str, runtime: Runtime, notices: Notices) -> None:
    """Ask `runtime` for the command `name`; what the performer should know goes to `notices`. Any thread."""
    try:
        runtime.command(name)
    except ParameterError as error:
        notices.report(error)
        return
    if name == SNAPSHOT and runtime.program.peek() is not None:
        notices.post(f"The picture goes to {recordings_dir()}", level="info")
