"""The `dectris` detector: ARINA, QUADRO, SELUN, ELA, SINGLA and EIGER."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from scopeside.detector import Sink
from scopeside.errors import ScopesideError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.dectris import cbor, decode, series, stream1, stream2, transfer
from scopeside_adapters.dectris.armed import Armed
from scopeside_adapters.dectris.decode import Decoder
from scopeside_adapters.dectris.intake import Intake
from scopeside_adapters.dectris.parameters import DectrisParams
from scopeside_adapters.dectris.parcel import Parcel
from scopeside_adapters.dectris.receiver import Receiver
from scopeside_adapters.dectris.simplon import Simplon
from scopeside_adapters.dectris.watch import Watch

_QUEUE_BYTES = 256 << 20
_USUAL_QUEUE = 4096


class DectrisDetector:
    """Delivers the series of a detector, armed by us or by somebody else."""

    Params: ClassVar[type[DectrisParams]] = DectrisParams
    resumes = True
    """After a crash of the adapter the next series can be taken."""

    def __init__(self, params: DectrisParams, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings
        self._name = params.name

    def prepare(self) -> None:
        """Load the libraries and compile the loops, or find them compiled."""
        if self._params.stream == "v2":
            cbor.cbor_library()
        decode.load()
        transfer.load()
        series.load()
        self._reader().rows(Parcel.of([[b"", b"", b"", b""]]))

    def check(self) -> list[str]:
        """Ask the detector for its state and return what would go wrong."""
        try:
            self.prepare()
            return self._problems() if self._params.api_port else []
        except ScopesideError as error:
            return [str(error)]

    def _problems(self) -> list[str]:
        params = self._params
        with self._simplon() as simplon:
            problems = []
            state = simplon.state()
            if state in ("na", "error") and not params.initialize:
                problems.append(f"{simplon.name} is in state '{state}'")
            if not params.arm:
                problems += simplon.problems_with_stream(params.stream)
            return problems

    def run(self, sink: Sink) -> None:
        """Deliver series until the engine is asked to end."""
        self.prepare()
        if not self._params.api_port:
            self._listen(sink, None, None)
            return
        with self._simplon() as simplon, Watch(simplon) as watch:
            if self._params.arm:
                simplon.make_ready(initialize=self._params.initialize)
                with self._intake(sink, watch, simplon.frame_bytes()) as intake:
                    Armed(self._params, simplon, intake, sink).run()
            else:
                health = watch.now(self._params.api_timeout_s + 1.0)
                if health.trouble:
                    sink.note(f"{health.trouble}; only the stream is read")
                size = None if health.trouble else simplon.frame_bytes()
                self._listen(sink, watch, size)

    def _listen(self, sink: Sink, watch: Watch | None, frame_bytes: int | None) -> None:
        """Take series that somebody else arms."""
        params = self._params
        with self._intake(sink, watch, frame_bytes) as intake:
            sink.note(
                f"waiting for a series of {self._name}, stream {params.stream} at "
                f"{params.host}:{params.stream_port}"
            )
            while True:
                intake.step()

    def _simplon(self) -> Simplon:
        params = self._params
        return Simplon(params.host, params.api_port, self._name, params.api_timeout_s)

    def _reader(self) -> stream1.Reader | stream2.Reader:
        if self._params.stream == "v1":
            return stream1.Reader()
        return stream2.Reader(self._params.channel)

    @contextmanager
    def _intake(
        self, sink: Sink, watch: Watch | None, frame_bytes: int | None
    ) -> Iterator[Intake]:
        params = self._params
        queue = _USUAL_QUEUE
        if frame_bytes:
            queue = min(max(_QUEUE_BYTES // frame_bytes, 64), 100_000)
        with (
            Receiver(
                params.host,
                params.stream_port,
                pullers=params.pullers,
                io_threads=params.io_threads,
                rcvhwm=params.rcvhwm or queue,
                rcvbuf=params.rcvbuf_kib and params.rcvbuf_kib << 10,
                largest=params.max_message_mib << 20,
            ) as receiver,
            Decoder(params.decoders) as decoder,
        ):
            yield Intake(
                receiver,
                self._reader(),
                decoder,
                sink,
                settings=self._settings,
                watch=watch,
                name=self._name,
                silence_s=params.silence_s,
                packed=params.packed,
            )
