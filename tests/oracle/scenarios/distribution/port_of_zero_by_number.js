// The number that listen(0) gave cannot be asked for by number (spec 3.1).
if (cluster.isPrimary) {
  cluster.once('listening', (w, a) => cluster.fork({ PORT: a.port }));
  cluster.on('message', (w, m) => { trace(m); cluster.disconnect(); });
  cluster.fork();
} else if (process.env.PORT) net.createServer().on('error', (e) => process.send(e.code + ' ' + e.syscall)).listen(Number(process.env.PORT), '127.0.0.1');
else net.createServer().listen(0, '127.0.0.1');
