// Which part of an image a stage shows: from pixels of the image to those of the screen.

const MOST_TALL = 20; // and as little as 1/20; beyond, a pixel is drawn square
const CLOSEST = 4; // image pixels along the shorter side, when zoomed in as far as it goes

export class Viewport {
  rows = 1;
  columns = 1;
  width = 1; // of the stage, CSS pixels
  height = 1;
  tall = 1; // height of a pixel over its width
  zoom = 1; // 1: the whole image fits
  centre = { row: 0, col: 0 };

  // Take the size of the image; true if it has changed, and the view with it.
  fit(rows, columns) {
    if (rows === this.rows && columns === this.columns) return false;
    this.rows = rows;
    this.columns = columns;
    this.reset();
    return true;
  }

  reset() {
    this.zoom = 1;
    this.centre = { row: (this.rows - 1) / 2, col: (this.columns - 1) / 2 };
  }

  // CSS pixels per column of the image, and per row.
  get scale() {
    const { rows, columns, tall } = this;
    return this.zoom * Math.min(this.width / columns, this.height / (rows * tall));
  }

  get rowScale() {
    return this.scale * this.tall;
  }

  // Width over height of the whole image.
  get aspect() {
    return this.columns / (this.rows * this.tall);
  }

  // Zoom by a factor so that what lies at (x, y) of the stage stays there.
  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const before = this.toImage(x, y);
    const most = Math.max(1, Math.min(this.rows, this.columns) / CLOSEST);
    this.zoom = Math.min(most, Math.max(1, this.zoom * factor));
    const after = this.toImage(x, y);
    this.centre.row += before.row - after.row;
    this.centre.col += before.col - after.col;
    this.#keepInside();
  }

  // Move the image by so many CSS pixels.
  panBy(dx, dy) {
    this.centre.row -= dy / this.rowScale;
    this.centre.col -= dx / this.scale;
    this.#keepInside();
  }

  // Show what another one shows.
  follow({ zoom, centre }) {
    this.zoom = zoom;
    this.centre = { ...centre };
    this.#keepInside();
  }

  // Have a pixel in sight, by moving as little as possible; true if the view was moved.
  reveal(row, col) {
    const before = { ...this.centre };
    const [halfRows, halfColumns] = this.#half();
    const near = (middle, at, half) => Math.min(at + half - 0.5, Math.max(at - half + 0.5, middle));
    this.centre.row = near(this.centre.row, row, Math.max(0.5, halfRows));
    this.centre.col = near(this.centre.col, col, Math.max(0.5, halfColumns));
    this.#keepInside();
    return before.row !== this.centre.row || before.col !== this.centre.col;
  }

  toImage(x, y) {
    return {
      row: this.centre.row + (y - this.height / 2) / this.rowScale,
      col: this.centre.col + (x - this.width / 2) / this.scale,
    };
  }

  toStage(row, col) {
    return {
      x: this.width / 2 + (col - this.centre.col) * this.scale,
      y: this.height / 2 + (row - this.centre.row) * this.rowScale,
    };
  }

  // The viewBox of an SVG that covers the stage, in image pixels.
  get box() {
    const { row, col } = this.toImage(0, 0);
    return `${col} ${row} ${this.width / this.scale} ${this.height / this.rowScale}`;
  }

  // The pixels that are seen, and as many more on each side as `margin`, a share of these.
  seen(margin) {
    const [halfRows, halfColumns] = this.#half().map((half) => half * (1 + 2 * margin));
    const first = (middle, half) => Math.max(0, Math.floor(middle - half + 0.5));
    const last = (middle, half, size) => Math.min(size, Math.ceil(middle + half + 0.5));
    const row = first(this.centre.row, halfRows);
    const column = first(this.centre.col, halfColumns);
    const rows = last(this.centre.row, halfRows, this.rows) - row;
    const columns = last(this.centre.col, halfColumns, this.columns) - column;
    return { row, column, rows, columns };
  }

  #half() {
    return [this.height / this.rowScale / 2, this.width / this.scale / 2];
  }

  #keepInside() {
    const [halfRows, halfColumns] = this.#half();
    this.centre.row = inside(this.centre.row, halfRows, this.rows);
    this.centre.col = inside(this.centre.col, halfColumns, this.columns);
  }
}

function inside(at, half, size) {
  if (2 * half >= size) return (size - 1) / 2;
  return Math.min(size - 0.5 - half, Math.max(half - 0.5, at));
}

// How tall pixels of this size are drawn, over their width; 1 where nobody has said.
export function tallOf(pixel) {
  if (!pixel) return 1;
  const [down, across] = pixel.size;
  const tall = down / across;
  const isSquare = Math.abs(tall - 1) < 0.01;
  return isSquare || tall > MOST_TALL || tall < 1 / MOST_TALL ? 1 : tall;
}
