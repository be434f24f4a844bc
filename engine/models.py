"""`cuelight models`: which model files there are, fetching them when asked, checking and importing them.

Prints plain lines; the rows come from the models file (engine.model.registry). Returns exit statuses.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.core.errors import CuelightError, WeightsError
from engine.core.paths import config_dir, models_dir
from engine.model import import_folder, registry
from engine.model.download import Hub, HuggingFaceHub, download, in_words, wrong
from engine.model.licences import accept
from engine.model.registry import Extra, ModelFile, PipelineFiles, Registry

OK, FAILED = 0, 1
_WEIGHTS = (".safetensors", ".pt", ".pth")


def list_models(name: str | None = None) -> int:
    """All pipelines and extras, a row each; with a name its files, where each goes and which are missing."""
    rows, models = registry.load(), models_dir()
    if name is not None:
        return _list_files(rows, name, models)
    print(f"{'NAME':<18} {'HERE':<9} {'SIZE':<9} {'VRAM':<6} {'WHAT AND LICENCE'}")
    everything: tuple[PipelineFiles | Extra, ...] = (*rows.pipelines.values(), *rows.extras.values())
    for row in everything:
        files = rows.files_of(row.name, *rows.chosen(models))
        here = "embedded" if not files else _here(rows, files, models)
        size = _total(files) if files else "-"
        vram = f"{row.vram_gb:g} GB" if row.vram_gb else "-"
        print(f"{row.name:<18} {here:<9} {size:<9} {vram:<6} {row.label}; {_licence(files)}")
        lacking = rows.missing(files, models)
        if 0 < len(lacking) < len(files):
            print(f"{'':<18} missing: {', '.join(lacking)}")
    print(f"\nFiles belong below {models} (CUELIGHT_MODELS names another folder).")
    print("~ contains estimates. VRAM as published, with the text encoder on the card; not measured by us.")
    print("Nothing is downloaded without being asked:")
    print("    cuelight models list NAME    which file goes where")
    print("    cuelight models get NAME     show the licence, then download")
    own = config_dir() / registry.models_file().name
    print(f"The rows are {registry.models_file()}; a copy of them at {own} is used instead.")
    return OK


def get(
    name: str,
    *,
    vae: str = "tae",
    text: str = "fp8",
    agreed: bool = False,
    mirror: bool = False,
    hub: Hub | None = None,
    ask: Callable[[str], str] = input,
) -> int:
    """Fetch what a pipeline or extra lacks, after its licences were accepted. Raises WeightsError."""
    rows, models = registry.load(), models_dir()
    files = rows.files_of(name, vae, text)
    lacking = rows.missing(files, models)
    if not lacking:
        print(f"{name}: nothing to fetch, all its files are here")
        return OK
    print(f"{name}: {len(set(lacking.values()))} files, {_total(lacking)}, into {models}")
    accept(lacking.values(), ask=ask, tell=print, agreed=agreed)
    download(list(lacking.values()), models, hub or HuggingFaceHub(models, mirror=mirror), tell=print)
    print(f"{name}: complete")
    return OK


def verify(name: str, *, vae: str | None = None, text: str | None = None) -> int:
    """Check size, checksum and header of every file of a pipeline or extra; FAILED when one is not right."""
    rows, models = registry.load(), models_dir()
    chosen = rows.chosen(models)
    files = rows.files_of(name, vae or chosen[0], text or chosen[1])
    if not files:
        print(f"ok      {name} is part of Cuelight; `cuelight doctor` checks it")
    failed = False
    for role, file in files.items():
        problem = _problem(file, models)
        failed |= bool(problem)
        print(f"{'bad' if problem else 'ok':<7} {role:<16} {file.local(models)}")
        if problem:
            print(f"{'':<7} {'':<16} {problem}")
    return FAILED if failed else OK


def import_models(
    folder: Path, *, link: bool = False, agreed: bool = False, ask: Callable[[str], str] = input
) -> int:
    """Take every model file that is still missing out of a copied folder; FAILED when it holds none."""
    rows, models = registry.load(), models_dir()
    wanted = [file for file in rows.files.values() if not file.is_present(models)]
    found, refused = import_folder.find(folder, wanted)
    for line in refused:
        print(line)
    if not found:
        print(f"no model file that is still missing was found in {folder}")
        return FAILED
    accept([item.file for item in found], ask=ask, tell=print, agreed=agreed)
    for item, place in zip(found, import_folder.bring(found, models, link), strict=True):
        print(f"{'linked' if link else 'copied'} {item.file.repository}/{item.file.path} to {place}")
    return OK


def _list_files(rows: Registry, name: str, models: Path) -> int:
    files = rows.files_of(name, *rows.chosen(models))
    row = rows.extras[name] if name in rows.extras else rows.pipeline(name)
    print(f"{row.label}: {_total(files) if files else 'embedded'}. {row.notes}".rstrip(". ") + ".")
    for role, file in files.items():
        state = "here" if file.is_present(models) else "missing"
        size = f"{'' if file.bytes else '~'}{in_words(file.size)}" if file.size else "unknown size"
        print(f"\n{role}: {state}, {size}, {file.licence.name}{f' ({file.note})' if file.note else ''}")
        print(f"    from {file.url or f'{file.repository}, {file.path}'}   card: {file.card}")
        print(f"    to   {file.local(models)}")
    if isinstance(row, PipelineFiles) and files:
        print(
            f"\nOther choices: --vae {'|'.join(rows.vae)}, --text {'|'.join(rows.text)}|{registry.NO_TEXT}."
        )
    return OK


def _problem(file: ModelFile, models: Path) -> str:
    """What is wrong with a file in place; "" when size, checksum and header are right."""
    path = file.local(models)
    if not path.is_file():
        return "missing"
    if not path.stat().st_size:
        return "empty"
    if problem := wrong(path, file.bytes, file.sha256):
        return problem
    try:
        _open(path)
    except CuelightError as error:
        return str(error)
    return ""


def _open(path: Path) -> None:
    """Read the header; raises WeightsError when it is not what its name says."""
    if path.suffix in _WEIGHTS:
        from engine.model.checkpoint import open_checkpoint

        with open_checkpoint(path) as checkpoint:
            if not checkpoint.shapes:
                raise WeightsError(f"{path} holds no weights.", "Fetch it again.")
    elif path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightsError(f"{path} is not valid JSON.", "Fetch it again.") from error


def _here(rows: Registry, files: Mapping[str, ModelFile], models: Path) -> str:
    lacking = len(rows.missing(files, models))
    if not lacking:
        return "yes"
    return "no" if lacking == len(files) else f"{len(files) - lacking} of {len(files)}"


def _total(files: Mapping[str, ModelFile]) -> str:
    size = sum(file.size for file in set(files.values()))
    estimated = any(not file.bytes for file in files.values())
    return f"{'~' if estimated else ''}{in_words(size)}" if size else "unknown"


def _licence(files: Mapping[str, ModelFile]) -> str:
    """The licence of the weights that make the model what it is: the first file's."""
    return next((file.licence.name for file in files.values()), "Apache-2.0")
