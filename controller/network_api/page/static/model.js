// What is known of the topology: hosts, networks and ports by id, what is searched in them, and who is told of changes.

import { ApiError, get, pages } from "./api.js";
import { slowly } from "./dom.js";

const PORT = ["id", "name", "network_id", "mac_address", "fixed_ips", "status", "admin_state_up", "binding:host_id", "device_id", "device_owner"];
const NETWORK = ["id", "name", "status", "admin_state_up", "mtu", "provider:network_type", "provider:segmentation_id", "provider:physical_network"];
const AGENT = ["id", "host", "alive", "heartbeat_timestamp", "description", "configurations"];
const IDS = 100; // objects of one question for changed ones
const MANY = 1000; // changed objects, from which on all are asked for anew

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const natural = new Intl.Collator("en", { numeric: true });
export const byWords = natural.compare;
export const byName = (one, other) => natural.compare(one.name, other.name) || natural.compare(one.id, other.id);

const STATES = { ACTIVE: "active", BUILD: "build", DOWN: "down" };

export class Model {
  constructor() {
    this.hosts = new Map(); // by name
    this.networks = new Map();
    this.ports = new Map();
    this.wrong = new Set(); // ids of ports that this host refuses, or has not made
    this.local = null; // the state of this host, as `tunbridge status --json`
    this.localSaid = "";
    this.loaded = null; // when all was read last
    this.listeners = new Set();
    this.changed = { ports: new Set(), networks: new Set() };
    this.tell = slowly(60, () => this.listeners.forEach((listener) => listener()));
    this.fetchChanged = slowly(250, () => this.readChanged().catch(() => {}));
    this.fetchHosts = slowly(400, () => this.readHosts().catch(() => {}));
    this.fetchLocal = slowly(10_000, () => document.hidden || this.readLocal()); // its bridges are asked for all flows
  }

  // All anew. What is gone meanwhile goes when all has been read.
  async load() {
    const [networks] = await Promise.all([this.collect("networks", NETWORK), this.readHosts(), this.readLocal()]);
    this.networks = new Map(networks.map((row) => [row.id, network(row)]));
    this.tell();
    const seen = new Set();
    for await (const rows of pages("ports", PORT)) {
      for (const row of rows) {
        seen.add(row.id);
        this.ports.set(row.id, this.port(row));
      }
      this.tell();
    }
    for (const id of this.ports.keys()) if (!seen.has(id)) this.ports.delete(id);
    this.loaded = new Date();
    this.tell();
  }

  async collect(collection, fields, query = []) {
    const found = [];
    for await (const rows of pages(collection, fields, query)) found.push(...rows);
    return found;
  }

  async readHosts() {
    const agents = await this.collect("agents", AGENT);
    this.hosts = new Map(agents.map((row) => [row.host, host(row)]));
    this.tell();
  }

  async readLocal() {
    try {
      this.local = await get("tunbridge/host/status");
      this.localSaid = "";
      this.wrong = new Set(this.local.ports.filter((one) => one.reason !== null).map((one) => one.id));
      for (const port of this.ports.values()) port.state = this.stateOf(port);
    } catch (error) {
      if (!(error instanceof ApiError)) return;
      this.local = null;
      this.localSaid = error.message;
    }
    this.tell();
  }

  // What an event is about is asked for again; what is not found then is gone.
  concerns(fields) {
    if (fields.port) this.changed.ports.add(fields.port);
    if (fields.network) this.changed.networks.add(fields.network);
    if (fields.port || fields.network) this.fetchChanged();
    if (fields.host) this.fetchHosts();
  }

  async readChanged() {
    const { ports, networks } = this.changed;
    this.changed = { ports: new Set(), networks: new Set() };
    if (ports.size + networks.size > MANY) return this.load();
    await this.again("networks", [...networks], NETWORK, this.networks, network);
    await this.again("ports", [...ports], PORT, this.ports, (row) => this.port(row));
    this.tell();
  }

  async again(collection, ids, fields, known, made) {
    for (let first = 0; first < ids.length; first += IDS) {
      const asked = ids.slice(first, first + IDS);
      const rows = await this.collect(collection, fields, asked.map((id) => ["id", id]));
      const found = new Map(rows.map((row) => [row.id, row]));
      for (const id of asked) {
        if (found.has(id)) known.set(id, made(found.get(id)));
        else known.delete(id);
      }
    }
  }

  stateOf({ id, status, up }) {
    if (this.wrong.has(id)) return "error";
    return up ? (STATES[status] ?? "down") : "down";
  }

