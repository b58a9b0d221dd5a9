// Steering: detectors on the pattern, what they see, and the parameters of all processors.

import { h } from "../dom.js";
import { Detectors } from "./detectors.js";
import { Forms } from "./forms.js";
import { Images } from "./images.js";
import { Model } from "./model.js";
import { Pattern } from "./pattern.js";
import { Save } from "./save.js";

export const name = "Steering";

export function mount(root, page) {
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
