"""Bodies as clients write and read them: camelCase, complete, nothing unknown accepted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from modelpool.jobs import JobState, Lane, OutputFormat
from modelpool.resources.models import Defaults, Limits, Task
from modelpool.resources.spec import Policy

MAX_PROMPT = 4_000
MAX_SEED = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""


class Sent(BaseModel):
    """Base of what clients send."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False, extra="forbid", frozen=True)


class Strict(Sent):
    """Of JSON alone: nothing is converted, so ``false`` is no number."""

    model_config = ConfigDict(strict=True)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer as JSON has it: 4.0 is one too."""


class Shown(BaseModel):
    """Base of what clients get. Absent is left away rather than null."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def _only(one: str, other: str) -> dict[str, Any]:
    return {"required": [one], "properties": {one: {"type": "string"}, other: {"type": "null"}}}


class ImageInput(Sent):
    """The input image: the result of a finished job, or the bytes themselves."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only("job", "base64"), _only("base64", "job")]})

    job: str | None = Field(None, max_length=200, description="Id of a finished job that made an image.")
    base64: str | None = Field(None, description="PNG, JPEG or WebP; a data: URL is welcome.", repr=False)

    @model_validator(mode="after")
    def _one_source(self) -> ImageInput:
        if (self.job is None) == (self.base64 is None):
            raise ValueError('give either {"job": "<id>"} or {"base64": "<bytes>"}')
        return self


Finite = Annotated[float, Field(allow_inf_nan=False)]


class JobBody(Sent):
    """What ``POST /v1/jobs`` takes. Only ``model`` is required; the model's defaults fill the rest."""

    model: str = Field(min_length=1, max_length=200, description="A model's name, or pool/model.", examples=["sdxl"])
    task: Task | None = Field(None, description="Inferred from the model and the presence of an image.")
    prompt: str | None = Field(None, max_length=MAX_PROMPT, examples=["a red circle on a blue background"], repr=False)
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT, repr=False)
    width: Whole | None = Field(None, ge=16, le=8192, description="Pixels; a multiple of the model's sizeMultiple.")
    height: Whole | None = Field(None, ge=16, le=8192)
    steps: Whole | None = Field(None, ge=1, le=1000)
    guidance: Finite | None = Field(None, ge=0, le=100)
    seed: Annotated[Whole, Field(ge=0, le=MAX_SEED)] | Literal["random"] | None = Field(
        None, description="The same seed and parameters give the same picture. Absent: one is chosen."
    )
    frames: Whole | None = Field(None, ge=2, le=1024, description="Video models only.")
    fps: Whole | None = Field(None, ge=1, le=120, description="Video models only.")
    motion: Whole | None = Field(None, ge=0, le=255, description="Video models only: how much moves.")
    strength: Finite | None = Field(None, gt=0, le=1, description="ImageToImage only: how far from the input.")
    style: str | None = Field(None, max_length=40, description="One of the model's styles.")
    format: OutputFormat | None = Field(None, description="png by default, mp4 for videos.")
    quality: Whole | None = Field(None, ge=1, le=100, description="Of webp and jpeg; 90 by default.")
    image: ImageInput | None = None
    cache: bool = Field(True, description="False: make it anew even if the same was made before.")


class Eta(Shown):
    """When the result will be there. ``seconds`` is absent while nothing has been measured."""

    seconds: float | None = Field(None, examples=[4.2])
    text: str = Field(examples=["model loading, 18 s"])


class ResultView(Shown):
    """The finished file."""

    url: str
    content_type: str
    width: int
    height: int
    seed: int
    size: int = Field(description="Bytes.")
    frames: int | None = None
    expires_at: str


class DurationsView(Shown):
    """Where the time went, in milliseconds."""

    waited: int = Field(description="From the request to the start, loads included.")
    loaded: int = Field(description="The part of `waited` in which the model was loaded.")
    ran: int = Field(description="From the start to the stored file.")
    computed: int = Field(description="The part of `ran` that was the pipeline's own.")


