// In situ.

export const name = "In situ";

export function mount(root, page) {
  root.append("In situ");
  return { show() {}, hide() {} };
}
