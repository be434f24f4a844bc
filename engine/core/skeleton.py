"""The stick figure of pose control as data: OpenPose's points, the limbs between them, and VACE's colours.

Points: 0 nose, 1 neck, 2-4 right shoulder, elbow, wrist, 5-7 the left ones, 8-10 right hip, knee, ankle,
11-13 the left ones, 14 right eye, 15 left eye, 16 right ear, 17 left ear.

Red and blue are exchanged against the usual (ControlNet) drawing: the annotator that drew VACE's training
pictures reverses the channel order once more than ControlNet's renderer does. So the first limb, neck to
right shoulder, is BLUE in RGB.
"""

LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Pairs of points; limb n is drawn in colour n."""

COLORS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (0, 255, 170), (0, 255, 85), (0, 255, 0),
    (85, 255, 0), (170, 255, 0), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (255, 0, 85),
    (255, 0, 170), (255, 0, 255), (170, 0, 255), (85, 0, 255),
)  # fmt: skip
"""RGB; the joint of point n is drawn in colour n, over the limbs."""

LIMB_BRIGHTNESS = 0.6
"""Limbs are drawn at this part of their colour, joints at full."""

BODY_POINTS = 14
"""The points before the face's."""

BODY_LIMBS = 13
"""The limbs before the face's: they join body points only."""