class ErrorView(Shown):
    """Why the job did not succeed."""

    code: str
    message: str


class Links(Shown):
    """Where to go from here."""

    self_: str = Field(alias="self")
    events: str
    ws: str
    cancel: str | None = None


class JobView(Shown):
    """A job as its owner sees it."""

    id: str
    state: JobState
    pool: str
    model: str
    task: Task
    lane: Lane
    seq: int = Field(description="Grows with every change of the job.")
    position: int | None = Field(None, description="Jobs that will start before this one.")
    eta: Eta | None = None
    progress: float | None = Field(None, ge=0, le=1)
    preview: str | None = Field(None, description="A small data: URL while the job runs; only in live updates.")
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    result: ResultView | None = None
    durations: DurationsView | None = None
    cached: bool = False
    batch_size: int | None = None
    attempts: int = 0
    error: ErrorView | None = None
    links: Links


class StyleView(Shown):
    """A style that ``style`` may name."""

    name: str


class ModelView(Shown):
    """One model; the first four fields are OpenAI's."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = Field(alias="owned_by", description="The pool.")
    pool: str
    tier: str
    policy: Policy
    state: Literal["hot", "loading", "warm", "cold", "failed"]
    replicas: int = Field(description="Slots that hold it hot.")
    tasks: tuple[Task, ...]
    defaults: Defaults
    limits: Limits
    styles: tuple[StyleView, ...]
    quota_units: int
    queued: int
    eta: Eta = Field(description="Of a job sent now with the model's defaults.")


class ModelList(Shown):
    """OpenAI's list shape."""

    object: Literal["list"] = "list"
    data: tuple[ModelView, ...]


class QuotaView(Shown):
    """What is left of today's allowance: under the ceiling that has the least left."""

    lane: Lane
    plan: str | None = Field(None, description="Of the key; absent for those without one.")
    ceiling: str = Field(description="visitor, device, guest, network, site or account: whose allowance it is.")
    limit: int = Field(description="Units a UTC day.")
    remaining: int
    resets_at: str
    reset_seconds: int


class ChallengeParameters(BaseModel):
    """What is to be solved: a counter so that the key derived from nonce, counter and salt begins with ``keyPrefix``."""

    algorithm: str = Field(examples=["PBKDF2/SHA-256"])
    cost: int
    key_length: int = Field(alias="keyLength")
    key_prefix: str = Field(alias="keyPrefix", description="Hex.")
    nonce: str = Field(description="Hex.")
    salt: str = Field(description="Hex.")
    expires_at: int = Field(alias="expiresAt", description="Unix seconds.")
    data: dict[str, str] = Field(description="For whom it is; goes back as it came.")


class ChallengeView(BaseModel):
    """A proof of work as ALTCHA's widget and libraries read it."""

    parameters: ChallengeParameters
    signature: str


class ProblemError(BaseModel):
    """The error as OpenAI's clients read it."""

    message: str
    type: str
    code: str
    param: str | None = None


class Problem(BaseModel):
    """RFC 9457, media type application/problem+json."""

    model_config = ConfigDict(populate_by_name=False)

    type: str = Field(examples=["https://modelpool.dev/problems/model_not_found"])
    title: str
    status: int
    detail: str
    instance: str
    param: str | None = None
    errors: list[dict[str, Any]] | None = Field(None, description="All findings, when there are several.")
    violated_policies: list[str] | None = Field(
        None,
        alias="violated-policies",
        description="Of a 429: the rate limit policies that said no.",
        examples=[["daily"]],
    )
    challenge: ChallengeView | None = Field(
        None, description="Solve it, and send the request again with the solution as `Modelpool-Solution`."
    )
    error: ProblemError


class Check(Shown):
    """One dependency."""

    ok: bool
    message: str


class Readiness(Shown):
    """Whether this process can serve, and what is away."""

    ready: bool
    checks: dict[str, Check]
