"""What people write who know other tools: their names for our fields, and their forms of values.

A suggestion must be near in meaning. `last_frame` is spelled almost like `num_frames`, but has
nothing to do with it.
"""

import difflib
import re
from collections.abc import Iterable, Mapping

from contract.catalogue import Preset

_NAMES: Mapping[str, str] = {
    "prompt": "text caption description positive positive_prompt text_prompt prompt_text script "
    "scene instruction",
    "negative_prompt": "negative neg neg_prompt negative_text uncond undesired exclude_prompt "
    "unwanted",
    "image": "init_image input_image start_image first_frame first_image source_image image_path "
    "image_url image_file img picture photo pic start_frame conditioning_image frame_image",
    "video": "init_video input_video source_video video_path video_url video_file clip ref_video",
    "audio": "sound music soundtrack sound_track song bgm background_music background_audio "
    "audio_file audio_path audio_url sound_file music_file audio_track",
    "strength": "denoise denoising denoising_strength image_strength video_strength "
    "prompt_strength noise_strength",
    "fit": "crop resize resize_mode crop_mode scaling",
    "model": "checkpoint ckpt model_name model_id model_path base_model engine weights",
    "lora": "loras lora_path lora_name lora_model adapter",
    "lora_scale": "lora_strength lora_weight adapter_scale",
    "preset": "quality mode profile speed",
    "aspect": "ratio aspect_ratio orientation shape format_ratio",
    "height": "size resolution dimensions h video_size image_size",
    "width": "w",
    "duration_seconds": "duration length seconds video_length secs time length_seconds",
    "num_frames": "frames frame_count n_frames nframes total_frames max_frames frame_num "
    "video_frames",
    "fps": "frame_rate framerate frames_per_second rate target_fps output_fps export_fps video_fps "
    "force_rate",
    "slow_motion": "slowmo slow_mo slowmotion slow slow_down slowdown slow_factor",
    "scenes": "shots shot_list storyboard segments chapters multi_prompt prompt_schedule "
    "prompt_travel",
    "transition": "transitions effect transition_type",
    "loop": "looping is_loop loop_video make_loop repeat_seamlessly",
    "num_inference_steps": "step steps num_steps sampling_steps inference_steps sample_steps "
    "n_steps ddim_steps iterations",
    "guidance_scale": "cfg cfg_scale guidance scale cfgscale unconditional_guidance_scale",
    "seed": "random_seed noise_seed rng rng_seed randomness",
    "enhance": "enhance_prompt prompt_enhance prompt_optimizer upsample_prompt prompt_upsampling "
    "magic_prompt rewrite prompt_extend expand_prompt enhancer use_llm translate",
    "variations": "count n num number num_videos num_outputs num_samples n_samples batch_size "
    "batch_count num_videos_per_prompt num_images samples repeat repeats variants batch amount "
    "videos",
    "label": "watermark overlay overlay_text burn_in disclosure",
    "matrix": "sweep grid combinations",
    "outputs": "output format output_format formats file_format",
    "prompt_in_file": "metadata save_metadata embed_metadata embed_prompt embed_workflow",
    "priority": "urgency importance",
    "notify": "email mail e_mail notification notifications notify_email send_email",
    "tags": "tag labels keywords category project",
    "dry_run": "dryrun test preview validate_only plan check simulate",
}  # fmt: skip
_NOT_OFFERED: Mapping[str, str] = {
    "A video can only be given its first frame, as  image: bee.png": "last_frame end_frame "
    "end_image last_image tail_image final_frame image_end",
    "The model decides this.": "sampler sampler_name scheduler scheduler_name shift flow_shift "
    "eta clip_skip precision dtype",
    "Describe it in the prompt.": "camera camera_motion camera_movement motion motion_strength "
    "motion_bucket_id style style_preset mood lighting",
    "reeldrop does not have it.": "controlnet ip_adapter upscale upscaler upscaling",
    "The models make no sound. A file beside the spec can be the sound of the video, as "
    " audio: song.mp3": "voice voice_over voiceover narration speech tts dialogue lip_sync "
    "generate_audio with_audio add_audio enable_audio sound_effects sfx",
    "An email says when the job has ended.": "webhook webhook_url callback callback_url",
    "The video gets the name of the spec.": "output_path filename file_name output_file name title "
    "id",
}
# What is a field of its own elsewhere, and a value of a field here.
_LINES: Mapping[str, str] = {
    "fps: 24": "interpolate interpolation frame_interpolation interp interpolator rife film_vfi "
    "minterpolate smooth smoothing",
    "loop: ping-pong": "ping_pong pingpong boomerang bounce reverse",
    "loop: cross-fade": "cross_fade crossfade seamless seamless_loop",
    "outputs: [mp4, gif]": "gif make_gif save_gif as_gif",
    "outputs: [mp4, h265]": "h265 hevc x265",
    "outputs: [mp4, webm]": "webm vp9",
}
_PRESETS: Mapping[str, str] = {
    Preset.DRAFT: "fast low quick test preview lowest turbo",
    Preset.STANDARD: "normal medium default balanced mid",
    Preset.BEST: "high hd hq highest ultra max quality slow good",
}


def _by_word(words: Mapping[str, str]) -> dict[str, str]:
    return {word: meaning for meaning, some in words.items() for word in some.split()}


