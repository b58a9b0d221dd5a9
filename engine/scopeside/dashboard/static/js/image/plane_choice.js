// Which plane of a result with several is shown: a class, a scan.

import { h } from "../dom.js";

export class PlaneChoice {
  #select = h("select", { title: "which of several images" });
  #shown = "";
  element = h("label.planes", { hidden: true }, this.#select);

  constructor(image) {
    this.#select.addEventListener("change", () => {
      const { value } = this.#select;
      image.setPlane(value === "usual" ? null : Number(value));
    });
  }

  // Offer what there is.
  painted({ header }) {
    const { planes } = header;
    this.element.hidden = planes === undefined;
    if (planes === undefined) return;
    const shown = JSON.stringify([planes.axes, planes.sizes]);
    if (shown === this.#shown) {
      this.#follow(planes);
      return;
    }
    this.#shown = shown;
    const total = Math.min(1000, planes.sizes.reduce((a, b) => a * b, 1));
    this.#select.replaceChildren(
      h("option", { value: "usual" }, "newest"),
      ...Array.from({ length: total }, (_, i) => h("option", { value: i }, nameOf(planes, i))),
    );
    this.#follow(planes);
  }

  // Say in the first entry which one that is now.
  #follow(planes) {
    const usual = planes.axes.includes("scan") ? "newest: " : "first: ";
    const now = this.#select.value === "usual" ? planes.at : null;
    const text = now === null ? usual.slice(0, -2) : usual + words(planes.axes, now);
    const [first] = this.#select.options;
    if (first.textContent !== text) first.textContent = text;
  }
}

function nameOf({ axes, sizes }, number) {
  const at = [];
  let rest = number;
  for (let k = sizes.length - 1; k >= 0; k -= 1) {
    at.unshift(rest % sizes[k]);
    rest = Math.floor(rest / sizes[k]);
  }
  return words(axes, at);
}

function words(axes, at) {
  return axes.map((name, k) => `${name} ${at[k]}`).join(", ");
}