  port(row) {
    const addresses = row.fixed_ips.map((one) => one.ip_address);
    const owner = this.networks.get(row.network_id);
    const device = row.device_id ?? "";
    const host = row["binding:host_id"] || "";
    const words = [row.id, row.name, row.mac_address, ...addresses, host, owner?.name, row.status, device, "port"];
    const up = row.admin_state_up !== false;
    return {
      kind: "port",
      id: row.id,
      name: row.name || addresses[0] || row.id.slice(0, 8),
      state: this.stateOf({ id: row.id, status: row.status, up }),
      status: row.status,
      up,
      network: row.network_id,
      mac: row.mac_address,
      addresses,
      host,
      device,
      owner: row.device_owner ?? "",
      words: words.join(" ").toLowerCase(),
    };
  }

  // The hosts, also those that only ports name.
  get places() {
    const found = new Map(this.hosts);
    for (const { host: name } of this.ports.values()) {
      if (name && !found.has(name)) found.set(name, host({ host: name, alive: null }));
    }
    return [...found.values()].sort(byName);
  }

  // A text with names in the place of ids.
  named(text) {
    return text.replace(UUID, (id) => (this.ports.get(id) ?? this.networks.get(id))?.name ?? id);
  }

  object(kind, id) {
    if (kind === "host") return this.hosts.get(id) ?? this.places.find((one) => one.id === id);
    return (kind === "network" ? this.networks : this.ports).get(id);
  }

  // Those that have all words, hosts first.
  search(text, kind) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const match = (one) => words.every((word) => one.words.includes(word));
    const of = (name, all) => (kind && kind !== name ? [] : all().filter(match));
    return [
      ...of("host", () => this.places),
      ...of("network", () => [...this.networks.values()].sort(byName)),
      ...of("port", () => this.sortedPorts()),
    ];
  }

  sortedPorts() {
    return [...this.ports.values()].sort(byName);
  }

  // Pairs of hosts that have a tunnelled network together, and so tunnels; with the types of these. With a host those
  // that it is one of: of a hundred hosts all pairs are too many to go through again and again.
  tunnels(host = null) {
    const members = new Map();
    for (const port of this.ports.values()) {
      const type = this.networks.get(port.network)?.type;
      if (!port.host || port.state !== "active" || !TUNNELLED.has(type)) continue;
      if (!this.hosts.get(port.host)?.address) continue;
      if (!members.has(port.network)) members.set(port.network, { type, hosts: new Set() });
      members.get(port.network).hosts.add(port.host);
    }
    const pairs = new Map();
    for (const { type, hosts } of members.values()) {
      if (host !== null && !hosts.has(host)) continue;
      for (const one of host === null ? hosts : [host]) {
        for (const other of hosts) {
          if (one === other || (host === null && one > other)) continue;
          const key = `${one} ${other}`;
          if (!pairs.has(key)) pairs.set(key, { ends: [one, other], types: new Set() });
          pairs.get(key).types.add(type);
        }
      }
    }
    return [...pairs.values()];
  }

  // What stands against the fabric, as far as it is known here.
  problems() {
    const silent = [...this.hosts.values()].filter((one) => one.state === "error").sort(byName);
    return [
      ...silent.map((one) => ({ text: `host ${one.name} is silent`, subject: one })),
      ...(this.local?.problems ?? []).map((text) => ({ text: `${this.local.host}: ${text}` })),
      ...(this.local?.ports ?? [])
        .filter((port) => port.reason !== null)
        .map((port) => ({ text: `${this.local.host}: device ${port.device}: ${port.reason}`, subject: this.ports.get(port.id) })),
    ];
  }
}

const TUNNELLED = new Set(["gre", "vxlan", "geneve"]);

function network(row) {
  const type = row["provider:network_type"] ?? "";
  const number = row["provider:segmentation_id"];
  const physical = row["provider:physical_network"] ?? "";
  const segment = [type, number, physical && `on ${physical}`].filter((one) => one !== null && one !== undefined && one !== "").join(" ");
  return {
    kind: "network",
    id: row.id,
    name: row.name || row.id.slice(0, 8),
    state: row.admin_state_up === false ? "down" : "active",
    type,
    segment,
    mtu: row.mtu,
    words: [row.id, row.name, segment, "network"].join(" ").toLowerCase(),
  };
}

function host(row) {
  const has = row.configurations ?? {};
  return {
    kind: "host",
    id: row.host,
    name: row.host,
    state: row.alive === null ? "down" : row.alive ? "active" : "error",
    alive: row.alive,
    seen: row.heartbeat_timestamp ?? "",
    description: row.description ?? "",
    address: has.tunneling_ip ?? "",
    types: has.tunnel_types ?? [],
    mappings: has.bridge_mappings ?? {},
    version: has.version ?? "",
    words: [row.host, has.tunneling_ip, row.description, row.alive === false ? "silent" : "", "host"].join(" ").toLowerCase(),
  };
}
