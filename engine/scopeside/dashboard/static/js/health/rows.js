// A table whose rows are made once and filled anew: many updates, few nodes.

import { h } from "../dom.js";

// `columns`: {head, text(row), number} or {head, make(): element, fill(element, row)}.
export class Rows {
  #columns;
  #body = h("tbody");
  #none;
  #rows = [];
  element;

  // `none`: what stands there when there are no rows.
  constructor(columns, none, caption) {
    this.#columns = columns;
    this.#none = h("p.none", {}, none);
    const heads = columns.map(({ head, number }) =>
      h(number ? "th.n" : "th", { scope: "col" }, head),
    );
    const table = h("table", { "aria-label": caption }, h("thead", {}, h("tr", {}, ...heads)), this.#body);
    this.element = h("div.scroll", {}, table, this.#none);
  }

  fill(rows) {
    const table = this.element.firstChild;
    table.hidden = rows.length === 0;
    this.#none.hidden = rows.length > 0;
    while (this.#rows.length < rows.length) this.#add();
    while (this.#rows.length > rows.length) this.#rows.pop().element.remove();
    for (const [index, row] of rows.entries()) {
      for (const [at, column] of this.#columns.entries()) {
        fillCell(this.#rows[index].cells[at], column, row);
      }
    }
  }

  #add() {
    const cells = this.#columns.map(({ make, number }) => {
      const cell = h(number ? "td.n" : "td");
      if (make !== undefined) cell.append(make());
      return cell;
    });
    const element = h("tr", {}, ...cells);
    this.#rows.push({ element, cells });
    this.#body.append(element);
  }
}

function fillCell(cell, column, row) {
  if (column.fill !== undefined) {
    column.fill(cell.firstChild, row);
    return;
  }
  const text = String(column.text(row));
  if (cell.textContent !== text) cell.textContent = text;
}
