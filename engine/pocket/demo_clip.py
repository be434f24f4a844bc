"""Draws assets/demo.mp4: a dancer before moving stage lights, 9.6 seconds that loop without a seam.

    python -m engine.pocket.demo_clip assets/demo.mp4

The figure is a set of round cones around a skeleton, melted together and found by walking along each pixel's
line of sight until the distance to the figure is nothing ("sphere tracing"). Its moves are eight poses, two
beats each, joined by a smooth curve through all of them; everything else swings a whole number of times.
Needs numpy and PyAV; two minutes on one core. Nothing in the program imports this.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]

WIDTH, HEIGHT, FPS, FRAMES = 640, 360, 30, 288
BEATS = 16
HORIZON = 268
FLOOR_Y = 336.0
MIDDLE = 320.0
ZOOM = 1.12  # the figure's lengths below are pixels before this
_TOUCH = 0.06  # nearer to the figure than this is on its surface
_FAR = 20.0  # a cone is looked at from no farther away than this; more than any melting

# Materials: one colour each, in linear light 0..1.
SKIN, TOP, TROUSERS, SHOES, HAIR, SOCKS = range(6)
COLORS = np.array(
    [
        [0.58, 0.29, 0.18],
        [0.74, 0.16, 0.06],
        [0.035, 0.05, 0.12],
        [0.85, 0.84, 0.80],
        [0.035, 0.02, 0.016],
        [0.75, 0.60, 0.12],
    ],
    np.float32,
)

# Lengths in pixels of the picture.
UPPER_ARM, FOREARM, THIGH, SHIN = 44.0, 40.0, 62.0, 60.0
SHOULDER, HIP = 27.0, 13.0
SPINE = 78.0


@dataclass(frozen=True)
class Cone:
    """A round cone: two balls and what lies between. Points are x (right), y (down), z (to the viewer)."""

    a: Array
    b: Array
    ra: float
    rb: float
    material: int
    melt: float = 3.0


@dataclass(frozen=True)
class Head:
    """Where the face looks: center and the directions right, down and forward of the head."""

    center: Array
    right: Array
    down: Array
    forward: Array


# One row per pose. Angles in degrees: an arm hangs at 0, points outward at 90, up at 180; `front` is how much
# it points to the viewer (-1..1); `elbow` bends the forearm upward (positive) or inward.
# yaw turns the body to its left, lean bows it sideways, side shifts it. Feet: steps outward, lifts (pixels).
POSE_NAMES = (
    "yaw", "lean", "side", "nod", "turn",
    "l_arm", "l_front", "l_elbow", "r_arm", "r_front", "r_elbow",
    "l_foot", "l_lift", "r_foot", "r_lift", "crouch",
)  # fmt: skip
POSES = np.array(
    [
        # yaw lean side nod turn | left arm front elbow | right arm | left foot lift | right foot lift crouch
        [10, 4, 14, 2, 8, 118, 0.1, 38, 52, 0.2, 62, 30, 0, 26, 0, 6],
        [-14, -5, -16, 4, -10, 48, 0.3, 84, 128, 0.0, 34, 26, 0, 32, 0, 4],
        [0, 0, 0, -6, 0, 152, 0.1, 14, 150, 0.1, 16, 34, 0, 34, 0, 10],
        [22, 6, 20, 3, 16, 92, -0.1, 8, 40, 0.6, 96, 24, 0, 44, 22, 2],
        [-4, -3, -6, 0, -6, 64, 0.5, 100, 62, 0.5, 102, 30, 0, 30, 0, 12],
        [-24, -7, -22, 3, -18, 38, 0.6, 98, 96, -0.1, 6, 46, 24, 24, 0, 2],
        [6, 2, 8, -4, 6, 104, 0.2, 74, 108, 0.2, 70, 36, 0, 36, 0, 8],
        [16, -4, 0, 2, 12, 162, 0.0, 22, 34, 0.3, 40, 28, 0, 34, 0, 4],
    ],
    np.float32,
)


def frame(index: int) -> npt.NDArray[np.uint8]:
    """The picture number `index` of the loop: u8 [HEIGHT, WIDTH, 3] RGB."""
    part = index / FRAMES
    cones, head = _figure(part)
    picture = _stage(part, cones)
    _draw_figure(picture, cones, head, part)
    shown = np.clip(picture, 0.0, 1.0) ** (1 / 2.2) * 255
    return (shown + _DITHER).astype(np.uint8)


# Half a step of noise, the same in every picture: the soft lights show no bands.
_DITHER = np.random.default_rng(7).random((HEIGHT, WIDTH, 1), np.float32)


def write_clip(path: Path) -> None:
    """Draw all pictures into the H.264 file `path`."""
    import av

    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        options = {"preset": "slower", "crf": "17", "threads": "1", "g": "48", "tune": "animation"}
        stream = container.add_stream("libx264", rate=Fraction(FPS), options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(frame(index), format="rgb24")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


# --- the dance -------------------------------------------------------------------------------------------


def _pose(part: float) -> dict[str, float]:
    """The pose at `part` (0..1) of the loop: a closed curve through POSES, with a bounce on each beat."""
    place = part * len(POSES)
    i = int(place)
    # A dancer arrives early and rests a little on the pose: the way between two is not even.
    t = place - i
    t = t + 0.11 * np.sin(2 * np.pi * t)
    p0, p1, p2, p3 = (POSES[(i + k) % len(POSES)] for k in (-1, 0, 1, 2))
    m1, m2 = (p2 - p0) / 2, (p3 - p1) / 2
    mixed = (
        p1 * (2 * t**3 - 3 * t**2 + 1)
        + m1 * (t**3 - 2 * t**2 + t)
        + p2 * (3 * t**2 - 2 * t**3)
        + m2 * (t**3 - t**2)
    )
    pose = dict(zip(POSE_NAMES, (float(value) for value in mixed), strict=True))
    beat = 2 * np.pi * BEATS * part
    pose["crouch"] += float(3.5 + 3.5 * np.cos(beat))
    pose["nod"] += float(4 * np.cos(beat + 0.6))
    pose["l_lift"], pose["r_lift"] = max(0.0, pose["l_lift"]), max(0.0, pose["r_lift"])
    return pose


def _vector(x: float, y: float, z: float) -> Array:
    return np.array([x, y, z], np.float32)


def _turned(vector: Array, yaw: float, lean: float) -> Array:
    """`vector` turned about the upright axis by `yaw`, then bowed sideways by `lean` (degrees)."""
    cy, sy = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    x, y, z = vector
    x, z = cy * x + sy * z, -sy * x + cy * z
    cl, sl = np.cos(np.radians(lean)), np.sin(np.radians(lean))
    return _vector(cl * x - sl * y, sl * x + cl * y, z)


def _figure(part: float) -> tuple[list[Cone], Head]:
    """All cones of the dancer at `part` of the loop, and the head for its face."""
    pose = _pose(part)
    yaw, lean = pose["yaw"], pose["lean"]
    pelvis = _vector(MIDDLE + pose["side"], FLOOR_Y - THIGH - SHIN - 8 + pose["crouch"], 0)

    def torso(x: float, y: float, z: float) -> Array:
        return pelvis + _turned(_vector(x, y, z), yaw, lean)

    cones = [
        Cone(torso(-HIP + 2, -2, 0), torso(HIP - 2, -2, 0), 14.5, 14.5, TROUSERS),
        Cone(torso(-6, -18, 0), torso(6, -18, 0), 13.0, 13.0, TOP, 6.0),
        Cone(torso(-5, -30, 0), torso(-11, -56, 2), 13.0, 16.0, TOP, 6.0),
        Cone(torso(5, -30, 0), torso(11, -56, 2), 13.0, 16.0, TOP, 6.0),
        Cone(torso(-SHOULDER + 4, -70, 0), torso(SHOULDER - 4, -70, 0), 9.5, 9.5, TOP, 7.0),
        Cone(torso(0, -74, 0), torso(0, -88, 2), 8.0, 7.0, SKIN, 2.0),
    ]
    for side in (-1.0, 1.0):  # the dancer's right arm is on the left of the picture
        name = "r" if side < 0 else "l"
        cones += _arm(torso(side * SHOULDER, -70, 0), side, pose, name, yaw, lean)
        cones += _leg(torso(side * HIP, 2, 0), side, pose, name, yaw)
    head, more = _head(torso(0, -92, 2), pose, part)
    return cones + more, head


def _arm(
    shoulder: Array, side: float, pose: dict[str, float], name: str, yaw: float, lean: float
) -> list[Cone]:
    angle, front, elbow = pose[f"{name}_arm"], pose[f"{name}_front"], pose[f"{name}_elbow"]

    def direction(degrees: float, forward: float) -> Array:
        a = np.radians(degrees)
        flat = np.sqrt(max(0.0, 1 - forward * forward))
        return _turned(_vector(side * np.sin(a) * flat, np.cos(a) * flat, forward), yaw, lean)

    upper, lower = direction(angle, front * 0.6), direction(angle + elbow, front)
    joint = shoulder + upper * UPPER_ARM
    wrist = joint + lower * FOREARM
    sleeve = shoulder + upper * UPPER_ARM * 0.72
    thumb = np.cross(lower, _vector(0, 0, 1)).astype(np.float32) * side
    return [
        Cone(shoulder, sleeve, 10.0, 8.6, TOP, 6.0),
        Cone(sleeve, joint, 7.2, 6.4, SKIN),
        Cone(joint, wrist, 6.6, 4.6, SKIN),
        Cone(wrist + lower * 3, wrist + lower * 10, 5.2, 5.0, SKIN),
        Cone(wrist + lower * 10 + thumb * -2, wrist + lower * 21 + thumb * -3, 3.0, 2.2, SKIN, 2.0),
        Cone(wrist + lower * 10 + thumb * 1.5, wrist + lower * 21 + thumb * 2, 3.0, 2.2, SKIN, 2.0),
        Cone(wrist + lower * 5 + thumb * 3, wrist + lower * 10 + thumb * 8.5, 2.6, 2.0, SKIN, 2.0),
    ]


def _leg(hip: Array, side: float, pose: dict[str, float], name: str, yaw: float) -> list[Cone]:
    lift = pose[f"{name}_lift"]
    ankle = _vector(MIDDLE + side * pose[f"{name}_foot"], FLOOR_Y - 9 - lift, 2 + lift * 0.5)
    # Two bones between hip and ankle; the knee goes forward and a little outward.
    span = ankle - hip
    distance = min(float(np.linalg.norm(span)), THIGH + SHIN - 0.5)
    along = span / np.linalg.norm(span)
    knee_at = (distance**2 + THIGH**2 - SHIN**2) / (2 * distance)
    out = _turned(_vector(side * 0.55, 0, 0.85), yaw, 0)
    out = np.asarray(out - along * float(out @ along), np.float32)
    out = np.asarray(out / np.linalg.norm(out), np.float32)
    knee = hip + along * knee_at + out * np.sqrt(max(0.0, THIGH**2 - knee_at**2))
    ankle = np.asarray(hip + along * distance, np.float32)
    toe = ankle + _turned(_vector(side * 7, 5 + lift * 0.3, 15), yaw * 0.6, 0)
    hem = knee + (ankle - knee) * 0.80
    return [
        Cone(hip, knee, 13.5, 9.6, TROUSERS, 6.0),
        Cone(knee, hem, 9.6, 8.2, TROUSERS, 4.0),
        Cone(hem, ankle, 5.4, 5.0, SOCKS),
        Cone(ankle + _vector(0, 3, -3), toe, 6.4, 5.2, SHOES),
    ]


def _head(neck: Array, pose: dict[str, float], part: float) -> tuple[Head, list[Cone]]:
    yaw, lean = pose["yaw"] * 0.5 + pose["turn"] * 0.6, pose["lean"] * 0.6
    nod = np.radians(pose["nod"])

    def spin(x: float, y: float, z: float) -> Array:
        y, z = y * np.cos(nod) + z * np.sin(nod), -y * np.sin(nod) + z * np.cos(nod)
        return _turned(_vector(x, y, z), yaw, lean)

    center = neck + spin(0, -17, 2)
    swing = 2 * np.pi * BEATS / 2 * part
    tail = center + spin(0, -14, -15)
    end = tail + _vector(float(-16 * np.sin(swing - 0.9) - pose["yaw"] * 0.3), 26, -6)
    cones = [
        Cone(center + spin(0, -5, 0), center + spin(0, 1, 0.5), 17.0, 15.6, SKIN, 3.0),
        Cone(center + spin(0, 5, 2), center + spin(0, 9.5, 3.5), 11.4, 9.8, SKIN, 9.0),
        Cone(center + spin(0, 0, 15.5), center + spin(0, 5, 16.5), 1.4, 2.2, SKIN, 3.0),
        Cone(center + spin(-16.5, 1, -1), center + spin(-16.5, 4, -1), 2.6, 2.2, SKIN, 1.5),
        Cone(center + spin(16.5, 1, -1), center + spin(16.5, 4, -1), 2.6, 2.2, SKIN, 1.5),
        Cone(center + spin(0, -8, -3.5), center + spin(0, 4, -8), 18.0, 14.0, HAIR, 3.0),
        Cone(center + spin(-4, -18, 6), center + spin(-14, -6, 4), 6.0, 4.0, HAIR, 5.0),
        Cone(center + spin(-2, -18, 6), center + spin(14, -8, 4), 6.5, 4.0, HAIR, 5.0),
        Cone(center + spin(0, -20, -8), tail, 8.5, 6.0, HAIR, 3.0),
        Cone(tail, end, 6.0, 3.0, HAIR, 3.0),
    ]
    return Head(center, spin(1, 0, 0), spin(0, 1, 0), spin(0, 0, 1)), cones


# --- the picture of it -----------------------------------------------------------------------------------


def _cone_distance(points: Array, cone: Cone) -> Array:
    """About how far each point [N, 3] is from the cone's surface (negative inside)."""
    axis = cone.b - cone.a
    along = np.clip((points - cone.a) @ axis / max(float(axis @ axis), 1e-6), 0.0, 1.0)
    nearest = cone.a + along[:, None] * axis
    off = points - nearest
    distance: Array = np.sqrt(np.einsum("ij,ij->i", off, off)) - (cone.ra + (cone.rb - cone.ra) * along)
    return distance


