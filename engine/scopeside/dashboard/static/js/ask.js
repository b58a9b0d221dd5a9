// Commands and questions to the page's server. A command needs the token that the
// address was opened with: the server does not see what follows #, and it is taken out of
// the address so that nobody reads it over a shoulder.

const KEPT = "scopeside.token";
const PATIENCE_MS = 30_000; // who asks once more only when the last answer is here goes on then

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(KEPT, given);
  history.replaceState(null, "", location.pathname + location.search);
}

// Whether this tab may change anything, as far as it knows.
export function mayChange() {
  return sessionStorage.getItem(KEPT) !== null;
}

// The token of this tab, null if it may only look: for a socket, which has no headers.
export function token() {
  return sessionStorage.getItem(KEPT);
}

// Why what would change something is disabled, for its title.
export const MAY_ONLY_LOOK =
  "this tab may only look: open the address with the token, which the engine prints " +
  "when it starts (also: scopeside page --address)";

// Ask for a change; resolves to the answer, rejects with an Error that says why not.
export async function command(name, body = {}, { signal } = {}) {
  if (!mayChange()) throw new Error(MAY_ONLY_LOOK);
  const response = await fetch(`api/${name}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token()}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  return answerOf(response);
}

// Ask a question; resolves to JSON, or to an ArrayBuffer if it is none. Rejects with an Error
// whose message can be shown, also where nobody answers.
export async function question(name, asked = {}) {
  const search = new URLSearchParams(asked).toString();
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    return await answerOf(await fetch(`api/${name}${search && `?${search}`}`, { signal }));
  } catch (error) {
    const isRefusal = !(error instanceof TypeError || error instanceof DOMException);
    throw isRefusal ? error : new Error("the page's server does not answer");
  }
}

async function answerOf(response) {
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const answer = isJson ? await response.json() : await response.arrayBuffer();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}
