// A full worker sends a connection on to another (spec 3.2; upstream net-server-drop-connection).
if (cluster.isPrimary) {
  const served = []; let n = 0, port;
  cluster.on('listening', (w, a) => { port = a.port; if (++n === 2) for (let i = 0; i < 2; i++) net.connect(port, '127.0.0.1').on('error', () => {}); });
  cluster.on('message', (w) => { served.push(w.id); if (served.length === 2) { trace(served.sort().join(' ')); for (const id in cluster.workers) cluster.workers[id].kill(); process.exit(0); } });
  cluster.fork(); cluster.fork();
} else { const s = net.createServer(() => process.send('one')); s.maxConnections = 1; s.listen(0, '127.0.0.1'); }
