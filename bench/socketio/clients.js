// node clients.js URL TRANSPORT CONNECTIONS CLIENTS EVENTS PAUSE: what bench/socketio/check.py has its clients do.
// TRANSPORT: polling, upgrade, websocket.  CONNECTIONS: own, shared (one agent that keeps them), fetch.
// PAUSE: milliseconds between two handshakes.  Prints one line of JSON: how many of what has come.
const http = require("http"), https = require("https");
const { io } = require("socket.io-client");
const { Fetch, NodeWebSocket } = require("engine.io-client");
const [url, transport, connections, ...numbers] = process.argv.slice(2);
const [count, events, pause] = numbers.map(Number);
const PATIENCE = Number(process.env.PATIENCE ?? 30) * 1000;

const transports = () => {
  const polling = connections === "fetch" ? Fetch : "polling";
  const websocket = connections === "fetch" ? NodeWebSocket : "websocket";
  return { polling: [polling], upgrade: [polling, websocket], websocket: [websocket] }[transport];
};
const shared = new (url.startsWith("https") ? https : http).Agent({ keepAlive: true });
const agent = connections === "shared" ? { agent: shared } : {};

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const told = (reason, details) => [reason, details?.message, details?.description?.cause?.message].filter(Boolean).join(", ");
const within = (promise) => Promise.race([promise, sleep(PATIENCE).then(() => null)]);

class Client {
  constructor() {
    this.heard = {};
    this.workers = new Set();
    this.socket = io(url, { transports: transports(), forceNew: true, reconnection: false, ...agent });
    this.socket.on("asked", (value, answer) => answer([this.socket.id, value]));
    this.socket.onAny((what, value) => { if (what !== "asked") (this.heard[what] ??= []).push(value); });
    this.connected = within(new Promise((done) => {
      this.socket.on("connect", () => { this.sid = this.socket.id; done(true); });
      this.socket.on("connect_error", (error) => { this.lost = told(error.message, error); done(null); });
      this.socket.on("disconnect", (reason, details) => { this.lost = told(reason, details); done(null); });
    }));
  }
  ask(...what) {
    const gone = new Promise((done) => this.socket.connected ? this.socket.once("disconnect", () => done(null)) : done(null));
    return Promise.race([this.socket.timeout(PATIENCE).emitWithAck(...what).catch(() => null), gone]);
  }
  async upgraded() {
    const engine = this.socket.io.engine;
    if (transport !== "upgrade" || engine.transport.name === "websocket") return;
    await within(new Promise((done) => { engine.once("upgrade", done); engine.once("close", done); }));
  }
  async hears(what) {
    for (const until = Date.now() + PATIENCE; !(what in this.heard) && Date.now() < until;) await sleep(5);
    return this.heard[what]?.length === 1;
  }
}

const number = (results) => results.filter(Boolean).length;
const all = async (clients, act) => number(await Promise.all(clients.map(act)));
const after = (clients, index) => clients[(index + 1) % clients.length];

(async () => {
  const room = `room-${process.pid}-${Date.now()}`, made = [];
  for (let i = 0; i < count; i++) {
    made.push(new Client());
    if (pause) await sleep(pause);
  }
  const live = await all(made, (one) => one.connected);
  const clients = made.filter((one) => one.sid);
  const result = { live, echoes: 0 };
  await Promise.all(clients.map((one) => one.upgraded()));
  await Promise.all(clients.map(async (one) => {
    for (let i = 0; i < events; i++) {
      const answer = await one.ask("echo", i);
      if (answer?.[1] === i) { result.echoes++; one.workers.add(answer[0]); }
    }
  }));
  const share = {};
  for (const one of clients) for (const worker of one.workers) share[worker] = (share[worker] ?? 0) + 1;
  result.workers = Object.keys(share).length;
  result.most = Math.max(...Object.values(share));
  result.faithful = number(clients.map((one) => one.workers.size === 1));
  result.upgraded = number(clients.map((one) => one.socket.io.engine?.transport.name === (transport === "polling" ? "polling" : "websocket")));
  if (live === count) {
    result.whence = [...new Set((await Promise.all(clients.map((one) => one.ask("whence")))).map(String))];
    for (const name of [room, `${room}-all`]) await Promise.all(clients.map((one) => one.ask("join", name)));
    clients[0].socket.emit("tell", room, "text", "hello");
    clients[0].socket.emit("tell", room, "binary", Buffer.from([0, 255]));
    clients[0].socket.emit("tell", room, "told", 1);
    result.told = await all(clients, (one) => one.hears("told"));
    result.broadcast = await all(clients, (one) => one.hears("text"));
    result.binary = await all(clients, async (one) => await one.hears("binary") && Buffer.from([0, 255]).equals(one.heard.binary[0]));
    result.asked = await all(clients, async (one, index) => {
      const other = after(clients, index), answer = await one.ask("ask", other.sid, index);
      return answer?.[0] === other.sid && answer[1] === index;
    });
    await Promise.all(clients.map(async (one, index) => {
      await one.ask("put", after(clients, index).sid, `${room}-${index}`);
      one.socket.emit("tell", `${room}-${index}`, "entered", index);
    }));
    result.entered = await all(clients, (one) => one.hears("entered"));
    await clients[0].ask("close", room);
    await clients[0].ask("tell", room, "leaked", 1);
    clients[0].socket.emit("tell", `${room}-all`, "behind", 1);
    result.behind = await all(clients, (one) => one.hears("behind"));
    result.leaked = number(clients.map((one) => one.heard.leaked));
    const kicked = clients.filter((_, index) => index % 2);
    const gone = kicked.map((one) => within(new Promise((done) => one.socket.on("disconnect", (reason) => done(reason === "io server disconnect")))));
    clients.forEach((one, index) => { if (index % 2 === 0 && clients[index + 1]) one.socket.emit("kick", clients[index + 1].sid); });
    result.kicked = number(await Promise.all(gone));
  }
  const lost = made.map((one) => one.lost).filter((reason) => reason && reason !== "io server disconnect");
  console.log(JSON.stringify({ ...result, lost: [...new Set(lost)] }));
  for (const one of clients) one.socket.disconnect();
  setTimeout(() => process.exit(0), 100);
})().catch((error) => { console.error(error); process.exit(1); });
