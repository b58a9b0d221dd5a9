// Colour maps whose steps look even, also to people with colour-blindness: 33 colours each,
// between which is interpolated.

// viridis, inferno, magma: S. van der Walt, N. Smith, E. Firing (2015), CC0. cividis:
// J. R. Nuñez, C. R. Anderton, R. S. Renslow, PLoS ONE 13, e0199239 (2018). coolwarm:
// K. Moreland, ISVC 2009, doi:10.1007/978-3-642-10520-3_9. berlin: F. Crameri,
// doi:10.5281/zenodo.1243862.
const TABLES = {
  gray: "000000ffffff",
  viridis:
    "440154470d6048186a482374472d7b4537814240863e49893b528b375b8d33638d" +
    "2f6b8e2c728e297a8e26828e23898e21918c1f988b1fa08822a78528ae8032b67a" +
    "3fbc734ec36b5ec96270cf5784d44b98d83eaddc30c2df23d8e219ece51bfde725",
  cividis:
    "00224e00285b002e6a0533711a386f273e6e32436d3b496c434e6c4b546c535a6d" +
    "5a5f6e61656f686a716f70737676767d7c788482798c8878938e789b9476a39a74" +
    "aba072b4a76fbcae6cc4b468cdbb63d5c25edec958e7d150f0d846f9e03afee838",
  inferno:
    "0000040403120b0724150b37210c4a2f0a5b3d09654a0c6b57106e64156e71196e" +
    "7d1e6d8a226a972766a32c61b0315bbc3754c73e4cd24644db503be45a31eb6628" +
    "f1731df68013f98e09fb9d07fcac11fbbc21f9cb35f5db4cf2ea69f3f68afcffa4",
  magma:
    "0000040303120a0822130d341d114729115a36106b440f7651127c5d177f6a1c81" +
    "762181832681902a819c2e7faa337db73779c43c75d0416fdc4869e75263ef5d5e" +
    "f56b5cf9795dfc8961fd9869fea772feb67cfec488fed395fde2a3fcf0b2fcfdbf",
  coolwarm:
    "3b4cc0445acc4e68d85875e16282ea6c8ff1779af782a6fb8db0fe98b9ffa3c2fe" +
    "aec9fcb9d0f9c3d5f4ccd9edd5dbe5dddcdce5d8d1ecd3c5f1ccb8f5c4acf7ba9f" +
    "f7b093f6a586f4987af08b6eeb7d62e46e56dd5f4bd44e41ca3b37be242eb40426",
  berlin:
    "9eb0ff8caef679abed65a7e2519fd34194c13685ad2e76992868862259731d4b61" +
    "183d4f14303e11242e111a20121214190c09220c022b0e013510004112014d1602" +
    "5b1d086c27117d341e8e422e9e513fae6051be6f63ce7f76df8f89f09f9cffadad",
};

export const MAPS = Object.keys(TABLES);
export const DIVERGING = new Set(["coolwarm", "berlin"]);

const colours = new Map();

// The colours of a map, (n, 3) as one list of numbers 0 to 255.
function anchors(name) {
  if (!colours.has(name)) {
    const text = TABLES[name];
    const found = text.match(/../g).map((two) => Number.parseInt(two, 16));
    colours.set(name, found);
  }
  return colours.get(name);
}

// The colour at `t` (0 to 1) as ImageData has it in a Uint32Array.
export function colourAt(name, t) {
  const known = anchors(name);
  const last = known.length / 3 - 1;
  const place = Math.min(1, Math.max(0, t)) * last;
  const low = Math.min(last - 1, Math.floor(place));
  const share = place - low;
  let packed = 0xff;
  for (let k = 2; k >= 0; k -= 1) {
    const a = known[3 * low + k];
    const b = known[3 * low + 3 + k];
    packed = packed * 256 + Math.round(a + share * (b - a));
  }
  return packed; // 0xAABBGGRR: little-endian, as every machine with a browser is
}

// A CSS colour from what `colourAt` gives.
export function css(packed) {
  return `rgb(${packed & 255} ${(packed >>> 8) & 255} ${(packed >>> 16) & 255})`;
}
