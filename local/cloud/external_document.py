"""The base of documents that others write: AWS, the AWS CDK, or the caller of an API."""

from pydantic import BaseModel, ConfigDict


class ExternalDocument(BaseModel):
    """A document in a format that we do not define.

    Unknown fields are ignored, because the owner of the format may add fields at any time.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
