// The flows of a bridge of this host: what each is for, and how often it was hit.

import { get } from "./api.js";
import { button, counted, find, make, number, prose } from "./dom.js";

const STEP = 300; // rows that are shown at once
const PAUSE = 5000; // milliseconds between two questions

// Table, priority, match and actions out of a flow as ovs-ofctl writes it.
export function parts(flow) {
  const [before, actions = ""] = flow.split(/ ?actions=/);
  const found = { table: "0", priority: "32768", match: [], actions };
  for (const word of before.trim().split(/,(?![^(]*\))/)) {
    const [name, value] = word.trim().split(/=(.*)/);
    if (name === "table" || name === "priority") found[name] = value;
    else if (word.trim()) found.match.push(word.trim());
  }
  return { ...found, match: found.match.join(", ") || "any" };
}

export class FlowsView {
  constructor(model) {
    this.model = model;
    this.shown = STEP;
    this.before = new Map(); // flow → frames when it was asked for last
    this.form = find("flows-form");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.open(find("flows-bridge").value, find("flows-match").value.trim());
    });
    find("flows-bridge").addEventListener("change", () => this.form.requestSubmit());
    find("flows-auto").addEventListener("change", () => this.again());
    setInterval(() => this.visible && find("flows-auto").checked && this.again(), PAUSE);
  }

  open(bridge, match) {
    location.hash = `flows?${new URLSearchParams({ bridge, match })}`;
  }

  // parameters: bridge and match.
  show(parameters) {
    this.visible = true;
    const bridges = Object.keys(this.model.local?.bridges ?? {}).sort();
    const select = find("flows-bridge");
    const wanted = parameters.get("bridge") ?? select.value;
    select.replaceChildren(...bridges.map((name) => make("option", { value: name }, name)));
    if (bridges.includes(wanted)) select.value = wanted;
    find("flows-match").value = parameters.get("match") ?? "";
    if (!bridges.length) {
      this.say(this.model.localSaid || "Loading", "");
      return;
    }
    this.shown = STEP;
    this.again();
  }

  hide() {
    this.visible = false;
  }

  say(text, kind) {
    const said = find("flows-said");
    said.textContent = text;
    said.className = `said ${kind}`;
  }

  async again() {
    const [bridge, match] = [find("flows-bridge").value, find("flows-match").value.trim()];
    if (!bridge) return;
    const query = match ? `?${new URLSearchParams({ match })}` : "";
    try {
      const answer = await get(`tunbridge/host/flows/${encodeURIComponent(bridge)}${query}`);
      if (bridge === find("flows-bridge").value) this.told(bridge, answer);
    } catch (error) {
      this.say(error.message, "bad");
      find("flows-table").replaceChildren();
    }
  }

  told(bridge, { flows, number: all, silent }) {
    const unused = flows.filter((flow) => flow.packets === 0).length;
    const part = flows.length < all ? `the first ${number(flows.length)} of ` : "";
    const words = [`${part}${counted(all, "flow")} of ${bridge} on host ${this.model.local?.host ?? "here"}`];
    if (silent.length) words.push("the bridge is not connected: this is what it should have");
    else words.push(`${number(unused)} never hit`, `at ${new Date().toLocaleTimeString("en-GB")}`);
    this.say(words.join(" · "), silent.length ? "bad" : "");
    this.flows = flows;
    this.table();
    this.before = new Map(flows.map((flow) => [`${flow.cookie} ${flow.flow}`, flow.packets]));
  }

  table() {
    const rows = this.flows.slice(0, this.shown).map((flow) => this.row(flow));
    const titles = ["Table", "Priority", "Match", "Actions", "What for", "Frames", "Bytes"];
    const head = make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...titles.map((title) => make("th", { role: "columnheader", scope: "col" }, title))));
    const table = make("table", { role: "table", class: "flows", "aria-label": "Flows" }, head, make("tbody", { role: "rowgroup" }, ...rows));
    const more = this.flows.length > this.shown ? button(`Show ${Math.min(STEP, this.flows.length - this.shown)} more`, () => ((this.shown += STEP), this.table())) : null;
    find("flows-table").replaceChildren(table, ...(more ? [more] : []));
  }

  row(flow) {
    const { table, priority, match, actions } = parts(flow.flow);
    const before = this.before.get(`${flow.cookie} ${flow.flow}`);
    const more = flow.packets !== null && before !== undefined && before !== null ? flow.packets - before : 0;
    const state = flow.installed === false ? "missing" : flow.desired ? "" : "foreign";
    const cell = (title, value, kind = "") => make("td", { role: "cell", "data-title": title, class: kind }, make("div", {}, ...[value].flat()));
    return make(
      "tr",
      { role: "row", class: state },
      cell("Table", table, "number"),
      cell("Priority", priority, "number"),
      cell("Match", make("code", {}, match)),
      cell("Actions", make("code", {}, actions || "drop")),
      cell("What for", [...prose(flow.meaning ?? (flow.desired ? "" : "A flow of others.")), ...this.subject(flow.of), state === "missing" ? make("strong", {}, " It is missing.") : null].filter(Boolean)),
      cell("Frames", [flow.packets === null ? "?" : number(flow.packets), more > 0 ? make("span", { class: "more" }, ` +${number(more)}`) : null].filter(Boolean), "number"),
      cell("Bytes", flow.bytes === null ? "?" : number(flow.bytes), "number"),
    );
  }

  // Whose it is, with a way to the map.
  subject(of) {
    if (!of) return [];
    const known = of.kind === "port" || of.kind === "network" ? this.model.object(of.kind, of.id) : null;
    const link = known ? make("a", { href: `#map?${new URLSearchParams({ kind: of.kind, id: of.id })}` }, known.name) : of.id;
    return [make("span", { class: "muted of" }, ` ${of.kind} `, link)];
  }
}
