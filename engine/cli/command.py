"""What a sub-command is, and the exit statuses that scripts go by."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

OK, FAILED, MISUSED, STOPPED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """A sub-command: `arguments` declares its options, `run` does it and returns the exit status."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
