// The same server on Node, by its cluster module, @socket.io/sticky and @socket.io/cluster-adapter.
const cluster = require("cluster"), http = require("http");
const { Server } = require("socket.io");
const { setupMaster, setupWorker } = require("@socket.io/sticky");
const { createAdapter, setupPrimary } = require("@socket.io/cluster-adapter");

if (cluster.isPrimary) {
  const server = http.createServer();
  setupMaster(server, { loadBalancingMethod: "round-robin" });
  setupPrimary();
  cluster.setupPrimary({ serialization: "advanced" });
  server.listen(Number(process.argv[2]), "127.0.0.1");
  for (let i = 0; i < 4; i++) cluster.fork();
} else {
  const io = new Server(http.createServer());
  io.adapter(createAdapter());
  setupWorker(io);
  io.on("connection", (socket) => {
    socket.join("room");
    socket.on("flood", (number, text) => { for (let i = 0; i < number; i++) io.to("room").emit("told", i, text); });
    socket.on("whoami", (answer) => answer(process.pid));
  });
}
