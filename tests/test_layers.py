"""The house plan, checked: who may import whom, and what loads where something is not installed."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import engine

ROOT = Path(engine.__file__).parents[1]
PACKAGES = ("app", "engine", "controllers")

# Stands in for a machine without some libraries: importing one fails as if it were not installed.
BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NAMES:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)
NAMES = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Missing())
import importlib
for module in sys.argv[2].split(","):
    importlib.import_module(module)
loaded = {name.partition(".")[0] for name in sys.modules} & NAMES
assert not loaded, loaded
print("loaded")
"""

# Import name to the name it is installed by, where the two differ.
DISTRIBUTIONS = {
    "cv2": "opencv-contrib-python",
    "PySide6": "PySide6-Essentials",
    "pythonosc": "python-osc",
    "rtmidi": "python-rtmidi",
}
# Reaches us through mediapipe, whose version demands it, and is touched only beside it.
THROUGH_OTHERS = {"google"}


def modules_of(package: str) -> list[str]:
    """Every module of `package`, by its dotted name."""
    names = []
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return [name for name in names if not name.endswith("__main__")]


def loads_without(blocked: str, modules: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, blocked, ",".join(modules)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.add((node.module or "").partition(".")[0])
    return found


def third_party(path: Path) -> set[str]:
    return imported(path) - set(sys.stdlib_module_names) - set(PACKAGES) - {"tests"}


def test_core_and_controllers_load_without_torch_and_qt() -> None:
    done = loads_without("PySide6,shiboken6,torch", ["engine.core", "controllers"])
    assert done.returncode == 0, done.stderr


def test_every_module_of_core_and_controllers_loads_without_torch_qt_and_pictures() -> None:
    modules = modules_of("engine.core") + modules_of("controllers")
    assert len(modules) > 15
    done = loads_without("PySide6,shiboken6,torch,cv2,av,mediapipe,pyvirtualcam,safetensors", modules)
    assert done.returncode == 0, done.stderr


def test_the_headless_engine_loads_on_a_server() -> None:
    modules = [
        *modules_of("engine.core"),
        *modules_of("engine.model"),
        "engine.session",
        "engine.cli",
        "engine.parity",
    ]
    done = loads_without(
        "PySide6,mediapipe,pydantic,av,cv2,pyvirtualcam,mido,rtmidi,pythonosc,sounddevice", modules
    )
    assert done.returncode == 0, done.stderr


def test_the_whole_engine_loads_without_qt_and_without_devices() -> None:
    # Devices' libraries are imported when a device is opened, in one file each, never to load a module.
    modules = [name for name in modules_of("engine") if not name.startswith("engine.pocket")]
    done = loads_without(
        "PySide6,shiboken6,mediapipe,av,pyvirtualcam,rtmidi,mido,pythonosc,sounddevice", modules
    )
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks() -> None:
    done = loads_without("numpy", ["engine.core.types"])
    assert done.returncode != 0 and "blocked" in done.stderr


def test_the_layers_hold() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("pyvirtualcam", {"engine/video/virtual_camera.py"}),
        ("mediapipe", {"engine/video/people.py"}),
        ("sounddevice", {"controllers/audio.py"}),
        ("huggingface_hub", {"engine/model/download.py"}),
    ],
)
def test_a_library_with_conditions_is_imported_in_one_file(library: str, homes: set[str]) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if library in imported(path)
    }
    assert files <= homes


def test_core_knows_only_the_standard_library_and_numpy() -> None:
    for path in (ROOT / "engine/core").rglob("*.py"):
        assert third_party(path) <= {"numpy"}, path
        own = {name for name in imported(path) if name in PACKAGES}
        assert own <= {"engine"}, path


def test_only_app_imports_qt() -> None:
    for package in ("engine", "controllers"):
        for path in (ROOT / package).rglob("*.py"):
            assert not third_party(path) & {"PySide6", "shiboken6"}, path


def test_everything_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["cuda"]
    declared = {line.replace(";", " ").split(">")[0].split("=")[0].strip().lower() for line in lines}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for name in third_party(path) - THROUGH_OTHERS:
                assert DISTRIBUTIONS.get(name, name).lower() in declared, f"{path}: {name}"
