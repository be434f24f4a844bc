"""The virtual camera's switch: starting and stopping a device may take long. Thread "camera switch".

The output thread only says whether it is wanted and hands over pictures; the device has a clock of its
own. When it cannot start, the reason is told once and the switch goes off.
"""

from collections.abc import Callable
from typing import Protocol

from engine.core.channels import Latest
from engine.core.store import Snapshot, Store
from engine.core.types import Image
from engine.stages.reports import Reports, describe

_SWITCH = "output.virtual_camera"


class CameraDevice(Protocol):
    """A camera other programs see; see engine.video.virtual_camera."""

    @property
    def status(self) -> str: ...  # noqa: D102
    def start(self) -> None: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102
    def show(self, image: Image) -> None: ...  # noqa: D102


class CameraOut:
    """Both ends of the switch: `offer` for the output thread, `tick` for its own."""

    def __init__(self, store: Store, make_camera: Callable[[], CameraDevice], reports: Reports) -> None:
        self._store = store
        self._make_camera = make_camera
        self._reports = reports
        self._wishes: Latest[bool] = Latest()
        self._version = 0  # of the switch, when it was last obeyed
        self._camera: CameraDevice | None = None
        self._trouble = ""

    @property
    def status(self) -> str:
        """One line for the operator; empty while it is off and all is well."""
        camera = self._camera
        return camera.status if camera is not None else self._trouble

    def offer(self, image: Image, snapshot: Snapshot) -> None:
        """Show `image` to other programs while the switch is on; never waits."""
        wanted = snapshot.flag(_SWITCH)
        # By version: off and on again between two frames is a new wish, after a failure for example.
        if snapshot.version_of(_SWITCH) != self._version:
            self._version = snapshot.version_of(_SWITCH)
            self._wishes.put(wanted)
        camera = self._camera
        if camera is not None and wanted:
            camera.show(image)

    def tick(self) -> None:
        """Start or stop the device when that is wanted; waits for it."""
        wanted = self._wishes.get()
        if wanted and self._camera is None:
            self._start()
        elif not wanted:
            self._trouble = "" if self._camera is not None else self._trouble
            self.finish()

    def shut(self) -> None:
        """No more wishes: its thread ends."""
        self._wishes.close()

    def finish(self) -> None:
        """Stop the device (on its own thread)."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.stop()

    def _start(self) -> None:
        try:
            camera = self._make_camera()
            camera.start()
        except Exception as error:  # no device, no library, a driver's own error: the show goes on
            self._trouble = describe(error)
            self._reports.add("virtual camera", error)
            self._store.set(_SWITCH, False, "virtual camera")
            return
        self._trouble = ""
        self._camera = camera
