// Steering: detectors on the pattern, what they see, and the parameters of all processors.

import { h } from "../dom.js";
import { Detectors } from "./detectors.js";
import { Forms } from "./forms.js";
import { Images } from "./images.js";
import { Model } from "./model.js";
import { Pattern } from "./pattern.js";
import { Save } from "./save.js";

export const name = "Steering";

const KEYS = [
  ["Tab", "from handle to handle"],
  ["arrows", "move the handle by 1 px or 1°; with Shift by 10, with Ctrl by 0.1"],
  ["Esc", "go back to what held before"],
  ["Ctrl+Z", "take the last drag back, and the one before"],
  ["Insert, Delete", "on a corner of a polygon: one more, or one less"],
];

export function mount(root, page) {
  for (const [key, what] of KEYS) page.keys.add(key, what, null, { where: "Handles of detectors" });
  const model = new Model(page);
  const pattern = new Pattern(page, model);
  const images = new Images(page, model);
  const forms = new Forms(model);
  const save = new Save(model);
  forms.element.querySelector("h2").after(save.element);
  pattern.element.append(new Detectors(model).element);
  root.append(h("div.steering", {}, pattern.element, images.element, forms.element));
  return {
    show() {
      pattern.show();
      images.show();
    },
    hide() {
      pattern.hide();
      images.hide();
    },
  };
}
