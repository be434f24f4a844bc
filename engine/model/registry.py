"""The public model files as rows: where each comes from, where it belongs, and which pipeline needs which.

The rows are assets/models.toml. Its fields are checked here once, strictly, because people edit copies of it;
nothing here reads a network or imports torch.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.core.errors import WeightsError
from engine.core.paths import assets_dir, config_dir
from engine.model.strict_table import StrictTable, WrongField

FILE_NAME = "models.toml"
FORMAT, FORMAT_VERSION = "cuelight-models", 1
TOKENIZER_ROLES = ("tokenizer", "tokenizer_model", "tokenizer_config", "tokenizer_special")
OWN_ROLES = ("dit", "adapter", "vace", "config")  # what a pipeline's row may name; dit and config it must
NO_TEXT = "none"  # for `files_of`: prepared shows play from stored embeddings, without the encoder


@dataclass(frozen=True)
class Licence:
    """A licence as stated where the file is published; `text` is what is shown before it is accepted."""

    id: str
    name: str
    url: str
    text: str


@dataclass(frozen=True)
class ModelFile:
    """One downloadable file. `bytes` is exact or 0; `about` is an estimate in bytes, used where `bytes` is 0.

    `repository` is `owner/name` on the hub (`url` instead names a file elsewhere, fetched by hand), `path` is
    relative to it, `revision` a commit or branch, `mirror` another repository with the same path or "".
    `sha256` is 64 lower-case hex digits or "". `entry` names the dictionary inside a pickled file, or "".
    """

    id: str
    repository: str
    path: str
    bytes: int
    about: int
    sha256: str
    licence: Licence
    card: str
    revision: str
    mirror: str
    url: str
    entry: str
    note: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def size(self) -> int:
        """Bytes, exact or estimated; 0 when neither is known."""
        return self.bytes or self.about

    def local(self, models: Path) -> Path:
        """Where this file belongs: `<models>/<repository>/<path>`."""
        return models / self.repository / self.path

    def found(self, models: Path) -> Path | None:
        """A file to load, of whatever size, in its publisher's or its mirror's folder; None without."""
        places = [self.local(models)]
        if self.mirror:
            places.append(models / self.mirror / self.path)
        return next((place for place in places if place.is_file() and place.stat().st_size > 0), None)

    def is_present(self, models: Path) -> bool:
        """Whether the whole file is in place: right size, or not empty where the size is not known."""
        path = self.local(models)
        if not path.is_file():
            return False
        found = path.stat().st_size
        return found == self.bytes if self.bytes else found > 0


@dataclass(frozen=True)
class PipelineFiles:
    """What one pipeline needs: file ids by role. An embedded pipeline has no `roles` and needs none."""

    name: str
    label: str
    roles: Mapping[str, str]
    vram_gb: float
    notes: str

    @property
    def embedded(self) -> bool:
        """Part of Cuelight itself: nothing to download."""
        return not self.roles


@dataclass(frozen=True)
class Extra:
    """Files beside the pipelines: an annotator, or another transformer for a pipeline."""

    name: str
    label: str
    files: tuple[str, ...]
    vram_gb: float
    notes: str


@dataclass(frozen=True)
class Registry:
    """All rows of a models file. `text` and `vae` are the choices every pipeline but the embedded one has."""

    files: Mapping[str, ModelFile]
    pipelines: Mapping[str, PipelineFiles]
    extras: Mapping[str, Extra]
    tokenizer: Mapping[str, str]
    text: Mapping[str, str]
    vae: Mapping[str, str]

    def files_of(self, name: str, vae: str = "tae", text: str = "fp8") -> dict[str, ModelFile]:
        """The files of a pipeline by role: dit, adapter, vace, config, vae, text and the tokenizer's four.

        Roles a pipeline does not have are absent; `text="none"` leaves out encoder and tokenizer; the
        embedded pipeline has no files. An extra's files have the roles `file 1`, `file 2`, ...
        WeightsError for unknown names.
        """
        if name in self.extras:
            return {f"file {n}": self.files[id] for n, id in enumerate(self.extras[name].files, 1)}
        row = self.pipeline(name)
        if row.embedded:
            return {}
        roles = dict(row.roles)
        roles["vae"] = _choice(self.vae, vae, "VAE")
        if text != NO_TEXT:
            roles["text"] = _choice(self.text, text, "text encoder", NO_TEXT)
            roles |= self.tokenizer
        return {role: self.files[id] for role, id in roles.items()}

    def pipeline(self, name: str) -> PipelineFiles:
        """The row of a pipeline; WeightsError naming all names `models get` knows otherwise."""
        if name not in self.pipelines:
            known = ", ".join((*self.pipelines, *self.extras))
            raise WeightsError(f"There is no model {name!r}.", f"Choose one of: {known}.")
        return self.pipelines[name]

    def chosen(self, models: Path) -> tuple[str, str]:
        """VAE and text encoder that are in place below `models`, else the smallest ones."""
        vae = next((name for name, id in self.vae.items() if self.files[id].is_present(models)), "tae")
        text = next((name for name, id in self.text.items() if self.files[id].is_present(models)), "fp8")
        return vae, text

    def missing(self, files: Mapping[str, ModelFile], models: Path) -> dict[str, ModelFile]:
        """Those of `files` (by role) that are not in place below `models`."""
        return {role: file for role, file in files.items() if not file.is_present(models)}


def models_file() -> Path:
    """The models file in use: the user's copy in the settings folder, else the bundled one."""
    own = config_dir() / FILE_NAME
    return own if own.is_file() else assets_dir() / FILE_NAME


