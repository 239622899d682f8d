"""What the peers take: the same fields as the API's body, checked by the same library and no further."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Body(BaseModel):
    """A request for a picture."""

    model: str
    prompt: str
    negative_prompt: str | None = Field(None, alias="negativePrompt")
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    format: str | None = None
    quality: int | None = None
