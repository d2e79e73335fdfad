"""What the agent refuses, as answers of its API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portway.agent.registration import RegistrationError
from portway.agent.registry import UnknownCheckError, UnknownServiceError
from portway.discovery.api.error import ApiError, not_found
from portway.discovery.checks import CheckError, CheckRefusedError


@contextmanager
def refusals() -> Iterator[None]:
    """Errors of the agent become answers with the documented status."""
    try:
        yield
    except RegistrationError as error:
        raise ApiError(error.status, str(error)) from None
    except (UnknownServiceError, UnknownCheckError) as error:
        raise not_found(str(error)) from None
    except (CheckRefusedError, CheckError) as error:
        raise ApiError(500, str(error)) from None
    except OSError as error:
        raise ApiError(500, f"cannot be kept in the data directory: {error.strerror}") from None
