// The Network API: requests with the token of this tab, lists page by page.

const TOKEN = "tunbridge.token";
const BASE = new URL("../v2.0/", document.baseURI);
const PAGE = 2000;

let askForToken = null;
let asking = null;

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// How a token is asked for: a function that promises one. It is told whether one was refused.
export function tokensFrom(ask) {
  askForToken = ask;
}

export function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return token === null ? {} : { "X-Auth-Token": token };
}

async function authenticate(shown) {
  if (sessionStorage.getItem(TOKEN) !== shown) return; // another request has asked meanwhile
  sessionStorage.removeItem(TOKEN);
  asking ??= askForToken(shown !== null).finally(() => (asking = null));
  sessionStorage.setItem(TOKEN, await asking);
}

// An answer, whatever its status but 401, after which a token is asked for.
export async function request(path, options = {}) {
  for (;;) {
    const shown = sessionStorage.getItem(TOKEN);
    const own = { ...options.headers, ...headers() };
    const answer = await fetch(new URL(path, BASE), { ...options, headers: own, cache: "no-store", credentials: "same-origin" });
    if (answer.status !== 401) return answer;
    await authenticate(shown);
  }
}

async function read(answer) {
  const body = await answer.json().catch(() => null);
  if (answer.ok && body !== null) return body;
  throw new ApiError(answer.status, body?.NeutronError?.message || body?.error?.message || `the answer is ${answer.status}`);
}

export async function get(path, options) {
  return read(await request(path, options));
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return read(await request(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

// All objects of a collection that a query finds, in pages.
export async function* pages(collection, fields, query = []) {
  let marker = null;
  for (;;) {
    const asked = new URLSearchParams([...fields.map((name) => ["fields", name]), ...query, ["limit", PAGE]]);
    if (marker !== null) asked.set("marker", marker);
    const body = await get(`${collection}?${asked}`);
    const found = body[collection];
    yield found;
    const more = (body[`${collection}_links`] ?? []).some((link) => link.rel === "next");
    if (!more || !found.length) return;
    marker = found.at(-1).id;
  }
}
