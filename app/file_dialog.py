"""The one way in which this window asks for a file: dark as the rest, and never in the way of the show."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget


def file_dialog(
    parent: QWidget, filters: Sequence[str], chosen: Callable[[str], None], folder: Path | None = None
) -> QFileDialog:
    """A dialog for one existing file, to be shown again and again; `chosen` is told its path.

    It is not modal, so that nothing stops while it is open. It begins in `folder` where there is one.
    """
    dialog = QFileDialog(parent)
    # The system's own dialog would be light, and modal on some systems.
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.setOption(QFileDialog.Option.HideNameFilterDetails)
    dialog.setDirectory(str(folder if folder is not None and folder.is_dir() else Path.home()))
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setNameFilters(list(filters))
    dialog.setModal(False)
    dialog.resize(860, 520)
    dialog.fileSelected.connect(chosen)
    return dialog
