// Colours of names - classes, particles - which have no order: those of Okabe & Ito (2008), which
// people with colour-blindness tell apart, then darker, then paler ones; then again from the
// first, so that it is the number under the cursor that counts.

const BASIC = [0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442, 0x0072b2, 0xd55e00, 0xcc79a7];
const SHADES = [(one) => one, (one) => 0.55 * one, (one) => 255 - 0.45 * (255 - one)];
const NONE = 0xff4a4a4a; // what was seen and has no name

const COLOURS = Uint32Array.from({ length: BASIC.length * SHADES.length }, (_, i) => {
  const basic = BASIC[i % BASIC.length];
  const shade = SHADES[Math.floor(i / BASIC.length)];
  const [red, green, blue] = [16, 8, 0].map((shift) => Math.round(shade((basic >>> shift) & 255)));
  return 0xff000000 | (blue << 16) | (green << 8) | red;
});

// The colour of a number, as ImageData has it in a Uint32Array.
export function labelColour(number) {
  return number < 0 ? NONE : COLOURS[number % COLOURS.length];
}

// "label 3"; below 0 is none.
export function labelWords(number) {
  return number < 0 ? `no label (${number})`.replace("-", "−") : `label ${number}`;
}

// Paint names into the Uint32Array view of an ImageData of their size.
export function paintLabels({ pixels, offset, unseen }, out) {
  for (let i = 0; i < out.length; i += 1) {
    const raw = pixels[i];
    out[i] = raw === unseen ? 0 : labelColour(raw + offset);
  }
}
