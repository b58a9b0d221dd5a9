"""The same images on a page by Panel and Bokeh; prints its address.

As simple and as quick as Panel allows: each image is narrowed once for all tabs as our
page does it, and given to the document of each tab in its next turn.
"""

from __future__ import annotations

import threading

import numpy as np

from scopeside.dashboard.picture import narrowed
from scopeside.dashboard.shelf import key_of
from scopeside.result import Result
from scopeside.subscribe import subscribe

try:
    import panel
    from bokeh.models import ColumnDataSource, CustomJS, LinearColorMapper
    from bokeh.plotting import figure
except ImportError as error:
    raise SystemExit("to compare with Panel: pip install panel") from error

KEYS = ("stem.virtual.adf", "stem.virtual.bf")
WIDTH_PX = 420

# In the very frame in which Bokeh paints; if it takes one more, that is not counted.
NOTE = """
const t_frame_ms = source.data.t[0];
if (t_frame_ms > 0) {
  requestAnimationFrame(() =>
    window.paints.push({ key, number: 0, t_frame_ms, t_painted_ms: Date.now() }));
}
"""


class Tab:
    """The document of one tab."""

    def __init__(self, tabs: list[Tab]) -> None:
        self.document = panel.state.curdoc
        self._sources = {}
        self.figures = []
        for key in KEYS:
            source = ColumnDataSource({"image": [np.zeros((2, 2))], "t": [0.0]})
            plot = figure(width=WIDTH_PX, height=WIDTH_PX, title=key)
            plot.image(
                image="image", x=0, y=0, dw=256, dh=256, source=source,
                color_mapper=LinearColorMapper("Greys256"),
            )  # fmt: skip
            told = CustomJS(args={"source": source, "key": key}, code=NOTE)
            source.js_on_change("data", told)
            self._sources[key] = source
            self.figures.append(plot)
        tabs.append(self)
        self.document.on_session_destroyed(lambda _context: tabs.remove(self))

    def hear(self, key: str, image: np.ndarray, t_frame_ms: float) -> None:
        """Take a new version; called by the thread that hears them."""
        source = self._sources[key]

        def update() -> None:
            source.data = {"image": [image], "t": [t_frame_ms]}

        self.document.add_next_tick_callback(update)


def listen(tabs: list[Tab]) -> None:
    """Give every tab what the engine publishes ten times a second."""
    with subscribe(paced=True) as results:
        for result in results:
            if isinstance(result, Result) and key_of(result) in KEYS:
                image = narrowed(np.asarray(result.data), result.mask)[0]
                for tab in list(tabs):
                    tab.hear(key_of(result), image, result.meta["t_frame_ns"] / 1e6)


def main() -> None:
    """Serve until SIGTERM."""
    tabs: list[Tab] = []

    def page() -> panel.Row:
        return panel.Row(*Tab(tabs).figures)

    served = panel.serve(page, port=0, show=False, start=False, verbose=False)
    threading.Thread(target=listen, args=(tabs,), daemon=True).start()
    served.start()
    print(f"http://localhost:{served.port}", flush=True)
    served.io_loop.start()


if __name__ == "__main__":
    main()