def _distance(points: Array, cones: list[Cone], near: Masks) -> Array:
    """Distance to the whole figure, at most _FAR; cones of one material melt into each other.

    `near` says for each cone which points it is looked at for: [cones, N].
    """
    merged: dict[int, Array] = {}
    for cone, here in zip(cones, near, strict=True):
        if cone.material not in merged:
            merged[cone.material] = np.full(len(points), _FAR, np.float32)
        old = merged[cone.material][here]
        new = _cone_distance(points[here], cone)
        melted = np.maximum(cone.melt - np.abs(old - new), 0.0) / cone.melt
        merged[cone.material][here] = np.minimum(old, new) - melted * melted * cone.melt / 4
    return np.minimum.reduce(list(merged.values()))


def _material(points: Array, cones: list[Cone], near: Masks) -> npt.NDArray[np.intp]:
    """The material nearest to each point."""
    best = np.full((len(COLORS), len(points)), _FAR, np.float32)
    for cone, here in zip(cones, near, strict=True):
        best[cone.material, here] = np.minimum(best[cone.material, here], _cone_distance(points[here], cone))
    return np.argmin(best, axis=0)


def _draw_figure(picture: Array, cones: list[Cone], head: Head, part: float) -> None:
    """Paint the figure over `picture`, edges softened by how near each line of sight passes."""
    low = np.array([np.minimum(cone.a, cone.b) - max(cone.ra, cone.rb) for cone in cones], np.float32)
    high = np.array([np.maximum(cone.a, cone.b) + max(cone.ra, cone.rb) for cone in cones], np.float32)
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = ((xs - MIDDLE) / ZOOM + MIDDLE).ravel(), ((ys - FLOOR_Y) / ZOOM + FLOOR_Y).ravel()
    near = np.stack(
        [
            (x > a[0] - _FAR) & (x < b[0] + _FAR) & (y > a[1] - _FAR) & (y < b[1] + _FAR)
            for a, b in zip(low, high, strict=True)
        ]
    )
    looked = np.flatnonzero(near.any(axis=0))
    near = near[:, looked]
    front, back = float(high[:, 2].max()) + 2, float(low[:, 2].min()) - 2
    points = np.stack([x[looked], y[looked], np.full(looked.size, front, np.float32)], axis=1)
    closest = _walk(points, cones, near, back)
    cover = np.clip(1.0 - (closest - _TOUCH) * ZOOM, 0.0, 1.0)
    shown = np.flatnonzero(cover > 0)
    color = _shade(points[shown], cones, near[:, shown], head, part)
    pixels = picture.reshape(-1, 3)
    pixels[looked[shown]] += (color - pixels[looked[shown]]) * cover[shown, None]


