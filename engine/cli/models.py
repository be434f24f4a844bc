"""`cuelight models`: list, download, check and import model files."""

import argparse
from pathlib import Path

from engine.cli.command import Command
from engine.cli.files import models_folder, models_folder_argument


def _arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="which there are, their size, licence and VRAM")
    listing.add_argument("name", metavar="NAME", nargs="?", help="which file goes where, of one of them")
    get = actions.add_parser("get", help="show the licence, then download")
    get.add_argument("name", metavar="NAME", help="a pipeline or an extra of `cuelight models list`")
    get.add_argument("--vae", default="tae", help="tae, lighttae, wan or lightvae (%(default)s)")
    get.add_argument("--text", default="fp8", help="text encoder: fp8, bf16 or none (%(default)s)")
    get.add_argument("--mirror", action="store_true", help="fetch from the mirrors of the models file")
    verify = actions.add_parser("verify", help="check sizes, checksums and headers")
    verify.add_argument("name", metavar="NAME")
    verify.add_argument("--vae", help="as for get (default: the one that is here)")
    verify.add_argument("--text", help="as for get (default: the one that is here)")
    bring = actions.add_parser("import", help="take files out of a folder that someone copied")
    bring.add_argument("folder", metavar="DIR", type=Path)
    bring.add_argument("--link", action="store_true", help="link the files instead of copying them")
    for action in (get, bring):
        action.add_argument("--accept", action="store_true", help="accept the licences that are shown")
    for action in (listing, get, verify, bring):
        models_folder_argument(action)


def _models(options: argparse.Namespace) -> int:
    from engine import models

    with models_folder(options.models):
        if options.action == "list":
            return models.list_models(options.name)
        if options.action == "get":
            return models.get(
                options.name, vae=options.vae, text=options.text, agreed=options.accept, mirror=options.mirror
            )
        if options.action == "verify":
            return models.verify(options.name, vae=options.vae, text=options.text)
        return models.import_models(options.folder, link=options.link, agreed=options.accept)


MODELS = Command("models", "list, download, check and import model files", _arguments, _models)
