// What is known of one host, network or port, beside the map.

import { button, counted, facts, make } from "./dom.js";
import { byName, byWords } from "./model.js";

const SHOWN = 40; // ports, networks or events

const WORDS = { active: "active", build: "being built", down: "down", error: "refused" };

// The state of something, in a word and a colour.
export function badge(state, text = WORDS[state]) {
  return make("span", { class: `badge ${state}` }, text);
}

export function stateOf(object) {
  if (object.kind !== "host") return badge(object.state);
  if (object.alive === null) return badge("down", "not registered");
  return object.alive ? badge("active", "alive") : badge("error", "silent");
}

// go: selects another object. searched: searches for a text. events: those that there are, the newest first.
export function details(object, model, { go, searched, events, close }) {
  const known = { host: hostParts, network: networkParts, port: portParts }[object.kind](object, model, go);
  const { list = [], pairs, actions = [], subjects = [object.id] } = known;
  const problems = model.problems().filter((one) => one.subject?.kind === object.kind && one.subject.id === object.id);
  const own = events.filter((one) => Object.values(one.fields ?? {}).some((value) => subjects.includes(value)));
  return [
    make("header", {}, make("p", { class: "kind" }, object.kind), button("Close", close, { class: "quiet", "aria-label": "Close details" })),
    make("h2", {}, object.name, " ", stateOf(object)),
    problems.length ? make("ul", { class: "bad" }, ...problems.map((one) => make("li", {}, one.text))) : null,
    facts(pairs),
    actions.length ? make("p", { class: "actions" }, ...actions) : null,
    ...list.filter(({ items }) => items.length).flatMap((one) => related(one, go, searched)),
    own.length ? make("h3", {}, "Events") : null,
    own.length ? make("ol", { class: "events" }, ...own.slice(0, SHOWN).map((one) => eventRow(one, model))) : null,
  ].filter(Boolean);
}

// What is shown where nothing is selected: what stands against the fabric, and what has happened.
export function overview(model, { events, close }) {
  const problems = model.problems();
  const shown = problems.slice(0, SHOWN).map(({ text, subject }) => make("li", {}, text, subject ? " " : "", subject ? link(subject) : ""));
  return [
    button("Close", close, { class: "quiet narrow", "aria-label": "Close details" }),
    make("h2", {}, problems.length ? counted(problems.length, "problem") : "No problems"),
    make("p", { class: "muted" }, model.local ? `As far as the API and the controller of ${model.local.host} know.` : "As far as the API knows."),
    make("ul", { class: "listed" }, ...shown),
    make("h3", {}, "Events"),
    events.length ? make("ol", { class: "events" }, ...events.slice(0, SHOWN).map((one) => eventRow(one, model))) : make("p", { class: "muted" }, "None yet."),
    make("h3", {}, "How to"),
    make("p", { class: "muted" }, "Choose a host to see its tunnels and networks, a network to see its hosts, a cell to see a port. Keys: / searches, arrows go through what is found and drawn, Enter chooses, Esc goes back."),
  ];
}

function link(subject) {
  return make("a", { href: `#map?${new URLSearchParams({ kind: subject.kind, id: subject.id })}` }, `Show ${subject.name}`);
}

function related({ title, items, search }, go, searched) {
  const rows = items.slice(0, SHOWN).map((one) =>
    make("li", {}, button(one.name, () => go(one)), make("span", { class: "muted" }, one.addresses?.[0] ?? one.segment ?? ""), make("span", { class: `dot ${one.state}`, title: one.state }))
  );
  const more = items.length > SHOWN ? button(`All ${counted(items.length, "port")}`, () => searched(search), { class: "quiet" }) : null;
  return [make("h3", {}, `${title} (${items.length})`), make("ul", { class: "related" }, ...rows), more];
}

