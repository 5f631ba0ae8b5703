// Idle workers take turns, in the order in which they listened (spec 3.2).
if (cluster.isPrimary) {
  const served = []; let port; const fork = () => cluster.fork();
  cluster.on('listening', (w, a) => { port = a.port; if (w.id < 3) fork(); else next(); });
  const next = () => served.length < 9 ? ask({ port, host: '127.0.0.1' }, (id) => { served.push(id); next(); })
    : (trace(served.join(' ')), cluster.disconnect());
  fork();
} else net.createServer((c) => c.end(String(cluster.worker.id))).listen(0, '127.0.0.1');
