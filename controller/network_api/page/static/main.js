// The page: which view is shown, what is selected, and what the stream of events changes.

import { tokensFrom } from "./api.js";
import { details, overview } from "./details.js";
import { counted, find, make, slowly } from "./dom.js";
import { EventsView } from "./events.js";
import { FlowsView } from "./flows.js";
import { List } from "./list.js";
import { TopologyMap } from "./map.js";
import { Model } from "./model.js";
import { Stream } from "./stream.js";
import { TraceView } from "./trace.js";

const REFRESH = 30; // seconds between two questions for what no event tells: who is silent, what is in sync

const model = new Model();
const eventsView = new EventsView(model);
const views = { map: { show: showMap, hide() {} }, flows: new FlowsView(model), trace: new TraceView(model), events: eventsView };
let current = null;
let selected = null;
let kind = "";
let asked = false; // somebody wants to see problems, where there is room for them when asked for alone

const map = new TopologyMap(find("map"), find("tip"), { chosen: choose });
const list = new List(find("results"), { row, chosen: choose });

function row(object) {
  const more = object.kind === "port" ? [object.addresses[0], object.host || "not on a host"] : object.kind === "network" ? [object.segment] : [object.address];
  return [
    make("span", { class: `dot ${object.state}`, title: object.state }),
    make("span", { class: "title" }, object.name),
    make("span", { class: "muted" }, [object.kind, ...more].filter(Boolean).join(" · ")),
  ];
}

// Selection: the address says what is selected, so that it can be sent to somebody, and "back" goes back.

function choose(object) {
  asked = false;
  const query = object ? `?${new URLSearchParams({ kind: object.kind, id: object.id })}` : "";
  const hash = `#map${query}`;
  if (location.hash === hash) showMap(new URLSearchParams(query));
  else location.hash = hash;
}

function showMap(parameters) {
  const [of, id] = [parameters.get("kind"), parameters.get("id")];
  selected = of ? { kind: of, id } : null;
  redraw();
}

function showDetails(object) {
  const panel = find("details");
  const { events } = eventsView;
  const options = { go: choose, searched: searchFor, events, close };
  const made = make("div", {}, ...(object ? details(object, model, options) : overview(model, options)));
  panel.classList.toggle("empty", !object && !asked); // for which narrow windows have no room
  if (panel.firstElementChild?.isEqualNode(made)) return; // whoever reads it is not disturbed
  const focused = panel.contains(document.activeElement);
  const top = panel.dataset.of === (object?.id ?? "") ? panel.scrollTop : 0;
  panel.replaceChildren(made);
  panel.dataset.of = object?.id ?? "";
  panel.scrollTop = top;
  if (focused) panel.focus();
}

function close() {
  asked = false;
  choose(null);
  find("results").focus();
}

function searchFor(text) {
  find("search").value = text;
  setKind("port");
}

function setKind(wanted) {
  kind = wanted;
  for (const one of find("kinds").children) one.setAttribute("aria-pressed", String(one.dataset.kind === kind));
  showFound();
}

function showFound() {
  const text = find("search").value;
  const found = model.search(text, kind);
  list.set(found);
  find("found").textContent = text || kind ? `${counted(found.length, "match", "matches")}` : counted(found.length, "object");
}

function showSummary() {
  const ports = [...model.ports.values()];
  const states = ["active", "build", "down", "error"].map((state) => [state, ports.filter((port) => port.state === state).length]);
  const some = states.filter(([, count]) => count).map(([state, count]) => `${count.toLocaleString("en")} ${state === "build" ? "being built" : state === "error" ? "refused" : state}`);
  const parts = [counted(model.places.length, "host"), counted(model.networks.size, "network"), counted(ports.length, "port")];
  find("summary").textContent = parts.join(", ") + (some.length ? `: ${some.join(", ")}` : "");
  const problems = find("problems");
  problems.textContent = counted(model.problems().length, "problem");
  problems.hidden = !model.problems().length;
  const local = find("local");
  local.hidden = !model.localSaid;
  local.textContent = model.localSaid && `Flows and traces are of the host that serves this page, and here: ${model.localSaid}.`;
}

const redraw = slowly(16, () => {
  if (current !== "map") return;
  const object = selected && (model.object(selected.kind, selected.id) ?? null);
  showSummary();
  showFound();
  map.selected = object;
  map.show(model);
  list.select(object);
  showDetails(object);
  if (!performance.getEntriesByName("first-picture").length && model.hosts.size) performance.mark("first-picture");
  if (model.loaded && !performance.getEntriesByName("complete").length) performance.mark("complete");
});

// Views