def _walk(points: Array, cones: list[Cone], near: Masks, back: float) -> Array:
    """Move `points` away from the viewer to the figure's surface, in place; the least distance on the way."""
    closest = np.full(len(points), _FAR, np.float32)
    best_z = points[:, 2].copy()
    active = np.arange(len(points))
    for _ in range(60):
        distance = _distance(points[active], cones, near[:, active])
        nearer = distance < closest[active]
        closest[active[nearer]] = distance[nearer]
        best_z[active[nearer]] = points[active[nearer], 2]
        going = (distance > _TOUCH) & (points[active, 2] > back)
        points[active[going], 2] -= np.maximum(distance[going] * 0.9, 0.05)
        active = active[going]
        if not active.size:
            break
    points[:, 2] = best_z  # a line of sight that only grazes the figure is lit where it came nearest
    return closest


def _shade(points: Array, cones: list[Cone], near: Masks, head: Head, part: float) -> Array:
    """The light that comes from `points` on the figure: [N, 3] in linear light."""
    step = 0.6
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], np.float32)
    normal = sum(corner * _distance(points + corner * step, cones, near)[:, None] for corner in corners)
    normal = np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6), np.float32)
    open_sky = np.clip(_distance(points + normal * 9, cones, near) / 9, 0.15, 1.0)[:, None]
    albedo = COLORS[_material(points, cones, near)].copy()
    _paint_face(albedo, points, head)

    def facing(x: float, y: float, z: float) -> Array:
        light = _vector(x, y, z)
        amount: Array = np.clip(normal @ (light / np.linalg.norm(light)), 0, 1)[:, None]
        return amount

    swing = np.sin(2 * np.pi * 2 * part)
    key = facing(-0.55 + 0.25 * swing, -0.6, 0.75) * np.array([1.25, 1.16, 1.02], np.float32)
    fill = facing(0.7, -0.1, 0.6) * np.array([0.24, 0.28, 0.38], np.float32)
    sky = (0.5 - 0.5 * normal[:, 1:2]) * np.array([0.17, 0.18, 0.22], np.float32) + 0.05
    rim = np.clip(1 - normal[:, 2:3], 0, 1) ** 3 * (0.3 + 0.7 * (normal[:, 0:1] > 0))
    glow = rim * _lamp_color(part, 0) * 0.55
    return np.asarray(albedo * (key + fill + sky) * open_sky + glow * open_sky, np.float32)