function hostParts(host, model) {
  const ports = model.sortedPorts().filter((port) => port.host === host.name);
  const networks = [...new Set(ports.map((port) => port.network))].map((id) => model.networks.get(id)).filter(Boolean).sort(byName);
  const tunnels = model.tunnels(host.name).sort((one, other) => byWords(one.ends[1], other.ends[1]));
  const peers = tunnels.map(({ ends, types }) => `${ends[1]} (${[...types].join(", ")})`);
  const local = model.local?.host === host.name ? model.local : null;
  return {
    pairs: [
      ["Tunnels from", host.address],
      ["Tunnel types", host.types.join(", ")],
      ["Tunnels to", local ? local.tunnels.map((one) => `${one.host} (${one.type})`).join(", ") : peers.slice(0, SHOWN).join(", ") + (peers.length > SHOWN ? ` and ${peers.length - SHOWN} more` : "")],
      ["Physical networks", Object.entries(host.mappings).map(([name, bridge]) => `${name}: ${bridge}`).join(", ")],
      ["Last seen", host.seen && `${host.seen} UTC`],
      ["Version", host.version],
      ["Description", host.description],
      ["In sync", local && (local.in_sync ? "yes" : "no")],
      ...(local ? Object.entries(local.bridges).map(([name, one]) => [name, `${one.connected ? "connected" : "not connected"}, ${counted(one.flows.installed, "flow")}, drift ${one.flows.drift}`]) : []),
    ],
    actions: local ? Object.keys(local.bridges).map((name) => make("a", { href: `#flows?bridge=${encodeURIComponent(name)}` }, `Flows of ${name}`)) : [],
    list: [
      { title: "Networks", items: networks, search: host.name },
      { title: "Ports", items: ports, search: host.name },
    ],
  };
}

function networkParts(network, model) {
  const ports = model.sortedPorts().filter((port) => port.network === network.id);
  const hosts = [...new Set(ports.map((port) => port.host).filter(Boolean))].map((name) => model.object("host", name)).filter(Boolean).sort(byName);
  return {
    pairs: [["Id", network.id], ["Segment", network.segment], ["MTU", network.mtu]],
    list: [
      { title: "Hosts", items: hosts, search: network.id },
      { title: "Ports", items: ports, search: network.name },
    ],
  };
}

function portParts(port, model, go) {
  const network = model.networks.get(port.network);
  const host = port.host ? model.object("host", port.host) : null;
  const here = (model.local?.ports ?? []).find((one) => one.id === port.id);
  return {
    subjects: [port.id, here?.device].filter(Boolean),
    pairs: [
      ["Id", port.id],
      ["MAC address", port.mac],
      ["IP addresses", port.addresses.join(", ")],
      ["Network", network ? button(network.name, () => go(network), { class: "link" }) : port.network],
      ["Host", host ? button(host.name, () => go(host), { class: "link" }) : "none"],
      ["Status", port.status + (port.up ? "" : ", switched off")],
      ["Belongs to", [port.owner, port.device].filter(Boolean).join(" ")],
      ["Device", here && `${here.device}, OpenFlow port ${here.ofport ?? "none"}`],
      ["Local VLAN", here?.vlan],
    ],
    actions: [
      here ? make("a", { href: `#trace?from=${encodeURIComponent(here.device)}` }, "Trace from here") : make("a", { href: `#trace?to=${encodeURIComponent(port.id)}` }, "Trace to here"),
      here?.ofport ? make("a", { href: `#flows?bridge=br-int&match=${encodeURIComponent(`in_port=${here.ofport}`)}` }, "Flows") : null,
    ].filter(Boolean),
  };
}

// One event of the stream, as a row.
export function eventRow(event, model) {
  const at = new Date(event.time);
  const bad = ["WARNING", "ERROR", "CRITICAL"].includes(event.severity) ? event.severity.toLowerCase() : "";
  const fields = Object.entries(event.fields ?? {}).filter(([, value]) => value !== null).map(([name, value]) => `${name} ${value}`);
  return make(
    "li",
    { class: bad },
    make("time", { datetime: event.time }, Number.isNaN(at.getTime()) ? String(event.time ?? "") : at.toLocaleTimeString("en-GB")),
    make("span", { class: "name" }, event.event),
    make("span", { class: "words" }, model.named(event.message ?? fields.join(", "))),
    make("span", { class: "muted" }, event.host ?? ""),
  );
}