function route() {
  const [, name, query = ""] = /^#?([a-z]*)\??(.*)$/.exec(location.hash);
  const wanted = name in views ? name : "map";
  if (wanted !== current) {
    if (current) views[current].hide();
    for (const one of Object.keys(views)) find(`view-${one}`).hidden = one !== wanted;
    for (const link of find("views").children) {
      if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${wanted[0].toUpperCase()}${wanted.slice(1)} · Tunbridge`;
    current = wanted;
  }
  views[wanted].show(new URLSearchParams(query));
}

// The stream of events, and how old is what is shown

function clock(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString("en-GB");
}

function showStream(state) {
  const chip = find("stream");
  const seconds = Math.max(0, Math.round((Date.now() - (state.seen ?? Date.now())) / 1000));
  const next = state.next ? Math.max(0, Math.ceil((state.next - Date.now()) / 1000)) : 0;
  const words = {
    connecting: "Connecting",
    live: "Live",
    stale: `Stale for ${seconds} s`,
    lost: next ? `Lost, again in ${next} s` : "Lost, connecting",
    absent: `No events, asked every ${REFRESH} s`,
  };
  const text = words[state.name];
  chip.setAttribute("aria-live", "off");
  if (find("stream-text").textContent !== text) find("stream-text").textContent = text;
  const was = chip.dataset.state;
  chip.dataset.state = state.name;
  showBanner();
  if (state.name === "live" && was === "lost") reload(); // in case that its process has another journal now
}

// What is wrong with what is shown. It is read aloud, so it is written only when it is another.
function showBanner() {
  const { name, seen } = stream.state;
  const since = seen ? `What is shown may be as it was at ${clock(seen)}.` : "What is shown may be old.";
  const text = apiSaid || (name === "stale" || name === "lost" ? `The stream of events is ${name}. ${since}` : "");
  const banner = find("banner");
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
}

function told(message) {
  let event = null;
  try {
    event = JSON.parse(message.data);
  } catch {
    return;
  }
  if (message.event === "gap") {
    eventsView.gap(event.missed);
    reload();
    return;
  }
  eventsView.add({ ...event, event: message.event });
  model.concerns({ ...event.fields, host: event.fields?.host ?? (message.event.startsWith("host-") ? event.host : null) });
  if (event.host === model.local?.host) model.fetchLocal();
  redraw();
}

let loading = null;
let apiSaid = "";

function reload() {
  loading ??= model
    .load()
    .then(() => (apiSaid = ""))
    .catch((error) => {
      apiSaid = `The Network API does not answer: ${error.message}`;
      setTimeout(reload, 5000);
    })
    .finally(() => {
      loading = null;
      showBanner();
    });
  return loading;
}

const stream = new Stream({ told, changed: showStream });

function refresh() {
  if (document.hidden) return;
  model.fetchHosts();
  model.fetchLocal();
  if (stream.state.name === "absent") reload();
}

// Tokens

function askForToken(refused) {
  const dialog = find("sign-in");
  find("sign-in-said").textContent = refused ? "That token is not known, or no more." : "";
  find("token").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const entered = (event) => {
      event.preventDefault();
      const token = find("token").value.trim();
      if (!/^[\x21-\x7e]+$/.test(token)) {
        find("sign-in-said").textContent = "A token has no spaces, and no letters beyond ASCII.";
        return;
      }
      find("sign-in-form").removeEventListener("submit", entered);
      find("token").value = "";
      dialog.close();
      resolve(token);
    };
    find("sign-in-form").addEventListener("submit", entered);
  });
}

function listen() {
  find("sign-in").addEventListener("cancel", (event) => event.preventDefault()); // there is nothing behind it
  find("search").addEventListener("input", slowly(80, showFound));
  find("search").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "Enter") return;
    event.preventDefault();
    showFound(); // of what was typed just now
    find("results").focus();
    if (event.key === "Enter" && list.items.length) list.choose(0);
    else list.key(new KeyboardEvent("keydown", { key: "Home" }));
  });
  find("problems").addEventListener("click", (event) => {
    event.preventDefault();
    choose(null);
    asked = true;
    redraw();
    find("details").focus();
  });
  find("kinds").addEventListener("click", (event) => event.target.dataset.kind !== undefined && setKind(event.target.dataset.kind));
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || find("sign-in").open;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (current !== "map") location.hash = "#map";
      setTimeout(() => find("search").focus());
    } else if (event.key === "Escape" && selected && current === "map" && !find("sign-in").open) {
      choose(null);
    }
  });
  window.addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", refresh);
}

tokensFrom(askForToken);
listen();
model.listeners.add(redraw);
model.listeners.add(() => current === "flows" && !find("flows-bridge").options.length && model.local && route());
route();
reload();
stream.start();
setInterval(refresh, REFRESH * 1000);
