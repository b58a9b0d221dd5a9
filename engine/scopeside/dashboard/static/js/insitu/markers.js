// What is drawn on an image of the movie: events, particles with their tails, outlines. All is
// kept in coordinates of the specimen and moved as the content of the image has moved.

import { svg } from "../dom.js";
import { nameOf, outline, percent, stateOf } from "./words.js";

const MOST = 120; // events that are drawn
const LEAST_PX = 6; // radius on the screen
const ROOM = 1.35; // a ring is so much larger than its particle
const NEAR_PX = 14;
const LABEL_REM = 0.8;
const ORDER = ["confirmed", "coalescence", "attachment", "split", "change_point", "dissolved", "candidate"];

export class Markers {
  #image;
  #record;
  #all = svg("g", { class: "insitu-markers" });
  #outlines = svg("path", { class: "outlines", "vector-effect": "non-scaling-stroke" });
  #tails = svg("path", { class: "tails", "vector-effect": "non-scaling-stroke" });
  #particles = svg("path", { class: "particles", "vector-effect": "non-scaling-stroke" });
  #coasting = svg("path", { class: "particles coasting", "vector-effect": "non-scaling-stroke" });
  #events = new Map(); // uid -> {group, path, text}
  #drawn = []; // events
  #shows;
  #chosen = null;

