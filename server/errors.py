"""The exceptions that may leave server/, and nothing else may.

    PaperError
    ├── Invalid          the caller's input is wrong; the message says what would work       (400)
    │   ├── Unprocessable    a body or parameter of the wrong kind                           (422)
    │   └── ContextOverflow  the prompt does not fit the model's context                     (400)
    ├── Unauthorized     no key, or a wrong one                                              (401)
    ├── Forbidden        a name, path or origin that is not allowed                          (403)
    ├── NotFound         library, document, job                                              (404)
    │   └── ModelNotFound    no such model                                                   (404)
    ├── Conflict         it exists already, or is being changed by somebody else             (409)
    ├── Unreadable       a file that cannot be read; the message is the reason shown         (422)
    │   ├── Locked           it is encrypted, and no password that is known opens it         (422)
    │   └── Exceeded         it needs more time or memory than the settings allow            (422)
    ├── RateLimited      too many requests; `retry_after_s` says how long to rest            (429)
    ├── Cancelled        the user stopped it                                                 (499)
    ├── Unavailable      a part is down, starting or still fetching its model                (503)
    │   ├── StillLoading     a model is on its way; asking again helps                       (503)
    │   └── BackendFailed    a backend answered, but with an error                           (502)
    └── Corrupt          a file of a library is damaged and could not be repaired            (500)

Each class carries its HTTP status and the `type` and `code` that an OpenAI client expects.
"""

from __future__ import annotations

from typing import ClassVar


class PaperError(Exception):
    """Root of everything that server/ raises on purpose."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None


class Invalid(PaperError):
    """The caller's input is wrong."""

    status = 400
    type = "invalid_request_error"


class Unprocessable(Invalid):
    """A request body or parameter of the wrong kind."""

    status = 422


class ContextOverflow(Invalid):
    """The prompt does not fit the model's context."""

    code = "context_length_exceeded"


class Unauthorized(PaperError):
    """No key, or a wrong one."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(PaperError):
    """A name, path or origin that is not allowed."""

    status = 403
    type = "permission_error"


class NotFound(PaperError):
    """No such library, document, model or job."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """No such model."""

    code = "model_not_found"


class Conflict(PaperError):
    """It exists already, or somebody else is changing it."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class Unreadable(PaperError):
    """A file that cannot be read; the message is the reason that its owner is shown."""

    status = 422
    type = "invalid_request_error"
    code = "unreadable_file"


class Locked(Unreadable):
    """A file is encrypted, and no password that is known opens it."""


class Exceeded(Unreadable):
    """Reading it takes more time or memory than the settings allow."""


class RateLimited(PaperError):
    """Too many requests; rest `retry_after_s` seconds."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Cancelled(PaperError):
    """The user stopped it."""

    status = 499
    code = "cancelled"


class Unavailable(PaperError):
    """A part is down, starting, or still fetching its model."""

    status = 503
    code = "unavailable"


class StillLoading(Unavailable):
    """A model is on its way; asking again in a moment helps."""


class BackendFailed(Unavailable):
    """A backend answered, but with an error."""

    status = 502
    code = "backend_error"


class Corrupt(PaperError):
    """A file of a library is damaged and could not be repaired."""

    code = "corrupt"
