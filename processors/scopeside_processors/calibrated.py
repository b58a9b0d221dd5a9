"""What an acquisition's table ``calibration`` says, checked against a model of it."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.params import Params

Positive = Annotated[float, Field(gt=0)]


def _both(value: Any) -> Any:
    return (value, value) if isinstance(value, int | float) else value


PositivePair = Annotated[tuple[Positive, Positive], BeforeValidator(_both)]
"""[y, x]; one number stands for both."""

Known = TypeVar("Known", bound=Params)


def known_of(acquisition: Acquisition, model: type[Known]) -> Known:
    """Return what is known of an acquisition, as `model` has it.

    Raises
    ------
    ConfigError
        If a value cannot be; the message names the key.
    """
    try:
        return model.model_validate(dict(acquisition.calibration))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"acquisition.calibration: {key}: {first['msg']}, not "
            f"{first['input']!r:.80}"
        ) from error
