// Feedback.

export const name = "Feedback";

export function mount(root, page) {
  root.append("Feedback");
  return { show() {}, hide() {} };
}
