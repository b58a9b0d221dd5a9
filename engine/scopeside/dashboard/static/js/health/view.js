// Health.

export const name = "Health";

export function mount(root, page) {
  root.append("Health");
  return { show() {}, hide() {} };
}
