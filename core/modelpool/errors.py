"""Every error that modelpool raises on purpose.

::

    ModelpoolError
    ├── InvalidInput            400/422  the caller can mend it; names the field
    │   ├── InvalidSpec                  a ModelPool that cannot work; names the field and the cure
    │   ├── IdempotencyConflict 422      the same Idempotency-Key with another body
    │   ├── BodyTooLarge        413      more bytes than the API takes
    │   ├── BodyTooSlow         408      a body that does not come to its end
    │   └── HeadersTooLarge     431      a longer head than the API reads
    ├── Unauthenticated         401      credentials that nobody here has issued
    ├── Forbidden               403      this is not open here, or not to this caller
    ├── NotFound                404
    │   ├── JobNotFound
    │   ├── ModelNotFound
    │   └── ResultNotFound
    ├── JobIsFinal              409      a job that ended cannot be cancelled
    ├── LimitReached            429      more than one's share; carries retry_after seconds
    │   ├── QuotaExceeded                today's allowance is used up
    │   ├── TooManyRequests              too many at one moment
    │   └── UnusualUse                   a pattern that no person has; an account helps
    ├── Overloaded              503      come back later; carries retry_after seconds
    ├── Unavailable             503      something we depend on is away
    │   ├── QueueUnavailable             Redis cannot be reached, or refuses writes
    │   └── StoreUnavailable             the result store cannot be reached
    ├── StaleEpoch                       a newer operator has taken over; stop writing
    └── EngineError                      a model could not be loaded or run
        ├── ModelLoadFailed              missing or corrupt files, unknown pipeline, larger than the slot
        ├── UnusableJob                  no retry can mend it (a broken input image, an unsupported parameter)
        ├── OutOfMemory                  the device or the host ran out of memory
        └── DeviceFailed                 the device is in an undefined state; the worker must be restarted

One error serves HTTP, the command line and the operator alike: ``code`` is a stable machine word, ``status`` the HTTP
status, ``str(error)`` a sentence that says what to do next.
"""

from __future__ import annotations


class ModelpoolError(Exception):
    """Root of the tree. ``code`` and ``status`` belong to the class; ``param`` names the input at fault, if any."""

    code: str = "internal_error"
    status: int = 500
    title: str = "Internal error"

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class InvalidInput(ModelpoolError):
    """The caller sent something that cannot work and can mend it."""

    code = "invalid_request"
    status = 422
    title = "Invalid request"


class InvalidSpec(InvalidInput):
    """A ModelPool that cannot work. The message names the field and the cure."""

    code = "invalid_spec"
    title = "Invalid ModelPool"


class IdempotencyConflict(InvalidInput):
    """The same Idempotency-Key came with another request body."""

    code = "idempotency_key_reused"
    title = "Idempotency-Key reused"


class BodyTooLarge(InvalidInput):
    """The request has more bytes than the API takes."""

    code = "body_too_large"
    status = 413
    title = "Content too large"


class BodyTooSlow(InvalidInput):
    """The request's body did not come in the time that it may take."""

    code = "body_too_slow"
    status = 408
    title = "Request timeout"


class HeadersTooLarge(InvalidInput):
    """The request's line and headers have more bytes than the API reads."""

    code = "headers_too_large"
    status = 431
    title = "Header fields too large"


class Unauthenticated(ModelpoolError):
    """The request carries credentials that nobody here has issued."""

    code = "unauthenticated"
    status = 401
    title = "Unauthenticated"


class Forbidden(ModelpoolError):
    """This is not open here, or not to this caller."""

    code = "forbidden"
    status = 403
    title = "Forbidden"


class NotFound(ModelpoolError):
    """The thing asked for does not exist, or not any more."""

    code = "not_found"
    status = 404
    title = "Not found"


class JobNotFound(NotFound):
    """No job with this id: it never existed, or its record has expired."""

    code = "job_not_found"
    title = "Job not found"


class ModelNotFound(NotFound):
    """No pool offers a model of this name."""

    code = "model_not_found"
    title = "Model not found"


class ResultNotFound(NotFound):
    """The result never existed, or its life is over."""

    code = "result_not_found"
    title = "Result not found"


class JobIsFinal(ModelpoolError):
    """The job has reached a final state; it can no longer be cancelled."""

    code = "job_is_final"
    status = 409
    title = "Job already ended"


class LimitReached(ModelpoolError):
    """More was asked for than one's share. Nothing was charged."""

    code = "limit_reached"
    status = 429
    title = "Too many requests"


class QuotaExceeded(LimitReached):
    """Today's allowance does not cover this request; it is new at midnight UTC."""

    code = "quota_exceeded"
    title = "Quota exceeded"


class TooManyRequests(LimitReached):
    """Too many requests at one moment."""

    code = "too_many_requests"


class UnusualUse(LimitReached):
    """The requests follow a pattern that no person has; an account helps."""

    code = "unusual_use"
    title = "Abnormal usage detected"


class Overloaded(ModelpoolError):
    """More work is queued than the pool can promise to do in time."""

    code = "overloaded"
    status = 503
    title = "Temporarily reduced capacity"


class Unavailable(ModelpoolError):
    """Something modelpool depends on is away; nothing was charged."""

    code = "unavailable"
    status = 503
    title = "Service unavailable"


class QueueUnavailable(Unavailable):
    """Redis cannot be reached or refuses writes."""

    code = "queue_unavailable"


class StoreUnavailable(Unavailable):
    """The result store cannot be reached."""

    code = "store_unavailable"


class StaleEpoch(ModelpoolError):
    """A write carried an epoch older than the one on record: a newer operator instance is in charge."""

    code = "stale_epoch"
    status = 409
    title = "Stale epoch"


class EngineError(ModelpoolError):
    """A model could not be loaded or run; the job may be tried again."""

    code = "engine_error"
    title = "Generation failed"


class ModelLoadFailed(EngineError):
    """The model's files are missing, corrupt or unsupported, or the model does not fit its slot."""

    code = "model_load_failed"


class UnusableJob(EngineError):
    """This job fails wherever it runs: no retry is made."""

    code = "unusable_job"
    status = 422


class OutOfMemory(EngineError):
    """The device or the host ran out of memory at this batch size."""

    code = "out_of_memory"


class DeviceFailed(EngineError):
    """The device is in an undefined state (Xid, CUDA assert): release the leases and restart the worker."""

    code = "device_failed"
