"""Errors a performer understands: what happened, and what to do about it."""


class CuelightError(Exception):
    """Something went wrong that a person can act on.

    `what` says what happened, naming the thing concerned; `fix` says what to do (may be empty).
    """

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}  Fix: {self.fix}" if self.fix else self.what


class ParameterError(CuelightError):
    """An unknown parameter, or a value its row does not allow."""


class SourceError(CuelightError):
    """A camera, clip or picture cannot be opened, or was lost while it was read."""


class AnnotatorError(CuelightError):
    """An annotator is unknown or cannot make its control picture."""


class OutputError(CuelightError):
    """A recording or the virtual camera cannot start, or had to stop."""


class WeightsError(CuelightError):
    """A weights file is missing, damaged, or of another model."""


class ControllerError(CuelightError):
    """A controller, its port or its mapping cannot be used."""


class PresetError(CuelightError):
    """A preset file cannot be read or written, or holds values that are not allowed."""


class EngineError(CuelightError):
    """The engine cannot be built or cannot make the next chunk."""


def shown(value: object) -> str:
    """A refused value as an error quotes it: at most 60 characters, whatever a file held."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return "a number of hundreds of digits"  # Python refuses to write out even longer ones
    words = repr(value)
    return words if len(words) <= 60 else words[:57] + "..."
