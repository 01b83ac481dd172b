"""The meaning of MLflow's errors: a conflict, an unreachable or damaged store, or a refusal."""

from __future__ import annotations

import builtins
import errno
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import gaierror
from ssl import SSLError
from typing import TypeVar

from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException, RestException
from mlflow.protos.databricks_pb2 import ErrorCode
from requests import RequestException, Response
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,
)

from federated.foundation.errors import BadInput
from federated.foundation.masking import masked
from federated.machine.servers import MLFLOW, chain, unusable
from tasks.tracking.server.cause import Cause

T = TypeVar("T")

_SECONDS_BEFORE_TRYING_AGAIN = (0.0, 0.05, 0.2, 0.5, 1.0)
_CONFLICTS = ("RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT")
# SQLite, PostgreSQL and MySQL of a row that is there already; SQLAlchemy of one that another transaction changed.
_DATABASES_SAY = ("UNIQUE constraint failed", "duplicate key value", "Duplicate entry", "StaleDataError")

_NOT_ITS_OWN = re.compile(r"failed with error code \d+ != |response body was not in a valid JSON format")
"""What MLflow says of an answer that is not its own, such as a proxy's."""

_ANSWERED = re.compile(r"failed with error code (\d+) != \d+\.(?: Response body: '(.*)')?", re.DOTALL)
_NOT_LET_IN = (401, 403, 407)

_DAMAGED = re.compile(r"\(\w+\.(DatabaseError|InternalError)\)|out-of-date database schema")
"""What a server passes on, as an error of the request, of a database that is damaged or of another version."""

_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT)

_LATER = frozenset({401, 403, 407, 408, 425, 429})
"""Beside 500 and above: answers to the same request that may change. Who it comes from can be put right."""


def tried_again(call: Callable[[], T]) -> T:
    """The result of the call, which is repeated where another process wrote the same at the same time."""
    for seconds in _SECONDS_BEFORE_TRYING_AGAIN:
        try:
            return call()
        except MlflowException as error:
            if not is_conflict(error):
                raise
            time.sleep(seconds)
    return call()


def found(search: Callable[[], list[T]]) -> list[T]:
    """The results of the search; nothing where the store is away."""
    try:
        return search()
    except Exception as error:
        if not is_away(error):
            raise
        return []


@contextmanager
def answered(address: str) -> Iterator[None]:
    """Raise BadInput, with the address, where the store goes away while the block reads from it."""
    try:
        yield
    except Exception as error:
        if not is_away(error):
            raise
        if refusal(error) is not None:
            raise BadInput(complaint(address, error)) from error
        raise BadInput(
            f"MLflow at {address} does not answer any more ({reason(error)}); start it, or change {MLFLOW.address}, "
            "and try again"
        ) from error


def is_conflict(error: MlflowException) -> bool:
    """Whether another process made the same object first. Servers pass on their database's words."""
    return error.error_code in _CONFLICTS or any(words in str(error) for words in _DATABASES_SAY)


def is_away(error: BaseException) -> bool:
    """Whether the store cannot be reached, cannot write, is damaged, or something else answers in its place: the same
    call may succeed later, perhaps after a repair.
    """
    return any(_says_later(each) for each in chain(error))


def is_gone(error: BaseException) -> bool:
    """Whether the run or experiment of the call was deleted from MLflow."""
    return any(
        isinstance(each, MlflowException)
        and (each.error_code == "RESOURCE_DOES_NOT_EXIST" or "must be in the 'active' state" in str(each))
        for each in chain(error)
    )


def cause_of(error: Exception, answers: Callable[[], bool]) -> Cause:
    """The cause of a failed delivery: MLflow is away, or the record itself is at fault.

    answers: whether MLflow answers another question now.
    """
    if not is_away(error) or _is_of_a_file(error):
        return Cause.ITS_OWN
    if _is_of_a_database(error) or not answers():
        return Cause.AWAY
    answer = next((each for each in map(_answer, chain(error)) if each is not None), None)
    lasts = answer is not None and 400 <= answer[0] < 500 and not _may_change(answer[0])
    return Cause.ITS_OWN if lasts else Cause.PERHAPS_ITS_OWN


def _is_of_a_file(error: Exception) -> bool:
    """Whether a file here cannot be read or written, though there is space: MLflow has nothing to do with it."""
    later = [each for each in chain(error) if _says_later(each)]
    return all(
        isinstance(each, OSError)
        and not isinstance(
            each, RequestException | ConnectionError | builtins.TimeoutError | gaierror | SSLError
        )
        and each.errno not in _OF_A_DISK
        for each in later
    )


def _is_of_a_database(error: Exception) -> bool:
    return any(
        isinstance(each, SQLAlchemyError)
        or (isinstance(each, OSError) and each.errno in _OF_A_DISK)
        or _DAMAGED.search(str(each))
        for each in chain(error)
    )


def complaint(address: str, error: BaseException) -> str:
    """In a line without secrets: that the store refuses us, with the variables that say who we are; or that it is away,
    and why.
    """
    refused = refusal(error)
    if refused is None:
        return f"MLflow at {address} does not answer ({reason(error)})"
    return masked(unusable(MLFLOW, address, *refused))


def refusal(error: BaseException) -> tuple[int, str] | None:
    """Status and body of the answer where the store did not let us in, or not do this; else None."""
    answers = (_answer(each) for each in chain(error))
    return next((answer for answer in answers if answer is not None and answer[0] in _NOT_LET_IN), None)


def reason(error: BaseException) -> str:
    """The innermost cause of an error, in a line that holds no secret."""
    said = masked(str([*chain(error)][-1])).strip() or type(error).__name__
    return said.partition("\n")[0].partition("(Caused by ")[2].rstrip(")") or said.partition("\n")[0]


def _answer(error: BaseException) -> tuple[int, str] | None:
    """Status and body, from whichever error MLflow makes of them."""
    if isinstance(error, RequestException) and error.response is not None:
        return error.response.status_code, error.response.text
    if isinstance(error, RestException):
        return ERROR_CODE_TO_HTTP_STATUS.get(error.error_code, 500), json.dumps(error.json)
    found = _ANSWERED.search(str(error)) if isinstance(error, MlflowException) else None
    return None if found is None else (int(found[1]), found[2] or "")


def _says_later(error: BaseException) -> bool:
    if isinstance(error, RequestException):
        answer = error.response
        return answer is None or not _is_its_own(answer) or _may_change(answer.status_code)
    if isinstance(error, MlflowException) and _DAMAGED.search(str(error)):
        return True
    if isinstance(error, RestException):
        return not _has_a_code(error.json) or _may_change(
            ERROR_CODE_TO_HTTP_STATUS.get(error.error_code, 500)
        )
    if isinstance(error, MlflowException):  # a client's own checks have no cause, or one that says more
        return error.error_code == "TEMPORARILY_UNAVAILABLE" or bool(_NOT_ITS_OWN.search(str(error)))
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, OperationalError | InterfaceError | InternalError | TimeoutError):
        return True
    if type(error) is DatabaseError:  # nothing more special: how SQLite says that a file is damaged
        return True
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def _is_its_own(answer: Response) -> bool:
    """Whether MLflow itself answered: with JSON that has a code of its errors."""
    try:
        return _has_a_code(answer.json())
    except ValueError:
        return False


def _has_a_code(content: object) -> bool:
    return isinstance(content, dict) and content.get("error_code") in ErrorCode.keys()  # noqa: SIM118


def _may_change(status: int) -> bool:
    return status >= 500 or status in _LATER
