// listen(0) is the same port in every worker, and another one for each further server (spec 3.1).
if (cluster.isPrimary) {
  const ports = {}; let n = 0;
  cluster.on('message', (w, m) => { (ports[w.id] = m); if (++n === 2) { trace('same', ports[1].join() === ports[2].join(), 'differ', ports[1][0] !== ports[1][1]); cluster.disconnect(); } });
  cluster.fork(); cluster.fork();
} else {
  const a = net.createServer().listen(0, '127.0.0.1', () => {
    const b = net.createServer().listen(0, '127.0.0.1', () => process.send([a.address().port, b.address().port]));
  });
}
