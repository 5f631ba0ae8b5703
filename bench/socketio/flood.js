// node flood.js URL NUMBER BYTES: a client of each of four workers, one of which emits to the room of all.
// Prints emits a second, until the last client has heard the last one.
const { io } = require("socket.io-client");
const [url, ...numbers] = process.argv.slice(2);
const [number, bytes] = numbers.map(Number);
const WORKERS = 4, MOST_ATTEMPTS = 64, PATIENCE = 20000;

const connected = () => new Promise((done, fail) => {
  const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
  socket.on("connect", () => done(socket));
  socket.on("connect_error", fail);
});

const ofEachWorker = async () => {
  const byWorker = new Map();
  for (let i = 0; i < MOST_ATTEMPTS && byWorker.size < WORKERS; i++) {
    const socket = await connected();
    const pid = await socket.timeout(PATIENCE).emitWithAck("whoami");
    if (byWorker.has(pid)) socket.disconnect();
    else byWorker.set(pid, socket);
  }
  if (byWorker.size < WORKERS) throw new Error(`only ${byWorker.size} workers were found`);
  return [...byWorker.values()];
};

const hearsAll = (socket) => new Promise((done, fail) => {
  let next = 0;
  socket.on("told", (one) => {
    if (one !== next) fail(new Error(`expected ${next}, heard ${one}`));
    if (++next === number) done();
  });
  socket.on("disconnect", (reason) => fail(new Error(reason)));
});

(async () => {
  setTimeout(() => { console.error("not all was heard in time"); process.exit(1); }, 6 * PATIENCE);
  const sockets = await ofEachWorker();
  const all = sockets.map(hearsAll);
  const begin = process.hrtime.bigint();
  sockets[0].emit("flood", number, "x".repeat(bytes));
  await Promise.all(all);
  console.log(number / (Number(process.hrtime.bigint() - begin) / 1e9));
  process.exit(0);
})().catch((error) => { console.error(error); process.exit(1); });