def _paint_face(albedo: Array, points: Array, head: Head) -> None:
    """Eyes, brows and mouth, painted on the skin by the head's own directions."""
    local = points - head.center
    x, y, z = local @ head.right, local @ head.down, local @ head.forward
    front = (z > 6) & (np.abs(x) < 16) & (np.abs(y) < 20)

    def spot(
        cx: float, cy: float, rx: float, ry: float, color: tuple[float, float, float], strength: float
    ) -> None:
        inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        amount = np.where(front, np.clip(1.6 - 1.2 * inside, 0, 1) * strength, 0)[:, None].astype(np.float32)
        albedo[:] = albedo + (np.array(color, np.float32) - albedo) * amount

    for side in (-1, 1):
        spot(side * 6.2, -1.0, 2.7, 1.5, (0.80, 0.78, 0.74), 0.9)
        spot(side * 6.0, -1.0, 1.5, 1.6, (0.02, 0.012, 0.01), 1.0)
        spot(side * 6.4, -4.8, 3.6, 0.9, (0.05, 0.03, 0.02), 0.8)
        spot(side * 8.5, 6.0, 4.0, 3.2, (0.70, 0.28, 0.20), 0.35)
        spot(side * 3.6, 9.4, 2.2, 1.1, (0.42, 0.07, 0.07), 0.8)
    spot(0, 10.4, 3.6, 1.3, (0.42, 0.07, 0.07), 0.9)


