// A worker gives its connection to the primary (spec 4.5; upstream net-send).
if (cluster.isPrimary) {
  const w = cluster.fork();
  cluster.on('listening', (_, a) => ask({ port: a.port, host: '127.0.0.1' }, (text) => { trace(text); w.disconnect(); }));
  w.on('message', (m, c) => { trace(m, c instanceof net.Socket); c.end('from the primary'); });
} else net.createServer((c) => process.send('take', c)).listen(0, '127.0.0.1');
