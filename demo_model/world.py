"""The world that the demo model is trained on: one shape moves on a plain background.

A `Scene` describes a clip completely. `render` draws it, and the caption functions describe it in
varied English. Each motion has a fixed path: an object that moves right starts on the left and
crosses most of the frame. So the model learns one path per motion and not the mean of many.

Combinations of shape, colour, background and motion are split by a hash. Those with `is_held_out`
and the sentences in `HELD_OUT_PATTERNS` are never used in training.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH, FRAMES = 64, 96, 17

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 220, 50),
    "green": (40, 160, 70),
    "blue": (40, 90, 220),
    "purple": (140, 60, 190),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
    "grey": (128, 128, 128),
}
"""All colours of the world, RGB from 0 to 255."""

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white")
BACKGROUNDS = ("black", "white", "grey", "blue", "green", "yellow", "red")
SIZES = ("small", "medium", "large")
DIRECTIONS: dict[str, tuple[int, int]] = {
    "right": (1, 0),
    "left": (-1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up-right": (1, -1),
    "up-left": (-1, -1),
    "down-right": (1, 1),
    "down-left": (-1, 1),
}
"""The motions to another place, as directions (x, y). The y axis points down."""
MOTIONS = (*DIRECTIONS, "still", "grow", "shrink", "rotate")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": COLOURS,
    "background": BACKGROUNDS,
    "size": SIZES,
    "motion": MOTIONS,
}
"""The attributes that a caption can mention, and their values."""

_RADIUS = {"small": 10.0, "medium": 13.0, "large": 16.0}
# For each polygon: the number of corners; its outer radius as a factor, so that all shapes look
# equally large; the distance of the middle of a side from the centre, as a share of that radius.
_POLYGONS = {
    "square": (4, 1.25, math.cos(math.pi / 4)),
    "triangle": (3, 1.40, math.cos(math.pi / 3)),
    "star": (5, 1.40, 0.50),
}
_FIRST_CORNER = {"square": math.pi / 4, "triangle": -math.pi / 2, "star": -math.pi / 2}
_ROTATION = math.pi / 2
_HELD_OUT_PERCENT = 15


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One clip: an object, its background and its motion."""

    shape: str
    colour: str
    background: str
    size: str
    motion: str
    shift: tuple[float, float] = (0.0, 0.0)
    """How far the path is shifted from its usual place, in pixels (x, y)."""


def is_held_out(scene: Scene) -> bool:
    """Whether this combination is only used in evaluation. The size does not matter."""
    name = f"{scene.shape}/{scene.colour}/{scene.background}/{scene.motion}"
    return hashlib.sha256(name.encode()).digest()[0] % 100 < _HELD_OUT_PERCENT


def combinations(*, held_out: bool) -> list[Scene]:
    """All scenes of medium size on one side of the split, in a fixed order."""
    scenes = (
        Scene(shape=shape, colour=colour, background=background, size="medium", motion=motion)
        for shape, colour, background, motion in itertools.product(
            SHAPES, COLOURS, BACKGROUNDS, MOTIONS
        )
        if colour != background and not (shape == "circle" and motion == "rotate")
    )
    return [scene for scene in scenes if is_held_out(scene) == held_out]


def draw_scene(rng: random.Random, *, held_out: bool) -> Scene:
    """A random scene from one side of the split, of any size, with its path a little shifted."""
    while True:
        scene = Scene(
            shape=rng.choice(SHAPES),
            colour=rng.choice(COLOURS),
            background=rng.choice(BACKGROUNDS),
            size=rng.choice(SIZES),
            motion=rng.choice(MOTIONS),
        )
        if scene.colour == scene.background or is_held_out(scene) != held_out:
            continue
        if scene.shape == "circle" and scene.motion == "rotate":  # it would look the same as still
            continue
        return replace(scene, shift=(rng.uniform(-1, 1), rng.uniform(-1, 1)))


def place(scene: Scene, frame: int) -> tuple[float, float, float, float]:
    """The object in `frame`: x, y of its centre and its radius in pixels, rotation in radians."""
    done = frame / (FRAMES - 1)
    radius = _RADIUS[scene.size]
    x, y, turn = (WIDTH - 1) / 2, (HEIGHT - 1) / 2, 0.0
    if scene.motion in DIRECTIONS:
        towards_x, towards_y = DIRECTIONS[scene.motion]
        margin = 1.2 * radius + 2
        x += towards_x * (2 * done - 1) * (x - margin)
        y += towards_y * (2 * done - 1) * (y - margin)
    elif scene.motion == "grow":
        radius *= 0.5 + 0.9 * done
    elif scene.motion == "shrink":
        radius *= 1.4 - 0.9 * done
    elif scene.motion == "rotate":
        turn = _ROTATION * done
    return x + scene.shift[0], y + scene.shift[1], radius, turn