_FIELD_OF, _ADVICE_ON, _LINE_OF = _by_word(_NAMES), _by_word(_NOT_OFFERED), _by_word(_LINES)
_SIZE = re.compile(r"(\d{2,5})\s*[x×*]\s*(\d{2,5})", re.IGNORECASE)
_RATIO = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*[:/x×]\s*(\d{1,3}(?:\.\d+)?)", re.IGNORECASE)
_WITH_UNIT = re.compile(
    r"([0-9]+(?:[.,][0-9]+)?)\s*"
    r"(fps|hz|s|secs?|seconds?|px?|pixels?|frames?|steps?|videos?|x)\.?",
    re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+")
_NEAR = 0.75
"""How similar two spellings must be. Below it, different words begin to look like mistakes."""
_ASPECTS: Mapping[str, str] = {
    "portrait": "vertical tall upright",
    "square": "quadratic",
    "landscape": "horizontal wide widescreen cinematic",
}
_LOOPS: Mapping[str, str] = {
    "cross-fade": "crossfade cross_fade fade blend dissolve seamless",
    "ping-pong": "pingpong ping_pong boomerang bounce palindrome mirror reverse",
}
_TRANSITIONS: Mapping[str, str] = {
    "continue": "chain continuous extend seamless last_frame",
    "cut": "hard hard_cut jump none",
    "fade": "cross_fade crossfade dissolve blend",
}
_OUTPUTS: Mapping[str, str] = {
    "mp4": "h264 avc x264 mov m4v video",
    "h265": "hevc x265",
    "webm": "vp9 vp8 mkv av1",
}
_OUTPUT_OF = _by_word(_OUTPUTS)
_CHOICE_OF: Mapping[str, Mapping[str, str]] = {
    "aspect": _by_word(_ASPECTS),
    "slow_motion": {number: number for number in ("1", "2", "4", "8")},
    "loop": _by_word(_LOOPS),
    "transition": _by_word(_TRANSITIONS),
    "preset": _by_word(_PRESETS),
}
_SWITCHES = {"enhance", "notify", "prompt_in_file", "dry_run", "animate_images", "loop"}
_INSTEAD_OF_TRUE: Mapping[str, str] = {
    "audio": "The models make no sound. Write the name of a file, as  audio: song.mp3",
    "label": "Write the note, for example  label: AI-generated",
    "slow_motion": "Write  slow_motion: 2",
}
_YES, _NO = {"yes", "on", "y", "enabled"}, {"no", "off", "n", "disabled"}


def hint_for_name(name: str, value: object, known: Iterable[str]) -> str | None:
    """The hint for a field that does not exist, or None if nothing is near in meaning.

    Args:
        name: the name that was written.
        value: its value.
        known: the names of the fields that exist at this place.
    """
    known, plain = list(known), _as_our_names(name)
    if plain in _ADVICE_ON:
        return f"{_ADVICE_ON[plain]} Delete the line."
    if plain in _LINE_OF and _LINE_OF[plain].partition(":")[0] in known:
        off = value is False or str(value).lower() in _NO
        return "Delete the line." if off else f"Write  {_LINE_OF[plain]}"
    field = _FIELD_OF.get(plain, plain)
    if field not in known:
        swapped = [other for other in known if sorted(other) == sorted(plain)]
        near = swapped or difflib.get_close_matches(plain, known, n=1, cutoff=_NEAR)
        if not near:
            return None
        field = near[0]
    return f"Did you mean {field}? {hint_for_value(field, value) or ''}".strip()


def hint_for_value(field: str, value: object) -> str | None:
    """The hint for a value in a form of another tool: `24fps`, `16:9`, `720x480`, `yes`."""
    text = str(value).strip().lower() if isinstance(value, str) else ""
    if field in {"height", "width"} and (size := _SIZE.fullmatch(text)):
        return f"Write two lines:  height: {int(size[2])}  and  width: {int(size[1])}"
    if field == "seed" and text in {"random", "any", "auto", "none", "-1"}:
        return "For any seed, delete the line, or write  seed: -1"
    if field.startswith("outputs."):
        meant = _OUTPUT_OF.get(text.lstrip(".").replace(".", ""))
        return f"Did you mean {meant}?" if meant else None
    if field == "notify" and "@" in text:
        return "Write  notify: true  (your administrator sets the address)."
    if value is True and field in _INSTEAD_OF_TRUE:
        return _INSTEAD_OF_TRUE[field]
    meant = _choice(field, text) or _number(field, text)
    return f"Write  {field}: {meant}" if meant else None


def _choice(field: str, text: str) -> str | None:
    """The choice that a word means."""
    if field == "aspect" and (ratio := _RATIO.fullmatch(text)):
        width, height = float(ratio[1]), float(ratio[2])
        if width == height:
            return "square"
        return "landscape" if width > height else "portrait"
    if field in _SWITCHES and text in _YES | _NO:
        return "true" if text in _YES else "false"
    return _CHOICE_OF.get(field, {}).get(re.sub(r"[\s-]+", "_", text))


def _number(field: str, text: str) -> str | None:
    """The number of a text that has a unit or a decimal comma, too."""
    whole = field not in {"duration_seconds", "guidance_scale", "strength"}
    if match := _WITH_UNIT.fullmatch(text):
        text = match[1]
    elif not _DECIMAL_COMMA.fullmatch(text):
        return None
    number = float(text.replace(",", "."))
    return None if whole and number % 1 else f"{number:g}"


def _as_our_names(name: str) -> str:
    """`numFrames`, `Num-Frames` and `num frames` as `num_frames`."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\s.-]+", "_", parts).lower()
