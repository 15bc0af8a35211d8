// The event stream: read by fetch(), since EventSource shows no token; told apart are live, stale and lost.

import { request } from "./api.js";

const STALE = 35; // seconds without a byte, when a heartbeat comes every 15
const LONGEST = 30; // seconds between two tries

// Messages of text/event-stream out of pieces of text (HTML standard, 9.2.6). An id may come without data: there is
// nothing to tell then, and it is the last one all the same, so it is told to identified.
export function parser(told, identified = () => {}) {
  let rest = "";
  let message = {};
  const line = (text) => {
    if (text === "") {
      if (message.id !== undefined) identified(message.id);
      if (message.data !== undefined) told({ event: "message", ...message });
      message = {};
    } else if (!text.startsWith(":")) {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(text);
      if (name === "data") message.data = message.data === undefined ? value : `${message.data}\n${value}`;
      else if (name === "id" || name === "event") message[name] = value;
    }
  };
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

export class Stream {
  // told: is called with each message; changed: with the state, after each change.
  constructor({ told, changed }) {
    this.told = told;
    this.changed = changed;
    this.last = null;
    this.failures = 0;
    this.seen = null; // when something came last
    this.state = { name: "connecting" };
  }

  start() {
    setInterval(() => this.watch(), 1000);
    this.connect();
  }

  set(name, more = {}) {
    this.state = { name, seen: this.seen, ...more };
    this.changed(this.state);
  }

  async connect() {
    this.abort = new AbortController();
    try {
      const headers = this.last === null ? {} : { "Last-Event-ID": this.last };
      const answer = await request("tunbridge/events", { headers, signal: this.abort.signal });
      if (answer.status === 404 || answer.status === 403) {
        await answer.body?.cancel();
        this.set("absent", { status: answer.status });
        return;
      }
      if (!answer.ok) throw new Error(`the answer is ${answer.status}`);
      await this.read(answer.body.getReader());
      throw new Error("it has ended");
    } catch (error) {
      this.again(error);
    }
  }

  async read(reader) {
    const decoder = new TextDecoder();
    const feed = parser(
      (message) => this.told(message),
      (id) => (this.last = id),
    );
    this.came();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.came();
      feed(decoder.decode(value, { stream: true }));
    }
  }

  came() {
    const again = this.state.name !== "live";
    this.seen = Date.now();
    this.failures = 0;
    if (again) this.set("live");
  }

  again(error) {
    this.failures += 1;
    const pause = Math.min(LONGEST, 2 ** (this.failures - 1)) * (0.75 + Math.random() / 4);
    this.set("lost", { why: error.message, next: Date.now() + pause * 1000 });
    setTimeout(() => this.connect(), pause * 1000);
  }

  watch() {
    if (this.state.name === "live" && Date.now() - this.seen > STALE * 1000) {
      this.set("stale");
      this.stale = Date.now();
    } else if (this.state.name === "stale" && Date.now() - this.stale > STALE * 1000) {
      this.abort.abort(); // whoever is there no more does not say so
    } else if (this.state.name === "lost" || this.state.name === "stale") {
      this.changed(this.state); // with other numbers of seconds
    }
  }
}