def load(path: Path | None = None) -> Registry:
    """Read a models file (default: `models_file()`). WeightsError naming file and field when it is wrong."""
    path = path or models_file()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.", _FIX) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not valid TOML: {error}.", _FIX) from error
    try:
        return _registry(document)
    except WrongField as wrong:
        raise WeightsError(f"{path}: {wrong}.", _FIX) from None


_FIX = "Correct it, or delete your copy of it: the bundled one is used then."
_OWNER_NAME = "owner/name of a repository"
_WORD = "[A-Za-z0-9](?:[A-Za-z0-9_-]|[.](?![.]))*(?<![.])"
_REPOSITORY = f"(?=.{{3,100}}$){_WORD}/{_WORD}"
# Nothing that climbs, hides, or means something else on another system.
_PATH = "(?=.{1,200}$)[A-Za-z0-9_+-]+(?:[ ./][A-Za-z0-9_+-]+)*"


def _registry(document: object) -> Registry:
    top = StrictTable(document, "")
    if top.text("format") != FORMAT or top.count("format_version") != FORMAT_VERSION:
        raise WrongField(f"format must be {FORMAT!r} and format_version {FORMAT_VERSION}")
    licences = {name: _licence(name, row) for name, row in top.table("licences").rows().items()}
    files = {name: _file(name, row, licences) for name, row in top.table("files").rows().items()}
    _refuse_twins(files.values())
    shared = top.table("shared")
    tokenizer = {role: _known(shared, role, files) for role in TOKENIZER_ROLES}
    text = _choices(shared.table("text"), files)
    vae = _choices(shared.table("vae"), files)
    shared.end()
    if "tae" not in vae or "fp8" not in text:
        raise WrongField("shared.vae.tae and shared.text.fp8, the defaults, must be there")
    pipelines = {name: _pipeline(name, row, files) for name, row in top.table("pipelines").rows().items()}
    extras = {name: _extra(name, row, files) for name, row in top.table("extras").rows().items()}
    top.end()
    if both := pipelines.keys() & extras.keys():
        raise WrongField(f"extras.{min(both)} has the name of a pipeline")
    return Registry(files, pipelines, extras, tokenizer, text, vae)


def _licence(name: str, row: StrictTable) -> Licence:
    licence = Licence(name, row.text("name"), row.https("url"), row.text("text"))
    row.end()
    return licence


def _file(name: str, row: StrictTable, licences: Mapping[str, Licence]) -> ModelFile:
    repository = row.matching("repository", _REPOSITORY, _OWNER_NAME)
    licence = row.text("licence")
    if licence not in licences:
        raise WrongField(f"{row.place}.licence names {licence!r}, which is not a row of licences")
    file = ModelFile(
        id=name,
        repository=repository,
        path=row.matching("path", _PATH, "a plain relative path with forward slashes"),
        bytes=row.count("bytes"),
        about=row.count("about", 0),
        sha256=row.matching("sha256", "[0-9a-f]{64}|", "64 hex digits in lower case", ""),
        licence=licences[licence],
        card=row.https("card", f"https://huggingface.co/{repository}"),
        revision=row.matching("revision", _WORD, "a commit or a branch", "main"),
        mirror=row.matching("mirror", f"{_REPOSITORY}|", _OWNER_NAME, ""),
        url=row.https("url", ""),
        entry=row.text("entry", ""),
        note=row.text("note", ""),
    )
    row.end()
    return file


def _pipeline(name: str, row: StrictTable, files: Mapping[str, ModelFile]) -> PipelineFiles:
    label, vram, notes = row.text("label"), row.number("vram_gb"), row.text("notes")
    roles = {role: _known(row, role, files) for role in OWN_ROLES if role in row.names}
    row.end()
    for role in ("dit", "config"):
        if roles and role not in roles:
            raise WrongField(f"{row.place}.{role} is missing")
    return PipelineFiles(name, label, roles, vram, notes)


def _extra(name: str, row: StrictTable, files: Mapping[str, ModelFile]) -> Extra:
    ids = row.texts("files")
    for id in ids:
        if id not in files:
            raise WrongField(f"{row.place}.files names {id!r}, which is not a row of files")
    extra = Extra(name, row.text("label"), ids, row.number("vram_gb"), row.text("notes"))
    row.end()
    return extra


def _choices(row: StrictTable, files: Mapping[str, ModelFile]) -> dict[str, str]:
    if not row.names:
        raise WrongField(f"{row.place} is empty")
    return {name: _known(row, name, files) for name in row.names}


def _known(row: StrictTable, key: str, files: Mapping[str, ModelFile]) -> str:
    id = row.text(key)
    if id not in files:
        raise WrongField(f"{row.place}.{key} names {id!r}, which is not a row of files")
    return id


def _refuse_twins(files: Iterable[ModelFile]) -> None:
    seen: dict[str, str] = {}
    for file in files:
        place = f"{file.repository}/{file.path}".lower()  # two names that differ in case are one on Windows
        if place in seen:
            raise WrongField(f"files.{file.id} lies in the same place as files.{seen[place]}")
        seen[place] = file.id


def _choice(choices: Mapping[str, str], name: str, what: str, *others: str) -> str:
    if name not in choices:
        known = ", ".join((*choices, *others))
        raise WeightsError(f"There is no {what} {name!r}.", f"Choose one of: {known}.")
    return choices[name]