def _lamp_color(part: float, which: int) -> Array:
    """The colour of a stage lamp; each goes once round its own small circle of hues."""
    turn = 2 * np.pi * (part + which / 3)
    warm = 0.5 + 0.5 * np.sin(turn)
    teal, violet = np.array([0.05, 0.55, 0.75], np.float32), np.array([0.55, 0.16, 0.80], np.float32)
    return np.asarray(teal + (violet - teal) * warm, np.float32)


def _stage(part: float, cones: list[Cone]) -> Array:
    """Wall, moving lamps, disc, floor and the dancer's shadow: f32 [HEIGHT, WIDTH, 3] in linear light."""
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
    picture[:] = np.array([0.018, 0.022, 0.045], np.float32)
    turn = 2 * np.pi * part
    for which, (cx, speed, reach) in enumerate(((150.0, 1, 90.0), (330.0, 2, 130.0), (510.0, 1, 80.0))):
        x = cx + reach * np.sin(speed * turn + 2.1 * which)
        y = 120 + 45 * np.cos(speed * turn + 1.3 * which)
        blob = np.exp(-((xs - x) ** 2 / (2 * 95**2) + (ys - y) ** 2 / (2 * 80**2)))[..., None]
        picture += blob * _lamp_color(part, which) * 0.22
        # The beam that makes it comes from above.
        apex = cx + 60 * np.sin(speed * turn + 2.1 * which + 0.4)
        middle = apex + (x - apex) * (ys + 40) / (y + 40)
        spread = 8 + 0.22 * (ys + 40)
        beam = np.exp(-((xs - middle) ** 2) / (2 * spread**2)) * np.clip(1 - ys / 300, 0, 1)
        picture += beam[..., None] * _lamp_color(part, which) * 0.07
    disc = np.clip((122 - np.hypot(xs - MIDDLE, ys - 142)) / 2.0 + 0.5, 0, 1)[..., None]
    # Cool, so that skin and clothes stand out from it for a person's eye and for an annotator's.
    cool = np.array([0.07, 0.20, 0.30], np.float32) * (1 + 0.12 * np.cos(4 * turn))
    picture += disc * (cool * (0.55 + 0.45 * (ys[..., None] / 264)) - picture * 0.45)
    _floor(picture, xs, ys, part, cones)
    shade = 1 - 0.35 * ((xs - MIDDLE) / MIDDLE) ** 2
    return np.asarray(picture * shade[..., None], np.float32)


