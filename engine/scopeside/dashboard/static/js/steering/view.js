// Steering.

export const name = "Steering";

export function mount(root, page) {
  root.append("Steering");
  return { show() {}, hide() {} };
}
