// A picture as a PNG file: as it is seen, with a scale bar, and with all that is known of it
// in its text.

import { h } from "../dom.js";
import { withTexts } from "./png_text.js";
import { barOf } from "./scale_bar.js";
import { framesWords } from "./caption.js";

const SHORTEST = 512; // small images are enlarged to about so many pixels
const UNSEEN = "#3a4048";

// What is known of the picture: plain values, SI, as they stand in the file.
export function facts(image) {
  const { header, contrast } = image;
  const known = {
    key: header.key,
    acquisition: header.acq,
    first_frame: header.first,
    frame: header.frame,
    frames_used: header.used,
    frames_expected: header.expected,
    final: header.final,
    parameters_version: header.params,
    time: header.t_frame_ms ? new Date(header.t_frame_ms).toISOString() : null,
    saved: new Date().toISOString(),
    units: header.units,
    shape: header.shape,
    block: header.step > 1 ? [header.step, header.step] : null, // pixels for each of the file
    block_value: header.step > 1 ? header.block : null,
    plane: header.planes ?? null,
    pixel_size: header.pixel?.size ?? null,
    pixel_unit: header.pixel?.unit ?? null,
    contrast: { ...contrast, ...image.range },
    frozen: image.frozen,
  };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}

// The bytes of the PNG file.
export async function snapshot(image) {
  const { header } = image;
  if (header === null) throw new Error("there is no picture yet");
  const canvas = drawn(image);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob === null) throw new Error("the browser could not make a PNG file");
  const png = new Uint8Array(await blob.arrayBuffer());
  const known = facts(image);
  return withTexts(png, {
    Title: header.key ?? "",
    Description: [framesWords(header), header.acq].filter(Boolean).join(" of "),
    Software: "scopeside",
    "Creation Time": known.time ?? known.saved,
    scopeside: JSON.stringify(known),
  });
}

// A name that any system takes: result, acquisition, frame.
export function fileName({ key, acq, frame }) {
  const parts = [key, acq, Number.isInteger(frame) && frame >= 0 ? `frame${frame}` : ""];
  return `${parts.filter(Boolean).join("_").replaceAll(/[^\w.-]+/g, "-")}.png`;
}

// Have the browser save it.
export async function saveSnapshot(image) {
  const png = await snapshot(image);
  const address = URL.createObjectURL(new Blob([png], { type: "image/png" }));
  h("a", { href: address, download: fileName(image.header) }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function drawn(image) {
  const source = image.element.querySelector("canvas");
  const times = Math.max(1, Math.ceil(SHORTEST / Math.min(source.width, source.height)));
  const high = Math.round(source.height * times * image.viewport.tall);
  const large = h("canvas", { width: source.width * times, height: high });
  const context = large.getContext("2d");
  hatch(context, large.width, large.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, large.width, large.height);
  bar(context, image, times);
  return large;
}

function hatch(context, width, height) {
  context.fillStyle = "#23272c";
  context.fillRect(0, 0, width, height);
  context.strokeStyle = UNSEEN;
  context.lineWidth = 3;
  context.beginPath();
  for (let at = -height; at < width; at += 12) {
    context.moveTo(at, height);
    context.lineTo(at + height, 0);
  }
  context.stroke();
}

function bar(context, image, times) {
  const { header } = image;
  const { pixels, text } = barOf(header.pixel, header.shape[1]);
  const { width, height } = context.canvas;
  const long = (pixels * times) / (header.step ?? 1);
  const size = Math.max(12, Math.round(Math.min(width, height) / 28));
  const pad = Math.round(size / 2);
  context.font = `${size}px system-ui, sans-serif`;
  const box = Math.max(long, context.measureText(text).width) + 2 * pad;
  context.fillStyle = "rgb(0 0 0 / 0.55)";
  context.fillRect(pad, height - 2.6 * size - pad, box, 2.6 * size);
  context.fillStyle = "#fff";
  context.fillRect(2 * pad, height - size - pad, long, Math.max(3, size / 4));
  context.fillText(text, 2 * pad, height - 1.4 * size - pad);
}
