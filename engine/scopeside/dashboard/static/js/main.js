// The page: its views, and what is always there.

import { Keys } from "./keys.js";
import { Live } from "./live.js";
import { Standing } from "./standing.js";
import { Views } from "./views.js";
import { mountTop } from "./top.js";
import { mountBanner } from "./health/banner.js";
import { Paints } from "./health/paints.js";
import * as images from "./images/view.js";
import * as steering from "./steering/view.js";
import * as insitu from "./insitu/view.js";
import * as feedback from "./feedback/view.js";
import * as health from "./health/view.js";

const page = { live: new Live() };
window.scopeside = page; // for tests, and for who is curious

page.keys = new Keys(() => page.views.current);
page.standing = new Standing(page.live);
page.paints = new Paints(page.live);
page.views = new Views(page, document.getElementById("views"), document.getElementById("main"));
page.show = (name) => page.views.show(name);
for (const view of [images, steering, insitu, feedback, health]) page.views.add(view);

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // what follows # in the address is not for this
  page.views.enter();
});

mountTop(page);
mountBanner(document.getElementById("banner"), page);
page.live.start();
page.views.resume();
