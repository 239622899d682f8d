"""A request in order: what came in, and what of it is known before it has cost anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from modelpool.documents import CatalogModel
from modelpool.errors import InvalidInput
from modelpool.jobs import JobRequest, canonical_json
from modelpool.work import expected_work, price
from modelpool_api.context import Context
from modelpool_api.identity.subject import Subject
from modelpool_api.pools import Pool
from modelpool_api.requests import resolve
from modelpool_api.schemas import JobBody
from modelpool_api.seeds import words_digest

_MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """What came in: the body, the uploaded file if any, the Idempotency-Key, and the solution of a challenge."""

    body: JobBody
    upload: bytes | None = None
    idempotency_key: str | None = None
    solution: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A request that is in order, before it has cost anything: without its seed and its stored input."""

    pool: Pool
    model: CatalogModel
    job: str
    request: JobRequest
    image: bytes | str | None
    """As sent, or the key of the result that it names."""
    idempotency_key: str | None
    fingerprint: str | None
    """Of the request, where an Idempotency-Key names it."""
    work: float
    price: int
    """Quota units."""
    words: str
    """What makes it the same request as another but for the seed."""


async def prepared(context: Context, subject: Subject, asked: Asked, pool: Pool, model: CatalogModel) -> Draft:
    """Check ``asked`` and find out what it needs.

    :raises InvalidInput: naming the field and the cure.
    """
    body = asked.body
    scoped_key = scope_idempotency_key(asked.idempotency_key, subject)
    if body.image is not None and asked.upload is not None:
        raise InvalidInput("send one image: the file, or the field", param="image")
    # One from the ring is known only when the units have been taken.
    seed = context.draw_seed() if body.seed == "random" else body.seed or 0
    request = resolve(body, model, seed=seed, has_image=body.image is not None or asked.upload is not None)
    image = await context.inputs.find(body.image) if body.image is not None else asked.upload
    measured = pool.capacity(model).seconds_per_megapixel_step
    work = expected_work(request, measured or model.seconds_per_megapixel_step)
    units = price(request, model.defaults, model.quota_units)
    words = words_digest(request, pool.engine, image)
    job = f"{pool.ref.short_id}-{context.new_token()}"
    same = fingerprint(body, asked.upload) if scoped_key is not None else None
    return Draft(pool, model, job, request, image, scoped_key, same, work, units, words)


def scope_idempotency_key(key: str | None, subject: Subject) -> str | None:
    """The key within its subject's own space.

    Those whom nothing tells apart, such as two without cookies behind one address, share a space: there, who knows both
    key and body of another's request is given its job.

    :raises InvalidInput: empty, too long, or not printable ASCII.
    """
    if key is None:
        return None
    if not 1 <= len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput(f"an Idempotency-Key is 1 to {_MAX_KEY} printable ASCII characters", param="Idempotency-Key")
    return hashlib.sha256(f"{subject.repeats}\n{key}".encode()).hexdigest()


def fingerprint(body: JobBody, upload: bytes | None) -> str:
    """What makes two requests the same request: the fields as sent, in any order, and the file's bytes."""
    sent = canonical_json(body.model_dump(mode="json", by_alias=True, exclude_unset=True))
    file = hashlib.sha256(upload).hexdigest() if upload is not None else ""
    return hashlib.sha256(f"{sent}\n{file}".encode()).hexdigest()
