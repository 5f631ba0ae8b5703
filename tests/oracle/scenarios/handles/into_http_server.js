// A received socket is served by the worker's own HTTP server (upstream send-socket-to-worker-http-server).
if (cluster.isPrimary) {
  const w = cluster.fork();
  const s = net.createServer({ pauseOnConnect: true }, (c) => w.send('take', c));
  w.on('online', () => s.listen(0, '127.0.0.1', () => {
    const c = net.connect(s.address().port, '127.0.0.1'); let text = '';
    c.on('data', (d) => (text += d)); c.on('end', () => { trace(text.split('\r\n')[0], text.endsWith('hello')); s.close(); w.disconnect(); });
    c.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  }));
} else {
  const server = http.createServer((req, res) => res.end('hello'));
  process.on('message', (m, c) => { server.emit('connection', c); c.resume(); });
}