def coverage(
    shape: str, x: float, y: float, radius: float, turn: float, *, height: int, width: int
) -> NDArray[np.float32]:
    """Draw a shape with smooth edges.

    Args:
        shape: One of `SHAPES`.
        x: Horizontal position of its centre in pixels.
        y: Vertical position of its centre in pixels.
        radius: Its radius in pixels.
        turn: Its rotation in radians.
        height: Height of the picture in pixels.
        width: Width of the picture in pixels.

    Returns:
        The share of each pixel that the shape covers, 0 to 1, shape (height, width).
    """
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    right, down = columns - x, rows - y
    distance = np.hypot(right, down)
    if shape == "circle":
        outside = distance - radius
    else:
        corners, outer, side = _POLYGONS[shape]
        # Fold the plane into the half sector between a corner and the middle of a side. There, the
        # edge is a straight line.
        half = math.pi / corners
        angle = np.arctan2(down, right) - _FIRST_CORNER[shape] - turn
        folded = np.abs((angle + half) % (2 * half) - half)
        corner_x = radius * outer
        side_x, side_y = corner_x * side * math.cos(half), corner_x * side * math.sin(half)
        edge_x, edge_y = side_x - corner_x, side_y
        length = math.hypot(edge_x, edge_y)
        outside = (
            edge_y * (distance * np.cos(folded) - corner_x) - edge_x * distance * np.sin(folded)
        ) / length
    return np.asarray(np.clip(0.5 - outside, 0, 1), dtype=np.float32)


def object_mask(scene: Scene, frame: int) -> NDArray[np.float32]:
    """The share of each pixel of `frame` that the object covers, 0 to 1, shape (64, 96)."""
    x, y, radius, turn = place(scene, frame)
    return coverage(scene.shape, x, y, radius, turn, height=HEIGHT, width=WIDTH)


def render(scene: Scene, frames: int = FRAMES) -> NDArray[np.uint8]:
    """Draw the first frames of a clip, RGB, shape (frames, 64, 96, 3)."""
    return np.stack([render_frame(scene, frame)[0] for frame in range(frames)])


