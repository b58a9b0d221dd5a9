// One plot over time by BokehJS: lines, marks of events and acquisitions, limits. It is told
// what to show, and says when somebody drags a stretch of time.

const DASHES = ["solid", "dashed", "dotted", "dotdash"];
export const COLOURS = 6;
const LOW_REM = 4; // a plot that is lower has two labels beside it

export class Plot extends EventTarget {
  #figure;
  #view = null;
  #setting = false;
  #isEmpty = false;
  #lines = []; // {source, renderer} by their number
  #bands = []; // likewise, of those that have one
  #ticker;
  #limits;
  #courses;
  #chosenCourse;
  #events;
  #changes;
  #chosen;
  #marks;
  #tools;
  #style;
  element;

  // `style()`: colours and sizes of now; `axis`: the plot is the time axis and no more.
  constructor(element, style, { axis = false } = {}) {
    super();
    const { Plotting, Range1d } = window.Bokeh;
    this.element = element;
    this.#style = style;
    const figure = Plotting.figure({
      sizing_mode: "stretch_both",
      min_width: 50,
      min_height: 10,
      tools: [],
      toolbar_location: null,
      x_range: new Range1d({ start: 0, end: 10 }),
      y_range: new Range1d({ start: 0, end: 1 }),
      outline_line_color: null,
    });
    this.#figure = figure;
    this.#dress(axis);
    this.#courses = this.#many();
    this.#chosenCourse = this.#many();
    this.#limits = this.#heights();
    this.#marks = this.#spans("dotted");
    this.#changes = this.#spans("dotted");
    this.#events = this.#spans("solid");
    this.#chosen = this.#spans("solid");
    this.#makeTools();
    this.retheme();
  }

  // Put it on the page; resolves when it can be read.
  async show() {
    this.#view = await window.Bokeh.Plotting.show(this.#figure, this.element);
    this.#figure.x_range.change.connect(() => this.#dragged());
  }

  set window({ start, end }) {
    this.#setting = true;
    this.#figure.x_range.setv({ start, end });
    this.#setting = false;
    this.element.dataset.start = start.toFixed(3);
    this.element.dataset.end = end.toFixed(3);
  }

  // What a drag does: "zoom" or "move".
  set drag(what) {
    this.#figure.toolbar.active_drag = this.#tools[what];
  }

