"""All errors of scopeside, by who can mend them.

ScopesideError
├── ConfigError              the pipeline file, a command-line option
│   ├── PluginError          a plug-in that is not there or cannot be loaded
│   ├── MissingExtraError    an optional library that is not installed
│   └── ChainRefusedError    a chain that cannot take this acquisition's frames
├── ShapeError               the caller: an array of the wrong shape or dtype
├── ProtocolError            the peer sent what its protocol does not allow
├── SourceError              the detector, its file or its link
│   └── SourceLostError      it went away in mid-acquisition
├── InstrumentError          the microscope or its control link: it did not do as asked
├── RefusedError             the guard, or who checks for it: this must not be done
├── AuditError               the audit log: not what was written, or cannot be written
├── RunError                 a recorded run: not what was written, or cannot be read
├── SlabError                this machine: shared memory is short
├── DeviceFailedError        this machine: a GPU is absent, or does not do its work
├── EngineError              a process of ours could not go on
└── EngineNotFoundError      the operator asked for an engine that is not running
"""

from __future__ import annotations


class ScopesideError(Exception):
    """Base of all errors that scopeside raises on purpose."""


class ConfigError(ScopesideError):
    """A setting cannot be used; the message names the key and what is allowed."""


class PluginError(ConfigError):
    """A detector or processor of that kind is not installed or does not load."""


class MissingExtraError(ConfigError):
    """A plug-in needs an optional library that is not installed."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(
            f"{what} needs {library}, which is not installed: "
            f"pip install 'scopeside[{extra}]'"
        )


class ChainRefusedError(ConfigError):
    """A processor cannot work on the frames of this acquisition."""


class ShapeError(ScopesideError, ValueError):
    """An array has a shape or dtype that the function does not take."""


class ProtocolError(ScopesideError):
    """A peer sent what its protocol does not allow.

    Attributes
    ----------
    cause
        One word for the ledger, such as ``wrong_magic`` or ``oversized``.
    """

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class SourceError(ScopesideError):
    """A detector or file cannot deliver what was asked of it."""


class SourceLostError(SourceError):
    """A detector or file ended or fell silent in mid-acquisition."""


class InstrumentError(ScopesideError):
    """A microscope did not do what it was asked, or did not answer."""


class RefusedError(ScopesideError):
    """A command or proposal must not be carried out.

    Attributes
    ----------
    cause
        One word for the account, such as ``not_finite`` or ``expired``.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class AuditError(ScopesideError):
    """An audit log is not what was written, or cannot be written."""


class RunError(ScopesideError):
    """A recorded run is not what was written, or is not there."""


class SlabError(ScopesideError):
    """Shared memory is too small for what was asked of it."""


class DeviceFailedError(ScopesideError):
    """A GPU is absent or has failed; the CPU can do the same work."""


class EngineError(ScopesideError):
    """A process of the engine cannot go on."""


class EngineNotFoundError(ScopesideError):
    """No running engine answers to what the operator asked for."""
