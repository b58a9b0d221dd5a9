// Live images of all results that are images.

import { LiveImage } from "../image/live_image.js";

export const name = "Images";

export function mount(root, page) {
  const shown = new Map();
  let visible = false;
  page.live.topic("catalogue", (catalogue) => {
    for (const { key, kind } of catalogue) {
      if (kind !== "image" || shown.has(key)) continue;
      const image = new LiveImage(page, { key });
      shown.set(key, image);
      root.append(image.element);
      if (visible) image.show();
    }
  });
  return {
    show() {
      visible = true;
      for (const image of shown.values()) image.show();
    },
    hide() {
      visible = false;
      for (const image of shown.values()) image.hide();
    },
  };
}
