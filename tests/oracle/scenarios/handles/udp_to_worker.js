// A bound UDP socket that is passed receives there (spec 4.5).
if (cluster.isPrimary) {
  const w = cluster.fork(); const s = dgram.createSocket('udp4');
  s.bind(0, '127.0.0.1', () => { const { port } = s.address(); w.send('udp', s);
    w.on('message', (m) => { if (m === 'ready') { s.close(); const c = dgram.createSocket('udp4'); c.send('hello', port, '127.0.0.1', () => c.close()); } else { trace(m); w.kill('SIGKILL'); } }); });
} else process.on('message', (m, s) => { trace(m, s instanceof dgram.Socket); s.on('message', (data) => process.send(String(data))); process.send('ready'); });
