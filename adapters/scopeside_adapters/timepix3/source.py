"""The `timepix3` detector: events, or frames, of an ASI camera."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import Any, ClassVar

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink
from scopeside.errors import ProtocolError, ScopesideError, SourceError
from scopeside.scan import Scan
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.medipix_pixels import warm_all
from scopeside_adapters.timepix3.image_stream import ImageStream
from scopeside_adapters.timepix3.images import ImageFollows
from scopeside_adapters.timepix3.layout import (
    LAYOUTS,
    CameraLayout,
    layout_from_serval,
    layout_of,
)
from scopeside_adapters.timepix3.link import (
    accepted,
    connected,
    listening,
    problem_with,
)
from scopeside_adapters.timepix3.parameters import Timepix3Params
from scopeside_adapters.timepix3.protocol import Clusters, RawParser, check_first_word
from scopeside_adapters.timepix3.raw import RawStream
from scopeside_adapters.timepix3.scan import ScanPlan
from scopeside_adapters.timepix3.serval import Serval, Watch, with_ours
from scopeside_adapters.timepix3.tables import TICK_NS

_CONNECT_S = 10.0
_BOTH, _RISING = ["PN0123"], ["P0123"]


class Timepix3Detector:
    """Delivers what comes over a connection, or lies in a file."""

    Params: ClassVar[type[Timepix3Params]] = Timepix3Params

    def __init__(self, params: Timepix3Params, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings
        self.resumes = params.path is None
        self._serval = None if params.serval is None else Serval(params.serval)
        self._layout: CameraLayout | None = None

    def check(self) -> list[str]:
        """Return what would go wrong: the file, the port, Serval, the layout."""
        params, found = self._params, []
        try:
            if params.stream != "images":
                self._plan()
            if params.path is not None:
                with params.path.open("rb") as file:
                    check_first_word(file.read(8))
            elif params.connect is None and (problem := problem_with(params.listen)):
                found.append(f"listen: {params.listen}: {problem}")
            if self._serval is not None:
                self._serval.check_detector(images=params.stream == "images")
            self._find_layout()
        except ProtocolError as error:
            found.append(f"{params.path}: {error}")
        except OSError as error:
            found.append(f"path: {params.path}: {error.strerror}")
        except ScopesideError as error:
            found.append(str(error))
        return found

    def prepare(self) -> None:
        """Compile the kernels."""
        if self._params.stream == "images":
            warm_all()
        else:
            warm(cluster=self._params.cluster)

    def run(self, sink: Sink) -> None:
        """Take what comes until the engine is asked to end, or the file has ended."""
        params = self._params
        try:
            self._layout = self._find_layout()
            if params.path is not None:
                stream = self._raw(sink, params.path.name, live=params.paced)
                stream.play(params.path, paced=params.paced)
            elif params.connect is not None:
                while True:
                    with connected(params.connect, sink) as connection:
                        self._receive(connection, params.connect, sink)
            else:
                self._listen(sink)
        finally:
            if self._serval is not None:
                self._serval.close()

    # -- connections --------------------------------------------------------------

    def _listen(self, sink: Sink) -> None:
        """Take the connections of others, one after another."""
        params = self._params
        with listening(params.listen) as listener:
            host, port = listener.getsockname()[:2]
            sink.note(f"waiting for the detector at {host}:{port}")
            for number in count():
                if params.arm and 0 < params.measurements == number:
                    return
                here = f"{host}:{port}"
                with self._measurement(here) if params.arm else nullcontext():
                    connection, peer = accepted(
                        listener, sink, params.allowed,
                        within_s=_CONNECT_S if params.arm else None,
                    )  # fmt: skip
                    with connection:
                        self._receive(connection, f"detector at {peer}", sink)

    @contextmanager
    def _measurement(self, here: str) -> Iterator[None]:
        """Have Serval measure, and send it here; stop it in the end."""
        params, serval = self._params, self._serval
        assert serval is not None  # the parameters see to that
        images = params.stream == "images"
        serval.check_detector(images=images)
        rising_only = params.active_us or params.duty or params.signal == "pixel"
        tdc = _RISING if rising_only else _BOTH
        timing = {} if images else {"Tdc": tdc, "GlobalTimestampInterval": 1.0}
        serval.configure({**timing, **params.config})
        before = serval.destination()
        ours: dict[str, Any] = {"Base": f"tcp://connect@{params.advertise or here}"}
        if images:
            about = {"Format": params.image_format, "Mode": params.image_mode}
            ours |= about | params.image_channel
        else:
            ours |= {"FilePattern": "", "QueueSize": 16384}
        serval.send_to(with_ours(before, ours, "Image" if images else "Raw"))
        try:
            serval.start()
            yield
        finally:
            serval.stop()
            serval.send_to(before)

    def _receive(self, connection: socket.socket, name: str, sink: Sink) -> None:
        sink.note(f"connected with {name}")
        watch = None if self._serval is None else Watch(self._serval)
        try:
            self._stream(name, sink, watch).receive(connection)
        finally:
            if watch is not None:
                watch.stop()

    def _stream(self, name: str, sink: Sink, watch: Watch | None) -> Any:
        params = self._params
        if params.stream == "csr":
            from scopeside_adapters.timepix3.sparse import SparseStream  # noqa: PLC0415

            return SparseStream(
                sink, self._about_scan, name, params.max_message_mib << 20
            )
        if params.stream == "images":
            return ImageStream(
                sink,
                self._about_images,
                name,
                largest=params.max_message_mib << 20,
                threshold=params.threshold,
                silence_s=params.silence_s,
                look=lambda: None if watch is None else watch.tell(sink),
            )
        return self._raw(sink, name, watch=watch)

    # -- what is delivered --------------------------------------------------------

    def _raw(
        self, sink: Sink, name: str, *, live: bool = True, watch: Watch | None = None
    ) -> RawStream:
        params, layout = self._params, self._layout
        assert layout is not None  # run has found it
        clusters = None
        if params.cluster:
            window = max(1, round(params.cluster_window_ns / TICK_NS))
            clusters = Clusters(window, params.cluster_radius)
        plan = self._plan()
        parser = RawParser(layout, plan, value=params.value, clusters=clusters)
        return RawStream(
            parser,
            sink,
            lambda name: self._about(name, layout, plan),
            name,
            live=live,
            silence_s=params.silence_s,
            quiet_s=params.quiet_s,
            watch=watch,
        )

    def _about(self, name: str, layout: CameraLayout, plan: ScanPlan) -> Acquisition:
        scan = None if plan.signal == "none" else self._settings.scan_of()
        return self._acquisition(name, layout.shape, scan, plan.frames, {})

    def _about_scan(
        self,
        name: str,
        scan_shape: tuple[int, int],
        frame_shape: tuple[int, int],
        metadata: dict[str, Any],
    ) -> Acquisition:
        scan = self._settings.scan_of(scan_shape)
        frames = scan_shape[0] * scan_shape[1]
        if scan is not None and scan.frames != frames:
            raise ProtocolError(
                f"[acquisition] scan takes {scan.frames} frames, the detector sends "
                f"{list(scan_shape)}",
                cause="wrong_scan",
            )
        return self._acquisition(name, frame_shape, scan, frames, metadata)

    def _acquisition(
        self,
        name: str,
        shape: tuple[int, int],
        scan: Scan | None,
        frames: int | None,
        metadata: dict[str, Any],
    ) -> Acquisition:
        params = self._params
        dtype = np.uint16 if params.value == "count" else np.uint32
        return Acquisition(
            name,
            shape,
            np.dtype(dtype),
            kind="movie" if scan is None else "scan4d",
            frames=frames,
            scan=scan,
            calibration={} if scan is not None else {"frame_time_s": params.exposure_s},
            detector="Timepix3",
            started_ns=time.time_ns(),
            metadata=metadata,
            encoding=params.output,
        )

    def _about_images(self, name: str, image: ImageFollows) -> Acquisition:
        scan = self._settings.scan_of()
        return Acquisition(
            name,
            image.shape,
            image.dtype,
            kind="movie" if scan is None else "scan4d",
            frames=self._params.frames if scan is None else scan.frames,
            scan=scan,
            detector="Serval",
            started_ns=time.time_ns(),
            metadata=image.metadata,
        )

    def _plan(self) -> ScanPlan:
        """Return how times become positions.

        Raises
        ------
        SourceError
            If a scan is needed and there is none.
        """
        params, scan = self._params, self._settings.scan_of()
        signal = params.signal or ("none" if scan is None else "line")
        reorder_s = params.reorder_ms / 1e3
        if signal == "none":
            exposure = params.exposure_s
            return ScanPlan(
                signal,
                1,
                params.frames,
                period_s=exposure,
                active_s=exposure,
                reorder_s=reorder_s,
            )
        if scan is None:
            raise SourceError(
                f"signal = {signal!r} needs [acquisition] scan = [rows, columns]: the "
                "camera does not know the scan"
            )
        active = (params.active_us or 0.0) * 1e-6
        if signal == "frame" and params.duty and params.period_us:
            active = params.duty * params.period_us * 1e-6
        duty = params.duty or 0.0
        if signal == "pixel" and not active and not duty:
            duty = 1.0
        return ScanPlan(
            signal,
            scan.shape[1] + scan.flyback,
            scan.shape[0],
            tdc=params.tdc,
            invert=params.invert,
            frame_tdc=params.frame_tdc,
            period_s=(params.period_us or 0.0) * 1e-6,
            active_s=active,
            duty=0.0 if signal == "frame" else duty,
            counter_step=params.counter_step,
            delay_ns=params.delay_ns,
            reorder_s=reorder_s,
        )

    def _find_layout(self) -> CameraLayout:
        layout = self._params.layout
        if self._params.stream == "images":
            return LAYOUTS["single"]  # not used: images say their size
        if not isinstance(layout, str):
            return layout_of(layout)
        if layout != "auto":
            return LAYOUTS[layout]
        if self._serval is None:
            return LAYOUTS["single"]
        return layout_from_serval(self._serval.layout())


def warm(*, cluster: bool) -> None:
    """Compile (or load from the cache) the kernels of the raw stream."""
    from scopeside_adapters.timepix3.warm import warm_up  # noqa: PLC0415

    warm_up(cluster=cluster)
