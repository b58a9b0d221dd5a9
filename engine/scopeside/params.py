"""What every table of parameters is built from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


class Params(BaseModel):
    """Base of all parameters: frozen, checked, unknown names and NaN refused.

    Say what a field means, with its unit, in ``Field(description=...)``:
    ``scopeside list`` shows it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


def _beside_the_pipeline_file(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("folder")
    path = path.expanduser()
    return path if base is None or path.is_absolute() else Path(base) / path


LocalPath = Annotated[Path, AfterValidator(_beside_the_pipeline_file)]
"""A path; a relative one is taken from the folder of the pipeline file."""
