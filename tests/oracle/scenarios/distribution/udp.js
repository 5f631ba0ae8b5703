// UDP sockets are shared whatever the policy; what listening says of them (spec 2.2, 3.6).
if (cluster.isPrimary) {
  watch('listening', 'exit'); let n = 0;
  cluster.on('listening', (w, a) => { if (++n === 1) cluster.fork(); else { const client = dgram.createSocket('udp4'); client.send('hello', a.port, '127.0.0.1', () => client.close()); } });
  cluster.on('message', (w, m) => { trace(m); cluster.disconnect(); });
  cluster.fork();
} else dgram.createSocket('udp4', (data) => process.send(String(data))).bind(0, '127.0.0.1');