  // Show {t, v, band} for each line, in the order of their colours; `band`: polygons {x, y}.
  set lines(lines) {
    for (const [at, line] of lines.entries()) {
      if (line.band !== null) this.#bands[at] ??= this.#band(at); // under its line
      this.#lines[at] ??= this.#line(at);
      if (this.#bands[at] !== undefined) this.#bands[at].source.data = line.band ?? { x: [], y: [] };
      this.#lines[at].source.data = { t: line.t, v: line.v };
    }
    for (let at = lines.length; at < this.#lines.length; at += 1) {
      this.#lines[at].source.data = { t: [], v: [] };
      if (this.#bands[at] !== undefined) this.#bands[at].source.data = { x: [], y: [] };
    }
  }

  // Show sizes of many, each {uid, t, v}; the one that is chosen stands out.
  courses(courses, chosen) {
    const put = ({ source }, some) => {
      source.data = { t: some.map((one) => one.t), v: some.map((one) => one.v) };
    };
    put(this.#courses, courses);
    put(this.#chosenCourse, courses.filter((one) => one.uid === chosen));
  }

  // Show values that are not to be passed.
  set limits(values) {
    this.#limits.source.data = { v: values };
  }

  // Show times of events, of changes of growth, of the chosen one, and of beginnings of
  // acquisitions.
  set marks({ events, changes, chosen, begins }) {
    this.#events.source.data = { t: events };
    this.#changes.source.data = { t: changes };
    this.#chosen.source.data = { t: chosen };
    this.#marks.source.data = { t: begins };
  }

  // Whether there is nothing to be seen: then heights mean nothing.
  set isEmpty(isEmpty) {
    if (this.#isEmpty !== isEmpty) this.#figure.yaxis.visible = !isEmpty;
    this.#isEmpty = isEmpty;
  }

  set heights({ low, high }) {
    const { y_range: range } = this.#figure;
    const few = this.element.clientHeight < LOW_REM * this.#style().rem ? 2 : 3;
    if (this.#ticker.desired_num_ticks !== few) this.#ticker.desired_num_ticks = few;
    if (range.start === low && range.end === high) return;
    range.setv({ start: low, end: high });
    this.element.dataset.low = low;
    this.element.dataset.high = high;
  }

  // Time under a place on the screen; null beside the plot.
  timeAt(clientX) {
    const inside = this.#inside();
    if (inside === null || clientX < inside.left || clientX > inside.right) return null;
    const { start, end } = this.#figure.x_range;
    return start + ((clientX - inside.left) / (inside.right - inside.left)) * (end - start);
  }

  // Place on the screen of a time; null if it is not in sight.
  placeOf(t) {
    const inside = this.#inside();
    const { start, end } = this.#figure.x_range;
    if (inside === null || t < start || t > end) return null;
    return inside.left + ((t - start) / (end - start)) * (inside.right - inside.left);
  }

  // Take the colours and sizes of now.
  retheme() {
    const style = this.#style();
    const figure = this.#figure;
    figure.setv({
      background_fill_color: style.plot,
      border_fill_color: style.panel,
      min_border_left: 4.6 * style.rem,
      min_border_right: 2.2 * style.rem, // half of the last label of the time axis
    });
    for (const axis of [figure.xaxis, figure.yaxis]) {
      axis.axis_line_color = style.line;
      axis.major_tick_line_color = style.line;
      axis.minor_tick_line_color = null;
      axis.major_label_text_color = style.dim;
      axis.major_label_text_font_size = `${0.8 * style.rem}px`;
    }
    figure.xgrid.grid_line_color = style.line;
    figure.ygrid.grid_line_color = style.line;
    const scale = style.rem / 14;
    for (const [at, band] of this.#bands.entries()) {
      if (band !== undefined) band.renderer.glyph.fill_color = style.colours[at % COLOURS];
    }
    for (const [at, { renderer }] of this.#lines.entries()) {
      renderer.glyph.line_color = style.colours[at % COLOURS];
      renderer.glyph.line_width = 1.6 * scale;
    }
    for (const one of [this.#courses, this.#marks, this.#changes, this.#events]) {
      one.renderer.glyph.line_width = scale;
    }
    for (const one of [this.#chosenCourse, this.#chosen]) one.renderer.glyph.line_width = 2.4 * scale;
    this.#limits.renderer.glyph.line_color = style.bad;
    this.#limits.renderer.glyph.line_width = 2 * scale;
    this.#courses.renderer.glyph.line_color = style.dim;
    this.#chosenCourse.renderer.glyph.line_color = style.accent;
    this.#marks.renderer.glyph.line_color = style.dim;
    this.#events.renderer.glyph.line_color = style.mark;
    this.#changes.renderer.glyph.line_color = style.warn;
    this.#chosen.renderer.glyph.line_color = style.accent;
  }

  // ---------------------------------------------------------------------------

  #dress(axis) {
    const { NumeralTickFormatter, AdaptiveTicker, BasicTicker, BasicTickFormatter } = window.Bokeh;
    const { xaxis, yaxis, xgrid, ygrid } = this.#figure;
    const ticker = new AdaptiveTicker({
      base: 60,
      mantissas: [1, 2, 5, 10, 15, 30],
      min_interval: 1,
      desired_num_ticks: 9,
      num_minor_ticks: 0,
    });
    xaxis.ticker = ticker;
    xgrid.ticker = ticker;
    xaxis.formatter = new NumeralTickFormatter({ format: "00:00:00" });
    xaxis.visible = axis;
    yaxis.visible = !axis;
    ygrid.visible = !axis;
    this.#ticker = new BasicTicker({ desired_num_ticks: 3, num_minor_ticks: 0 });
    yaxis.ticker = this.#ticker;
    // Short labels: all plots begin at the same place.
    yaxis.formatter = new BasicTickFormatter({ power_limit_high: 4, power_limit_low: -2, precision: 2 });
    ygrid.ticker = this.#ticker;
    this.#figure.min_border_top = axis ? 0 : 3;
    this.#figure.min_border_bottom = axis ? 0 : 3;
  }

  #makeTools() {
    const { BoxZoomTool, PanTool } = window.Bokeh;
    this.#tools = {
      zoom: new BoxZoomTool({ dimensions: "width" }),
      move: new PanTool({ dimensions: "width" }),
    };
    this.#figure.add_tools(this.#tools.zoom, this.#tools.move);
    this.drag = "zoom";
  }

  #line(at) {
    const source = new window.Bokeh.ColumnDataSource({ data: { t: [], v: [] } });
    const renderer = this.#figure.line({ field: "t" }, { field: "v" }, {
      source,
      line_width: (1.6 * this.#style().rem) / 14,
      line_dash: { value: DASHES[at % DASHES.length] },
      line_color: this.#style().colours[at % COLOURS],
    });
    return { source, renderer };
  }

  #band(at) {
    const source = new window.Bokeh.ColumnDataSource({ data: { x: [], y: [] } });
    const renderer = this.#figure.patches({ field: "x" }, { field: "y" }, {
      source,
      line_color: null,
      fill_color: this.#style().colours[at % COLOURS],
      fill_alpha: 0.28,
    });
    return { source, renderer };
  }

  #many() {
    const source = new window.Bokeh.ColumnDataSource({ data: { t: [], v: [] } });
    const renderer = this.#figure.multi_line({ field: "t" }, { field: "v" }, { source });
    return { source, renderer };
  }

  #spans(dash) {
    const source = new window.Bokeh.ColumnDataSource({ data: { t: [] } });
    const renderer = this.#figure.vspan({ field: "t" }, {
      source,
      line_dash: { value: dash },
      line_alpha: this.#events === undefined ? 0.7 : 1,
    });
    return { source, renderer };
  }

  #heights() {
    const source = new window.Bokeh.ColumnDataSource({ data: { v: [] } });
    const renderer = this.#figure.hspan({ field: "v" }, { source, line_dash: { value: "dashed" } });
    return { source, renderer };
  }

  #dragged() {
    if (this.#setting) return;
    const { start, end } = this.#figure.x_range;
    this.dispatchEvent(new CustomEvent("drag", { detail: { start, end } }));
  }

  #inside() {
    const box = this.#view?.frame?.bbox;
    if (!box) return null;
    const { left } = this.element.getBoundingClientRect();
    return { left: left + box.left, right: left + box.right };
  }
}