def render_frame(scene: Scene, frame: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw one frame, RGB, shape (64, 96, 3). Also returns its `object_mask`."""
    ground = np.array(PALETTE[scene.background], dtype=np.float32)
    paint = np.array(PALETTE[scene.colour], dtype=np.float32)
    mask = object_mask(scene, frame)
    pixels = ground + mask[..., None] * (paint - ground)
    return np.asarray(pixels.round(), dtype=np.uint8), mask


# --- words ---------------------------------------------------------------------------------------

_COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "red", "crimson", "scarlet"),
    "orange": ("orange", "orange", "tangerine"),
    "yellow": ("yellow", "yellow", "golden", "lemon yellow"),
    "green": ("green", "green", "emerald"),
    "blue": ("blue", "blue", "azure"),
    "purple": ("purple", "purple", "violet"),
    "white": ("white", "white", "snow white"),
    "black": ("black", "black", "jet black"),
    "grey": ("grey", "gray", "grey"),
}
_SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "ball", "disc", "round shape"),
    "square": ("square", "square", "box", "block"),
    "triangle": ("triangle", "triangle", "three-sided shape", "pyramid"),
    "star": ("star", "star", "five-pointed star", "star shape"),
}
_SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("", "", "", "medium", "medium-sized"),
    "large": ("large", "big", "huge"),
}
_GROUNDS = (
    "{} background",
    "{} background",
    "plain {} background",
    "solid {} background",
    "{} backdrop",
    "{} surface",
    "{} wall",
    "simple {} scene",
)
# Pairs for "it moves" and "it is moving".
_VERBS = (
    ("moves", "moving"),
    ("moves", "moving"),
    ("glides", "gliding"),
    ("slides", "sliding"),
    ("drifts", "drifting"),
    ("travels", "travelling"),
    ("floats", "floating"),
    ("goes", "going"),
    ("heads", "heading"),
)
_ADVERBS = ("slowly", "smoothly", "gently", "steadily", "calmly", "quickly", "evenly")
_WAYS: dict[str, tuple[str, ...]] = {
    "right": (
        "right",
        "to the right",
        "towards the right",
        "rightwards",
        "from left to right",
        "from the left to the right",
        "from the left side to the right side",
    ),
    "left": (
        "left",
        "to the left",
        "towards the left",
        "leftwards",
        "from right to left",
        "from the right to the left",
        "from the right side to the left side",
    ),
    "up": (
        "up",
        "upwards",
        "to the top",
        "towards the top",
        "from bottom to top",
        "from the bottom to the top",
        "straight up",
    ),
    "down": (
        "down",
        "downwards",
        "to the bottom",
        "towards the bottom",
        "from top to bottom",
        "from the top to the bottom",
        "straight down",
    ),
    "up-right": (
        "up and to the right",
        "up and right",
        "diagonally up and to the right",
        "diagonally up to the right",
        "to the upper right",
        "towards the top right corner",
        "from the bottom left to the top right",
        "from the lower left corner to the upper right corner",
    ),
    "up-left": (
        "up and to the left",
        "up and left",
        "diagonally up and to the left",
        "diagonally up to the left",
        "to the upper left",
        "towards the top left corner",
        "from the bottom right to the top left",
        "from the lower right corner to the upper left corner",
    ),
    "down-right": (
        "down and to the right",
        "down and right",
        "diagonally down and to the right",
        "diagonally down to the right",
        "to the lower right",
        "towards the bottom right corner",
        "from the top left to the bottom right",
        "from the upper left corner to the lower right corner",
    ),
    "down-left": (
        "down and to the left",
        "down and left",
        "diagonally down and to the left",
        "diagonally down to the left",
        "to the lower left",
        "towards the bottom left corner",
        "from the top right to the bottom left",
        "from the upper right corner to the lower left corner",
    ),
}
_OTHER_MOTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "still": (
        ("stays still", "staying still"),
        ("does not move", "not moving"),
        ("stands still", "standing still"),
        ("rests in the middle", "resting in the middle"),
        ("remains motionless", "remaining motionless"),
        ("holds still in the centre", "holding still in the centre"),
    ),
    "grow": (
        ("grows", "growing"),
        ("gets bigger", "getting bigger"),
        ("becomes larger", "becoming larger"),
        ("expands", "expanding"),
        ("grows larger and larger", "growing larger and larger"),
    ),
    "shrink": (
        ("shrinks", "shrinking"),
        ("gets smaller", "getting smaller"),
        ("becomes smaller", "becoming smaller"),
        ("contracts", "contracting"),
        ("shrinks away", "shrinking away"),
    ),
    "rotate": (
        ("rotates", "rotating"),
        ("spins", "spinning"),
        ("turns around", "turning around"),
        ("spins around its centre", "spinning around its centre"),
        ("rotates in place", "rotating in place"),
    ),
}
_DECORATIONS = (
    "The light is soft and even.",
    "The camera holds still.",
    "The camera is static.",
    "Nothing else is in view.",
    "The scene is clean and minimal.",
    "The motion is smooth and continuous.",
    "The colours are bright and clear.",
    "Simple flat animation style.",
    "The mood is calm.",
    "The edges are crisp.",
    "High quality.",
)

# {obj} is "a red circle", {bare} "red circle", {noun} "circle", {bg} "a blue background", {ground}
# "blue background", {bgcolour} "blue", {moves} "moves right", {moving} "moving right". `fill` puts
# capitals at the start of sentences.
PATTERNS = (
    "{obj} {moves} on {bg}",
    "{obj} {moves} on {bg}",
    "{obj} {moving} on {bg}",
    "{obj} {moves} across {bg}",
    "{obj} {moves} in front of {bg}",
    "{obj} on {bg} {moves}",
    "on {bg}, {obj} {moves}",
    "against {bg}, {obj} {moves}",
    "{obj} is {moving} over {bg}",
    "{bare}, {ground}, {moving}",
    "{ground}, {bare} {moving}",
    "a video of {obj} {moving} on {bg}",
    "a short clip of {obj} {moving} against {bg}",
    "there is {obj} on {bg}. it {moves}",
    "{obj} {moves}. the background is {bgcolour}",
    "{bg}. {obj} {moves}",
    "the {bare} {moves} while the background stays {bgcolour}",
    "{moving} {bare} on {bg}",
)
"""Sentences for training."""

HELD_OUT_PATTERNS = (
    "a video with {bg} where {obj} is {moving}",
    "{obj}, {moving}, {ground}",
    "the background is {bgcolour}. {obj} {moves}",
    "there is {bg} and in front of it {obj} {moves}",
    "a clip of {bg} with {obj} {moving}",
    "over {bg} the {bare} {moves}",
)
"""Sentences for evaluation only."""

IMAGE_PATTERNS = (
    "it {moves}",
    "the {noun} {moves}",
    "the object {moves}",
    "{moving}",
    "the {noun} is {moving}",
    "the shape {moves}",
)
"""Sentences to go with an image. They only describe the motion."""

HELD_OUT_IMAGE_PATTERNS = ("the object in the picture {moves}", "a {noun} {moving}")


PARTIAL_PATTERNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("{obj}", ("shape", "colour", "size")),
    ("{obj} on {bg}", ("shape", "colour", "size", "background")),
    ("{obj} {moves}", ("shape", "colour", "size", "motion")),
    ("{ground}", ("background",)),
    ("something {moves} on {bg}", ("background", "motion")),
)
"""Sentences that leave something open, and the attributes that they mention."""


def caption(
    rng: random.Random, scene: Scene, *, held_out: bool = False, plain: bool = False
) -> str:
    """A sentence that describes all of `scene`.

    Args:
        rng: For the choice of sentence and words.
        scene: What to describe.
        held_out: Use a sentence that training never uses.
        plain: Use only the main words: no synonyms, adverbs and decoration.
    """
    return fill(rng, scene, rng.choice(HELD_OUT_PATTERNS if held_out else PATTERNS), plain=plain)


def motion_caption(rng: random.Random, scene: Scene, *, held_out: bool = False) -> str:
    """A sentence that only describes the motion of the object, and sometimes its shape."""
    pattern = rng.choice(HELD_OUT_IMAGE_PATTERNS if held_out else IMAGE_PATTERNS)
    return fill(rng, scene, pattern, plain=False)


def partial_caption(rng: random.Random, scene: Scene) -> tuple[str, tuple[str, ...]]:
    """A sentence that leaves something open, and the attributes that it mentions."""
    pattern, told = rng.choice(PARTIAL_PATTERNS)
    return fill(rng, scene, pattern, plain=False), told


def with_typo(rng: random.Random, text: str) -> str:
    """`text` with one typo: a letter that is swapped, missing, doubled or wrong."""
    words = text.split(" ")
    places = [index for index, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if not places:
        return text
    index = rng.choice(places)
    word = words[index]
    at = rng.randrange(1, len(word) - 1)
    words[index] = rng.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :],
        )
    )
    return " ".join(words)


def vocabulary() -> list[str]:
    """All words that captions can contain, in lower case, sorted."""
    texts = [*PATTERNS, *HELD_OUT_PATTERNS, *IMAGE_PATTERNS, *HELD_OUT_IMAGE_PATTERNS]
    texts += [pattern for pattern, _ in PARTIAL_PATTERNS]
    texts += [*_GROUNDS, *_ADVERBS, *_DECORATIONS, *PALETTE]
    for table in (_COLOUR_WORDS, _SHAPE_WORDS, _SIZE_WORDS, _WAYS):
        texts += itertools.chain.from_iterable(table.values())
    for pairs in (_VERBS, *_OTHER_MOTIONS.values()):
        texts += itertools.chain.from_iterable(pairs)
    words = set()
    for text in texts:
        for word in text.lower().replace("-", " ").split():
            stripped = word.strip(".,")
            if stripped and "{" not in stripped:
                words.add(stripped)
    return sorted(words)


def fill(rng: random.Random, scene: Scene, pattern: str, *, plain: bool) -> str:
    """Fill the words for `scene` into `pattern`. With `plain`, use the first choice of each."""

    def pick(words: tuple[str, ...]) -> str:
        return words[0] if plain else rng.choice(words)

    noun = pick(_SHAPE_WORDS[scene.shape])
    colour = pick(_COLOUR_WORDS[scene.colour])
    background = pick(_COLOUR_WORDS[scene.background])
    bare = " ".join(word for word in (pick(_SIZE_WORDS[scene.size]), colour, noun) if word)
    ground = pick(_GROUNDS).format(background)
    moves, moving = _moving(rng, scene.motion, plain=plain)
    text = pattern.format(
        obj=_with_article(bare),
        bare=bare,
        noun=noun,
        bg=_with_article(ground),
        ground=ground,
        bgcolour=background,
        moves=moves,
        moving=moving,
    )
    sentences = [part[0].upper() + part[1:] for part in text.split(". ")]
    if plain:
        return ". ".join(sentences)
    long = rng.random() < 0.25
    text = ". ".join(sentences) + ("." if long or rng.random() < 0.5 else "")
    if long:
        text = " ".join([text, *rng.sample(_DECORATIONS, rng.randint(1, 4))])
    elif rng.random() < 0.3:
        text = text.lower()
    return text


def _moving(rng: random.Random, motion: str, *, plain: bool) -> tuple[str, str]:
    if motion in DIRECTIONS:
        moves, moving = _VERBS[0] if plain else rng.choice(_VERBS)
        way = _WAYS[motion][0] if plain else rng.choice(_WAYS[motion])
        moves, moving = f"{moves} {way}", f"{moving} {way}"
    else:
        pairs = _OTHER_MOTIONS[motion]
        moves, moving = pairs[0] if plain else rng.choice(pairs)
    if plain or motion == "still" or rng.random() < 0.65:
        return moves, moving
    adverb = rng.choice(_ADVERBS)
    return f"{adverb} {moves}", f"{adverb} {moving}"


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