def _floor(picture: Array, xs: Array, ys: Array, part: float, cones: list[Cone]) -> None:
    below = np.clip(ys - HORIZON + 0.5, 0, 1)[..., None]
    depth = np.clip((ys - HORIZON) / (HEIGHT - HORIZON), 0, 1)[..., None]
    ground = np.array([0.05, 0.055, 0.085], np.float32) * (0.5 + 0.8 * depth)
    pool = np.exp(-(((xs - MIDDLE) / 150) ** 2 + ((ys - FLOOR_Y) / 44) ** 2))[..., None]
    ground = ground + pool * (0.55 * _lamp_color(part, 1) + np.array([0.16, 0.13, 0.10], np.float32)) * 0.35
    for cone in cones:
        if cone.material == SHOES:
            x, high = (cone.a[0] + cone.b[0]) / 2, FLOOR_Y - max(cone.a[1], cone.b[1])
            wide = 22 + 0.5 * high
            dark = (
                np.exp(-(((xs - x - 4) / wide) ** 2 + ((ys - FLOOR_Y) / 7) ** 2)) * 0.75 / (1 + 0.05 * high)
            )
            ground = ground * (1 - dark[..., None])
    picture += (ground - picture) * below


def _main(draw: Callable[[Path], None] = write_clip) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="the MP4 file to write")
    draw(parser.parse_args().path)


if __name__ == "__main__":
    _main()
