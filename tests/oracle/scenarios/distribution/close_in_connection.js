// A server that closes itself in its first handler has no second one, in a worker and in a primary.
const close = (server, done) => {
  let count = 0;
  server.on('connection', (socket) => {
    socket.destroy();
    if (++count === 1) server.close(() => setTimeout(() => { trace('connections', count); done(); }, 200));
  });
  return server;
};
const knock = (port) => { for (let i = 0; i < 8; i++) net.connect(port, '127.0.0.1').on('error', () => {}).unref(); };
if (cluster.isPrimary) {
  watch('exit');
  const own = close(net.createServer(), () => cluster.fork()).listen(0, '127.0.0.1', () => knock(own.address().port));
  cluster.on('listening', (w, address) => knock(address.port));
} else {
  close(http.createServer(), () => process.exit(0)).listen(0, '127.0.0.1');
}
