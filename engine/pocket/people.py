"""People for drawn scenes: a dancing skeleton, a body of capsules around it, a head with a face.

A `figure` is seen from head to foot, a `portrait` as a webcam sees a person. Lengths of a body are parts of
its size, which is its height in picture heights. Random numbers are drawn in a fixed order (see `elements`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.core.skeleton import BODY_POINTS
from engine.pocket.elements import Random, random_region, with_background, wobble
from engine.pocket.outlines import Points, capsule, ellipse
from engine.pocket.scene import Element, Part, Scene
from engine.pocket.skeleton import Joints

# Upper arm, forearm, thigh, shin.
LENGTHS = (0.15, 0.14, 0.22, 0.22)

WHITES = 255
"""The region of the eyes."""


def figure(rng: Random, aspect: float) -> Scene:
    """One or two dancers; the skeleton is that of the last, as a pose tracker follows one person."""
    scene = Scene(aspect, [], subject="figure")
    for _ in range(1 if rng.random() < 0.75 else 2):
        size = rng.uniform(0.6, 1.15)
        center = np.array([rng.uniform(0.3, aspect - 0.3), 0.04 + 0.43 * size + rng.uniform(0, 0.1)])
        joints = _dancer(rng, center, size)
        scene.elements.append(_body(rng, joints, size))
        scene.skeleton = joints
    return with_background(rng, scene, 0.35)


def portrait(rng: Random, aspect: float) -> Scene:
    """Head and shoulders, as a webcam sees a person."""
    size = rng.uniform(2.2, 4.2)
    center = np.array([rng.uniform(0.35, aspect - 0.35), rng.uniform(0.45, 0.6) + 0.36 * size])
    joints = _dancer(rng, center, size)
    scene = Scene(aspect, [_body(rng, joints, size)], subject="portrait", skeleton=joints)
    return with_background(rng, scene, 0.6)


def _dancer(rng: Random, center: Points, size: float) -> Callable[[float], Joints]:
    """Moving joints `[14, 2]` of a person: OpenPose's points without the face (nose, neck, arms, legs)."""
    swing = rng.uniform(0.2, 1.2, 8)
    rate = rng.uniform(1.0, 4.0) * np.ones(8) * rng.choice([0.5, 1, 1, 2], 8)
    phase, base = rng.uniform(0, 6.3, 8), rng.uniform(-0.4, 0.4, 8)
    sway, width = wobble(rng, 0.03), rng.uniform(0.8, 1.2)
    raised = rng.random(2) < 0.35
    upper_arm, forearm, thigh, shin = LENGTHS

    def joints(t: float) -> Joints:
        bend = base + swing * np.sin(rate * t + phase)  # two upper arms, two forearms, two thighs, two shins
        points = np.zeros((BODY_POINTS, 2))
        neck = np.array([0.0, -0.27]) + 0.02 * np.array([np.sin(rate[0] * t), 0])
        points[0] = neck + np.array([0.02 * np.sin(rate[1] * t), -0.10])
        points[1] = neck
        for arm, side in enumerate((-1, 1)):
            shoulder = neck + np.array([side * 0.085 * width, 0.02])
            upper = np.pi / 2 - side * (0.5 + 0.9 * abs(bend[arm]) + (1.6 if raised[arm] else 0.0))
            lower = upper - side * (0.3 + abs(bend[2 + arm]))
            points[2 + 3 * arm : 5 + 3 * arm] = _chain(shoulder, (upper_arm, upper), (forearm, lower))
            hip = np.array([side * 0.05 * width, 0.02])
            upper = np.pi / 2 - side * (0.08 + 0.35 * abs(bend[4 + arm]))
            lower = upper + side * 0.35 * abs(bend[6 + arm])
            points[8 + 3 * arm : 11 + 3 * arm] = _chain(hip, (thigh, upper), (shin, lower))
        return points * size + center + sway(t)

    return joints


