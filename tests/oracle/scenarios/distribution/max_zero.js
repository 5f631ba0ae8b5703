// maxConnections = 0 refuses everybody since Node 22; before it meant no limit (spec 3.2, 7).
if (cluster.isPrimary) {
  const w = cluster.fork(); let got = 'nothing';
  w.on('listening', (a) => { const c = net.connect(a.port, '127.0.0.1'); c.on('data', (d) => (got = String(d))); c.on('error', () => {});
    setTimeout(() => { trace(got); process.exit(0); }, 300); });
} else { const s = net.createServer((c) => c.end('served')); s.maxConnections = 0; s.listen(0, '127.0.0.1'); }
