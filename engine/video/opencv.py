"""The one place that imports OpenCV, for everybody in `engine`: `from engine.video.opencv import cv2`.

The wheel bundles a Qt of its own and points two environment variables at it while it is imported; PySide6
would then load the wrong plug-ins and abort. They are put back to what they were here, once.
"""

import os

_QT_VARIABLES = ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR")
_before = {name: os.environ.get(name) for name in _QT_VARIABLES}

# Read by the library while it is loaded. A camera that sends nothing for this many seconds counts as lost.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
# A picture file can promise more pixels than memory holds: 2**27 of them are 400 MB.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))

import cv2  # noqa: E402

for _name, _value in _before.items():
    if _value is None:
        os.environ.pop(_name, None)
    else:
        os.environ[_name] = _value

# Every failure is reported by an error of ours; the library's own lines on stderr would only repeat it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# The pictures are too small to gain from a pool of threads, which would compete with the model's.
cv2.setNumThreads(1)

__all__ = ["cv2"]
