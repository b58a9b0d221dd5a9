"""The SIMPLON interface (API 1.8) of one detector: state, configuration, commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from scopeside.errors import SourceError
from scopeside_adapters.dectris.images import MOST_PIXELS
from scopeside_adapters.rest import RestApi, RestError

_USUAL_VERSION = "1.8.0"
_INITIALIZE_S = 180.0
"""`initialize` may take two minutes."""
_SERIES_NAMES = ("sequence id", "sequence_id", "series id", "series_id")
_READ = ("description", "trigger_mode", "nimages", "ntrigger", "frame_time")


class Simplon:
    """Speaks to one detector.

    Raises, in every method, `RestError` if it does not answer, or refuses.
    """

    def __init__(self, host: str, port: int, name: str, timeout_s: float) -> None:
        self.name = f"{name}:{port}"
        self._api = RestApi(f"http://{host}:{port}", self.name, timeout_s)
        self._timeout_s = timeout_s
        self._version = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    # -- reading -------------------------------------------------------------------

    def value(self, module: str, task: str, key: str) -> Any:
        """Return a value, such as ``value("detector", "status", "state")``."""
        return _value(self._api.get(self._url(module, task, key)))

    def state(self) -> str:
        """Return idle, ready, acquire, na, error …; empty if it does not tell."""
        try:
            return str(self.value("detector", "status", "state"))
        except RestError as error:
            _raise_unless_refused(error)
            return ""  # some doubles have no state

    def dropped(self) -> int | None:
        """Return how many images the detector has dropped; None if it cannot tell."""
        try:
            value = self.value("stream", "status", "dropped")
        except RestError as error:
            _raise_unless_refused(error)
            return None
        return value if type(value) is int and value >= 0 else None

    def described(self) -> dict[str, Any]:
        """Return what the detector is set to, as far as it tells."""
        said = {}
        for key in _READ:
            try:
                said[key] = self.value("detector", "config", key)
            except RestError as error:
                _raise_unless_refused(error)
        return said

    def problems_with_stream(self, version: str) -> list[str]:
        """Return what keeps a listener from getting a stream of that version."""
        wanted = {"mode": "enabled", "format": "legacy" if version == "v1" else "cbor"}
        problems = []
        for key, value in wanted.items():
            try:
                found = self.value("stream", "config", key)
            except RestError as error:
                _raise_unless_refused(error)
                continue  # older firmware has no format
            if found != value:
                problems.append(
                    f"the stream of {self.name} has {key} = {found!r}; stream = "
                    f'"{version}" needs {value!r}'
                )
        return problems

    def frame_bytes(self) -> int | None:
        """Return the size of an image of the whole detector, None if unknown."""
        try:
            sides = [
                int(self.value("detector", "config", f"{axis}_pixels_in_detector"))
                for axis in "xy"
            ]
            bits = int(self.value("detector", "config", "bit_depth_image"))
        except (RestError, TypeError, ValueError, OverflowError):
            return None
        if not all(0 < side <= MOST_PIXELS for side in sides) or bits not in (
            8,
            16,
            32,
        ):
            return None
        return sides[0] * sides[1] * bits // 8

    # -- commanding ------------------------------------------------------------------

    def make_ready(self, *, initialize: bool) -> None:
        """See that the detector is idle.

        Raises
        ------
        SourceError
            If it is not initialised, or faulty, and must not be initialised.
        """
        state = self.state()
        if state in ("na", "error"):
            if not initialize:
                raise SourceError(self._why_not(state))
            self.command("initialize", timeout_s=_INITIALIZE_S)
            state = self.state()
            if state in ("na", "error"):
                raise SourceError(
                    f"{self.name} is in state '{state}' after it was initialised; "
                    "look at its web interface"
                )
        elif state not in ("", "idle"):
            self.command("disarm")

    def _why_not(self, state: str) -> str:
        if state == "na":
            return (
                f"{self.name} is not initialised (state 'na'): do it in its web "
                "interface, or set initialize = true, which resets its configuration"
            )
        try:
            faulty = self.value("detector", "status", "error")
        except RestError:
            faulty = "it does not say what"
        return (
            f"{self.name} is in state 'error' ({faulty}): see to it, or set "
            "initialize = true, which resets its configuration"
        )

    def set_stream(self, version: str, header_detail: str) -> None:
        """Switch the stream on, in the format of that version."""
        self._set("stream", "mode", "enabled")
        wanted = "legacy" if version == "v1" else "cbor"
        try:
            self._set("stream", "format", wanted)
        except SourceError as error:
            if version == "v2":
                raise SourceError(
                    f"{error}; firmware before 2022.1 has no stream V2: set "
                    'stream = "v1"'
                ) from error
        self._set("stream", "header_detail", header_detail)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Set keys of the detector module, in the order given."""
        for key, value in settings.items():
            if key == "compression" and value == "none" and not self._knows_none():
                # Documented firmware has no such value: the file writer's switch
                # holds for the stream as well.
                self._set("filewriter", "compression_enabled", False)
            else:
                self._set("detector", key, value)

    def _knows_none(self) -> bool:
        said = self._api.get(self._url("detector", "config", "compression"))
        allowed = said.get("allowed_values") if isinstance(said, Mapping) else None
        return isinstance(allowed, list) and "none" in allowed

    def _set(self, module: str, key: str, value: Any) -> None:
        url = self._url(module, "config", key)
        try:
            self._api.put(url, {"value": value})
        except RestError as error:
            if error.status is None:
                raise
            if error.status == 404:
                raise SourceError(
                    f"{self.name} has no setting '{key}': this model or firmware does "
                    "not know it, leave it out"
                ) from error
            raise SourceError(
                f"{self.name} refuses {key} = {value!r}: {error.text or error.status}"
                f"{self._allowed(url)}"
            ) from error

    def _allowed(self, url: str) -> str:
        try:
            said = self._api.get(url)
        except RestError:
            return ""
        if not isinstance(said, Mapping):
            return ""
        named = {"allowed_values": "allowed", "min": "least", "max": "most"}
        found = [f"{ours}: {said[key]}" for key, ours in named.items() if key in said]
        return f" ({', '.join(found)})" if found else ""

    def arm(self) -> int | None:
        """Arm; return the series that it names, None if it names none."""
        said = self.command("arm", timeout_s=max(self._timeout_s, 60.0))
        for name in _SERIES_NAMES:
            if isinstance(said, Mapping) and type(said.get(name)) is int:
                return int(said[name])
        return None

    def trigger(self, exposure_s: float | None, timeout_s: float) -> None:
        """Start an exposure and wait until it is over."""
        body = {} if exposure_s is None else {"value": exposure_s}
        url = self._url("detector", "command", "trigger")
        self._api.put(url, body, timeout_s=timeout_s)

    def command(self, name: str, *, timeout_s: float | None = None) -> Any:
        """Give a command without a value and return the answer."""
        url = self._url("detector", "command", name)
        return self._api.put(url, {}, timeout_s=timeout_s)

    def _url(self, module: str, task: str, key: str) -> str:
        if not self._version:
            self._version = self._ask_version()
        return f"/{module}/api/{self._version}/{task}/{key}"

    def _ask_version(self) -> str:
        for path in ("/detector/api/version", "/detector/api/version/"):
            try:
                version = _value(self._api.get(path))
            except RestError as error:
                _raise_unless_refused(error)
                continue
            if isinstance(version, str) and version[:1].isdigit() and len(version) < 16:
                return version
        return _USUAL_VERSION  # some doubles do not tell


def _value(said: Any) -> Any:
    """Return what stands under ``value``."""
    return said.get("value") if isinstance(said, Mapping) else said


def _raise_unless_refused(error: RestError) -> None:
    """Raise unless a detector has answered that it has no such key.

    A redirection counts as such: some doubles want a slash at the end.
    """
    if error.status is None or error.status < 300:
        raise error
