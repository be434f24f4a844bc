"""Put trained weights where the program finds them: `python -m engine.pocket.publish --work DIR`.

Half precision with a digest per tensor, into assets/pocket. The program loads exactly these three files.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file

from engine.core.paths import assets_dir
from engine.model.weights import read_metadata, save_weights


def publish(work: Path, folder: Path) -> None:
    """Copy the three networks of a training folder into `folder`, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tae", "dit", "text"):
        path = work / "out" / f"{name}.safetensors"
        save_weights(folder / path.name, load_file(path), metadata=read_metadata(path))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=assets_dir() / "pocket")
    options = parser.parse_args(argv)
    publish(options.work, options.folder)


if __name__ == "__main__":
    main()
