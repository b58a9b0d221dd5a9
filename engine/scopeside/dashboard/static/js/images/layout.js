// How large images may be so that all of them fit: a pure function, and who applies it.

const GAP_REM = 0.6;
const NARROWEST_REM = 14; // of a tile; below, the images scroll rather than shrink
const LOWEST = 0.6; // of a picture, as a part of that

// Columns, and the height of each picture, for a room of `width` × `height`.
//
// `images`: {aspect: width over height, beside: what stands above and below the picture}; the
// most that stands beside one is left beside all, so that pictures lie on one line.
// All lengths in CSS pixels. The choice is the one with the largest area of pictures.
export function fitted(images, width, height, gap, narrowest) {
  const beside = Math.max(...images.map((one) => one.beside));
  let best = null;
  for (let columns = 1; columns <= images.length; columns += 1) {
    const rows = Math.ceil(images.length / columns);
    const cell = (width - (columns - 1) * gap) / columns;
    const room = (height - (rows - 1) * gap) / rows;
    const heights = images.map(({ aspect }) => Math.min(cell / aspect, room - beside));
    const area = heights.reduce((sum, one, k) => sum + one ** 2 * images[k].aspect, 0);
    const isRoomy = cell >= Math.min(narrowest, width) && Math.min(...heights) >= LOWEST * narrowest;
    if (isRoomy && (best === null || area > best.area)) best = { columns, heights, area };
  }
  if (best !== null) return best;
  // They do not all fit: as many beside each other as may be, and the rest below.
  const columns = Math.max(1, Math.floor((width + gap) / (narrowest + gap)));
  const cell = (width - (columns - 1) * gap) / columns;
  return { columns, heights: images.map(({ aspect }) => cell / Math.max(1, aspect)), area: 0 };
}

// Keeps tiles fitted to their room, however it or what stands beside the pictures changes.
export class Fitting {
  #room;
  #tiles = [];
  #isDue = false;
  #last = "";
  #observer = new ResizeObserver(() => this.due());

  constructor(room) {
    this.#room = room;
    this.#observer.observe(room);
  }

  // Fit these; tiles have `element`, `aspect` and `beside`, and take `height`.
  set tiles(tiles) {
    for (const tile of this.#tiles) this.#observer.unobserve(tile.element);
    this.#tiles = tiles;
    for (const tile of tiles) this.#observer.observe(tile.element);
    this.#last = "";
    this.due();
  }

  due() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#fit();
    });
  }

  #fit() {
    const { clientWidth, clientHeight } = this.#room;
    if (clientWidth === 0 || this.#tiles.length === 0) return; // hidden
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const images = this.#tiles.map(({ aspect, beside }) => ({ aspect, beside }));
    // What has been fitted already is left alone: else fitting and observing never end.
    const now = JSON.stringify([clientWidth, clientHeight, rem, images]);
    if (now === this.#last) return;
    this.#last = now;
    const found = fitted(images, clientWidth, clientHeight, GAP_REM * rem, NARROWEST_REM * rem);
    this.#room.style.gridTemplateColumns = `repeat(${found.columns}, minmax(0, 1fr))`;
    found.heights.forEach((height, k) => (this.#tiles[k].height = Math.floor(height)));
  }
}
