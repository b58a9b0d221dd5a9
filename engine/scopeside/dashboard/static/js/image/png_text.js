// Text inside a PNG file: iTXt chunks (PNG specification, third edition, 11.3.3.4) after the
// header.

const HEAD = 8 + 25; // signature and IHDR

let table = null;

// The bytes of a PNG with texts by keyword (Latin letters, at most 79).
export function withTexts(png, texts) {
  const chunks = Object.entries(texts).map(([keyword, text]) => chunkOf(keyword, text));
  const parts = [png.subarray(0, HEAD), ...chunks, png.subarray(HEAD)];
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function chunkOf(keyword, text) {
  const encoder = new TextEncoder();
  // Keyword, 0; not compressed, method 0; no language, 0; no other keyword, 0; text.
  const body = [...encoder.encode("iTXt"), ...encoder.encode(keyword), 0, 0, 0, 0, 0];
  const data = encoder.encode(text);
  const chunk = new Uint8Array(4 + body.length + data.length + 4);
  chunk.set(body, 4);
  chunk.set(data, 4 + body.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, body.length - 4 + data.length);
  view.setUint32(chunk.length - 4, crc(chunk.subarray(4, -4)));
  return chunk;
}

function crc(bytes) {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c;
  });
  let c = 0xffffffff;
  for (const byte of bytes) c = table[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}
