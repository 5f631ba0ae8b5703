// One worker, one fixed address, two servers: the second gets EADDRINUSE and the first goes on (spec 3.1).
if (cluster.isPrimary) {
  const probe = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address(); probe.close(() => cluster.fork({ PORT: port }));
  });
  cluster.on('listening', () => trace('listening'));
  cluster.on('message', (w, m) => { trace(m); cluster.disconnect(); });
} else {
  const port = Number(process.env.PORT);
  const first = net.createServer().listen(port, '127.0.0.1', () =>
    net.createServer().on('error', (e) => process.send([e.code, e.syscall, e.port === port, e.address, first.listening].join(' '))).listen(port, '127.0.0.1'));
}
