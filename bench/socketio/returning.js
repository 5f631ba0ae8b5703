// node returning.js URL TRANSPORT CLIENTS: clients that come back by themselves.
// Prints "ready PID" with the worker of the first one, and reads one line.  A PID: prints in how many seconds from then on
// the last client of that worker has heard an echo from another one.  "all", as workers are replaced one after another:
// prints the longest time between a client's loss of its connection and an echo from another worker.
const { io } = require("socket.io-client");
const [url, transport, count] = process.argv.slice(2);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const connected = () => new Promise((done, fail) => {
  const socket = io(url, { transports: [transport], forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 200 });
  socket.once("connect", () => done(socket));
  socket.once("connect_error", fail);
});
const home = async (socket) => (await socket.timeout(500).emitWithAck("echo", 1).catch(() => []))[0];

(async () => {
  const sockets = await Promise.all(Array.from({ length: Number(count) }, connected));
  const homes = await Promise.all(sockets.map(home));
  console.log(`ready ${homes[0]}`);
  const lost = sockets.map(() => undefined); // when each has lost its first connection
  sockets.forEach((socket, index) => socket.once("disconnect", () => { lost[index] = process.hrtime.bigint(); }));
  process.stdin.once("data", async (line) => {
    const begin = process.hrtime.bigint(), gone = String(line).trim(), seconds = [];
    await Promise.all(sockets.map(async (socket, index) => {
      if (gone !== "all" && String(homes[index]) !== gone) return;
      for (let now = homes[index]; now === undefined || now === homes[index];) {
        await sleep(20);
        now = socket.connected ? await home(socket) : undefined;
      }
      seconds.push(Number(process.hrtime.bigint() - (gone === "all" ? lost[index] : begin)) / 1e9);
    }));
    console.log(Math.max(...seconds));
    process.exit(0);
  });
})().catch((error) => { console.error(error); process.exit(1); });
