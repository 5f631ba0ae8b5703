// D8: an exclusive server outlives its worker's disconnect in Node; here it is closed with the others (spec 3.4).
if (cluster.isPrimary) {
  const w = cluster.fork(); let port;
  w.on('message', (m) => { port = m; w.disconnect(); });
  w.on('disconnect', () => setTimeout(() => ask({ port, host: '127.0.0.1' }, (text) => { trace(text); w.kill('SIGKILL'); }), 200));
} else { const s = net.createServer((c) => c.end('served')).listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => process.send(s.address().port)); }
