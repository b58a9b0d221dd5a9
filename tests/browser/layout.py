"""What is wrong with the layout of a page, as far as a program can see it."""

from __future__ import annotations

from typing import Any

SIZES = {"1366": (1366, 768), "4k": (3840, 2160)}
LEAST_PX = {"1366": 11.0, "4k": 20.0}
"""Height of letters that can be read at an arm's length."""

FAULTS = r"""(least) => {
  const faults = [];
  const say = (what, ...elements) =>
    faults.push(what + ": " + elements.map(called).join(" | "));
  const called = (element) => {
    const text = (element.value ?? element.textContent).trim().replace(/\s+/g, " ");
    const of = element.closest("[id]")?.id ?? "";
    const kind = element.tagName.toLowerCase() + "." + (element.classList[0] ?? "");
    return `#${of} ${kind} "${text.slice(0, 50)}"`;
  };
  const isSeen = (element) =>
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) &&
    element.closest("[aria-hidden=true], dialog:not([open]), noscript, title") === null;

  // What is left of a box inside all that cuts it off.
  const left = (box, element) => {
    let { left, top, right, bottom } = box;
    for (let up = element; up !== null; up = up.parentElement) {
      const style = getComputedStyle(up);
      const clips = style.overflow !== "visible" && !(up instanceof SVGElement);
      if (up !== element && clips) {
        const clip = up.getBoundingClientRect();
        left = Math.max(left, clip.left);
        top = Math.max(top, clip.top);
        right = Math.min(right, clip.right);
        bottom = Math.min(bottom, clip.bottom);
      }
      if (style.position === "fixed") break;
    }
    return { left, top, right, bottom };
  };
  const isSome = ({ left, top, right, bottom }) => right - left > 1 && bottom - top > 1;
  // Behind something else, as under an open list: what is on top is looked at.
  const isOnTop = (element, { left, top, right, bottom }) => {
    const found = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return found === null || element.contains(found) || found.contains(element) ||
      getComputedStyle(element).pointerEvents === "none" ||
      found.closest("svg") !== null;
  };

  // Pieces of text, and controls, each with the boxes that it takes.
  const things = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !isSeen(element)) continue;
    if (["STYLE", "SCRIPT", "OPTION"].includes(element.tagName)) continue;
    const range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    const boxes = [...range.getClientRects()].map((box) => left(box, element));
    const shown = boxes.filter((box) => isSome(box) && isOnTop(element, box));
    if (shown.length === 0) continue;
    things.push({ element, boxes: shown, isText: true });
    const scale = element instanceof SVGElement ? (element.getScreenCTM()?.d ?? 1) : 1;
    const size = parseFloat(getComputedStyle(element).fontSize) * scale;
    if (size < least - 0.05) say(`letters of ${size.toFixed(1)} px`, element);
  }
  for (const element of document.querySelectorAll("button, input, select, textarea")) {
    if (!isSeen(element)) continue;
    const box = left(element.getBoundingClientRect(), element);
    if (isSome(box) && isOnTop(element, box)) {
      things.push({ element, boxes: [box], isText: false });
    }
  }

  const overlap = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  for (const [i, a] of things.entries()) {
    for (const b of things.slice(i + 1)) {
      if (a.element.contains(b.element) || b.element.contains(a.element)) continue;
      if (a.boxes.some((one) => b.boxes.some((other) => overlap(one, other)))) {
        say("overlap", a.element, b.element);
      }
    }
  }

  for (const { element } of things) {
    const style = getComputedStyle(element);
    const isCut = style.overflowX !== "visible" || element.tagName === "INPUT";
    if (isCut && element.scrollWidth > element.clientWidth + 1) say("cut off", element);
  }
  for (const { element, boxes } of things) {
    const box = boxes[0];
    if (box.left < -1 || box.right > innerWidth + 1) say("beyond the edge", element);
  }
  for (const element of document.querySelectorAll("html, body, main, .view, .panel")) {
    if (isSeen(element) && element.scrollWidth > element.clientWidth + 1) {
      const by = element.scrollWidth - element.clientWidth;
      say(`wider than its place by ${by} px`, element);
    }
  }
  return [...new Set(faults)];
}"""


def faults(tab: Any, size: str) -> list[str]:
    """Return in words what overlaps, is cut off, or is too small in a tab."""
    found: list[str] = tab.evaluate(f"({FAULTS})({LEAST_PX[size]})")
    return found
