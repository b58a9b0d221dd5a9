"""An ONNX network that a user brings, run on frames of any size.

Two kinds are understood: those that give a map of probabilities (U-Net), and those
that give boxes (YOLO). onnxruntime (extra ``ml``) runs them, on one thread of the CPU,
so that the same frame always gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.errors import ConfigError, MissingExtraError, ShapeError
from scopeside.params import LocalPath, Params

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

MAP, BOXES = "map", "boxes"
STRIDE = 32
"""Sizes that networks of halvings take are multiples of it, px."""
_TILE = 1024
"""Side of a tile where the network takes any size, px."""
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_CHANNELS = (1, 2, 3, 4)


class ModelParams(Params):
    """Which network, and how frames are given to it."""

    path: LocalPath
    """The ONNX file."""
    normalise: Literal["standard", "mean", "none"] = "standard"
    """Pixels of a frame: less their mean, over their deviation; over their mean; as
    they are."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor after that, such as 1/255 with ``none``."""
    score: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which on something is there."""
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.45
    """Boxes that share more than this part of their union are one (YOLO)."""
    classes: list[int] | None = None
    """Numbers of the classes that count; none: all (YOLO)."""
    activation: Literal["auto", "none", "sigmoid", "softmax"] = "auto"
    """What makes probabilities of the map (U-Net); auto: none if it lies in 0 to 1,
    else sigmoid of one channel and softmax of two."""


class Tile(NamedTuple):
    """What the network says of a part of the frame.

    Attributes
    ----------
    row, column
        Where the part begins, px; it may reach beyond the frame.
    size
        (height, width), px.
    output
        (channels, h, w) of a map, or a matrix of boxes; float32.
    """

    row: int
    column: int
    size: tuple[int, int]
    output: FloatArray


class OnnxModel:
    """A network, ready to be run.

    Parameters
    ----------
    params
        With the path of the file.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    ConfigError
        If the file is no network, or none that is understood; it says what was found.
    """

    def __init__(self, params: ModelParams) -> None:
        self.params = params
        self._session = _session(params)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ConfigError(
                f"{params.path.name} has {len(inputs)} inputs; a network for frames "
                "has one, (1, channels, height, width)"
            )
        self._input = inputs[0].name
        self._channels, self._size = _frame_of(inputs[0], params.path.name)
        self._dtype = _FLOATS[inputs[0].type]
        self._output, self.kind = _output_of(
            self._session.get_outputs(), params.path.name
        )

    def run(self, frame: Array) -> Iterator[Tile]:
        """Yield what the network says of `frame` (height, width), tile by tile.

        Raises
        ------
        ShapeError
            If `frame` has not two dimensions.
        ValueError
            If the network gives a number that is none.
        """
        if frame.ndim != 2:
            raise ShapeError(f"a frame is (height, width), not {frame.shape}")
        pixels = _normalised(frame, self.params)
        size = self._size or _tile_for(frame.shape)
        for row in _starts(frame.shape[0], size[0]):
            for column in _starts(frame.shape[1], size[1]):
                part = pixels[row : row + size[0], column : column + size[1]]
                yield Tile(row, column, size, self._of_part(part, size))

    def _of_part(self, part: FloatArray, size: tuple[int, int]) -> FloatArray:
        below, beside = size[0] - part.shape[0], size[1] - part.shape[1]
        whole = np.pad(part, ((0, below), (0, beside)), mode="edge")
        batch = np.broadcast_to(whole, (1, self._channels, *size))
        fed = {self._input: np.ascontiguousarray(batch, self._dtype)}
        try:
            (found,) = self._session.run([self._output], fed)
        except Exception as error:  # the library's own kinds of error are not public
            raise ConfigError(
                f"{self.params.path.name} cannot take frames of {size} px: {error}"
            ) from error
        output = np.asarray(found, np.float32)
        if output.ndim != (4 if self.kind == MAP else 3) or len(output) != 1:
            raise ConfigError(
                f"{self.params.path.name} gave {output.shape} for one frame; expected "
                "(1, channels, height, width) or (1, boxes, values)"
            )
        if not np.isfinite(output).all():
            raise ValueError(f"{self.params.path.name} gave a number that is none")
        one: FloatArray = output[0]
        return one


def _session(params: ModelParams) -> Any:
    try:
        import onnxruntime  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise MissingExtraError("an ONNX model", "onnxruntime", "ml") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    if not params.path.is_file():
        raise ConfigError(f"model.path: there is no file {params.path}")
    try:
        return onnxruntime.InferenceSession(
            str(params.path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ConfigError(
            f"model.path: {params.path.name} is no ONNX network: {error}"
        ) from error


def _frame_of(given: Any, name: str) -> tuple[int, tuple[int, int] | None]:
    """Return the channels, and the (height, width) that a network takes, if fixed."""
    shape = list(given.shape)
    if len(shape) != 4 or given.type not in _FLOATS:
        raise ConfigError(
            f"{name} takes {given.type} of {shape}; expected float or float16 of "
            "(1, channels, height, width)"
        )
    count, channels, height, width = shape
    if isinstance(count, int) and count != 1:
        raise ConfigError(f"{name} takes {count} frames at a time; expected 1")
    channels = channels if isinstance(channels, int) else 1
    if channels not in _CHANNELS:
        raise ConfigError(f"{name} takes {channels} channels; expected 1 to 4")
    if isinstance(height, int) and isinstance(width, int):
        return channels, (height, width)
    return channels, None


def _output_of(outputs: list[Any], name: str) -> tuple[str, str]:
    """Return the output to use, and whether it is a map or boxes."""
    for output in outputs:
        shape = list(output.shape or [])
        if len(shape) == 4 and (not isinstance(shape[1], int) or shape[1] in (1, 2)):
            return output.name, MAP
        if len(shape) == 3:
            return output.name, BOXES
    found = ", ".join(f"{output.name} {output.shape}" for output in outputs)
    raise ConfigError(
        f"{name} gives {found}; expected a map (1, 1 or 2, height, width) or boxes "
        "(1, boxes, 5 + classes) or (1, 4 + classes, boxes)"
    )


def _normalised(frame: Array, params: ModelParams) -> FloatArray:
    pixels = frame.astype(np.float32)
    mean = float(pixels.mean(dtype=np.float64))
    if params.normalise == "standard":
        deviation = float(pixels.std(dtype=np.float64))
        pixels -= np.float32(mean)
        pixels *= np.float32(1 / deviation if deviation else 1.0)
    elif params.normalise == "mean":
        pixels *= np.float32(1 / mean if mean else 1.0)
    if params.scale != 1:
        pixels *= np.float32(params.scale)
    return pixels


def _tile_for(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the size of the tiles where any size will do."""
    height, width = (min(-(-n // STRIDE) * STRIDE, _TILE) for n in shape)
    return height, width


def _starts(length: int, size: int) -> list[int]:
    """Return where tiles begin: an eighth of each is the next one's too."""
    if length <= size:
        return [0]
    count = -(-(length - size) // (size - size // 8)) + 1
    return [round(k * (length - size) / (count - 1)) for k in range(count)]
