// HOLD and BLANK, always in reach.

export function mountStops(root, page) {}
