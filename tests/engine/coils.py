"""An instrument that is never opened: its kind stands in pipeline files of tests."""

from scopeside.params import Params as Base


class Coils:
    """Could shift the image."""

    class Params(Base):
        """Nothing."""

    actions = frozenset({"set_image_shift"})

    def __init__(self, params):
        del params

    def check(self):
        return []

    def open(self):
        raise AssertionError("only the guard opens an instrument")

    def close(self):
        raise AssertionError("only the guard opens an instrument")

    def read(self):
        raise AssertionError("only the guard opens an instrument")

    def act(self, call):
        raise AssertionError(call)
