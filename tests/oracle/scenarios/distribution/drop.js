// dropMaxConnection: a full worker takes, closes and emits drop; Node 20 does not know it (spec 3.2, 7).
if (cluster.isPrimary) {
  const w = cluster.fork(); w.on('message', (m) => trace(m));
  w.on('listening', (a) => { for (let i = 0; i < 2; i++) net.connect(a.port, '127.0.0.1').on('error', () => {}); setTimeout(() => process.exit(0), 400); });
} else { const s = net.createServer(() => process.send('connection')); s.maxConnections = 1; s.dropMaxConnection = true; s.on('drop', () => process.send('drop')); s.listen(0, '127.0.0.1'); }
