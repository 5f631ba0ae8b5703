// node burn.js URL CLIENTS EVENTS SECONDS: each client lets its worker compute for so long, again and again.
// Prints events a second.
const { io } = require("socket.io-client");
const [url, ...numbers] = process.argv.slice(2);
const [clients, events, seconds] = numbers.map(Number);

const connected = () => new Promise((done, fail) => {
  const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
  socket.on("connect", () => done(socket));
  socket.on("connect_error", fail);
});

(async () => {
  const sockets = await Promise.all(Array.from({ length: clients }, connected));
  const begin = process.hrtime.bigint();
  await Promise.all(sockets.map(async (socket) => {
    for (let i = 0; i < events; i++) await socket.emitWithAck("burn", seconds);
  }));
  console.log(clients * events / (Number(process.hrtime.bigint() - begin) / 1e9));
  process.exit(0);
})().catch((error) => { console.error(error); process.exit(1); });
