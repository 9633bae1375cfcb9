"""Which language model enhances prompts in the region of a deployment.

Most models answer only through an inference profile, whose id names the part of the world in which
a prompt is processed. So a deployment in Frankfurt needs another id than one in Ohio.
"""

from typing import NamedTuple

from aws_cdk import CfnMapping, Fn, region_info
from constructs import Construct

MODEL = "amazon.nova-2-lite-v1:0"
"""The default: cheap, sees images, and has profiles for every region."""
# Where the profile of MODEL processes prompts, by the beginning of the region. "global" may be
# anywhere.
_GEOGRAPHIES = (("us-", "us"), ("eu-", "eu"), ("ap-northeast-1", "jp"), ("ap-northeast-3", "jp"))
_ELSEWHERE = "global"
# The id of an inference profile is one of these, a dot and the id of the model.
_PROFILES = {"us", "us-gov", "eu", "apac", "au", "ca", "jp", "global"}


class Enhancer(NamedTuple):
    """The language model of a deployment."""

    model_id: str
    """What functions call: a model or an inference profile. It may contain tokens of CDK."""
    foundation: str
    """The model itself. A profile forwards calls to it."""


def enhancer(scope: Construct, wanted: str) -> Enhancer | None:
    """The language model that a deployment uses.

    Args:
        scope: the stack.
        wanted: an id; "auto" for the profile of `MODEL` that fits the region; empty for none.
    """
    if not wanted:
        return None
    if wanted != "auto":
        geography, _, rest = wanted.partition(".")
        return Enhancer(wanted, rest if geography in _PROFILES else wanted)
    profiles = CfnMapping(
        scope,
        "Geographies",
        mapping={
            region.name: {"profile": geography_of(region.name)}
            for region in region_info.RegionInfo.regions
        },
    )
    geography = profiles.find_in_map(Fn.ref("AWS::Region"), "profile")
    return Enhancer(Fn.join("", [geography, ".", MODEL]), MODEL)


def geography_of(region: str) -> str:
    """In which part of the world the default profile of a region processes prompts."""
    fits = (geography for start, geography in _GEOGRAPHIES if region.startswith(start))
    return next(fits, _ELSEWHERE)