  // `shows`: {events, candidates, tracks, tails, outlines, labels}, read at each drawing.
  constructor(image, record, shows) {
    this.#image = image;
    this.#record = record;
    this.#shows = shows;
    this.#all.append(this.#outlines, this.#tails, this.#particles, this.#coasting);
    image.overlay.append(this.#all);
    image.addEventListener("paint", () => this.move());
    image.addEventListener("zoom", () => this.draw());
  }

  set chosen(event) {
    this.#chosen = event;
    this.draw();
  }

  // Place of an event in the image, {row, col}; null if it has none there.
  placeOf(event) {
    const shift = this.#shift();
    if (shift === null || event.y === null || event.y === undefined) return null;
    return { row: (event.y + shift.dy) / shift.bin + shift.half, col: (event.x + shift.dx) / shift.bin + shift.half };
  }

  // The event that is drawn near a place; null if none is.
  near({ row, col }) {
    let found = null;
    let least = NEAR_PX / this.#image.pxPerUnit;
    for (const event of this.#drawn) {
      const at = this.placeOf(event);
      if (at === null) continue;
      const away = Math.hypot(at.row - row, at.col - col);
      if (away < least) [least, found] = [away, event];
    }
    return found;
  }

  // Draw what the record says.
  draw() {
    const { told } = this.#record;
    if (told === null || this.#image.header === null) return;
    this.#drawEvents();
    const { places } = told;
    const { tracks, tails, outlines } = this.#shows();
    const rows = tracks ? places.rows : [];
    this.#particles.setAttribute("d", rows.filter((row) => row[5]).map((row) => this.#ring(row)).join(""));
    this.#coasting.setAttribute("d", rows.filter((row) => !row[5]).map((row) => this.#ring(row)).join(""));
    const lines = tracks && tails ? Object.values(places.tails).map(tailOf) : [];
    this.#tails.setAttribute("d", lines.join(""));
    this.#outlines.setAttribute("d", outlines ? places.outlines.map(([, points]) => outlineOf(points)).join("") : "");
    this.move();
  }

  // ---------------------------------------------------------------------------

  // How what is in specimen coordinates lies in the image; null: not this acquisition.
  #shift() {
    const { header } = this.#image;
    if (header === null || header.acq !== this.#record.told?.acq) return null;
    const { binning: bin = 1, coordinates, drift } = header.meta ?? {};
    const [dy, dx] = this.#record.driftAt(header.frame);
    // A view in coordinates of the specimen goes by the drift that its own chain has found.
    const [backY, backX] = coordinates === "specimen" && drift ? drift : [0, 0];
    const half = (1 / bin - 1) / 2; // the centre of the first pixel of a binned view
    return { dy: dy - backY, dx: dx - backX, bin, half };
  }

  // Put all that is drawn where the content of the image is.
  move() {
    const shift = this.#shift();
    this.#all.toggleAttribute("hidden", shift === null);
    this.#all.style.display = shift === null ? "none" : "";
    if (shift === null) return;
    const { dy, dx, bin, half } = shift;
    this.#all.setAttribute("transform", `translate(${half} ${half}) scale(${1 / bin}) translate(${dx} ${dy})`);
    this.#all.dataset.shift = `${dy.toFixed(2)} ${dx.toFixed(2)}`;
  }

  // Units of the frame per CSS pixel.
  get #px() {
    const { binning = 1 } = this.#image.header.meta ?? {};
    return binning / this.#image.pxPerUnit;
  }

  #drawEvents() {
    const { told } = this.#record;
    const shows = this.#shows();
    const wanted = this.#record
      .latest()
      .filter((event) => event.acq === told.acq && event.y !== null && event.y !== undefined)
      .filter((event) => event.uid === this.#chosen?.uid || isShown(event, shows))
      .sort((a, b) => ORDER.indexOf(stateOf(a)) - ORDER.indexOf(stateOf(b)))
      .slice(0, MOST);
    const uids = new Set(wanted.map((event) => event.uid));
    for (const [uid, { group }] of this.#events) {
      if (uids.has(uid)) continue;
      group.remove();
      this.#events.delete(uid);
    }
    for (const event of wanted) this.#drawEvent(event, shows);
    this.#drawn = wanted;
  }

  #drawEvent(event, shows) {
    let one = this.#events.get(event.uid);
    if (one === undefined) {
      const path = svg("path", { "vector-effect": "non-scaling-stroke" });
      const text = svg("text");
      const group = svg("g", { "data-uid": event.uid }, path, text);
      one = { group, path, text };
      this.#events.set(event.uid, one);
      this.#all.append(group);
    }
    const state = stateOf(event);
    const radius = Math.max(ROOM * (event.radius_px ?? 0), LEAST_PX * this.#px);
    const isChosen = event.uid === this.#chosen?.uid;
    one.group.setAttribute("class", `marker ${state}${isChosen ? " chosen" : ""}`);
    one.group.setAttribute("transform", `translate(${event.x} ${event.y})`);
    one.path.setAttribute("d", outline(state, radius) + (isChosen ? cross(radius, 2.2 * radius) : ""));
    const label = shows.labels || isChosen ? labelOf(event) : "";
    if (one.text.textContent !== label) one.text.textContent = label;
    one.text.setAttribute("x", radius + 3 * this.#px);
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    one.text.style.fontSize = `${LABEL_REM * rem * this.#px}px`;
    one.text.style.strokeWidth = `${0.2 * rem * this.#px}px`;
  }

  #ring([, y, x, radius]) {
    const r = Math.max(ROOM * (radius ?? 0), 3 * this.#px);
    return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
  }
}

function isShown(event, shows) {
  const state = stateOf(event);
  if (state === "rejected") return false;
  return state === "candidate" ? shows.candidates : shows.events;
}

function labelOf(event) {
  const name = event.kind === "nucleus" ? `#${event.id}` : nameOf(event);
  return [name, percent(event.confidence)].filter(Boolean).join(" ");
}

// Four strokes around a ring.
function cross(inner, outer) {
  return `M${-outer} 0H${-inner}M${inner} 0H${outer}M0 ${-outer}V${-inner}M0 ${inner}V${outer}`;
}

function tailOf(points) {
  return points.length < 2 ? "" : `M${points.map(([y, x]) => `${x} ${y}`).join("L")}`;
}

function outlineOf(points) {
  const places = [];
  for (let i = 0; i < points.length; i += 2) places.push(`${points[i + 1]} ${points[i]}`);
  return places.length < 2 ? "" : `M${places.join("L")}Z`;
}
