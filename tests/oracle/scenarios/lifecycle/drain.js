// A connection in flight holds up the disconnect; messages flow meanwhile (spec 2.5).
if (cluster.isPrimary) {
  watch(); const w = watchWorker(cluster.fork()); let client;
  w.on('message', (m) => {
    traceAs('P1', 'message', m);
    if (m === 'served') { w.disconnect(); traceAs('P1', 'asked', ...flags(w), w.send('ping')); }
    if (m === 'pong') setTimeout(() => { traceAs('P1', 'client ends'); client.end(); }, 100);
  });
  cluster.on('listening', (_, a) => { client = net.connect(a.port, '127.0.0.1'); });
} else {
  process.on('message', (m) => process.send('pong'));
  net.createServer((c) => { c.resume(); c.on('end', () => c.end()); process.send('served'); }).listen(0, '127.0.0.1');
}
