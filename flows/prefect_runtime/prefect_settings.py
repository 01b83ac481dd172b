"""Prefect's settings in environment, profiles and files, checked before Prefect is used."""

import io
import os
import warnings
from contextlib import redirect_stderr

from pydantic import ValidationError

from federated.foundation.errors import BadInput


def require_settings() -> None:
    """Import Prefect, which reads them. Raises BadInput, in a line, where it cannot."""
    said = io.StringIO()
    try:
        with redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the error says it
            from prefect.settings import get_current_settings

            get_current_settings()
    except ValidationError as error:
        raise BadInput(_complaint(error)) from error
    except (ValueError, OSError) as error:
        raise BadInput(
            f"Prefect cannot read its settings (profiles.toml in PREFECT_HOME, or ~/.prefect): {error}"
        ) from error


def _complaint(error: ValidationError) -> str:
    """The error in the first invalid setting, by the variables that state it; a value may be a secret."""
    first = error.errors(include_url=False)[0]
    field = "_".join(map(str, first["loc"])).upper()
    stated = [
        name
        for name, value in os.environ.items()
        if name.startswith("PREFECT_") and name.endswith(field) and value == str(first["input"])
    ]
    name = " or ".join(stated) or f"the setting {'.'.join(map(str, first['loc']))} of Prefect"
    return f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}"