def _chain(start: Points, *bones: tuple[float, float]) -> list[Points]:
    """The joints of a limb: its start, and the end of each bone of a length and angle (radians)."""
    joints = [start]
    for length, angle in bones:
        joints.append(joints[-1] + length * np.array([np.cos(angle), np.sin(angle)]))
    return joints


def _body(rng: Random, joints: Callable[[float], Joints], size: float) -> Element:
    """Limbs, torso and head around moving joints."""
    stout, skin, top, legs, hair = rng.uniform(0.75, 1.35), *(random_region(rng) for _ in range(4))
    face, blink = rng.random() < 0.7, rng.uniform(0, 6)

    def element(t: float) -> list[Part]:
        p = joints(t)
        r = 0.032 * size * stout
        parts = []
        for side in (0, 1):
            hip, knee, foot = p[8 + 3 * side : 11 + 3 * side]
            parts += [Part(capsule(knee, foot, 1.1 * r, 0.7 * r), legs, 0.60, True),
                      Part(capsule(hip, knee, 1.6 * r, 1.1 * r), legs, 0.61, True)]  # fmt: skip
        torso = p[[2, 5, 11, 8]] + np.array([[-r, -r], [r, -r], [1.8 * r, 1.5 * r], [-1.8 * r, 1.5 * r]])
        parts.append(Part(torso, top, 0.64, True))
        for side in (0, 1):
            shoulder, elbow, hand = p[2 + 3 * side : 5 + 3 * side]
            parts += [Part(capsule(shoulder, elbow, 1.1 * r, 0.8 * r), top, 0.74, True),
                      Part(capsule(elbow, hand, 0.75 * r, 0.6 * r), skin, 0.75, True)]  # fmt: skip
        parts.append(Part(capsule(p[1], p[0], 0.9 * r, 0.9 * r), skin, 0.65, True))
        at = p[0] + np.array([0, -0.3 * r])
        parts += _head(at, 2.0 * r, skin, hair)
        return parts + (_face(at, 2.0 * r, hair, np.sin(t + blink)) if face else [])

    return element


def _head(at: Points, radius: float, skin: int, hair: int) -> list[Part]:
    """A head seen from the front: hair behind, skin before."""
    return [Part(ellipse(at - [0, 0.25 * radius], 1.05 * radius, 1.2 * radius), hair, 0.66, True),
            Part(ellipse(at, 0.85 * radius, 1.1 * radius), skin, 0.70, True)]  # fmt: skip


def _face(at: Points, radius: float, hair: int, look: float) -> list[Part]:
    """Brows, eyes, a nose and a mouth that opens; all follow `look` (-1..1) to the side."""
    aside = np.array([0.12 * look, 0.0])
    parts = []
    for side in (-1, 1):
        eye = at + (aside + np.array([0.34 * side, -0.1])) * radius
        pupil = eye + np.array([0.07 * look, 0.0]) * radius
        bow = np.stack([np.linspace(-0.2, 0.2, 5), -0.05 * np.cos(np.linspace(-1.5, 1.5, 5)) - 0.2], 1)
        parts += [Part(ellipse(eye, 0.17 * radius, 0.10 * radius), WHITES, 0.88, True),
                  Part(ellipse(pupil, 0.07 * radius, 0.08 * radius), hair, 0.89, True),
                  Part(bow * radius + eye, hair, 0.89, True, closed=False)]  # fmt: skip
    nose = np.array([(0.02, -0.05), (0.1 * look + 0.05, 0.22), (-0.06, 0.26)])
    parts.append(Part((nose + aside) * radius + at, hair, 0.90, True, closed=False))
    opened = 0.03 + 0.13 * max(0.0, look)
    lips = ellipse(at + (aside + np.array([0.0, 0.55])) * radius, 0.28 * radius, opened * radius)
    return [*parts, Part(lips, hair, 0.89, True)]
