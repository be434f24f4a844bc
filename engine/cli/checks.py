"""Commands that look and tell: `doctor`, `parity`, `parameters`."""

import argparse
from pathlib import Path

from engine.cli.command import OK, Command
from engine.core.errors import CuelightError


def _parity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="recorded numbers (*.safetensors)")


def _parity(options: argparse.Namespace) -> int:
    if not options.folder.is_dir():
        raise CuelightError(f"{options.folder} is not a folder", "name the folder with the recorded numbers")
    from engine.parity import main as parity

    return parity(options.folder)


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def _doctor(options: argparse.Namespace) -> int:
    from engine.doctor import main as doctor

    return doctor()


def _parameters(options: argparse.Namespace) -> int:
    from engine.parameter_page import parameter_page

    print(parameter_page(), end="")
    return OK


DOCTOR = Command("doctor", "check this machine and say what to do", _no_arguments, _doctor)
PARITY = Command("parity", "compare the model's parts with recorded numbers", _parity_arguments, _parity)
PARAMETERS = Command("parameters", "print the page of all parameters", _no_arguments, _parameters)
