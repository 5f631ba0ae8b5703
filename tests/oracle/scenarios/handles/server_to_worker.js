// A listening server that is passed listens on both sides (spec 4.5).
if (cluster.isPrimary) {
  const w = cluster.fork(); const s = net.createServer();
  s.listen(0, '127.0.0.1', () => { const { port } = s.address(); w.send('server', s); w.on('message', () => { s.close(); ask({ port, host: '127.0.0.1' }, (text) => { trace(text); w.kill('SIGKILL'); }); }); });
} else process.on('message', (m, s) => { trace(m, s instanceof net.Server, s.address().port > 0); s.on('connection', (c) => c.end('worker')); process.send('ready'); });
