// The primary accepts and gives the connection away: it is the worker's alone (spec 4.5).
if (cluster.isPrimary) {
  const w = cluster.fork();
  const s = net.createServer({ pauseOnConnect: true }, (c) => { trace('returns', w.send('yours', c)); });
  w.on('online', () => s.listen(0, '127.0.0.1', () => ask({ port: s.address().port, host: '127.0.0.1' }, (text) => { trace(text); s.close(); w.disconnect(); })));
} else process.on('message', (m, c) => { trace(m, c instanceof net.Socket); c.end('from the worker'); });
