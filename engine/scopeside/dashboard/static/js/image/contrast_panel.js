// The controls of contrast: how the values are spread, the range by two handles or numbers,
// gamma, logarithm, colours.

import { h, svg } from "../dom.js";
import { css, colourAt, MAPS } from "./colour_maps.js";
import { number } from "./units.js";

const BINS = 64;
const STEPS = 1000;

export class ContrastPanel {
  #image;
  #levels;
  #bars = svg("path", { class: "bars" });
  #lowHandle = this.#slider("low end of the range", "low");
  #highHandle = this.#slider("high end of the range", "high");
  #low = this.#field("low", "value that is black");
  #high = this.#field("high", "value that is white");
  #from = this.#field("from", "per cent of the values below black", { min: 0, max: 50, step: 0.1 });
  #to = this.#field("to", "per cent of the values below white", { min: 50, max: 100, step: 0.1 });
  #auto = h("input", { type: "checkbox", checked: true, onchange: () => this.#holds() });
  #gamma = h("input", {
    type: "range", min: -1, max: 1, step: 0.01, value: 0,
    "aria-label": "gamma", oninput: () => this.#bends(),
  });
  #gammaText = h("output.number", {}, "1");
  #log = h("input", { type: "checkbox", onchange: () => this.#set({ log: this.#log.checked }) });
  #map = h(
    "select",
    { "aria-label": "colours", onchange: () => this.#set({ map: this.#map.value }) },
    h("option", { value: "auto" }, "automatic"),
    ...MAPS.map((name) => h("option", { value: name }, name)),
  );
  #names = h("p", { hidden: true }, "Labels have a colour each: there is no contrast to set.");
  #ends = [0, 1]; // of the handles
  element;

  constructor(image, levels) {
    this.#image = image;
    this.#levels = levels;
    const plot = svg(
      "svg",
      {
        viewBox: `0 0 ${BINS} 1`,
        preserveAspectRatio: "none",
        class: "spread",
        "aria-hidden": "true",
      },
      this.#bars,
    );
    this.element = h(
      "div.contrast",
      { hidden: true, role: "group", "aria-label": "contrast" },
      this.#names,
      h("div.range", {}, plot, this.#lowHandle, this.#highHandle),
      h("div.fields", {}, this.#low, "to", this.#high, h("span.unit")),
      h(
        "label",
        { title: "the range follows every new picture; else it is held" },
        this.#auto,
        "follow: from",
      ),
      h("div.fields", {}, this.#from, "to", this.#to, "%"),
      h("label", {}, "gamma", this.#gamma, this.#gammaText),
      h("label", {}, this.#log, "logarithm"),
      h("label", {}, "colours", this.#map),
      h("button", { type: "button", onclick: () => this.#asUsual() }, "as usual"),
    );
  }

  painted() {
    if (!this.element.hidden) this.refresh();
  }

  // Show what holds now; what a person has the hand on is left alone.
  refresh() {
    const isNames = this.#image.values?.isLabels ?? false;
    this.element.classList.toggle("of-names", isNames);
    this.#names.hidden = !isNames;
    if (isNames) return;
    const { settings, sorted, low, high, map } = this.#levels;
    const units = this.#image.header?.units ?? "";
    this.element.querySelector(".unit").textContent = units;
    this.#spread(sorted, low, high);
    show(this.#low, number(low, 6).replaceAll(",", ""));
    show(this.#high, number(high, 6).replaceAll(",", ""));
    show(this.#from, settings.percent[0]);
    show(this.#to, settings.percent[1]);
    this.#auto.checked = !settings.held;
    if (this.#gamma !== document.activeElement) this.#gamma.value = Math.log10(settings.gamma);
    this.#gammaText.textContent = number(settings.gamma, 2);
    this.#log.checked = settings.log;
    this.#map.value = settings.map;
    this.#map.options[0].textContent = settings.map === "auto" ? `automatic: ${map}` : "automatic";
  }

  #spread(sorted, low, high) {
    const span = high - low;
    const least = Math.min(sorted[0] ?? low, low);
    const most = Math.max(sorted.at(-1) ?? high, high);
    // Far outliers do not squeeze what matters into one bin.
    this.#ends = [Math.max(least, low - 2 * span), Math.min(most, high + 2 * span)];
    const [first, last] = this.#ends;
    const counts = new Float64Array(BINS);
    for (const value of sorted) {
      const bin = Math.floor(((value - first) / (last - first)) * BINS);
      if (bin >= 0 && bin <= BINS) counts[Math.min(BINS - 1, bin)] += 1;
    }
    const top = Math.log1p(Math.max(...counts, 1));
    const bar = (n, i) => `M${i} 1V${1 - Math.log1p(n) / top}h1V1z`;
    this.#bars.setAttribute("d", Array.from(counts, bar).join(""));
    const place = (value) => Math.round((STEPS * (value - first)) / (last - first));
    for (const [handle, value] of [[this.#lowHandle, low], [this.#highHandle, high]]) {
      if (handle !== document.activeElement) handle.value = place(value);
      handle.setAttribute("aria-valuetext", number(value, 4));
    }
    this.#highHandle.style.setProperty("--thumb", css(colourAt(this.#levels.map, 1)));
    this.#lowHandle.style.setProperty("--thumb", css(colourAt(this.#levels.map, 0)));
  }

  #slider(label, which) {
    return h("input.handle", {
      type: "range", min: 0, max: STEPS, "aria-label": label,
      oninput: (event) => {
        const [first, last] = this.#ends;
        this.#hold(which, first + (Number(event.target.value) / STEPS) * (last - first));
      },
    });
  }

  #field(which, label, limits = {}) {
    const type = which === "low" || which === "high" ? "text" : "number";
    return h("input.number", {
      type, size: 8, title: label, "aria-label": label, inputmode: "decimal", ...limits,
      onchange: (event) => this.#typed(which, event.target),
    });
  }

  #typed(which, field) {
    const value = Number(field.value.replace("−", "-").replaceAll(",", ""));
    const isValue = which === "low" || which === "high";
    const { percent } = this.#levels.settings;
    const pair = which === "from" ? [value, percent[1]] : [percent[0], value];
    const good = field.value.trim() !== "" && Number.isFinite(value) &&
      (isValue ? this.#isRange(which, value) : pair[0] >= 0 && pair[0] < pair[1] && pair[1] <= 100);
    field.setCustomValidity(good ? "" : "low must be a number below high");
    if (!good) {
      field.reportValidity();
      return;
    }
    if (isValue) this.#hold(which, value);
    else this.#set({ percent: pair, held: false });
  }

  #isRange(which, value) {
    return which === "low" ? value < this.#levels.high : value > this.#levels.low;
  }

  #hold(which, value) {
    if (!this.#isRange(which, value)) return;
    const { low, high } = this.#levels;
    this.#set({ held: true, low, high, [which]: value });
  }

  #holds() {
    const { low, high } = this.#levels;
    this.#set(this.#auto.checked ? { held: false } : { held: true, low, high });
  }

  #bends() {
    this.#set({ gamma: Number((10 ** Number(this.#gamma.value)).toPrecision(2)) });
  }

  #asUsual() {
    this.#set(structuredClone(this.#levels.usual));
  }

  #set(settings) {
    this.#image.contrast = settings;
    this.refresh();
  }
}

function show(field, text) {
  if (field !== document.activeElement) field.value = text;
}
