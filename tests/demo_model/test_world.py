"""The generated world: it only depends on the seed, and the split is kept."""

import random
import re

import numpy as np

from contract.catalogue import MODELS
from demo_model import models, world
from local.cloud.bedrock import ADDED_SENTENCE


def scenes(count: int, *, held_out: bool = False) -> list[world.Scene]:
    rng = random.Random(1)
    return [world.draw_scene(rng, held_out=held_out) for _ in range(count)]


def test_the_same_seed_draws_the_same_scenes_captions_and_pixels() -> None:
    first, second = scenes(20), scenes(20)
    assert first == second
    one, other = random.Random(2), random.Random(2)
    for scene in first:
        assert world.caption(one, scene) == world.caption(other, scene)
    assert np.array_equal(world.render(first[0]), world.render(second[0]))


def test_no_combination_is_on_both_sides() -> None:
    trained = set(world.combinations(held_out=False))
    kept = set(world.combinations(held_out=True))
    assert not trained & kept
    assert 0.10 < len(kept) / len(trained | kept) < 0.20
    # Each single value of the evaluation is also in the training, in other combinations.
    for attribute, values in world.ATTRIBUTES.items():
        if attribute != "size":
            assert {getattr(scene, attribute) for scene in trained} == set(values)


def test_drawn_scenes_keep_to_their_side() -> None:
    assert not any(world.is_held_out(scene) for scene in scenes(300))
    assert all(world.is_held_out(scene) for scene in scenes(300, held_out=True))


def test_no_sentence_is_on_both_sides() -> None:
    assert not set(world.PATTERNS) & set(world.HELD_OUT_PATTERNS)
    assert not set(world.IMAGE_PATTERNS) & set(world.HELD_OUT_IMAGE_PATTERNS)


def test_an_object_that_moves_right_starts_left_and_crosses_most_of_the_frame() -> None:
    scene = world.Scene(
        shape="circle", colour="red", background="blue", size="medium", motion="right"
    )
    start, end = world.place(scene, 0), world.place(scene, world.FRAMES - 1)
    assert end[0] - start[0] > world.WIDTH / 2
    assert start[1] == end[1]


def test_a_plain_caption_says_everything_in_the_main_words() -> None:
    scene = world.Scene(
        shape="circle", colour="red", background="blue", size="large", motion="right"
    )
    text = world.fill(random.Random(0), scene, world.PATTERNS[0], plain=True)
    assert text == "A large red circle moves right on a blue background"


def test_captions_fit_the_models_prompt_and_use_words_it_knows() -> None:
    tokenizer = models.tokenizer()
    rng = random.Random(3)
    lengths = []
    for scene in scenes(300):
        ids = tokenizer(world.caption(rng, scene)).input_ids
        assert tokenizer.unk_token_id not in ids
        lengths.append(len(ids))
    assert max(lengths) <= models.PROMPT_TOKENS


def test_a_typo_changes_one_word() -> None:
    rng = random.Random(4)
    text = "A red circle moves right on a blue background"
    for _ in range(50):
        pairs = zip(text.split(), world.with_typo(rng, text).split(), strict=True)
        assert sum(one != other for one, other in pairs) <= 1


def test_the_catalogue_knows_a_prompt_about_the_world_from_others() -> None:
    about = MODELS["demo"].world
    assert about is not None
    rng = random.Random(5)
    for scene in scenes(2_000):
        for held_out in (False, True):
            text = world.caption(rng, scene, held_out=held_out)
            assert about.has(text, reference=False), text
        text = world.motion_caption(rng, scene)
        assert about.has(text, reference=True), text
    for blank in ("", " \n"):
        assert about.has(blank, reference=True)
    for other in (
        "A bee on a flower in the morning",
        "a red car",
        "the circle of life",
        "walking",
        "a circle moves right",  # has no colour, and the notice asks for one
        "犬が走る",
        "42",
    ):
        assert not about.has(other, reference=False), other
    assert "a shape and a colour" in about.notice
    for other in ("she smiles into the camera", "犬が走る"):
        assert not about.has(other, reference=True), other


def test_the_language_models_stand_in_adds_no_word_of_the_world() -> None:
    """Otherwise every prompt that it has rewritten would seem to be about the world."""
    about = MODELS["demo"].world
    assert about is not None
    said = set(re.findall(r"[a-z]+", ADDED_SENTENCE.lower()))
    assert said
    assert not said & {word for group in about.words for word in group}
